public import Millrace
internal import MillraceCore

/// What a mocked handler does in one attempt.
public struct Mock: Sendable {
  enum Action: Sendable {
    case output(Payload)
    case failure(any Error)
    case hang
  }
  var action: Action
  /// Virtual time until it counts.
  var delay = Duration.zero
  /// In so many attempts.
  var times = 1

  /// Completes with an output.
  public static func payload(_ payload: Payload) -> Mock { Mock(action: .output(payload)) }

  /// Completes with an output as JSON. Throws `EncodingError`.
  public static func returning(_ output: some Encodable) throws -> Mock { .payload(.json(try JSON(encoding: output))) }

  /// Fails as a handler that throws `error`, in so many attempts.
  public static func failing(_ error: any Error, times: Int = 1) -> Mock { Mock(action: .failure(error), times: times) }

  /// Never ends by itself: a timeout or a cancellation ends it.
  public static let hanging = Mock(action: .hang)

  /// As this, after so much virtual time.
  public func after(_ delay: Duration) -> Mock {
    var mock = self
    mock.delay = delay
    return mock
  }
}

extension TestEngine {
  /// Puts a mock in place of a handler, whether there is one or not. `script`: what each attempt of a task does, in order; the last goes on for ever. Every
  /// task begins at its start. Throws `EngineError`.
  public func mock(_ name: String, _ script: [Mock]) throws(EngineError) {
    try put(RegisteredHandler(name: name, delayed: TestEngine.body(script)))
  }

  /// Puts a mock in place of what the handler does for one task, in all runs from here on; its handler is registered, or mocked, as well. Of a task with `foreach` it
  /// serves all items, and `ID[index]` names one of them. `script` as above.
  public func mock(task id: String, _ script: [Mock]) { scripts.put(id, TestEngine.body(script)) }

  private static func body(_ script: [Mock]) -> RegisteredHandler.Delayed {
    precondition(!script.isEmpty, "a mock does something: give one action at least")
    return { context in
      let mock = TestEngine.mock(script, attempt: context.attempt)
      switch mock.action {
      case .output(let payload): return (.success(payload), UInt64(clamping: mock.delay))
      case .failure(let error): return (.failure(error), UInt64(clamping: mock.delay))
      case .hang: return (.success(.empty), .max)
      }
    }
  }

  private static func mock(_ script: [Mock], attempt: Int) -> Mock {
    var left = attempt
    for mock in script {
      left -= mock.times
      if left <= 0 { return mock }
    }
    return script.last!
  }

  /// Puts a function in place of a handler, whether there is one or not; what it gives counts after `duration` of virtual time. Throws `EngineError`.
  public func mock(
    _ name: String, taking duration: Duration = .zero, _ body: @escaping @Sendable (TaskContext) throws -> Payload
  ) throws(EngineError) {
    try put(RegisteredHandler(name: name, delayed: { context in (Result { try body(context) }, UInt64(clamping: duration)) }))
  }

  /// As above, typed: the input is the task's, the output JSON.
  public func mock<Input: Decodable & Sendable, Output: Encodable & Sendable>(
    _ name: String, taking duration: Duration = .zero, _ body: @escaping @Sendable (Input, TaskContext) throws -> Output
  ) throws(EngineError) {
    try mock(name, taking: duration) { context in .json(try JSON(encoding: body(try context.input(), context))) }
  }
}

/// Mocks of single tasks, by their ids. Any thread.
final class TaskScripts: @unchecked Sendable {
  private let monitor = Monitor()
  private var bodies: [String: RegisteredHandler.Delayed] = [:]

  deinit { monitor.deallocate() }

  func put(_ id: String, _ body: @escaping RegisteredHandler.Delayed) { monitor.locked { bodies[id] = body } }

  /// Of a task, or of an item of one.
  func body(of id: String) -> RegisteredHandler.Delayed? {
    monitor.locked { bodies[id] ?? id.lastIndex(of: "[").flatMap { bodies[String(id[..<$0])] } }
  }
}
