internal import MillraceCore
internal import MillracePlugins
public import MillraceWorkflow
internal import Synchronization

/// A workflow that one engine has checked and compiled, with its parameters in place: starting a run of it costs none of that.
///
/// When a plugin of the engine is replaced it is compiled once more, by the first run that is started after that.
public struct PreparedWorkflow: Sendable {
  /// For the builds of plugins that there were when it was prepared.
  let first: PreparedForm
  private let forms: PreparedForms
  let source: DefinitionSource
  let parameters: [String: JSON]
  /// Of the engine that prepared it: its handlers are named by number.
  let state: EngineState

  init(_ first: PreparedForm, _ source: DefinitionSource, parameters: [String: JSON], _ state: EngineState) {
    (self.first, self.source, self.parameters, self.state) = (first, source, parameters, state)
    forms = PreparedForms(first)
  }

  /// What was prepared, with its parameters in place.
  public var definition: Definition { first.compiled.definition }

  /// For the run of an id, as the engine's plugins are now: one load, unless they have changed. Throws what `make` does.
  func form(for id: RunID, _ make: () throws -> PreparedForm) throws -> PreparedForm {
    // Order: acquiring. Pairs with the releasing writes under the state's lock.
    let generation = state.generation.load(ordering: .acquiring)
    if generation == first.generation, generation & 1 == 0 { return first }
    return try forms.find(generation, isCanary: state.isCanary(id), make)
  }
}

/// A workflow compiled for certain builds of plugins.
struct PreparedForm: Sendable {
  let generation: UInt64
  let isCanary: Bool
  let compiled: CompiledWorkflow
  /// nil: its runs are not durable.
  let durable: DurableWorkflow?
  /// Those whose handlers it may name.
  let plugins: [LoadedPlugin]
}

/// The forms of a prepared workflow for the newest builds: two while a new one is judged, else one.
private final class PreparedForms: @unchecked Sendable {
  private let monitor = Monitor()
  private var forms: [PreparedForm]

  init(_ first: PreparedForm) { forms = [first] }

  deinit { monitor.deallocate() }

  /// Whoever else starts a run of the workflow waits for `make`.
  func find(_ generation: UInt64, isCanary: Bool, _ make: () throws -> PreparedForm) throws -> PreparedForm {
    try monitor.locked {
      if let form = forms.first(where: { $0.generation == generation && $0.isCanary == isCanary }) { return form }
      let made = try make()
      // Another thread may have made one that is newer still.
      forms.removeAll { $0.generation != made.generation || $0.isCanary == made.isCanary }
      forms.append(made)
      return made
    }
  }
}
