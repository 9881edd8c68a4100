/// One thing that is wrong with a definition: what, where, and what to do.
public struct Fault: Sendable, Hashable, CustomStringConvertible {
  public enum Severity: String, Sendable, Hashable, CaseIterable {
    /// The definition cannot run.
    case error
    /// It can, but probably not as meant.
    case warning
  }

  /// The kind of fault, for programs; the raw value is stable.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    case unreadable, syntax, limit, format
    case unknownKey = "unknown-key"
    case duplicateKey = "duplicate-key"
    case wrongType = "wrong-type"
    case missing
    case badValue = "bad-value"
    case badId = "bad-id"
    case badDuration = "bad-duration"
    case badExpression = "bad-expression"
    case badSchedule = "bad-schedule"
    case duplicateId = "duplicate-id"
    case unknownTask = "unknown-task"
    case unknownTemplate = "unknown-template"
    case unknownHandler = "unknown-handler"
    case unknownWorkflow = "unknown-workflow"
    case unknownParameter = "unknown-parameter"
    case badParameter = "bad-parameter"
    case noDependency = "no-dependency"
    case badDependency = "bad-dependency"
    case selfDependency = "self-dependency"
    case cycle
    case unreachable
    case unused
    case mismatch
    case notExpressible = "not-expressible"
  }

  public var severity: Severity
  public var code: Code
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
