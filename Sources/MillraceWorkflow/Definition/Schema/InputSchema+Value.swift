extension InputSchema {
  /// What the schema says against a value that is as it is, without expressions; nil: nothing. Complexity: that of the value, and of the schema for each part of it.
  package func objection(to value: JSON) -> String? {
    var checker = SchemaChecker(self, label: "value", kinds: [:])
    return checker.findings(Located(value)).first?.message
  }
}
