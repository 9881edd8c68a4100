internal import Glibc
internal import MillraceCore
internal import MillraceWorkflow

/// Talks to an agent: see `LocalAgentRuntime`. One at a time for each agent.
struct AgentChannel: ~Copyable {
  /// What the kernel writes into a pipe as one piece.
  static let maximumRequestBytes = 4_096
  static let maximumAnswerBytes = 1_000_000

  private let process: AgentProcess
  private let input: Int32
  private let output: Int32

  /// Throws `TaskFailure`.
  init(_ home: AgentHome, _ process: AgentProcess) throws(TaskFailure) {
    // In both directions: no signal and no end of file where the agent ends; its process tells that.
    let input = unsafe open(home.input, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    if input < 0 { throw .file(home.input) }
    let output = unsafe open(home.output, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    if output < 0 {
      let code = errno
      close(input)
      throw .file(home.output, code)
    }
    self.process = process
    self.input = input
    self.output = output
  }

  deinit {
    close(input)
    close(output)
  }

  /// Sends a request and waits for the answer with its key; `deadline` of the monotonic clock, nil: without an end. Throws `TaskFailure`, `CancellationError`.
  consuming func ask(_ request: JSON, until deadline: UInt64?) async throws -> JSON {
    try send(request)
    var bytes: [UInt8] = []
    while true {
      let ready = try await Readiness.wait(for: [output, process.descriptor], until: deadline)
      try read(into: &bytes)
      while let end = bytes.firstIndex(of: 10) {
        let line = Array(bytes[..<end])
        bytes.removeSubrange(...end)
        if let answer = try answer(line, to: request) { return answer }
      }
      if bytes.count > Self.maximumAnswerBytes {
        throw TaskFailure("agent-refused", "the agent's answer has more than \(Self.maximumAnswerBytes) bytes", isRetryable: false)
      }
      if ready[1], !ready[0] { throw TaskFailure("agent-ended", "the agent has ended") }
      if !ready[0], !ready[1] { throw TaskFailure("agent-silent", "the agent has not answered in time") }
    }
  }

  private func send(_ request: JSON) throws(TaskFailure) {
    let line = request.utf8() + [10]
    if line.count > Self.maximumRequestBytes {
      throw TaskFailure(
        "too-large", "a request to an agent of \(line.count) bytes: at most \(Self.maximumRequestBytes) are allowed", isRetryable: false)
    }
    // unsafe: the array, for the call. As one piece or not at all.
    let wrote = unsafe line.withUnsafeBytes { unsafe write(input, $0.baseAddress, line.count) }
    if wrote < 0 { throw errno == EAGAIN ? TaskFailure("agent-silent", "the agent does not read what it is asked") : .file("agent") }
  }

  /// What is there now.
  private func read(into bytes: inout [UInt8]) throws(TaskFailure) {
    var block = [UInt8](repeating: 0, count: 65_536)
    // unsafe: filled in during the call.
    let got = unsafe block.withUnsafeMutableBytes { unsafe Glibc.read(output, $0.baseAddress, $0.count) }
    if got < 0, ![EAGAIN, EINTR].contains(errno) { throw .file("agent") }
    if got > 0 { bytes += block[..<got] }
  }

  /// nil: it answers something else: a host before this one may have asked, or have read half a line.
  private func answer(_ line: [UInt8], to request: JSON) throws(TaskFailure) -> JSON? {
    guard let answer = Payload(line, .json).json, answer["key"] == request["key"] else { return nil }
    if let error = answer["error"] { throw TaskFailure("agent-refused", error.string ?? "\(error)") }
    return answer["result"] ?? .null
  }
}
