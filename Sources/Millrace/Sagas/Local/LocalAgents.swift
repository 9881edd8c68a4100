internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Agents that are processes of this machine: a registry, credentials and a runtime over one directory, which one program at a time has open.
///
/// Everything is kept in files, on stable storage when a call returns, so that a program that is started again finds what was there, running agents included:
///
/// | | |
/// |---|---|
/// | `registry.json`, `credentials.json` | who is there; the SHA-256 of each token, and what it allows |
/// | `tokens/ID` | the agent's token, for its user only |
/// | `run/ID` | `process.json`, who the process is; `in` and `out`, its standard input and output; `log`, its standard error |
///
/// All methods may be called from any thread. They hold up the calling thread for writes of small files, never for an agent.
public final class LocalAgents: Sendable {
  /// Most agents at once.
  public static let maximumAgents = 10_000

  /// Who is there.
  public let registry: LocalAgentRegistry
  /// Their tokens.
  public let credentials: LocalCredentials
  /// Their processes.
  public let runtime: LocalAgentRuntime
  private let lock: Int32

  /// Opens a directory; makes it if it is not there, its parents are not.
  ///
  /// - Parameters:
  ///   - directory: its path.
  ///   - programs: by the agents' type the program, a path, and its arguments.
  ///   - grace: from SIGTERM to SIGKILL, nanoseconds.
  ///   - healthTimeout: for the first answer of a new agent, nanoseconds.
  ///
  /// Throws `TaskFailure`, also if another program has the directory open. Complexity: O(agents).
  public init(
    _ directory: String, programs: [String: [String]], grace: UInt64 = 5_000_000_000, healthTimeout: UInt64 = 10_000_000_000
  ) throws {
    try AtomicFile.makeDirectory(directory)
    let directory = try AtomicFile.absolute(directory)
    let lock = unsafe millrace_open_at(-1, directory + "/lock", Int32(MILLRACE_WRITE | MILLRACE_OR_CREATE))
    if lock < 0 { throw TaskFailure.file(directory + "/lock", -lock) }
    do {
      let result = millrace_lock_file(lock)
      if result < 0 { throw TaskFailure.file(directory + "/lock", -result) }
      if result == 0 { throw TaskFailure("in-use", "\(directory) is in use by another program: stop it, or use another directory") }
      registry = try LocalAgentRegistry(directory)
      credentials = try LocalCredentials(directory)
      runtime = try LocalAgentRuntime(directory, programs: programs, grace: grace, healthTimeout: healthTimeout)
      self.lock = lock
    } catch {
      close(lock)
      throw error
    }
  }

  deinit { close(lock) }

  /// Ids become names of files.
  static func check(_ id: String) throws(TaskFailure) {
    let isGood =
      (1...64).contains(id.utf8.count)
      && id.utf8.allSatisfy { (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 45 }
    if !isGood { throw TaskFailure("bad-input", "'\(id)' is no id for an agent: [A-Za-z0-9-]{1,64}", isRetryable: false) }
  }
}

extension TaskFailure {
  /// A call on a file that failed with an errno value.
  static func file(_ path: String, _ code: Int32 = errno) -> TaskFailure {
    TaskFailure("io", "\(path): \(unsafe String(cString: strerror(code)))")
  }
}
