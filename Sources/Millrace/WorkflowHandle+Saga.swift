internal import MillraceCore
public import MillraceWorkflow

/// A run as the saga that it executes: see docs/sagas.md. Any thread; the verbs of a durable saga wait until they are recorded, so not from a handler.
public struct SagaHandle: Sendable {
  let run: WorkflowRun

  /// The saga as it is at this moment: its status, what has become of each step, what is parked. A copy of 5 bytes a step.
  public var state: SagaMachine {
    guard let state = run.sagaState else { preconditionFailure("invariant broken: a saga's handle without a saga") }
    return state
  }

  /// What has become of it.
  public var status: SagaStatus { state.status }

  /// Has what is parked run once more: one step, or all. Throws `SagaRefusal`, or `EventStoreError` where it is not recorded.
  public func resume(step: String? = nil, by who: String) throws {
    try want(.resumed(try step.map(number), by: who))
  }

  /// Passes over what is parked at a step. Throws as `resume`.
  public func skip(step: String, by who: String, reason: String) throws { try want(.skipped(try number(step), by: who, reason: reason)) }

  /// Declares what is parked to be complete. Throws as `resume`.
  public func force(by who: String, reason: String) throws { try want(.forced(by: who, reason: reason)) }

  private func number(_ step: String) throws(RunVerbError) -> Int {
    guard let number = state.plan.number(of: step) else { throw .unknownTask(run: run.id.description, task: step) }
    return number
  }

  private func want(_ fact: SagaFact) throws {
    let answer = Answered()
    run.want(fact) { answer.give($0) }
    if let error = answer.wait() { throw error }
  }

  /// What a thread waits for.
  private final class Answered: @unchecked Sendable {
    private let monitor = Monitor()
    private var answer: (any Error)??

    deinit { monitor.deallocate() }

    func give(_ error: (any Error)?) {
      monitor.locked {
        answer = .some(error)
        monitor.broadcast(.ended)
      }
    }

    func wait() -> (any Error)? {
      monitor.locked {
        while true {
          if let answer { return answer }
          monitor.wait(.ended)
        }
      }
    }
  }
}

extension WorkflowHandle {
  /// The saga that the run executes; nil: it executes a workflow.
  public var saga: SagaHandle? { run.sagaState == nil ? nil : SagaHandle(run: run) }
}

extension Engine {
  /// Starts a saga that was put together by `step`. Throws as for a `Definition`.
  public func start(
    _ saga: Saga, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    try start(saga.definition, parameters: parameters, tenant: tenant, trace: trace)
  }

  /// Runs it and waits for its end: throws `WorkflowError` if it did not complete, also where all was undone.
  public func run(
    _ saga: Saga, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(saga.definition, parameters: parameters, tenant: tenant, trace: trace)
  }
}
