/// Where the records of a run are kept while it goes on: `durability` in a file.
public enum Durability: String, Sendable, Hashable, CaseIterable {
  /// In memory: a run ends with the process.
  case none
  /// In an event log: a run goes on after a crash.
  case log
}

extension DefinitionDecoder {
  mutating func durability(_ value: Located) -> Durability {
    guard let text = text(value, "'durability'") else { return .none }
    if let durability = Durability(rawValue: text) { return durability }
    let near = nearest.nearest(to: text, among: Durability.allCases.map(\.rawValue))
    faults.add(
      .badValue, "'\(text.prefix(80))' is no durability", fix: near.map { "did you mean '\($0)'?" } ?? "write none or log",
      at: value.position)
    return .none
  }
}
