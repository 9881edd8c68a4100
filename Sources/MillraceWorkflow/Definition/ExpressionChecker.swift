/// Judges the expressions of a definition by themselves, and collects the tasks they name for the check of the whole.
struct ExpressionChecker {
  /// Where an expression stands: what it may refer to.
  enum Place {
    case input, condition, environment, priority, key
    /// The list of a task's items.
    case foreach
  }

  /// A task named by an expression of another.
  struct Use {
    /// Index of the task whose expression it is.
    var user: Int
    var target: String
    /// nil for a definition made in Swift.
    var position: Position?
    /// It belongs to the compensation of a step, which comes after the step itself.
    var isOfCompensation = false
  }

  var parameters: Set<String> = []
  /// Those that say so.
  var kinds: [String: Definition.Parameter.Kind] = [:]
  /// The template whose expressions are looked at; nil: none.
  var template: String?
  /// What the arguments of templates name, for a definition whose templates have been put in place.
  var arguments: [String: ArgumentNames] = [:]
  /// The tasks of `cleanup` are being looked at.
  var isCleanup = false
  /// The task that is being looked at is done for each item of a list.
  var hasItems = false
  /// The compensation of a step is being looked at.
  var isCompensation = false
  private(set) var uses: [Use] = []

  mutating func add(_ use: Use) { uses.append(use) }

  /// A text of a task (its index is `user`) or of the defaults (`user` is nil). `locate` gives the place of a byte of the text in the file;
  /// `prefix` and `task` are for definitions made in Swift.
  mutating func check(
    _ text: String, in place: Place, user: Int?, prefix: String = "", task: String? = nil, _ faults: inout FaultList,
    _ nearest: inout NearestName, locate: (Int) -> Position?
  ) {
    do throws(ExpressionError) {
      guard let template = try Template(text) else { return }
      for case .expression(let expression, let start) in template.parts {
        for (root, offset) in expression.rootPlaces {
          check(root, in: place, user: user, prefix, task, &faults, &nearest, at: locate(start + offset))
        }
      }
    } catch {
      let code: Fault.Code = error.kind == .limit ? .limit : .badExpression
      faults.add(code, prefix + error.message, fix: error.fix, at: locate(error.offset), task: task)
    }
  }

  private mutating func check(
    _ root: Expression.Root, in place: Place, user: Int?, _ prefix: String, _ task: String?, _ faults: inout FaultList,
    _ nearest: inout NearestName, at position: Position?
  ) {
    switch root {
    case .parameter(let name):
      if let names = arguments[name] { return check(names, in: place, user: user, prefix, task, &faults, at: position) }
      if !parameters.contains(name) {
        faults.addUnknownParameter(name, among: parameters, of: template, &nearest, at: position, task: task)
      }
    case _ where place == .key:
      faults.add(
        .badExpression, "\(prefix)a key is settled when the run starts, by its parameters", fix: "use params.NAME", at: position, task: task
      )
    case _ where place == .priority && user == nil:
      faults.add(
        .badExpression, "\(prefix)a priority for all tasks is settled when the run starts, by its parameters",
        fix: "use params.NAME here, outputs in the task", at: position, task: task)
    case .runID where place == .priority, .runWorkflow where place == .priority, .item where place == .priority,
      .index where place == .priority:
      faults.add(
        .badExpression, "\(prefix)a priority is settled by parameters, or by the outputs of tasks before it",
        fix: "use params.NAME or tasks.ID.output", at: position, task: task)
    case .output(let target), .status(let target):
      if let user { uses.append(Use(user: user, target: target, position: position, isOfCompensation: isCompensation)) }
    case .secret where place != .environment:
      faults.add(
        .badExpression, "\(prefix)a secret may stand in 'env' only: elsewhere it would be written down",
        fix: "give it to the handler: 'env: { NAME: { secret: NAME } }'",
        at: position, task: task)
    case .runStatus where !isCleanup:
      faults.add(
        .badExpression, "\(prefix)'run.status' is RUNNING here",
        fix: template == nil
          ? "use tasks.ID.status, or move the task to 'cleanup'"
          : "declare a parameter for it, and use the template in 'cleanup' with { status: \"${run.status}\" }", at: position, task: task)
    case .item where place == .foreach, .index where place == .foreach:
      faults.add(
        .badExpression, "\(prefix)'\(root.word)' is not there yet: 'foreach' makes the items", fix: "use params.NAME or tasks.ID.output",
        at: position, task: task)
    case .item where !hasItems, .index where !hasItems:
      faults.add(
        .badExpression, "\(prefix)'\(root.word)' is there only in a task with 'foreach'",
        fix: "add 'foreach: ${tasks.ID.output}' to the task, or use params.NAME", at: position, task: task)
    case .runID, .runWorkflow, .runStatus, .secret, .item, .index: break
    }
  }

  /// The text of a condition or a priority: one expression and nothing else. False (and a fault): it is not.
  static func isWhole(
    _ text: String, _ label: String, example: String, task: String? = nil, _ faults: inout FaultList, at position: Position?
  ) -> Bool {
    let template: Template?
    // A syntax error is told by `check`.
    do throws(ExpressionError) { template = try Template(text) } catch { return true }
    if template?.whole != nil { return true }
    faults.add(.badExpression, "\(label) must be one expression and nothing else", fix: "write '\(example)'", at: position, task: task)
    return false
  }
}

extension Expression.Root {
  fileprivate var word: String { self == .item ? "item" : "index" }
}

extension Expression {
  /// Each root where it stands first, bytes from the beginning of the expression.
  var rootPlaces: [(Root, Int)] {
    roots.indices.map { number in
      (roots[number], Int(nodes.first { $0.operation == .path && $0.root == number }?.at ?? 0))
    }
  }
}
