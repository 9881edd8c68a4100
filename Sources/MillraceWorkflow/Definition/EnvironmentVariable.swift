/// A variable that a task's handler is given: `env` in a file.
public struct EnvironmentVariable: Sendable, Hashable {
  /// Most variables of a task.
  public static let maximumCount = 256
  /// Longest value, bytes: what Linux lets a program have of one variable.
  public static let maximumBytes = 128 << 10

  /// `[A-Za-z_][A-Za-z0-9_]{0,127}`.
  public var name: String
  /// A text whose expressions may name secrets: `"${secrets.TOKEN}"`.
  public var value: String

  /// Neither is checked here: `DefinitionChecker.check` does that.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension Definition {
  /// Names of the secrets that the definition's environments refer to, in the order of their tasks; the first task with each. Complexity: O(tasks).
  var secrets: [(name: String, task: String)] {
    var found: [(name: String, task: String)] = []
    var seen: Set<String> = []
    for task in [tasks, cleanup].joined() where task.isSpecial {
      for variable in task.environment {
        // What is no expression has been refused by the checker, and refers to nothing.
        guard let template = try? Template(variable.value) else { continue }
        for case .expression(let expression, _) in template.parts {
          for case .secret(let name) in expression.roots where seen.insert(name).inserted { found.append((name, task.id)) }
        }
      }
    }
    return found
  }
}
