public import MillraceWorkflow

/// A workflow that one engine has checked and compiled, with its parameters in place: starting a run of it costs none of that.
public struct PreparedWorkflow: Sendable {
  let compiled: CompiledWorkflow
  let source: DefinitionSource
  /// Of the engine that prepared it: its handlers are named by number.
  let state: EngineState
  /// nil: its runs are not durable.
  let durable: DurableWorkflow?

  /// What was prepared, with its parameters in place.
  public var definition: Definition { compiled.definition }
}
