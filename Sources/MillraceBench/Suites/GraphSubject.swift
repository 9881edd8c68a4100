internal import MillraceCore

/// A request is one run of a small graph of empty jobs, compiled once: 1 -> 8 -> 1.
@safe final class GraphSubject: SubjectOwner {
  private static let width = 8

  /// One run under way. Retained from `send` until the run has ended.
  private final class Going {
    let ticket: Ticket
    let owner: GraphSubject
    var run: Run?

    init(_ ticket: Ticket, _ owner: GraphSubject) {
      self.ticket = ticket
      self.owner = owner
    }
  }

  private let runtime: Runtime
  private let meter: Meter
  private let plan: Plan

  init(_ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    self.meter = meter
    var configuration = settings.core
    configuration.scheduler.capacity *= GraphSubject.width + 2
    runtime = try .started(configuration)
    let empty = try runtime.registered(unsafe Handler(run: { _, _ in Outcome.done.rawValue }))
    do {
      let last = GraphSubject.width + 1
      plan = try Plan(
        count: last + 1, node: { _ in Plan.Node(handler: empty) },
        predecessors: { node, visit in
          if node == last { for inner in 1..<last { visit(inner) } } else if node > 0 { visit(0) }
        })
    } catch {
      runtime.stop()
      throw .tryAgain("\(error)")
    }
  }

  var subject: Subject {
    // unsafe: this object outlives the runtime's threads, which `stop` ends.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<GraphSubject>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.start(Ticket(intended: intended, sent: sent)) }
    }
  }

  private func start(_ ticket: Ticket) -> Bool {
    let going = Going(ticket, self)
    // unsafe: retained until `completed`, or given back below.
    let context = unsafe Unmanaged.passRetained(going)
    do {
      let hooks = unsafe RunHooks(
        context: context.toOpaque(),
        completed: { context in
          let going = unsafe Unmanaged<Going>.fromOpaque(context).takeRetainedValue()
          going.owner.meter.end(going.ticket, isDone: true)
        })
      let run = try Run(plan, hooks: hooks)
      going.run = run
      try runtime.scheduler.start(run)
      return true
    } catch {
      unsafe context.release()
      return false
    }
  }

  func stop() { runtime.stop() }
}
