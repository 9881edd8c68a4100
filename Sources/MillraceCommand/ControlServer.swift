internal import Glibc
internal import Millrace
internal import MillraceCore

/// Answers lines of other processes.
protocol ControlAnswering {
  /// `client`: who asks, for as long as it is connected.
  func answer(_ line: [UInt8], of client: Int32) -> JSON
  /// It asks no more.
  func left(_ client: Int32)
}

/// Answers what other processes ask of what this one has, its runs or its queues. Whatever they send, and if they send nothing, only they are refused.
///
/// # Threads
/// One, which calls `serve` now and then: nobody is waited for in it but the store, until what was asked is recorded.
final class ControlServer {
  /// More are told to come again.
  static let mostClients = 16
  /// Who has not sent a whole line in this time is let go, nanoseconds.
  static let patience: UInt64 = 10_000_000_000

  private struct Client {
    let descriptor: Int32
    var line: [UInt8] = []
    var since: UInt64
  }

  private let folder: Int32
  private let listener: Int32
  private let desk: any ControlAnswering
  private var clients: [Client] = []

  /// Listens, in the place of whoever had the directory before. Whoever calls has the directory's lock. Throws why it cannot.
  init(_ directory: String, _ desk: any ControlAnswering) throws(Refusal) {
    do throws(ControlSocket.Failure) {
      folder = try ControlSocket.open(directory)
      do throws(ControlSocket.Failure) { listener = try Self.listen(in: folder) } catch {
        Glibc.close(folder)
        throw error
      }
    } catch {
      throw Refusal(.tryAgain, "\(directory)/\(ControlSocket.name): \(Output.reason(error.code))")
    }
    self.desk = desk
  }

  deinit {
    for client in clients { Glibc.close(client.descriptor) }
    Glibc.close(listener)
    // unsafe: the name is used during the call. Nothing hinders the next one to listen if it fails.
    _ = unsafe unlinkat(folder, ControlSocket.name, 0)
    Glibc.close(folder)
  }

  private static func listen(in folder: Int32) throws(ControlSocket.Failure) -> Int32 {
    let descriptor = try ControlSocket.make(isBlocking: false)
    // unsafe: the name is used during the call.
    if unsafe unlinkat(folder, ControlSocket.name, 0) != 0, errno != ENOENT { return try fail(descriptor) }
    // Before it has a name: nobody else ever connects.
    guard fchmod(descriptor, 0o600) == 0,
      unsafe ControlSocket.withAddress(in: folder, { address, length in unsafe bind(descriptor, address, length) }) == 0,
      Glibc.listen(descriptor, Int32(mostClients)) == 0
    else { return try fail(descriptor) }
    return descriptor
  }

  private static func fail(_ descriptor: Int32) throws(ControlSocket.Failure) -> Int32 {
    let code = errno
    Glibc.close(descriptor)
    throw ControlSocket.Failure(code: code)
  }

  /// Answers what has come. Does not wait for more. `now`: nanoseconds of any clock that does not go back.
  func serve(now: UInt64) {
    take(now)
    var kept: [Client] = []
    for var client in clients {
      if hear(&client, now), now &- client.since < Self.patience {
        kept.append(client)
      } else {
        desk.left(client.descriptor)
        Glibc.close(client.descriptor)
      }
    }
    clients = kept
  }

  private func take(_ now: UInt64) {
    for _ in 0..<Self.mostClients {
      let descriptor = accept(listener, nil, nil)
      if descriptor < 0 { return }
      guard clients.count < Self.mostClients, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0, fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0
      else {
        _ = ControlSocket.send(Self.line(ControlDesk.refusal("busy", "too many ask at once: again in a moment")), to: descriptor)
        Glibc.close(descriptor)
        continue
      }
      clients.append(Client(descriptor: descriptor, since: now))
    }
  }

  /// False: it is to be let go.
  private func hear(_ client: inout Client, _ now: UInt64) -> Bool {
    var buffer = [UInt8](repeating: 0, count: ControlSocket.longestLine)
    // unsafe: at most as many bytes as the buffer has.
    let got = unsafe recv(client.descriptor, &buffer, buffer.count, 0)
    if got < 0 { return errno == EAGAIN || errno == EINTR }
    if got == 0 { return false }
    client.line += buffer[..<got]
    var rest = client.line[...]
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")), end - rest.startIndex < ControlSocket.longestLine {
      let answer = desk.answer(Array(rest[..<end]), of: client.descriptor)
      rest = rest[(end + 1)...]
      client.since = now
      if !ControlSocket.send(Self.line(answer), to: client.descriptor) { return false }
    }
    client.line = Array(rest)
    if client.line.count < ControlSocket.longestLine { return true }
    _ = ControlSocket.send(
      Self.line(ControlDesk.refusal("bad-request", "a line has at most \(ControlSocket.longestLine) bytes")), to: client.descriptor)
    return false
  }

  private static func line(_ answer: JSON) -> [UInt8] {
    let bytes = answer.utf8() + [UInt8(ascii: "\n")]
    if bytes.count <= ControlSocket.longestLine { return bytes }
    return ControlDesk.refusal("too-large", "the answer has more than \(ControlSocket.longestLine) bytes").utf8() + [UInt8(ascii: "\n")]
  }
}

/// What is asked, and what is answered: `{"ok": true, ...}`, or `{"ok": false, "code": ..., "message": ...}`.
struct ControlDesk: ControlAnswering {
  private let engine: Engine
  private let handles: [String: WorkflowHandle]

  init(_ engine: Engine, _ handles: [WorkflowHandle]) {
    self.engine = engine
    self.handles = Dictionary(handles.map { ($0.id, $0) }) { first, _ in first }
  }

  private struct Problem: Error {
    var code: String
    var message: String
  }

  static func refusal(_ code: String, _ message: String) -> JSON {
    .object([.init("ok", false), .init("code", .string(code)), .init("message", .string(message))])
  }

  func left(_ client: Int32) {}

  func answer(_ line: [UInt8], of client: Int32) -> JSON {
    let request: JSON
    do throws(JSONSyntaxError) { request = try JSON(parsing: line) } catch { return Self.refusal("bad-request", "no JSON: \(error)") }
    do throws(Problem) {
      return .object([.init("ok", true)] + (try act(request)))
    } catch { return Self.refusal(error.code, error.message) }
  }

  private func act(_ request: JSON) throws(Problem) -> [JSON.Member] {
    let verb = try text("verb", request)
    if verb == "plugins" { return RunningBuilds.members(engine) }
    let id = try text("run", request)
    guard let handle = handles[id] else { throw Problem(code: "unknown-run", message: "this process has no run \(id.prefix(64))") }
    switch verb {
    case "cancel": try cancel(handle, request)
    case "signal":
      let name = try text("signal", request)
      do throws(SignalError) { try handle.signal(name, request["payload"] ?? .null) } catch {
        throw Problem(code: "refused", message: "\(error)")
      }
    case "approve", "reject": try answer(handle, verb == "approve", request)
    case "saga-resume", "saga-skip", "saga-force": try saga(handle, verb, request)
    case "explain": return try explain(handle, request)
    default:
      throw Problem(
        code: "bad-request",
        message: "no verb is '\(verb.prefix(64))': cancel, signal, approve, reject, saga-resume, saga-skip, saga-force, explain, plugins")
    }
    return []
  }

  private func cancel(_ handle: WorkflowHandle, _ request: JSON) throws(Problem) {
    let status = handle.status
    guard status == .created || status == .running else { throw Problem(code: "refused", message: "it has ended: \(status.rawValue)") }
    handle.cancel(by: try optionalText("by", request), because: try optionalText("reason", request))
  }

  private func saga(_ handle: WorkflowHandle, _ verb: String, _ request: JSON) throws(Problem) {
    guard let saga = handle.saga else { throw Problem(code: "refused", message: "it is no saga") }
    let who = try text("by", request)
    let step = try optionalText("step", request)
    do {
      switch verb {
      case "saga-resume": try saga.resume(step: step, by: who)
      case "saga-skip": try saga.skip(step: step ?? "", by: who, reason: try text("reason", request))
      default: try saga.force(by: who, reason: try text("reason", request))
      }
    } catch let problem as Problem {
      throw problem
    } catch { throw Problem(code: "refused", message: "\(error)") }
  }

  private func answer(_ handle: WorkflowHandle, _ isApproved: Bool, _ request: JSON) throws(Problem) {
    let (task, by, comment) = (try text("task", request), try optionalText("by", request), try optionalText("comment", request))
    do throws(ApprovalError) {
      if isApproved {
        try handle.approve(task: task, by: by, comment: comment)
      } else {
        try handle.reject(task: task, by: by, comment: comment)
      }
    } catch { throw Problem(code: "refused", message: "\(error)") }
  }

  private func explain(_ handle: WorkflowHandle, _ request: JSON) throws(Problem) -> [JSON.Member] {
    var explanations: [Explanation] = []
    let tasks = request["tasks"]?.array ?? []
    if tasks.isEmpty { explanations = handle.explain() }
    for task in tasks {
      guard let id = task.string, let explanation = handle.explain(id) else {
        throw Problem(code: "refused", message: "it has no task \(task.text().prefix(130))")
      }
      explanations.append(explanation)
    }
    return [
      .init("explanations", .array(explanations.map(\.json))), .init("text", .string(explanations.map(\.text).joined(separator: "\n"))),
    ]
  }

  private func text(_ name: String, _ request: JSON) throws(Problem) -> String {
    guard let text = try optionalText(name, request) else { throw Problem(code: "bad-request", message: "'\(name)' is missing") }
    return text
  }

  private func optionalText(_ name: String, _ request: JSON) throws(Problem) -> String? {
    switch request[name] {
    case nil, .null?: return nil
    case .string(let text)?: return text
    default: throw Problem(code: "bad-request", message: "'\(name)' is no text")
    }
  }
}
