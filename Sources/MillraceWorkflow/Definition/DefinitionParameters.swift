extension Definition {
  /// This definition with the parameters of a run put into the inputs. Values come from `parameters`, else from the declared defaults, which the result
  /// shows as they were used. Do this once: in the result `${` is literal.
  ///
  /// Throws `DefinitionError`: a parameter that must be given and is not, one that is not declared, an input that grew beyond its limit.
  /// Complexity: O(inputs); inputs without `${` are shared.
  public func resolve(parameters given: [String: JSON] = [:]) throws(DefinitionError) -> Definition {
    var faults = FaultList(file: name)
    var nearest = NearestName()
    var result = self
    var values: [String: JSON] = [:]
    for (index, parameter) in parameters.enumerated() {
      guard let value = given[parameter.name] ?? parameter.fallback else {
        let purpose = parameter.description.isEmpty ? "" : " (\(parameter.description))"
        faults.add(
          .missing, "the parameter '\(parameter.name)'\(purpose) must be given", fix: "give it: --param \(parameter.name)=VALUE", at: nil)
        continue
      }
      values[parameter.name] = value
      result.parameters[index].fallback = value
    }
    let declared = parameters.map(\.name)
    for name in given.keys.sorted() where !declared.contains(name) {
      let near = nearest.nearest(to: name, among: declared)
      let known = declared.isEmpty ? "it has no parameters" : "its parameters are \(declared.joined(separator: ", "))"
      faults.add(
        .unknownParameter, "'\(name)' is no parameter of '\(self.name)'", fix: near.map { "did you mean '\($0)'?" } ?? known, at: nil)
    }
    guard faults.errors == 0 else { throw faults.error }
    for index in tasks.indices {
      do throws(Template.SyntaxError) {
        guard let input = try tasks[index].input.resolved(values) else { continue }
        if input.isLarger(than: Self.maximumInputBytes) {
          faults.add(
            .limit, "task '\(tasks[index].id)': the input is larger than \(Self.maximumInputBytes) bytes with its parameters",
            fix: "pass large values by file", at: nil, task: tasks[index].id)
        }
        result.tasks[index].input = input
      } catch {
        faults.add(.badExpression, "task '\(tasks[index].id)': \(error.message)", fix: error.fix, at: nil, task: tasks[index].id)
      }
    }
    guard faults.errors == 0 else { throw faults.error }
    return result
  }
}

extension JSON {
  /// nil if nothing is to be replaced. Recursive; the checker bounds the depth of inputs.
  fileprivate func resolved(_ parameters: [String: JSON]) throws(Template.SyntaxError) -> JSON? {
    switch self {
    case .string(let text): return try Template(text)?.value(parameters)
    case .array(var elements):
      var changed = false
      for index in elements.indices {
        guard let element = try elements[index].resolved(parameters) else { continue }
        elements[index] = element
        changed = true
      }
      return changed ? .array(elements) : nil
    case .object(var members):
      var changed = false
      for index in members.indices {
        guard let value = try members[index].value.resolved(parameters) else { continue }
        members[index].value = value
        changed = true
      }
      return changed ? .object(members) : nil
    default: return nil
    }
  }
}
