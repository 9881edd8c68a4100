/// One thing that is wrong with a definition: what, where, and what to do.
public struct Fault: Sendable, Hashable, CustomStringConvertible {
  /// Whether a definition with the fault is refused.
  public enum Severity: String, Sendable, Hashable, CaseIterable {
    /// The definition cannot run.
    case error
    /// It can, but probably not as meant.
    case warning
  }

  /// The kind of fault, for programs; the raw value is stable.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// A file that is not there, cannot be read, or may not be included.
    case unreadable
    /// Not YAML, not JSON, or not UTF-8.
    case syntax
    /// More, larger or deeper than a definition may be.
    case limit
    /// Of a format or a version that is not read here.
    case format
    /// A key that has no meaning where it stands.
    case unknownKey = "unknown-key"
    /// The same key, parameter or variable twice.
    case duplicateKey = "duplicate-key"
    /// A value of another type than its place asks for, such as a text for a list.
    case wrongType = "wrong-type"
    /// Something that must be there is not: a key, a task, the value of a parameter.
    case missing
    /// A value of the right type out of its range, or none of the words that are allowed.
    case badValue = "bad-value"
    /// No name for a task, parameter, variable or signal: other characters, or too long.
    case badId = "bad-id"
    /// No duration, or zero or too long where that is not allowed.
    case badDuration = "bad-duration"
    /// An expression that cannot be read, or names what is not there when it is settled.
    case badExpression = "bad-expression"
    /// A schedule that cannot be read or never fires, or a time zone that is not known.
    case badSchedule = "bad-schedule"
    /// Two tasks with one id, or one dependency twice.
    case duplicateId = "duplicate-id"
    /// A dependency, an expression or the result names no task.
    case unknownTask = "unknown-task"
    /// A task uses a template that neither the file nor those that it includes have.
    case unknownTemplate = "unknown-template"
    /// No handler is called so; found only where handlers are known.
    case unknownHandler = "unknown-handler"
    /// A task runs a workflow that is not deployed; found only where deployed ones are known.
    case unknownWorkflow = "unknown-workflow"
    /// A value for, or a use of, a parameter that is not declared.
    case unknownParameter = "unknown-parameter"
    /// The value of a parameter is not what its declaration allows.
    case badParameter = "bad-parameter"
    /// An expression names a task which its own does not depend on, so that it might not have ended.
    case noDependency = "no-dependency"
    /// A task depends on a cleanup task or refers to one, or a cleanup task depends on a task: cleanup comes after all others.
    case badDependency = "bad-dependency"
    /// A task depends on itself, or its expression refers to it.
    case selfDependency = "self-dependency"
    /// Tasks wait for each other in a circle; or templates, files or workflows use each other so.
    case cycle
    /// A task can never start: it waits for one on a cycle.
    case unreachable
    /// A part without effect, such as a task that does not contribute to the result. A warning.
    case unused
    /// Two parts that do not go together: two limits of one key, a heartbeat where no handler could give one.
    case mismatch
    /// A part of an Argo workflow that a definition cannot say. A warning.
    case notExpressible = "not-expressible"
  }

  /// One error refuses the definition; warnings alone do not.
  public var severity: Severity
  /// The same fault has the same code in every release; its words may change.
  public var code: Code
  /// What is wrong, with the names that matter in quotes; control characters are written as `\u{1b}`.
  public var message: String
  /// What to do about it.
  public var fix: String
  /// The file, or the workflow's name if the definition was made in Swift.
  public var file: String
  /// From 1; nil if there is no file.
  public var line: Int?
  /// From 1, in characters; nil if there is no file.
  public var column: Int?
  /// Id of the task, where the fault belongs to one.
  public var task: String?

  /// `file:line:column: error: message`, and on a second line `  fix: ...`.
  public var description: String {
    let place = line.map { ":\($0):\(column ?? 1)" } ?? ""
    return "\(file)\(place): \(severity.rawValue): \(message)\n  fix: \(fix)"
  }
}

/// Why a definition was refused: every fault that was found, in the order of the file.
public struct DefinitionError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Faults that are listed; the rest are counted.
  public static let maximumFaults = 100

  /// At most `maximumFaults`, warnings among them.
  public let faults: [Fault]
  /// How many more there are.
  public let omitted: Int

  /// One fault after the other, each on two lines, then `and n more`.
  public var description: String {
    let lines = faults.map(\.description) + (omitted > 0 ? ["and \(omitted) more"] : [])
    return lines.joined(separator: "\n")
  }
}

/// Collects faults while a definition is read and checked. Bounded: beyond `DefinitionError.maximumFaults` they are only counted.
struct FaultList {
  /// The one that is being looked at.
  var file: String {
    didSet { if !files.contains(file) { files.append(file) } }
  }
  /// In the order in which they were opened.
  private var files: [String]
  private(set) var faults: [Fault] = []
  private(set) var omitted = 0
  private(set) var errors = 0

  init(file: String) {
    self.file = file
    files = [file]
  }

  /// True while a further fault would be listed: suggestions are only searched for then.
  var hasRoom: Bool { faults.count < DefinitionError.maximumFaults }

  mutating func add(
    _ code: Fault.Code, _ message: @autoclosure () -> String, fix: @autoclosure () -> String, at position: Position?, task: String? = nil,
    severity: Fault.Severity = .error
  ) {
    if severity == .error { errors += 1 }
    guard hasRoom else {
      omitted += 1
      return
    }
    faults.append(
      Fault(
        severity: severity, code: code, message: message().printable, fix: fix().printable, file: file, line: position.map { Int($0.line) },
        column: position.map { Int($0.column) }, task: task))
  }

  /// Faults of another file.
  mutating func add(_ others: [Fault], omitted more: Int = 0) {
    for fault in others {
      if fault.severity == .error { errors += 1 }
      if !files.contains(fault.file) { files.append(fault.file) }
      if hasRoom { faults.append(fault) } else { omitted += 1 }
    }
    omitted += more
    errors += more
  }

  mutating func add(_ error: JSONSyntaxError) {
    let position = Position(line: UInt32(truncatingIfNeeded: error.line), column: UInt32(truncatingIfNeeded: error.column))
    add(.syntax, error.message, fix: error.fix, at: position)
  }

  /// The faults in the order of the files; those of one place in the order they were found.
  var sorted: [Fault] {
    faults.enumerated().sorted { a, b in
      let (first, second) = (files.firstIndex(of: a.element.file) ?? 0, files.firstIndex(of: b.element.file) ?? 0)
      return (first, a.element.line ?? 0, a.element.column ?? 0, a.offset) < (second, b.element.line ?? 0, b.element.column ?? 0, b.offset)
    }.map(\.element)
  }

  var error: DefinitionError { DefinitionError(faults: sorted, omitted: omitted) }
}

extension String {
  /// With control characters as `\u{1b}`: a message quotes what a file holds, and goes to a terminal.
  var printable: String {
    guard unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return self }
    var result = ""
    for scalar in unicodeScalars {
      if scalar.properties.generalCategory == .control {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
