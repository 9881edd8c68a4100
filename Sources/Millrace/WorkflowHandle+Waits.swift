public import MillraceWorkflow

/// What a run waits for, and how it is answered. Any thread.
extension WorkflowHandle {
  /// Tasks that wait now, the longest first. Complexity: O(tasks that wait).
  public var waits: [OpenWait] { run.waits }

  /// Sends a signal: the task that has waited longest for one of this name gets it, else it is kept for the next that does, first in first out. At most
  /// 65,536 signals and 64 MiB are kept. `payload` is the task's output. Throws `SignalError`; then nothing has happened.
  public func signal(_ name: String, _ payload: JSON = .null) throws(SignalError) { try run.signal(name, payload.utf8()) }

  /// Says yes to a task that waits for an approval. Its output is `{"approved": true, "by": ..., "comment": ...}`. Throws `ApprovalError`, also if somebody
  /// was faster.
  public func approve(task: String, by: String? = nil, comment: String? = nil) throws(ApprovalError) {
    try run.answer(task, Answer(isApproved: true, by: by, comment: comment))
  }

  /// Says no: the task fails with the error type `rejected`. Throws as `approve`.
  public func reject(task: String, by: String? = nil, comment: String? = nil) throws(ApprovalError) {
    try run.answer(task, Answer(isApproved: false, by: by, comment: comment))
  }
}
