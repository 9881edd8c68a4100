public import MillraceWorkflow

/// A saga that comes ready made: a definition, and the values of its parameters.
public protocol BuiltInSaga: Sendable {
  /// What the engine runs: as a file with `kind: saga` gives it.
  var definition: Definition { get }
  /// Values for the definition's parameters.
  var parameters: [String: JSON] { get }
}

extension Engine {
  /// Starts the saga. `tenant`: one of `Configuration.tenants`; nil: "default". Throws as for a `Definition`.
  public func start(_ saga: some BuiltInSaga, tenant: String? = nil, trace: TraceContext? = nil) throws -> WorkflowHandle {
    try start(saga.definition, parameters: saga.parameters, tenant: tenant, trace: trace)
  }

  /// Runs it and waits for its end: throws `WorkflowError` if it did not complete, also where all was undone.
  public func run(_ saga: some BuiltInSaga, tenant: String? = nil, trace: TraceContext? = nil) async throws -> WorkflowResult {
    try await run(saga.definition, parameters: saga.parameters, tenant: tenant, trace: trace)
  }
}
