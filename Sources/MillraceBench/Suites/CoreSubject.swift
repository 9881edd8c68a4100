internal import MillraceCore

extension Runtime {
  /// Started.
  ///
  /// - Throws: `wrongUse` or `tryAgain`.
  static func started(_ configuration: RuntimeConfiguration, _ hooks: RuntimeHooks = unsafe RuntimeHooks()) throws(BenchError) -> Runtime {
    do throws(RuntimeError) {
      let runtime = unsafe try Runtime(configuration, hooks: hooks)
      try runtime.start()
      return runtime
    } catch {
      throw BenchError(error)
    }
  }

  func registered(_ handler: Handler) throws(BenchError) -> HandlerIndex {
    guard let index = scheduler.register(handler) else { throw .tryAgain("no room for a handler") }
    return index
  }
}

extension BenchError {
  init(_ error: RuntimeError) {
    switch error {
    case .spinNeedsProcessors, .outOfRange: self = .wrongUse("\(error)")
    case .memory, .loop, .thread: self = .tryAgain("\(error)")
    }
  }
}

/// A request is one job on the core: empty, or of a fixed length.
@safe final class CoreSubject: SubjectOwner {
  enum Body {
    case empty
    case burn(nanoseconds: UInt64)
  }

  private let runtime: Runtime
  private let meter: Meter
  private let length: UInt64
  private var index = HandlerIndex(rawValue: 0)

  init(_ body: Body, _ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    self.meter = meter
    if case .burn(let nanoseconds) = body { length = nanoseconds } else { length = 0 }
    runtime = try .started(settings.core)
    // unsafe: this object outlives the runtime's threads, which `stop` ends.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    let run: Handler.Run =
      switch body {
      case .empty: { _, _ in Outcome.done.rawValue }
      case .burn:
        { context, _ in
          // unsafe: as above.
          unsafe Unmanaged<CoreSubject>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.burn() }
          return Outcome.done.rawValue
        }
      }
    index = try runtime.registered(unsafe Handler(run: run, finished: CoreSubject.finished, context: context))
  }

  /// The end of a request: its job is settled.
  static let finished: Handler.Finished = { context, _, intended, sent, outcome in
    // unsafe: as in `init`.
    unsafe Unmanaged<CoreSubject>.fromOpaque(context!)._withUnsafeGuaranteedRef {
      $0.meter.end(Ticket(intended: intended, sent: sent), isDone: outcome == Outcome.done.rawValue)
    }
  }

  private func burn() {
    let begin = meter.clock.now
    while meter.clock.now - begin < length {}
  }

  var subject: Subject {
    // unsafe: as in `init`.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<CoreSubject>.fromOpaque(context)._withUnsafeGuaranteedRef { owner in
        do {
          try owner.runtime.scheduler.submit(JobRequest(handler: owner.index, first: intended, second: sent))
          return true
        } catch {
          return false
        }
      }
    }
  }

  func stop() { runtime.stop() }
}
