extension SagaPlan {
  /// Checks and compiles the definition of a saga. Throws `DefinitionError` with every fault. Complexity: that of `DefinitionChecker.check`.
  public init(_ definition: Definition) throws(DefinitionError) {
    try DefinitionChecker().check(definition)
    guard definition.kind == .saga else {
      var faults = FaultList(file: definition.name)
      faults.add(.mismatch, "'\(definition.name)' is a workflow, not a saga", fix: "make it of kind saga", at: nil)
      throw faults.error
    }
    self.init(checked: definition)
  }

  /// Of a saga that was checked. Complexity: O(steps + dependencies).
  init(checked definition: Definition) {
    let steps = definition.tasks
    self.init(
      ids: steps.map(\.id), graph: TaskGraph(definition), pivot: steps.firstIndex { $0.isPivot },
      compensated: steps.map { $0.compensation?.isNeeded == true })
  }
}
