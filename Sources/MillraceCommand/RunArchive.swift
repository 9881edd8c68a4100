internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceLog

/// The durable runs of a data directory as they are recorded, whether a process has them or not. Takes no lock.
struct RunArchive {
  let data: DataOptions
  let log: LogReader
  /// The process that has the directory, as it says of itself; nil: none.
  let owner: String?
  let now = DurableTime.now()

  /// Reads and checks the log. Complexity: O(its bytes).
  init(_ data: DataOptions) throws(Refusal) {
    self.data = data
    let path = data.directory + "/log"
    let storage: DirectoryStorage
    do throws(StorageError) { storage = try DirectoryStorage(path, create: false, way: .sync) } catch {
      if error.code == ENOENT || error.code == ENOTDIR {
        throw Refusal(
          .missing, "no durable runs are recorded in \(data.directory): name their directory with --data or \(DataOptions.variable)")
      }
      throw Refusal(.storage(error), path)
    }
    owner = storage.owner
    do throws(LogError) { log = try LogReader(storage) } catch { throw Refusal(error, path) }
  }

  var isAttended: Bool { owner != nil }

  /// Ids, in the order in which the runs were created.
  func ids(all: Bool) throws(Refusal) -> [RunID] {
    do throws(EventStoreError) { return try log.runs(all: all) } catch { throw Refusal(error) }
  }

  /// The run of an id, or of what no other id begins with.
  func find(_ text: String) throws(Refusal) -> RunID {
    if let id = RunID(text) { return id }
    let found = try ids(all: true).filter { $0.description.hasPrefix(text.lowercased()) }
    if found.count == 1, !text.isEmpty { return found[0] }
    if found.isEmpty {
      throw Refusal(.wrongUse, "no run in \(data.directory) has an id that begins with '\(text)': `millrace run list --all` lists them")
    }
    let listed = found.prefix(4).map(\.description).joined(separator: ", ")
    throw Refusal(.wrongUse, "\(found.count) runs have ids that begin with '\(text)': \(listed)\(found.count > 4 ? ", ..." : "")")
  }

  /// A run as it was at a position, or a moment, or as it is.
  func run(_ id: RunID, at place: RecordPlace = .end) throws(Refusal) -> RecordedRun {
    let (position, time) = place.bounds
    let moment: DurableTime? =
      switch place {
      case .end: now
      case .position: nil
      case .time(let time): DurableTime(wall: time, boot: 0)
      }
    let found: RecordedRun?
    do {
      found = try log.recorded(id, now: moment, isAttended: isAttended || place != .end, until: position, at: time)
    } catch let error as EventStoreError {
      throw Refusal(error)
    } catch {
      throw Refusal(.badData, "run \(id): \(error)")
    }
    guard let found else {
      throw Refusal(.wrongUse, place == .end ? "there is no run \(id) in \(data.directory)" : "run \(id) was not there yet")
    }
    return found
  }
}

/// A moment of the log.
enum RecordPlace: Equatable {
  case end
  /// After the event of this position.
  case position(UInt64)
  /// Nanoseconds since 1970.
  case time(Int64)

  var bounds: (position: UInt64, time: Int64) {
    switch self {
    case .end: (.max, .max)
    case .position(let position): (position, .max)
    case .time(let time): (.max, time)
    }
  }

  /// A number, or a time with its zone.
  @Sendable static func parse(_ text: String) throws -> RecordPlace {
    if let position = UInt64(text) { return .position(position) }
    guard let time = WallTime.nanoseconds(text) else {
      throw ValidationError("--at is '\(text)': give a position, as `millrace log tail` shows them, or a time: \(WallTime.fix)")
    }
    return .time(time)
  }
}
