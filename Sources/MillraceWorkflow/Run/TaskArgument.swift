internal import MillraceCore

/// What a use of a template was given, with its names as indices.
struct TaskArgument: Sendable {
  let argument: Definition.Argument
  /// nil: a literal.
  let program: InputProgram?
  /// Roots of the program's expressions.
  let roots: [[TaskExpressions.Root]]

  /// nil: it names what these tasks cannot see, so that none of them asks for it: the cleanup's arguments stand beside the others.
  init?(_ argument: Definition.Argument, _ binder: TaskExpressions.Binder) {
    self.argument = argument
    program = argument.program
    var roots: [[TaskExpressions.Root]] = []
    for expression in argument.program?.expressions ?? [] {
      guard let bound = try? binder.roots(expression) else { return nil }
      roots.append(bound)
    }
    self.roots = roots
  }
}

/// The values of a run's arguments as JSON text: each made when it is first asked for, and kept until the run is freed.
final class ArgumentValues: @unchecked Sendable {
  /// Guards `made`.
  private let monitor = Monitor()
  private var made: [KeptBytes?]

  init(_ definition: Definition) { made = [KeptBytes?](repeating: nil, count: definition.arguments.count) }

  deinit { monitor.deallocate() }

  subscript(index: Int) -> KeptBytes? { monitor.locked { made[index] } }

  /// Of two that were made at once, which are equal, the first one stays: somebody may look into it.
  func keep(_ value: KeptBytes, at index: Int) -> KeptBytes {
    monitor.locked {
      if let first = made[index] { return first }
      made[index] = value
      return value
    }
  }
}

extension WorkflowRun {
  /// The value of an argument. What it is made of has ended, so that it is the same whoever asks. Throws `missing`, or `type` if it is not as its
  /// template declares.
  func argument(_ index: Int, _ values: RunValues) throws(ExpressionError) -> KeptBytes {
    if let value = values.arguments[index] { return value }
    guard let bound = compiled.arguments[index] else {
      throw ExpressionError(kind: .missing, offset: 0, message: "it is not there", fix: "run the checker")
    }
    guard let program = bound.program else { return values.arguments.keep(KeptBytes(bound.argument.value.utf8()), at: index) }
    let bytes = try program.bytes { RunScope(run: self, values: values, roots: bound.roots[$0]) }
    if bound.argument.parameter.isRestricted, let refusal = bound.argument.refusal(of: try JSON(expression: bytes)) { throw refusal }
    return values.arguments.keep(KeptBytes(bytes), at: index)
  }
}

extension Definition.Parameter {
  /// Whether not every value will do.
  fileprivate var isRestricted: Bool { kind != nil || choices != nil || minimum != nil || maximum != nil }
}
