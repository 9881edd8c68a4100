extension InputSchema {
  /// What is wrong with the settings of a plugin, by the names that it gives them; nil: nothing. A setting is text where text will do, and else the JSON that it is.
  /// Complexity: O(settings x properties).
  package func problem(of plugin: String, settings: [String: String]) -> String? {
    let members = settings.sorted { $0.key < $1.key }.map { name, text in JSON.Member(name, value(of: name, text)) }
    var checker = SchemaChecker(self, label: "plugin '\(plugin)'", root: "settings")
    return checker.findings(Located(.object(members))).first.map { "\($0.message); \($0.fix)" }
  }

  private func value(of name: String, _ text: String) -> JSON {
    var node = nodes[0].properties.first { $0.name == name }.map { nodes[$0.node] }
    // A reference to a reference is as good as none.
    if let reference = node?.reference { node = nodes[reference] }
    let mayBeText = node?.kinds.contains(.string) ?? true
    if !mayBeText, let json = try? JSON(parsing: text) { return json }
    // Nothing in it is an expression.
    return .string(text.split(separator: "${", omittingEmptySubsequences: false).joined(separator: "$${"))
  }
}
