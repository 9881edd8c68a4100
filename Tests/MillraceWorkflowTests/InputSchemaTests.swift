import Testing

@testable import MillraceWorkflow

/// Schemas of inputs: what is read, what is refused, what is passed over. What is found in definitions is in `BrokenFile.inputs`.
@Suite struct InputSchemaTests {
  /// What is wrong with an input, by code and message.
  private func found(_ schema: String, _ input: JSON, _ kinds: [String: Definition.Parameter.Kind] = [:]) throws -> [String] {
    var checker = SchemaChecker(try InputSchema(parsing: schema), label: "task 'a'", kinds: kinds)
    return checker.findings(Located(input)).map { "\($0.code.rawValue): \($0.message)" }
  }

  @Test(
    "what is no schema is refused with its place",
    arguments: [
      ("{", "line 1, column 2: "), ("3", "# must be an object, true or false"),
      (#"{"type":"text"}"#, #"#/type is no type: "text""#),
      (#"{"properties":{"a":{"enum":1}}}"#, "#/properties/a/enum must be a list"), (#"{"minimum":"1"}"#, "#/minimum must be a number"),
      (#"{"minItems":-1}"#, "#/minItems must be a whole number from 0 on"), (#"{"required":[1]}"#, "#/required must be a list of names"),
      (#"{"anyOf":[]}"#, "#/anyOf must be a list of schemas"), (#"{"minLength":3,"maxLength":2}"#, "a maximum of 2 below a minimum of 3"),
      (#"{"$ref":1}"#, "#/$ref must be text"),
    ])
  func malformed(_ text: String, _ message: String) {
    let error = #expect(throws: InputSchema.Malformed.self) { try InputSchema(parsing: text) }
    #expect(error?.description.hasPrefix(message) == true, "\(error.map(\.description) ?? "")")
  }

  @Test(
    "what is not understood is never held against an input",
    arguments: [
      #"{"pattern":"^z","not":{},"if":true,"then":false,"multipleOf":7,"uniqueItems":true,"madeUp":3}"#,
      #"{"additionalProperties":false,"patternProperties":{".*":{}}}"#, #"{"$ref":"https://example.org/schema"}"#,
      ##"{"$ref":"#/$defs/gone"}"##,
      // Of two shapes that differ by such a keyword alone, nobody can say that both fit.
      #"{"oneOf":[{"required":["a"],"pattern":"x"},{"required":["a"]}]}"#,
    ])
  func passedOver(_ schema: String) throws {
    #expect(try found(schema, ["a": 1]) == [])
  }

  @Test("a schema that refers to itself without end, or has countless shapes, is given up at its bounds")
  func bounds() throws {
    #expect(try found(##"{"$ref":"#"}"##, 1) == [])
    #expect(try found(##"{"anyOf":[{"$ref":"#"},{"$ref":"#"},{"type":"string"}]}"##, 1) == [])
    let wide = #"{"anyOf":[\#((0..<10_000).map { _ in "{}" }.joined(separator: ","))]}"#
    #expect(throws: InputSchema.Malformed.self) { try InputSchema(parsing: wide) }
    var deep: JSON = true
    for _ in 0..<100 { deep = ["items": deep] }
    #expect(throws: InputSchema.Malformed.self) { try InputSchema(deep) }
  }

  @Test("expressions are unknown, but for the type that they must have; of several types one that fits is enough")
  func expressions() throws {
    let integer = #"{"properties":{"n":{"type":"integer","minimum":5,"enum":[7]}}}"#
    for text in ["${params.x}", "${tasks.a.output}", "${params.x ?? 1}", "${size params.x}"] {
      #expect(try found(integer, ["n": .string(text)]) == [])
    }
    #expect(try found(integer, ["n": "${params.n}"], ["n": .number]) == [])
    for (text, kind) in [
      ("${true}", "true or false"), ("${'a'}", "text"), ("${not params.x}", "true or false"), ("${run.id}", "text"),
      ("${params.s}", "text"),
      ("${null}", "nothing"), ("${params.s ?? 'b'}", "text"), ("${[1]}", "a list"),
    ] {
      #expect(
        try found(integer, ["n": .string(text)], ["s": .string])
          == ["wrong-type: input.n of task 'a' must be a whole number; the expression gives \(kind)"])
    }
    #expect(try found(#"{"type":["integer","null"]}"#, "${null}") == [])
    #expect(try found(#"{"type":"string","enum":["${x}"]}"#, "$${x}") == [])
    #expect(try found(#"{"required":["a"],"properties":{"a":{"maxLength":3}}}"#, ["a": "x${params.y}"]) == [])
  }

  @Test("a definition made in Swift is held against the schemas as well")
  func inSwift() throws {
    var workflow = Definition("w", parameters: [.init("s", kind: .string)])
    workflow.task("a", handler: "h", input: ["n": "${params.s}", "m": 1])
    workflow.task("b", handler: "h")
    workflow.task("c", handler: "other")
    let schema = try InputSchema(
      parsing: #"{"type":"object","required":["n"],"additionalProperties":false,"properties":{"n":{"type":"integer"}}}"#)
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker(schemas: ["h": schema]).check(workflow) }
    #expect(
      error?.faults.map(\.message) == [
        "input.n of task 'a' must be a whole number; the expression gives text", "unknown key 'm' in the input of task 'a'",
        "the input of task 'b' has no 'n'",
      ])
    #expect(error?.faults.allSatisfy { $0.line == nil } == true)
  }
}
