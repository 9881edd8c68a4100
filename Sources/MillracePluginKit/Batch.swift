internal import CMillrace

/// Attempts that a handler runs in one call: the extension `millrace.batch/1`. Only for the time of the call: it cannot be kept.
///
/// Each is ended once, by ``finish(_:_:)``, ``fail(_:_:)`` or ``run(_:_:)``; one of which nothing is said fails with `bad-outcome`.
@safe public struct Batch: ~Copyable {
  /// Runs a batch, on any thread.
  public typealias Body = @Sendable (borrowing Batch) -> Void

  // The host's, for the call.
  private let calls: UnsafePointer<UnsafePointer<millrace_call>?>
  private let outcomes: UnsafePointer<UnsafeMutablePointer<millrace_outcome>?>
  /// 1 to the handler's `most`.
  public let count: Int

  fileprivate init(
    _ calls: UnsafePointer<UnsafePointer<millrace_call>?>, _ outcomes: UnsafePointer<UnsafeMutablePointer<millrace_outcome>?>, _ count: Int
  ) {
    unsafe self.calls = calls
    unsafe self.outcomes = outcomes
    self.count = count
  }

  private func access(_ index: Int) -> AttemptAccess {
    precondition(index >= 0 && index < count, "attempt \(index) of a batch of \(count)")
    // unsafe: the host gave as many calls as attempts.
    let call = unsafe calls[index]!
    return unsafe AttemptAccess(host: call.pointee.host, attempt: call.pointee.attempt)
  }

  /// Reads what an attempt is given. `index`: 0 ..< `count`.
  ///
  /// - Throws: what `body` throws.
  public func withCall<Result: ~Copyable>(
    _ index: Int, _ body: (borrowing Call) throws(HandlerError) -> Result
  ) throws(HandlerError) -> Result {
    let access = access(index)
    return try body(unsafe Call(calls[index]!, access))
  }

  /// The attempt's result.
  public func finish(_ index: Int, _ output: Output) {
    let access = access(index)
    // unsafe: as many outcomes as attempts.
    let outcome = unsafe outcomes[index]!
    do throws(HandlerError) { _ = try unsafe access.write(output, to: outcome) } catch { _ = unsafe access.write(error, to: outcome) }
  }

  /// Why the attempt has no result.
  public func fail(_ index: Int, _ error: HandlerError) {
    let access = access(index)
    _ = unsafe access.write(error, to: outcomes[index]!)
  }

  /// Runs one attempt by itself, and ends it by what `body` returns or throws.
  public func run(_ index: Int, _ body: (borrowing Call) throws(HandlerError) -> Output) {
    do throws(HandlerError) { finish(index, try withCall(index, body)) } catch { fail(index, error) }
  }

  // MARK: For the host

  /// The closure as the `context` of C.
  final class Context: Sendable {
    let body: Body
    init(_ body: @escaping Body) { self.body = body }
  }

  /// Runs a batch for the host.
  static func run(
    _ context: UnsafeMutableRawPointer?, _ calls: UnsafePointer<UnsafePointer<millrace_call>?>?,
    _ outcomes: UnsafePointer<UnsafeMutablePointer<millrace_outcome>?>?, _ count: UInt32
  ) {
    guard let context = unsafe context, let calls = unsafe calls, let outcomes = unsafe outcomes else { return }
    // The body is retained for ever by its description.
    unsafe Unmanaged<Context>.fromOpaque(context)._withUnsafeGuaranteedRef { unsafe $0.body(Batch(calls, outcomes, Int(count))) }
  }

  /// Runs a batch of one, for hosts that call one by one.
  static func runAlone(
    _ context: UnsafeMutableRawPointer?, _ call: UnsafePointer<millrace_call>?, _ outcome: UnsafeMutablePointer<millrace_outcome>?
  ) -> UInt32 {
    guard let outcome = unsafe outcome else { return UInt32(MILLRACE_FAILED) }
    // None: what is not said is found.
    unsafe outcome.pointee.status = .max
    var (one, its) = unsafe (call, Optional(outcome))
    unsafe run(context, &one, &its, 1)
    return unsafe outcome.pointee.status
  }

  /// What the host is told of the handlers that run batches. Made once and never freed; nil: there is none.
  static func makeTable(_ handlers: [Handler]) -> UnsafePointer<millrace_batch>? {
    let batched = handlers.filter { $0.batch != nil }
    if batched.isEmpty { return nil }
    let entries = UnsafeMutablePointer<UnsafePointer<millrace_batch_handler>?>.allocate(capacity: batched.count)
    for (index, handler) in batched.enumerated() {
      let entry = UnsafeMutablePointer<millrace_batch_handler>.allocate(capacity: 1)
      unsafe entry.initialize(
        to: millrace_batch_handler(
          size: UInt32(MemoryLayout<millrace_batch_handler>.size), most: handler.batch!.most, name: permanentText(handler.name),
          context: Unmanaged.passRetained(Context(handler.batch!.body)).toOpaque(),
          run: { context, calls, outcomes, count in unsafe Batch.run(context, calls, outcomes, count) }))
      unsafe (entries + index).initialize(to: UnsafePointer(entry))
    }
    let table = UnsafeMutablePointer<millrace_batch>.allocate(capacity: 1)
    unsafe table.initialize(
      to: millrace_batch(size: UInt32(MemoryLayout<millrace_batch>.size), handler_count: UInt32(batched.count), handlers: entries))
    return unsafe UnsafePointer(table)
  }
}
