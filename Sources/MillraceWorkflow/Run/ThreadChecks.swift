internal import CMillrace
internal import MillraceCore

/// The host's functions of an attempt, with a look at the thread that calls them: [worker, and any while pending].
///
/// Each wrong call is told once for a function and handler, and done all the same. Without a token the attempt belongs to the thread that runs it, which
/// is known by a word of that thread's own; so a call for an attempt that is over is told as well, as long as nobody has a token of its successor in memory.
///
/// # Threads
/// `begin` and `end` on the thread that runs a handler; the functions by any.
enum ThreadChecks {
  /// The functions as they are without looking.
  // unsafe: made once, then read-only for ever.
  nonisolated(unsafe) private static let plain: UnsafePointer<millrace_host> = {
    let table = UnsafeMutablePointer<millrace_host>.allocate(capacity: 1)
    unsafe table.initialize(to: millrace_host())
    unsafe HostFunctions.fill(table)
    return unsafe UnsafePointer(table)
  }()
  private static let environment = HostFunctions.environment
  private static let items = HostFunctions.items
  private static let trace = HostFunctions.trace
  private static let deliveries = HostFunctions.deliveries

  /// The attempt that this thread runs from here on; the one before is what `end` takes.
  static func begin(_ attempt: AttemptPointer) -> UnsafeRawPointer? { unsafe millrace_thread_attempt(attempt) }
  static func end(_ before: UnsafeRawPointer?) { unsafe _ = millrace_thread_attempt(before) }

  private static func look(_ opaque: OpaquePointer?, _ function: StaticString) {
    let attempt = unsafe HostFunctions.attempt(opaque)
    guard unsafe millrace_running_attempt() != UnsafeRawPointer(attempt), unsafe !attempt.pointee.hasToken else { return }
    unsafe attempt.pointee.host._withUnsafeGuaranteedRef { host in
      let handler = unsafe attempt.pointee.run._withUnsafeGuaranteedRef { unsafe $0.handlerName(attempt.pointee.node) }
      host.tellWrongThread(function, handler: handler)
    }
  }

  static func fill(_ table: UnsafeMutablePointer<millrace_host>) {
    unsafe table.pointee.input_count = { attempt in
      unsafe ThreadChecks.look(attempt, "input_count")
      return unsafe ThreadChecks.plain.pointee.input_count(attempt)
    }
    unsafe table.pointee.input = { attempt, index, input in
      unsafe ThreadChecks.look(attempt, "input")
      return unsafe ThreadChecks.plain.pointee.input(attempt, index, input)
    }
    unsafe table.pointee.claim = { attempt, length, type, payload in
      unsafe ThreadChecks.look(attempt, "claim")
      return unsafe ThreadChecks.plain.pointee.claim(attempt, length, type, payload)
    }
    unsafe table.pointee.heartbeat = { attempt, progress in
      unsafe ThreadChecks.look(attempt, "heartbeat")
      unsafe ThreadChecks.plain.pointee.heartbeat(attempt, progress)
    }
    unsafe table.pointee.token = { attempt in
      unsafe ThreadChecks.look(attempt, "token")
      return unsafe ThreadChecks.plain.pointee.token(attempt)
    }
  }

  static func fill(_ table: UnsafeMutablePointer<millrace_environment>) {
    unsafe table.pointee.count = { attempt in
      unsafe ThreadChecks.look(attempt, "environment.count")
      return unsafe ThreadChecks.environment.count(attempt)
    }
    unsafe table.pointee.at = { attempt, index, name, value in
      unsafe ThreadChecks.look(attempt, "environment.at")
      return unsafe ThreadChecks.environment.at(attempt, index, name, value)
    }
    unsafe table.pointee.get = { attempt, name in
      unsafe ThreadChecks.look(attempt, "environment.get")
      return unsafe ThreadChecks.environment.get(attempt, name)
    }
  }

  static func fill(_ table: UnsafeMutablePointer<millrace_items>) {
    unsafe table.pointee.count = { attempt, index in
      unsafe ThreadChecks.look(attempt, "items.count")
      return unsafe ThreadChecks.items.count(attempt, index)
    }
    unsafe table.pointee.item = { attempt, index, item, output in
      unsafe ThreadChecks.look(attempt, "items.item")
      return unsafe ThreadChecks.items.item(attempt, index, item, output)
    }
  }

  static func fill(_ table: UnsafeMutablePointer<millrace_trace>) {
    unsafe table.pointee.traceparent = { attempt, text in
      unsafe ThreadChecks.look(attempt, "trace.traceparent")
      return unsafe ThreadChecks.trace.traceparent(attempt, text)
    }
  }

  static func fill(_ table: UnsafeMutablePointer<millrace_deliveries>) {
    unsafe table.pointee.read = { attempt, delivery in
      unsafe ThreadChecks.look(attempt, "deliveries.read")
      return unsafe ThreadChecks.deliveries.read(attempt, delivery)
    }
    unsafe table.pointee.header = { attempt, index, name, value in
      unsafe ThreadChecks.look(attempt, "deliveries.header")
      return unsafe ThreadChecks.deliveries.header(attempt, index, name, value)
    }
  }
}

extension WorkflowRun {
  /// `plugin/handler` of a node's task.
  fileprivate func handlerName(_ node: UInt32) -> String { definition.tasks[task(node)].handler }
}
