extension Definition {
  /// This definition with the parameters of a run in place. Values come from `parameters`, else from the declared defaults, which the result
  /// shows as they were used. Inputs and priorities that need parameters alone have them put in; expressions over what only the run will know stay, compiled.
  /// Do this once: in the inputs of the result `${` is literal.
  ///
  /// Throws `DefinitionError`: a parameter that must be given and is not, one that is not declared or not as declared, an expression without a value,
  /// an input that grew beyond its limit. Complexity: O(inputs); inputs without `${` are shared.
  public func resolve(parameters given: [String: JSON] = [:]) throws(DefinitionError) -> Definition {
    var faults = FaultList(file: name)
    var result = self
    var settled = SettledValues(values: result.take(given, &faults))
    guard faults.errors == 0 else { throw faults.error }
    result.settleArguments(&settled, &faults)
    // Most tasks stay as they are, and an array that is not written to is not copied.
    for (index, task) in tasks.enumerated() where task.mayResolve { result.tasks[index].resolve(settled, &faults) }
    for (index, task) in cleanup.enumerated() where task.mayResolve { result.cleanup[index].resolve(settled, &faults) }
    result.defaults.resolve(settled, "the defaults", &faults)
    if let key = result.concurrency?.key {
      result.concurrency?.key = ConcurrencyKey.resolved(key, settled, "the workflow's concurrency", &faults)
    }
    guard faults.errors == 0 else { throw faults.error }
    return result
  }

  /// Sets the parameters; JSON text by name.
  private mutating func take(_ given: [String: JSON], _ faults: inout FaultList) -> [String: KeptBytes] {
    var nearest = NearestName()
    var values: [String: KeptBytes] = [:]
    for (index, parameter) in parameters.enumerated() {
      guard let value = given[parameter.name] ?? parameter.fallback else {
        let purpose = parameter.description.isEmpty ? "" : " (\(parameter.description))"
        faults.add(
          .missing, "the parameter '\(parameter.name)'\(purpose) must be given",
          fix: "give it: --param \(parameter.name)=\(parameter.kind?.example ?? "VALUE")", at: nil)
        continue
      }
      if let refusal = parameter.refusal(of: value) {
        let purpose = parameter.description.isEmpty ? "" : " (\(parameter.description))"
        faults.add(
          .badParameter, "the parameter '\(parameter.name)'\(purpose) is \(value.shownShort); it \(refusal)",
          fix: "give another value: --param \(parameter.name)=\(parameter.choices?.first?.text() ?? parameter.kind?.example ?? "VALUE")",
          at: nil)
        continue
      }
      values[parameter.name] = KeptBytes(value.utf8())
      parameters[index].fallback = value
    }
    let declared = parameters.map(\.name)
    for name in given.keys.sorted() where !declared.contains(name) {
      let near = nearest.nearest(to: name, among: declared)
      let known = declared.isEmpty ? "it has no parameters" : "its parameters are \(declared.joined(separator: ", "))"
      faults.add(
        .unknownParameter, "'\(name)' is no parameter of '\(self.name)'", fix: near.map { "did you mean '\($0)'?" } ?? known, at: nil)
    }
    return values
  }
}

extension TaskDefinition {
  fileprivate var mayResolve: Bool {
    input.mayHoldExpressions
      || isSpecial
        && (policy.priorityExpression != nil || policy.keysMayResolve || compensation?.input?.mayHoldExpressions == true)
  }

  fileprivate mutating func resolve(_ settled: SettledValues, _ faults: inout FaultList) {
    if isSpecial {
      var policy = policy
      policy.resolve(settled, "task '\(id)'", &faults)
      if policy != self.policy { self.policy = policy }
      if var compensation, var input = compensation.input {
        if let program = resolve(&input, "the compensation's input", settled, &faults) { compensation.inputProgram = program }
        compensation.input = input
        if compensation != self.compensation { self.compensation = compensation }
      }
    }
    if let program = resolve(&input, "the input", settled, &faults) { inputProgram = program }
  }

  /// Puts the parameters into an input. The result is not nil if that needs what only the run will know, and stays as it is.
  private func resolve(
    _ input: inout JSON, _ label: String, _ settled: SettledValues, _ faults: inout FaultList
  ) -> InputProgram? {
    do throws(ExpressionError) {
      guard let program = try InputProgram(input) else { return nil }
      guard settled.settle(program) else { return program }
      let bytes = try program.bytes { ParameterScope(roots: program.expressions[$0].roots, settled: settled) }
      do throws(JSONSyntaxError) {
        input = try JSON(parsing: bytes)
      } catch {
        faults.add(.limit, "task '\(id)': \(label) with its parameters: \(error.message)", fix: error.fix, at: nil, task: id)
      }
    } catch {
      let code: Fault.Code = error.kind == .limit ? .limit : .badExpression
      faults.add(code, "task '\(id)': \(label): \(error.message)", fix: error.fix, at: nil, task: id)
    }
    return nil
  }
}

extension Policy {
  fileprivate mutating func resolve(_ settled: SettledValues, _ label: String, _ faults: inout FaultList) {
    if keysMayResolve { resolveKeys(settled, label, &faults) }
    guard let text = priorityExpression else { return }
    do throws(ExpressionError) {
      // What needs more than parameters is settled when the task is ready.
      guard let expression = try Template(text)?.whole, expression.roots.allSatisfy(settled.knows) else { return }
      do throws(ExpressionError) {
        let value = try expression.value(in: ParameterScope(roots: expression.roots, settled: settled))
        var writer = ExpressionWriter(limit: Expression.maximumBytes)
        try writer.plain(value)
        let word = String(decoding: writer.bytes, as: UTF8.self)
        guard let priority = Priority(word: word) else {
          return faults.add(
            .badValue, "\(label): the priority is '\(word.prefix(80))'", fix: "let it be low, normal, high or critical", at: nil)
        }
        self.priority = priority
        priorityExpression = nil
      } catch {
        throw error.naming(expression)
      }
    } catch {
      faults.add(.badExpression, "\(label): the priority: \(error.message)", fix: error.fix, at: nil)
    }
  }
}

extension Expression.Root {
  /// Known before a run begins.
  var isParameter: Bool { if case .parameter = self { true } else { false } }
}
