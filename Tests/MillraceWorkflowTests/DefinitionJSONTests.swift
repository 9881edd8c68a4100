import MillraceWorkflow
import Testing

@Suite struct DefinitionJSONTests {
  private func parsed(_ text: String) throws -> JSON { try JSON(parsing: text) }

  @Test("every kind of value is read")
  func kinds() throws {
    #expect(
      try parsed(#" { "a": [null, true, false], "b": -12, "c": 1.5, "d": "x" , "e": {}, "f": [] } "#) == [
        "a": [nil, true, false], "b": -12, "c": 1.5, "d": "x", "e": .object([]), "f": .array([]),
      ])
  }

  @Test(
    "integers that fit stay integers, all else is the nearest double",
    arguments: [
      ("9223372036854775807", JSON.integer(.max)), ("-9223372036854775808", .integer(.min)),
      ("9223372036854775808", .number(9.223372036854775808e18)),
      ("-9223372036854775809", .number(-9.223372036854775808e18)), ("1e3", .number(1000)), ("1.0", .number(1)), ("0.1", .number(0.1)),
      ("123456789012345678901234567890", .number(1.2345678901234568e29)), ("5e-324", .number(.leastNonzeroMagnitude)),
      ("2.2250738585072011e-308", .number(Double(bitPattern: 0x000F_FFFF_FFFF_FFFF))),
      ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)), ("1e-999999999999999999999", .number(0)), ("0", .integer(0)),
    ])
  func numbers(text: String, value: JSON) throws {
    #expect(try parsed(text) == value)
  }

  @Test("minus zero keeps its sign")
  func minusZero() throws {
    #expect(try parsed("-0").double?.sign == .minus)
    #expect(try parsed("-0").text() == "-0.0")
  }

  @Test("escapes are read and written, surrogate pairs become one character")
  func escapes() throws {
    #expect(try parsed(#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀""#) == "\"\\/\u{8}\u{c}\n\r\té😀é😀")
    #expect(JSON.string("a\"\\\n\r\t\u{0}\u{1f}é").text() == #""a\"\\\n\r\t\u0000\u001fé""#)
  }

  @Test(
    "what is not JSON is refused with its place",
    arguments: [
      ("", 1, 1, "expected a value, found the end of the text"),
      ("[1,]", 1, 4, "a comma before ']'"),
      ("{\"a\":1,}", 1, 8, "a comma before '}'"),
      ("{\n  \"a\": 1\n  \"b\": 2}", 3, 3, "expected ',' or '}' in the object that opens at line 1, found '\"'"),
      ("{\"é\": 1, \"é\": 2}", 1, 10, "the member \"é\" occurs twice in the object"),
      ("[\"é\", x]", 1, 7, "expected a value, found 'x'"),
      ("{a: 1}", 1, 2, "expected a member name in double quotes, found 'a'"),
      ("[01]", 1, 2, "a number begins with 0"), ("[1.]", 1, 2, "a number needs a digit after '.'"),
      ("[-]", 1, 2, "a number needs a digit after '-'"),
      ("[1e999]", 1, 2, "the number 1e999 is too large"), ("nil", 1, 1, "expected a value, found nil"),
      ("1 2", 1, 3, "text goes on after the value: '2'"),
      ("\"\\ud800\"", 1, 2, "half of a surrogate pair"), ("\"\\udc00\"", 1, 2, "half of a surrogate pair"),
      ("\"\\ud800\\u0041\"", 1, 2, "half of a surrogate pair"), ("\"\\x\"", 1, 2, "an escape that JSON does not know"),
      ("\"\\u12g4\"", 1, 2, "\\u needs four hexadecimal digits"), ("\"a\nb\"", 1, 3, "a line break inside a string"),
      ("\"a", 1, 1, "a string is not closed"),
      ("\u{feff}1", 1, 1, "the text begins with a byte order mark"), ("// x\n1", 1, 1, "expected a value, found '/'"),
    ])
  func refused(text: String, line: Int, column: Int, message: String) {
    let error = #expect(throws: JSONSyntaxError.self) { try JSON(parsing: text) }
    #expect(error?.message == message)
    #expect(error.map { [$0.line, $0.column] } == [line, column])
    #expect(error?.fix.isEmpty == false)
  }

  @Test("a string that is not UTF-8 is refused")
  func invalidUTF8() {
    for bytes: [UInt8] in [
      [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0x5C, 0x6E, 0xE2, 0x82, 0x22],
    ] {
      let error = #expect(throws: JSONSyntaxError.self) { try JSON(parsing: bytes) }
      #expect(error?.message == "a string is not valid UTF-8")
    }
  }

  @Test("nesting is read 64 deep and refused beyond, however deep the text goes")
  func depth() throws {
    #expect(try parsed(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)).array?.count == 1)
    let error = #expect(throws: JSONSyntaxError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
    #expect(error?.message == "arrays and objects are nested more than 64 deep")
    #expect(error?.column == 65)
  }

  @Test("a text beyond 64 MiB is refused before it is read")
  func tooLong() {
    let error = #expect(throws: JSONSyntaxError.self) { try JSON(parsing: [UInt8](repeating: 0x20, count: JSON.maximumBytes + 1)) }
    #expect(error?.message == "the text has 67108865 bytes; at most 67108864 are read")
  }

  @Test("a member that occurs twice is found in large objects as well")
  func duplicateAmongMany() {
    let members = (0..<1_000).map { "\"m\($0)\":1" }.joined(separator: ",")
    let error = #expect(throws: JSONSyntaxError.self) { try JSON(parsing: "{\(members),\n\"m7\":1}") }
    #expect(error?.message == "the member \"m7\" occurs twice in the object")
    #expect(error?.line == 2)
  }

  @Test("text reads back as the same value, numbers in their shortest form")
  func roundTrip() throws {
    let value: JSON = ["a": [0.1, 1e21, -5, 1e-7, 3.0, nil], "b": ["c": "d\u{7f}"], "e": .array([]), "f": .object([])]
    #expect(value.text() == "{\"a\":[0.1,1e+21,-5,1e-07,3.0,null],\"b\":{\"c\":\"d\u{7f}\"},\"e\":[],\"f\":{}}")
    #expect(try parsed(value.text()) == value)
    #expect(try parsed(value.text(pretty: true)) == value)
    #expect((["a": [1, 2], "b": .object([])] as JSON).text(pretty: true) == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}")
    #expect(JSON.number(.infinity).text() == "null")
  }

  @Test("accessors give what is there and nil for what is not")
  func accessors() throws {
    let value = try parsed(#"{"a": {"b": [1, 2.0, 2.5, "x", true]}}"#)
    #expect(value["a"]?["b"]?[0]?.integer == 1)
    #expect(value["a"]?["b"]?[1]?.integer == 2)
    #expect(value["a"]?["b"]?[2]?.integer == nil)
    #expect(value["a"]?["b"]?[2]?.double == 2.5)
    #expect(value["a"]?["b"]?[3]?.string == "x")
    #expect(value["a"]?["b"]?[4]?.bool == true)
    #expect(value["a"]?["b"]?[5] == nil)
    #expect(value["c"] == nil)
    #expect(value.array == nil)
    #expect(value.object?.count == 1)
  }
}
