internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Which process it is, for whoever comes after its host: ids are given again, but not with the same start time in the same boot.
struct ProcessIdentity: Sendable, Hashable, Codable {
  var pid: Int32
  /// Ticks since the boot.
  var started: UInt64
  var boot: String

  var instance: AgentInstance { AgentInstance(name: "\(pid) @ \(started)") }

  /// Of a process that is there, or was not waited for. Throws `TaskFailure`.
  init(of pid: Int32) throws(TaskFailure) {
    guard let now = Self.look(pid) else { throw TaskFailure("io", "process \(pid) is not in /proc: is it mounted?") }
    self.pid = pid
    started = now.started
    boot = Self.bootID
  }

  /// What `/proc` says of a process id now; nil: nothing has it.
  static func look(_ pid: Int32) -> (isEnded: Bool, started: UInt64)? {
    guard let text = SmallFile.text("/proc/\(pid)/stat"), let name = text.lastIndex(of: ")") else { return nil }
    // Behind the name, which may hold anything: the state is field 3, the start time field 22.
    let fields = text[text.index(after: name)...].split(separator: " ")
    guard fields.count > 19, let started = UInt64(fields[19]) else { return nil }
    return (["Z", "X"].contains(fields[0]), started)
  }

  static let bootID = (SmallFile.text("/proc/sys/kernel/random/boot_id") ?? "").filter { !$0.isWhitespace }
}

/// A process that was found by its identity. Its descriptor stands for it whatever its id is given to.
final class AgentProcess: Sendable {
  let identity: ProcessIdentity
  /// Can be read once the process has ended.
  let descriptor: Int32

  /// nil: it has ended, and nothing is left of it. Throws `TaskFailure`.
  init?(_ identity: ProcessIdentity) throws(TaskFailure) {
    guard identity.boot == ProcessIdentity.bootID else { return nil }
    let descriptor = millrace_process_open(identity.pid)
    if descriptor < 0 {
      if [ESRCH, EINVAL, ENOENT].contains(-descriptor) { return nil }
      throw .file("process \(identity.pid)", -descriptor)
    }
    // In this order: who has the id now and began when ours did is ours, and the descriptor stands for it.
    guard ProcessIdentity.look(identity.pid)?.started == identity.started else {
      close(descriptor)
      return nil
    }
    self.identity = identity
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// It may have ended a moment later.
  var isRunning: Bool {
    guard let now = ProcessIdentity.look(identity.pid) else { return false }
    return now.started == identity.started && !now.isEnded
  }

  /// SIGTERM to its group, SIGKILL after `grace` nanoseconds; then nothing of the group is left. Throws `TaskFailure`, `CancellationError`.
  func stop(grace: UInt64) async throws {
    try signal(SIGTERM)
    if try await !hasEnded(within: grace) {
      try signal(SIGKILL)
      if try await !hasEnded(within: 5_000_000_000) {
        throw TaskFailure("agent-left", "the kernel holds process \(identity.pid), which was killed")
      }
    }
    // What it left behind in its group.
    try signal(SIGKILL)
    // If it is another's child, that one waits for it.
    _ = waitpid(identity.pid, nil, WNOHANG)
  }

  private func hasEnded(within nanoseconds: UInt64) async throws -> Bool {
    try await Readiness.wait(for: [descriptor], until: millrace_monotonic() + nanoseconds)[0]
  }

  private func signal(_ signal: Int32) throws(TaskFailure) {
    var code = -millrace_process_signal_group(descriptor, signal)
    // A kernel before 6.9: by number, which is the group's as long as its leader has not been waited for.
    if code == EINVAL {
      code = ProcessIdentity.look(identity.pid)?.started != identity.started || kill(-identity.pid, signal) == 0 ? 0 : errno
    }
    if code != 0, code != ESRCH { throw .file("process group \(identity.pid)", code) }
  }
}
