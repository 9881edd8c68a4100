internal import CMillrace
internal import Glibc
internal import MillraceCore
internal import MillraceWorkflow

/// The directory of an agent's process.
struct AgentHome: Sendable {
  let path: String

  init(_ path: String) { self.path = path }

  var input: String { path + "/in" }
  var output: String { path + "/out" }
  private var log: String { path + "/log" }
  private var record: String { path + "/process.json" }

  /// The end of what the agent wrote to its standard error.
  var logEnd: String {
    let text = SmallFile.text(log) ?? ""
    return String(decoding: text.utf8.suffix(1_024), as: UTF8.self)
  }

  /// The agent's process, if it runs. Throws `TaskFailure`.
  func process() throws -> AgentProcess? {
    guard let process = try recorded(), process.isRunning else { return nil }
    return process
  }

  /// As above, also if it has ended and was not waited for.
  private func recorded() throws -> AgentProcess? {
    guard let bytes = try AtomicFile.read(record) else { return nil }
    let identity: ProcessIdentity
    do { identity = try JSON(parsing: bytes).decoded() } catch {
      throw TaskFailure("damaged", "\(record) names no process: \(JSON.describe(error))")
    }
    return try AgentProcess(identity)
  }

  /// Starts the program. It waits at a gate until its identity is on stable storage, and ends if this process does before: there is never one that nobody knows.
  func start(_ program: [String], _ environment: [String]) throws -> AgentProcess {
    try clear()
    try AtomicFile.makeDirectory(path)
    for pipe in [input, output] where unsafe mkfifo(pipe, 0o600) != 0 { throw TaskFailure.file(pipe) }
    var gate: [Int32] = [-1, -1]
    let code = unsafe millrace_gate(&gate)
    if code != 0 { throw TaskFailure.file("socketpair", code) }
    defer { close(gate[0]) }
    let pid: Int32
    do {
      defer { close(gate[1]) }
      pid = try spawn(["/bin/sh", "-c", "read -r go <&3 && exec 3<&- && exec \"$@\"", "agent"] + program, environment, gate: gate[1])
    }
    do {
      let identity = try ProcessIdentity(of: pid)
      try AtomicFile.write(JSON(encoding: identity).utf8(), to: record, mode: 0o600)
      guard let process = try AgentProcess(identity) else { throw TaskFailure("agent-ended", "process \(pid) ended before it began") }
      let code = millrace_open_gate(gate[0])
      if code != 0 { throw TaskFailure.file("process \(pid)", code) }
      return process
    } catch {
      // It is our child, and waits: its number is its own.
      kill(pid, SIGKILL)
      _ = waitpid(pid, nil, 0)
      throw error
    }
  }

  /// The pipes are opened in both directions: no end of them is missing while there is an agent.
  private func spawn(_ arguments: [String], _ environment: [String], gate: Int32) throws(TaskFailure) -> Int32 {
    var descriptors: [Int32] = []
    defer { for descriptor in descriptors { close(descriptor) } }
    for (file, flags) in [(input, O_RDWR), (output, O_RDWR), (log, O_WRONLY | O_CREAT | O_APPEND)] {
      let descriptor = unsafe millrace_lift(open(file, flags | O_CLOEXEC | O_NOFOLLOW, 0o600))
      if descriptor < 0 { throw .file(file, -descriptor) }
      descriptors.append(descriptor)
    }
    var pid: pid_t = 0
    // unsafe: copies, which are freed when the program has been started.
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      for index in unsafe words.indices { unsafe free(words[index]) }
      for index in unsafe variables.indices { unsafe free(variables[index]) }
    }
    let code = unsafe millrace_spawn(arguments[0], &words, &variables, path, descriptors + [gate], &pid)
    if code != 0 { throw .file(arguments[0], code) }
    return pid
  }

  /// Nothing of the agent runs, and nothing of it is in its directory, when this returns.
  func stop(grace: UInt64) async throws {
    if let process = try recorded() { try await process.stop(grace: grace) }
    try clear()
  }

  private func clear() throws(TaskFailure) {
    try AtomicFile.removeDirectory(path, files: ["in", "out", "log", "process.json.new", "process.json"])
  }
}
