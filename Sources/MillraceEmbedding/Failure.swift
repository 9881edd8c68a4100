internal import CMillraceEmbedding
internal import Millrace
internal import MillraceCore

/// What a call returns, and why.
struct Failure: Error {
  enum Code: Int32, CaseIterable {
    case badArgument = 1
    case badHandle, badDefinition, badVersion, tooLarge, notFound, exists, full, notReady, timedOut, closed, wrongThread, refused, system

    var name: StaticString {
      switch self {
      case .badArgument: "MILLRACE_BAD_ARGUMENT"
      case .badHandle: "MILLRACE_BAD_HANDLE"
      case .badDefinition: "MILLRACE_BAD_DEFINITION"
      case .badVersion: "MILLRACE_BAD_VERSION"
      case .tooLarge: "MILLRACE_TOO_LARGE"
      case .notFound: "MILLRACE_NOT_FOUND"
      case .exists: "MILLRACE_EXISTS"
      case .full: "MILLRACE_FULL"
      case .notReady: "MILLRACE_NOT_READY"
      case .timedOut: "MILLRACE_TIMED_OUT"
      case .closed: "MILLRACE_CLOSED"
      case .wrongThread: "MILLRACE_WRONG_THREAD"
      case .refused: "MILLRACE_REFUSED"
      case .system: "MILLRACE_SYSTEM"
      }
    }
  }

  let code: Code
  let message: String

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  /// Of whatever the engine throws.
  init(_ error: any Error) {
    if let failure = error as? Failure {
      self = failure
      return
    }
    self.init(Failure.code(of: error), "\(error)")
  }

  private static func code(of error: any Error) -> Code {
    switch error {
    case is DefinitionError: .badDefinition
    case let error as EngineError: code(of: error)
    case let error as CompileError: code(of: error)
    case let error as SubmitError:
      switch error {
      case .full: .full
      case .stopped: .closed
      case .unknownHandler, .unknownTenant: .notFound
      case .badPriority: .badArgument
      }
    case is RunLineFull: .full
    case let error as SignalError:
      switch error {
      case .unknown, .noChild: .notFound
      case .ended: .closed
      case .full, .tooLarge: .full
      default: .refused
      }
    case let error as RunVerbError:
      switch error {
      case .unknown, .unknownTask: .notFound
      case .over, .active, .saga: .refused
      }
    case let error as RequestError:
      switch error {
      case .timedOut: .timedOut
      case .unroutable: .notFound
      case .failed: .refused
      case .closed: .closed
      }
    case let error as BrokerError: code(of: error)
    case let error as RoutingError: code(of: error)
    case let error as PublishRefusal:
      switch error {
      case .full, .memory, .busy, .underWay: .full
      case .tooLarge, .properties: .tooLarge
      case .closed: .closed
      case .route, .unroutable: .badArgument
      case .journal: .refused
      }
    default: .refused
    }
  }

  private static func code(of error: EngineError) -> Code {
    switch error {
    case .runtime(.outOfRange), .runtime(.spinNeedsProcessors): .badArgument
    case .runtime, .data: .system
    case .plugins(.missing): .notFound
    case .plugins, .noStore: .refused
    case .duplicateHandler: .exists
    case .tooManyHandlers, .tooManySchedules, .tooManyWorkflows: .full
    case .stopped: .closed
    case .unknownTenant, .unknownWorkflow: .notFound
    case .preparedElsewhere: .badHandle
    case .badHandlerName, .noSchedule, .noMessages, .badVersion, .badTenant, .tooManyTenants: .badArgument
    }
  }

  private static func code(of error: CompileError) -> Code {
    switch error {
    case .unknownHandler: .notFound
    case .tooManyKeys, .tooManyRates, .tooManyBreakers: .full
    case .buildGone: .refused
    case .memory: .system
    case .unknownDependency, .cycle, .empty, .tooLarge, .badExpression: .badDefinition
    }
  }

  private static func code(of error: BrokerError) -> Code {
    switch error {
    case .routing(let error): code(of: error)
    case .noQueue: .notFound
    case .different: .exists
    case .configuration, .outOfRange: .badArgument
    case .memory: .system
    case .handlers: .full
    case .closed: .closed
    case .inUse, .exclusive, .noScheduler, .noJournal, .journal: .refused
    }
  }

  private static func code(of error: RoutingError) -> Code {
    switch error {
    case .name, .key, .header: .badArgument
    case .noExchange, .noQueue: .notFound
    case .different, .queueExists: .exists
    case .full: .full
    case .memory: .system
    case .queueNumber, .inUse: .refused
    }
  }
}

/// Does what a function of the interface is for, and says how it went: MILLRACE_OK, or a code and why.
func perform(_ error: UnsafeMutablePointer<millrace_error>?, _ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return Int32(MILLRACE_OK)
  } catch let thrown {
    let failure = Failure(thrown)
    if let error = unsafe error { unsafe failure.write(to: error) }
    return failure.code.rawValue
  }
}

extension Failure {
  /// As much as there is room for, whole characters and a NUL.
  ///
  /// unsafe: the caller's struct, which has as many bytes as its `size` says.
  @unsafe fileprivate func write(to error: UnsafeMutablePointer<millrace_error>) {
    let size = Int(unsafe error.pointee.size)
    let start = UnsafeMutableRawPointer(error)
    let messageOffset = 8
    if size >= messageOffset { unsafe error.pointee.code = code.rawValue }
    let room = min(size, MemoryLayout<millrace_error>.size) - messageOffset
    guard room > 0 else { return }
    let text = Array(message.utf8)
    var count = min(text.count, room - 1)
    // Not within a character.
    while count > 0, count < text.count, text[count] & 0xC0 == 0x80 { count -= 1 }
    unsafe (start + messageOffset).copyMemory(from: text, byteCount: count)
    unsafe (start + messageOffset).storeBytes(of: 0, toByteOffset: count, as: UInt8.self)
  }
}
