internal import MillraceCore

/// Priorities that outputs decide.
extension WorkflowRun {
  /// The priority of a task that becomes ready, by its expression. On the thread that released it.
  func rank(_ node: UInt32) -> UInt8 {
    if let known = records.rank(node) { return known.rawValue }
    let usual = compiled.policy(node).priority
    // It will not begin.
    if shouldStop || records.cause(node) != nil { return usual.rawValue }
    guard let values, let bound = compiled.expressions[node]?.priority else { return usual.rawValue }
    do throws(ExpressionError) {
      let priority = try bound.priority(in: RunScope(run: self, values: values, roots: bound.roots))
      records.setRank(node, priority)
      return priority.rawValue
    } catch {
      // Told when it begins.
      monitor.locked { rankFaults[node] = "the priority: \(error.message): \(error.fix)" }
      return usual.rawValue
    }
  }

  /// The priority of a task that is ready. Items have that of their task.
  func priority(of node: UInt32) -> Priority {
    let (run, node) = home(node)
    return run.records.rank(node) ?? run.compiled.policy(node).priority
  }
}

extension TaskExpressions.Bound {
  fileprivate func priority(in scope: some ExpressionScope) throws(ExpressionError) -> Priority {
    do throws(ExpressionError) {
      var writer = ExpressionWriter(limit: Expression.maximumBytes)
      try writer.plain(try expression.value(in: scope))
      let word = String(decoding: writer.bytes, as: UTF8.self)
      if let priority = Priority(word: word) { return priority }
      throw ExpressionError(kind: .type, offset: 0, message: "it is '\(word.prefix(80))'", fix: "let it be low, normal, high or critical")
    } catch {
      throw error.naming(expression)
    }
  }
}
