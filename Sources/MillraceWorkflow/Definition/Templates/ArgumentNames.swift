/// What an argument of a template names, through others or itself: for a definition whose templates have been put in place.
struct ArgumentNames {
  var tasks: [String] = []
  /// It needs parameters alone.
  var isSettled = true
}

extension ExpressionChecker {
  /// Judges the arguments of a definition, in their order, and keeps what they name for whoever uses them.
  mutating func take(_ arguments: [Definition.Argument], _ faults: inout FaultList, _ nearest: inout NearestName) {
    for argument in arguments {
      if parameters.contains(argument.name) {
        faults.add(.duplicateKey, "\(argument.label) is there twice", fix: "remove one of them", at: nil)
      }
      var names = ArgumentNames()
      argument.value.visitRoots { root in
        switch root {
        case .parameter(let name):
          guard let others = self.arguments[name] else { return }
          names.tasks += others.tasks
          if !others.isSettled { names.isSettled = false }
        case .output(let task), .status(let task):
          names.tasks.append(task)
          names.isSettled = false
        default: names.isSettled = false
        }
      }
      check(argument.value, label: argument.label, &faults, &nearest)
      names.tasks = names.tasks.unique
      self.arguments[argument.name] = names
      parameters.insert(argument.name)
    }
  }

  private mutating func check(_ value: JSON, label: String, _ faults: inout FaultList, _ nearest: inout NearestName) {
    if case .string(let text) = value {
      // The status of the run is known in cleanups only, whose arguments stand beside the others.
      let outer = isCleanup
      isCleanup = true
      check(text, in: .input, user: nil, prefix: "\(label): ", &faults, &nearest) { _ in nil }
      isCleanup = outer
    }
    for child in value.children { check(child, label: label, &faults, &nearest) }
  }

  /// An argument where it is used: what it names must come before the task, as if that named it.
  mutating func check(
    _ names: ArgumentNames, in place: Place, user: Int?, _ prefix: String, _ task: String?, _ faults: inout FaultList,
    at position: Position?
  ) {
    if place == .priority, !names.isSettled {
      faults.add(
        .badExpression, "\(prefix)a priority is settled when the run starts, by its parameters",
        fix: "give a value that needs parameters alone",
        at: position, task: task)
    }
    guard let user else { return }
    for target in names.tasks { add(Use(user: user, target: target, position: position)) }
  }
}
