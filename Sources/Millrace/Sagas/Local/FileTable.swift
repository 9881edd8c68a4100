internal import MillraceCore
internal import MillraceWorkflow

/// Rows of JSON by name, in memory and in a file: on stable storage when a change returns. At most `LocalAgents.maximumAgents` rows; a change writes them all.
///
/// # Threads
/// Any; the lock is held while the file is written.
final class FileTable: @unchecked Sendable {
  private let path: String
  private let monitor = Monitor()
  private var rows: [String: JSON] = [:]

  /// Reads the file, if it is there. Throws `TaskFailure`.
  init(_ path: String) throws {
    self.path = path
    guard let bytes = try AtomicFile.read(path) else { return }
    do {
      let object = try JSON(parsing: bytes).object ?? []
      rows = Dictionary(object.map { ($0.name, $0.value) }) { _, last in last }
    } catch { throw TaskFailure("damaged", "\(path) is no table of agents: \(JSON.describe(error))") }
  }

  deinit { monitor.deallocate() }

  var all: [String: JSON] { monitor.locked { rows } }

  /// Changes a row, nil: there is none, by what `change` makes of it. An attempt that has been cancelled changes nothing, so that none comes behind what undoes it.
  func change(_ name: String, _ change: (JSON?) throws -> JSON?) throws {
    try monitor.locked {
      try _Concurrency.Task.checkCancellation()
      let old = rows
      rows[name] = try change(old[name])
      if rows == old { return }
      do {
        if rows.count > LocalAgents.maximumAgents {
          throw TaskFailure("full", "\(path) has \(LocalAgents.maximumAgents) agents: remove some", isRetryable: false)
        }
        try save()
      } catch {
        // What throws has done nothing.
        rows = old
        do { try save() } catch let second { throw TaskFailure("io", "\(error); and it could not be taken back: \(second)") }
        throw error
      }
    }
  }

  private func save() throws(TaskFailure) {
    let members = rows.sorted { $0.key < $1.key }.map { JSON.Member($0.key, $0.value) }
    try AtomicFile.write(JSON.object(members).utf8() + [10], to: path, mode: 0o600)
  }
}
