import MillraceWorkflow

/// The result of any workflow as blocks that a terminal or a page can show: what to show and in which words, not how it looks.
///
/// Texts are as they were in the result; whoever shows them escapes them for where they go.
enum ResultBlock: Equatable {
  /// Names and values.
  case facts([Fact])
  case table(Table)
  case list(title: String, items: [String], more: Int)
  /// An object within the result.
  case group(title: String, blocks: [ResultBlock])

  struct Fact: Equatable {
    var name: String
    var value: String
  }

  struct Cell: Equatable {
    var text: String
    /// nil for what is not a number.
    var number: Double? = nil
  }

  struct Table: Equatable {
    var title: String
    /// Empty if the columns need no names.
    var columns: [String]
    var rows: [[Cell]]
    /// Rows and columns left out.
    var more: Int
    var moreColumns: Int = 0
    /// The first column of numbers: the one that gets bars.
    var measured: Int?

    /// The number of a row as part of the greatest one, 0 ... 1.
    func share(_ row: [Cell]) -> Double {
      guard let measured, let value = row[measured].number else { return 0 }
      let greatest = rows.lazy.compactMap { $0[measured].number }.max() ?? 0
      return greatest > 0 ? max(0, value / greatest) : 0
    }

    /// Whether a column holds numbers, at least one, and nothing else but gaps.
    func isNumeric(_ column: Int) -> Bool {
      rows.contains { $0[column].number != nil } && rows.allSatisfy { $0[column].number != nil || $0[column].text.isEmpty }
    }
  }

  /// Rows of a table made of an array, and items of a list.
  static let rowLimit = 20
  /// Rows of a table made of an object of names and numbers.
  static let topLimit = 10
  static let columnLimit = 8
  static let depthLimit = 4
  /// Members of one object.
  static let memberLimit = 100

  /// - Complexity: O(size of the result + n log n) for objects of n names and numbers.
  static func blocks(_ result: JSON) -> [ResultBlock] {
    if case .object(let members) = result { return blocks(of: members, depth: 1) }
    return named("result", result, depth: 1)
  }

  private static func blocks(of members: [JSON.Member], depth: Int) -> [ResultBlock] {
    var facts: [Fact] = []
    var others: [ResultBlock] = []
    for member in members.prefix(memberLimit) {
      switch member.value {
      case .array, .object: others += named(member.name, member.value, depth: depth)
      default: facts.append(Fact(name: Label(member.name).words, value: Label(member.name).cell(member.value).text))
      }
    }
    if members.count > memberLimit { facts.append(Fact(name: "and", value: Quantity.integer(members.count - memberLimit) + " more")) }
    return (facts.isEmpty ? [] : [.facts(facts)]) + others
  }

  private static func named(_ name: String, _ value: JSON, depth: Int) -> [ResultBlock] {
    let label = Label(name)
    switch value {
    case .array(let items):
      let objects = items.compactMap { item -> [JSON.Member]? in if case .object(let members) = item { members } else { nil } }
      if !items.isEmpty && objects.count == items.count { return [.table(table(label.words, objects))] }
      return [.list(title: label.words, items: items.prefix(rowLimit).map { label.cell($0).text }, more: max(0, items.count - rowLimit))]
    case .object(let members):
      if let table = ranking(label, members) { return [.table(table)] }
      if members.isEmpty || depth >= depthLimit { return [.facts([Fact(name: label.words, value: label.cell(value).text)])] }
      return [.group(title: label.words, blocks: blocks(of: members, depth: depth + 1))]
    default: return [.facts([Fact(name: label.words, value: label.cell(value).text)])]
    }
  }

  private static func table(_ title: String, _ objects: [[JSON.Member]]) -> Table {
    var keys: [String] = []
    for object in objects.prefix(rowLimit) {
      for member in object where keys.count < memberLimit && !keys.contains(member.name) { keys.append(member.name) }
    }
    let shown = keys.prefix(columnLimit)
    let rows = objects.prefix(rowLimit).map { object in
      shown.map { key in object.first { $0.name == key }.map { Label(key).cell($0.value) } ?? Cell(text: "") }
    }
    var table = Table(
      title: title, columns: shown.map { Label($0).words }, rows: rows, more: objects.count - rows.count,
      moreColumns: keys.count - shown.count, measured: nil)
    table.measured = shown.indices.first { table.isNumeric($0) }
    return table
  }

  /// Names and numbers, greatest first; nil for an object that is something else.
  private static func ranking(_ label: Label, _ members: [JSON.Member]) -> Table? {
    guard members.count >= 2 else { return nil }
    var rows: [[Cell]] = []
    for member in members {
      let cell = label.cell(member.value)
      guard cell.number != nil, Label(member.name).unit == nil else { return nil }
      rows.append([Cell(text: member.name), cell])
    }
    rows.sort { ($1[1].number ?? 0, $0[0].text) < ($0[1].number ?? 0, $1[0].text) }
    let more = max(0, rows.count - topLimit)
    return Table(title: label.words, columns: [], rows: Array(rows.prefix(topLimit)), more: more, measured: 1)
  }
}

/// A key of a result in words, with the unit that its ending names.
struct Label: Equatable {
  enum Unit: CaseIterable {
    case bytes, kibibytes, mebibytes, gibibytes, seconds

    var suffix: String {
      switch self {
      case .bytes: "Bytes"
      case .kibibytes: "KiB"
      case .mebibytes: "MiB"
      case .gibibytes: "GiB"
      case .seconds: "Seconds"
      }
    }
  }

  /// `mostDependedUpon` -> `Most depended upon`, `installedSizeKiB` -> `Installed size`.
  var words: String
  var unit: Unit?

  init(_ key: String) {
    unit = Unit.allCases.first { key.hasSuffix($0.suffix) && key != $0.suffix }
    words = Self.words(String(key.dropLast(unit?.suffix.count ?? 0)))
    unit = unit ?? Unit.allCases.first { key.lowercased() == $0.suffix.lowercased() }
  }

  /// A value in the unit of this key; nested values as how many they hold.
  func cell(_ value: JSON) -> ResultBlock.Cell {
    switch value {
    case .null: ResultBlock.Cell(text: "none")
    case .bool(let flag): ResultBlock.Cell(text: flag ? "yes" : "no")
    case .integer(let number): ResultBlock.Cell(text: unit == nil ? Quantity.integer(number) : text(Double(number)), number: Double(number))
    case .number(let number): ResultBlock.Cell(text: text(number), number: number.isFinite ? number : nil)
    case .string(let text): ResultBlock.Cell(text: text)
    case .array(let items): ResultBlock.Cell(text: items.isEmpty ? "none" : Quantity.count(items.count, "item"))
    case .object(let members): ResultBlock.Cell(text: members.isEmpty ? "none" : Quantity.count(members.count, "member"))
    }
  }

  private func text(_ number: Double) -> String {
    switch unit {
    case nil: Quantity.number(number)
    case .bytes: Quantity.bytes(number)
    case .kibibytes: Quantity.bytes(number * 1024)
    case .mebibytes: Quantity.bytes(number * 1_048_576)
    case .gibibytes: Quantity.bytes(number * 1_073_741_824)
    case .seconds: Quantity.seconds(number)
    }
  }

  /// Words of a camelCase, snake_case or kebab-case key; the first one with a capital. A run of capitals stays one word.
  private static func words(_ key: String) -> String {
    var words: [String] = []
    var word = ""
    let characters = Array(key)
    for (index, character) in characters.enumerated() {
      if character == "_" || character == "-" || character == " " {
        if !word.isEmpty { words.append(word) }
        word = ""
        continue
      }
      let startsWord =
        character.isUppercase && index > 0
        && (!characters[index - 1].isUppercase || (index + 1 < characters.count && characters[index + 1].isLowercase))
      if startsWord, !word.isEmpty {
        words.append(word)
        word = ""
      }
      word.append(character)
    }
    if !word.isEmpty { words.append(word) }
    let lowered = words.map { $0.count > 1 && $0.allSatisfy { !$0.isLowercase } ? $0 : $0.lowercased() }.joined(separator: " ")
    return lowered.prefix(1).uppercased() + lowered.dropFirst()
  }
}
