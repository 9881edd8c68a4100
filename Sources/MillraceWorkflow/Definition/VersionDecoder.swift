/// `version` and `version_policy`.
extension DefinitionDecoder {
  mutating func version(_ value: Located) -> Int? {
    guard case .integer(let number) = value.scalar else {
      wrongType(value, "'version'", "a whole number", fix: "write 'version: 1', and count up with each change")
      return nil
    }
    if let number = Int(exactly: number), Definition.versions.contains(number) { return number }
    faults.add(
      .badValue, "'version' is \(number); it may be 1 to \(Definition.versions.upperBound)",
      fix: "write 'version: 1', and count up with each change",
      at: value.position)
    return nil
  }

  mutating func versionPolicy(_ value: Located) -> VersionPolicy {
    guard let text = text(value, "'version_policy'") else { return .pinned }
    if let policy = VersionPolicy(rawValue: text) {
      return policy
    }
    let names = VersionPolicy.allCases.map(\.rawValue)
    let near = nearest.nearest(to: text, among: names)
    faults.add(
      .badValue, "'\(text.prefix(80))' is no version policy",
      fix: near.map { "did you mean '\($0)'?" } ?? "write \(names.dropLast().joined(separator: ", ")) or \(names.last ?? "")",
      at: value.position)
    return .pinned
  }

  /// Only a durable run is there when a new version comes, and a saga is never changed.
  mutating func checkEffect(of definition: Definition, _ value: Located?) {
    guard let value, definition.versionPolicy == .upgradeAtStepBoundary, isSaga || definition.durability == .none else { return }
    faults.add(
      .unused,
      "'version_policy: \(definition.versionPolicy.rawValue)' has no effect: \(isSaga ? "sagas" : "runs in memory") end with the version they began with",
      fix: isSaga ? "leave it out" : "leave it out, or write 'durability: log'", at: value.position, severity: .warning)
  }
}
