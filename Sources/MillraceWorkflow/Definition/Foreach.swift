/// What a task is done for, once for each item: `foreach` in a file.
public enum Foreach: Sendable, Hashable {
  /// Most items of a task.
  public static let maximumItems = 1_000_000
  /// Most items of a task in progress at once, where it says how many.
  public static let parallelismRange = 1...maximumItems

  /// A list, whose texts may hold expressions; or a text, `${...}`, that gives one.
  case list(JSON)
  /// Whole numbers from the first to the last, both included; each may be a text, `${...}`, that gives one. None if the step leads away from the last.
  case range(from: JSON, to: JSON, step: JSON = 1)
  /// Paths of the files whose names fit the pattern of a shell, in their order; both texts may hold expressions. The pattern may begin with directories, and is
  /// looked for in `directory`, or where the program runs.
  case files(String, directory: String? = nil)
}

extension Foreach {
  /// Its texts, which may hold expressions.
  var values: [JSON] {
    switch self {
    case .list(let list): [list]
    case .range(let from, let to, let step): [from, to, step]
    case .files(let pattern, let directory): [.string(pattern)] + (directory.map { [.string($0)] } ?? [])
    }
  }
}

extension Foreach {
  var isFiles: Bool { if case .files = self { true } else { false } }

  /// Items of a range without expressions; nil: it is another list.
  var literalCount: UInt64? {
    guard case .range(.integer(let from), .integer(let to), .integer(let step)) = self, step != 0 else { return nil }
    return Foreach.count(from: from, to: to, step: step)
  }

  /// Whole numbers from `from` to `to` by a step that is not 0, both ends included.
  static func count(from: Int64, to: Int64, step: Int64) -> UInt64 {
    guard step > 0 ? from <= to : from >= to else { return 0 }
    let distance = step > 0 ? UInt64(bitPattern: to &- from) : UInt64(bitPattern: from &- to)
    let (count, overflow) = (distance / step.magnitude).addingReportingOverflow(1)
    return overflow ? .max : count
  }
}
