public import MillraceWorkflow

extension Engine {
  /// Adds a task that waits: see `Definition.wait`. Runs that were started before do not have it.
  @discardableResult
  public func addWait(
    to workflow: Workflow, _ id: String, for wait: Wait, dependencies: [TaskReference] = [], timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    workflow.add { $0.wait(id, for: wait, dependencies: dependencies, timeouts: timeouts) }
  }

  /// Adds a task that runs a workflow which is deployed: see `Definition.workflow`.
  @discardableResult
  public func addWorkflow(
    to workflow: Workflow, _ id: String, named name: String, parameters: JSON = .object([]), dependencies: [TaskReference] = [],
    retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    workflow.add {
      $0.workflow(id, named: name, parameters: parameters, dependencies: dependencies, retry: retry, timeouts: timeouts)
    }
  }
}
