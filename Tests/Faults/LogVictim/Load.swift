import LogLoad
import MillraceLog
import Synchronization

/// How a log is opened, and what is appended.
struct LoadOptions {
  var threads = 4
  /// Appends; 0: without end.
  var count = 0
  /// The first append's number.
  var from = 0
  var segment = 64 << 10
  /// Bytes that are kept; 0: all.
  var retention = 0
  /// Seconds after which the program is killed.
  var deadline = 30
  var way: WriteWay?

  init?(_ words: some Sequence<String>) {
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { return nil }
      if parts[0] == "way" {
        guard let way = WriteWay(rawValue: parts[1]) else { return nil }
        self.way = way
        continue
      }
      guard let number = Int(parts[1]), number >= 0 else { return nil }
      switch parts[0] {
      case "threads": threads = number
      case "count": count = number
      case "from": from = number
      case "segment": segment = number
      case "retention": retention = number
      case "deadline": deadline = number
      default: return nil
      }
    }
  }

  func open(_ directory: String) throws -> EventLog {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = segment
    configuration.firstSegmentBytes = segment
    configuration.commitBytes = 16 << 10
    if retention > 0 { configuration.retention = Retention(bytes: retention) }
    return try EventLog(DirectoryStorage(directory, way: way), configuration)
  }
}

/// Appends from several threads, and a mark for each end, in the order in which the log tells them.
final class Load: Sendable {
  private let log: EventLog
  private let options: LoadOptions
  private let next: Atomic<Int>
  private let ending = Atomic<Int>(0)

  init(_ log: EventLog, _ options: LoadOptions) {
    self.log = log
    self.options = options
    next = Atomic(options.from)
  }

  /// As the program's exit code.
  var code: Int32 { Int32(ending.load(ordering: .sequentiallyConsistent)) }

  func run() { onThreads(options.threads) { _ in self.work() } }

  private func work() {
    // After a failure a few more, none of which may be acknowledged.
    var failures = 0
    while failures < 3 {
      let number = next.add(1, ordering: .sequentiallyConsistent).oldValue
      if options.count > 0, number >= options.from + options.count { return }
      switch number % 16 {
      case 5: setLimit(number)
      case 11: save(number)
      default: break
      }
      var attempts = 0
      while let outcome = append(UInt64(number)) {
        attempts += 1
        if outcome == .full, attempts < 50 { continue }
        failures += outcome == .failed ? 1 : 3
        ending.store(outcome == .failed ? 2 : 3, ordering: .sequentiallyConsistent)
        break
      }
    }
  }

  private enum Outcome: Sendable { case full, failed }

  /// nil: appended.
  private func append(_ number: UInt64) -> Outcome? {
    // Said where the log tells it, in the order of commits.
    waitFor { done in
      log.append(LoadAppend(number).appends) { result in
        switch result {
        case .success(let receipt):
          say(Ledger.mark(number, receipt))
          done(nil)
        case .failure(.noSpace):
          say("refused \(number)")
          done(.full)
        case .failure:
          say("failed \(number)")
          done(.failed)
        }
      }
    }
  }

  private func setLimit(_ number: Int) {
    let count = UInt64(number / 16 % 6 + 3)
    waitFor { done in
      log.setLimits(StreamLimits(count: count), of: LoadAppend.limited) { result in
        if case .success = result { say("limit \(LoadAppend.limited) \(count)") }
        done(())
      }
    }
  }

  private func save(_ number: Int) {
    let stream = LoadAppend.stream(number / 16 % LoadAppend.streams)
    let version: UInt64?
    do throws(EventStoreError) { version = try log.page(ReadRequest(.stream(stream), .backward, limit: 1)).lastVersion } catch { return }
    guard let version else { return }
    waitFor { done in
      log.save(LoadAppend.snapshot(of: stream, version: version)) { result in
        if case .success = result { say("snapshot \(stream) \(version)") }
        done(())
      }
    }
  }
}
