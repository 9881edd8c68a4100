import Testing

@testable import MillraceWorkflow

@Suite struct ExpressionTests {
  private func value(_ text: String) throws(ExpressionError) -> String {
    let expression = try ExpressionParser.parse(text)
    var writer = ExpressionWriter(limit: 1 << 20)
    try writer.json(try expression.value(in: CaseScope(roots: expression.roots)))
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  @Test("the tables have more than two hundred cases")
  func count() {
    let cases =
      ExpressionCases.readings.count + ExpressionCases.refusals.count + ExpressionCases.values.count + ExpressionCases.failures.count
    #expect(cases > 300)
  }

  @Test("what the grammar allows is read, and printed as what reads back as the same")
  func readings() throws {
    for (text, printed) in ExpressionCases.readings {
      let expression = try ExpressionParser.parse(text)
      #expect(expression.text == printed ?? text, "\(text)")
      #expect(try ExpressionParser.parse(expression.text) == expression, "\(text)")
    }
  }

  @Test("what it does not allow is refused at its place, in these words")
  func refusals() {
    for (text, at, message) in ExpressionCases.refusals {
      let error = #expect(throws: ExpressionError.self, "\(text)") { try ExpressionParser.parse(text) }
      guard let error else { continue }
      #expect("\(Template.character(at: error.offset, in: text)): \(error.message)" == "\(at): \(message)", "\(text)")
      #expect(!error.fix.isEmpty)
    }
  }

  @Test("expressions have these values")
  func values() throws {
    for (text, expected) in ExpressionCases.values {
      do throws(ExpressionError) {
        let found = try value(text)
        #expect(found == expected, "\(text)")
      } catch {
        Issue.record("\(text): \(error)")
      }
    }
  }

  @Test("expressions without a value say where and why")
  func failures() {
    for (text, at, message) in ExpressionCases.failures {
      let error = #expect(throws: ExpressionError.self, "\(text)") { try value(text) }
      guard let error else { continue }
      #expect("\(error.offset + 1): \(error.message)" == "\(at): \(message)", "\(text)")
    }
  }

  @Test("the largest expressions that are allowed are read")
  func bounds() throws {
    for text in [
      String(repeating: "(", count: 32) + "1" + String(repeating: ")", count: 32), String(repeating: "not ", count: 32) + "true",
      "'" + String(repeating: "x", count: 4_094) + "'", String(repeating: "[", count: 32) + String(repeating: "]", count: 32),
    ] {
      #expect(throws: Never.self) { try ExpressionParser.parse(text) }
    }
    let chain = try ExpressionParser.parse(String(repeating: "false or ", count: 127) + "true")
    #expect(chain.nodes.count == 255)
    guard case .bool(true) = try chain.value(in: CaseScope(roots: [])) else {
      Issue.record("a chain of 127 'or' has the value of its last part")
      return
    }
  }

  @Test("a text is found in a text of a million characters that nearly is it, in a moment")
  func search() throws {
    let whole = KeptBytes(repeatElement(UInt8(ascii: "a"), count: 1 << 20))
    let part = KeptBytes(Array(repeating: UInt8(ascii: "a"), count: TextCursor.maximumPart - 1) + [UInt8(ascii: "b")])
    #expect(!TextCursor.contains(.text(whole.bytes), .text(part.bytes)))
    withExtendedLifetime((whole, part)) {}
  }

  // MARK: Templates

  @Test("a text with expressions is cut into its parts; $${ stands for ${, and a single $ for itself")
  func templates() throws {
    func parts(_ text: String) throws -> [String]? {
      try Template(text)?.parts.map { part in
        switch part {
        case .text(let text): text
        case .expression(let expression, let at): "<\(expression.text)@\(at)>"
        }
      }
    }
    #expect(try parts("plain $5 {x} $$ $") == nil)
    #expect(try parts("${params.a}") == ["<params.a@2>"])
    #expect(try parts("a ${params.a} b ${ run.id }c") == ["a ", "<params.a@4>", " b ", "<run.id@18>", "c"])
    #expect(try parts("$${x} $$${y} $ ${'}'}") == ["${x} $${y} $ ", "<\"}\"@17>"])
    #expect(try parts("é${params.a}") == ["é", "<params.a@4>"])
    let error = #expect(throws: ExpressionError.self) { try Template("é ${params.a} ${params.b +}") }
    #expect(error?.offset == 26)
    #expect(throws: ExpressionError.self) { try Template("${params.a") }
    #expect(throws: ExpressionError.self) { try Template("${}") }
  }

  @Test("an input keeps the type of a whole text, and inserts values into a text, escaped as JSON needs")
  func inputs() throws {
    func filled(_ input: JSON) throws -> JSON? {
      guard let program = try InputProgram(input) else { return nil }
      return try JSON(parsing: program.bytes { CaseScope(roots: program.expressions[$0].roots) })
    }
    #expect(try filled(["a": [1, "x", nil, true, 2.5]]) == nil)
    #expect(try filled("${params.n}") == 3)
    #expect(try filled("n=${params.n}") == "n=3")
    #expect(
      try filled(["k\"": "${params.object[\"b c\"]}", "l": ["${params.list}", "<${params.none}>", "$${x}", "plain \"\n"]])
        == ["k\"": ["d": [10, 20, 30]], "l": [[1, 2.0, "x", nil, [true, ["k": 1]]], "<[]>", "${x}", "plain \"\n"]])
    #expect(try filled("${params.escaped}|${tasks.text.output}|${params.object.null}") == "a\"b\\c\ndé😀|line \"one\"\nline two|null")
    #expect(try filled("${params.object}!") == .string(CaseScope.parameters["object"]! + "!"))
    let error = #expect(throws: ExpressionError.self) { try filled(["a": "${params.n}", "b": ["x ${params.object.none}"]]) }
    #expect(error?.message == "${params.object.none}: 'params.object' has no member 'none'")
  }

  @Test("an input may not grow beyond 16 MiB")
  func largeInput() throws {
    struct Large: ExpressionScope {
      let kept: KeptBytes
      func value(ofRoot number: Int) throws(ExpressionError) -> RootValue { .value(.text(kept.bytes)) }
    }
    let program = try #require(try InputProgram(["${run.id}", "${run.id}"]))
    let scope = Large(kept: KeptBytes(repeatElement(UInt8(ascii: "a"), count: 8 << 20)))
    let error = #expect(throws: ExpressionError.self) { try program.bytes { _ in scope } }
    #expect(error?.message == "more than 16777216 bytes with the values of its expressions")
    let half = Large(kept: KeptBytes(repeatElement(UInt8(ascii: "a"), count: (8 << 20) - 4)))
    #expect(try program.bytes { _ in half }.count == (16 << 20) - 8 + 7)
  }
}
