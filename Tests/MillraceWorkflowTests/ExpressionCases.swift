@testable import MillraceWorkflow

/// What the expressions of these tests look into.
struct CaseScope: ExpressionScope {
  /// `params.NAME`, and `tasks.NAME.output` as JSON text.
  static let parameters: [String: String] = [
    "n": "3", "half": "0.5", "three": "3.0", "big": "9007199254740993", "max": "9223372036854775807", "min": "-9223372036854775808",
    "huge": "1e300", "beyond": "18446744073709551616", "text": #""plain""#, "escaped": #""a\"b\\c\nd\u00e9\ud83d\ude00""#, "empty": #""""#,
    "yes": "true", "no": "false", "nothing": "null", "list": "[1, 2.0, \"x\", null, [true, {\"k\": 1}]]", "none": "[]",
    "object":
      #"{"a": 1, "b c": {"d": [10, 20, 30]}, "\u0065": "e", "size": 4, "not": true, "null": null}"#, "a-b": "7",
  ]
  static let outputs: [String: String] = [
    "a": #"{"total": 12, "files": [{"path": "x"}, {"path": "y"}], "done": true, "note": null}"#, "broken": #"{"total": 12, "rest": }"#,
    "scalar": " 5 ", "trailing": "5 6", "skipped": "null", "a.b": "1", "0": "2",
  ]
  static let texts: [String: String] = ["text": "line \"one\"\nline two"]
  static let kept = (
    parameters.mapValues { KeptBytes($0.utf8) }, outputs.mapValues { KeptBytes($0.utf8) }, texts.mapValues { KeptBytes($0.utf8) }
  )
  static let completed = KeptBytes("COMPLETED".utf8)
  static let id = KeptBytes("0190".utf8)

  let roots: [Expression.Root]

  func value(ofRoot number: Int) throws(ExpressionError) -> RootValue {
    switch roots[number] {
    case .parameter(let name): if let kept = Self.kept.0[name] { return .json(kept.bytes) }
    case .output(let task):
      if let kept = Self.kept.1[task] { return .json(kept.bytes) }
      if let kept = Self.kept.2[task] { return .value(.text(kept.bytes)) }
    case .status: return .value(.text(Self.completed.bytes))
    case .runID: return .value(.text(Self.id.bytes))
    default: break
    }
    throw ExpressionError(kind: .missing, offset: 0, message: "it is not there", fix: "look for it")
  }
}

/// An expression, and what reads back as the same (nil: itself).
typealias Reading = (text: String, printed: String?)
/// An expression that is refused: at which character, from 1, and in which words.
typealias Refused = (text: String, at: Int, message: String)
/// An expression and its value as JSON text.
typealias Valued = (text: String, value: String)

enum ExpressionCases {
  static let readings: [Reading] = [
    ("null", nil), ("true", nil), ("false", nil), ("0", nil), ("-1", nil), ("12", nil), ("1.5", nil), ("-0.5", nil),
    ("1e3", "1000.0"), ("9223372036854775807", nil), ("-9223372036854775808", nil), ("9223372036854775808", "9.223372036854776e+18"),
    (#""text""#, nil), ("'text'", #""text""#), (#"'it\'s'"#, #""it's""#), (#""\u00e9""#, #""é""#), (#""\ud83d\ude00""#, #""😀""#),
    (#"'a"b'"#, #""a\"b""#), (#""\t\n\/\\""#, #""\t\n/\\""#), ("[]", nil), ("[1,2 , 'x']", #"[1,2,"x"]"#), ("[[1],[],null]", nil),
    ("params.n", nil), ("params.a-b", nil), ("params['n']", "params.n"), (#"params["a b"]"#, nil), ("params.n.x.y", nil),
    ("params.list[0]", nil), ("params.list[0][1]", nil), (#"params.object["b c"].d[2]"#, nil), ("params.object.size", nil),
    ("params.object.not.in.or", nil), ("tasks.a.output", nil), ("tasks.a.status", nil), (#"tasks["a.b"].output"#, nil),
    ("tasks.0.output", nil), ("tasks.a-1.output.total", nil), (#"tasks["-x"].output"#, nil), ("tasks.a['output']", "tasks.a.output"),
    ("run.id", nil), ("run.status", nil), ("run.workflow", nil), ("secrets.TOKEN", nil), ("  params.n\t\n", "params.n"),
    ("(params.n)", "params.n"), ("((1))", "1"), ("not true", nil), ("not not true", nil), ("not(true)", "not true"),
    ("size params.list", nil), ("size(params.list)", "size params.list"), ("size size params.list", nil), ("size (params.n ?? [])", nil),
    ("params.n == 3", nil), ("params.n==3", "params.n == 3"), ("1 != 2", nil), ("1<2", "1 < 2"), ("1<=2", "1 <= 2"), ("1>2", "1 > 2"),
    ("1>=2", "1 >= 2"), ("1 in [1]", nil), ("1 not in [1]", nil), ("not 1 in [1]", nil), ("not (1 in [1])", "not 1 in [1]"),
    ("true and false or true", nil), ("true or false and true", nil), ("(true or false) and true", nil),
    ("true and (false or true)", nil), ("(true and false) or true", "true and false or true"), ("true and (true and false)", nil),
    ("true or (true or false)", nil), ("(true or true) or false", "true or true or false"), ("params.n ?? 1", nil),
    ("params.n ?? params.m ?? 1", nil), ("params.n ?? (params.m ?? 1)", nil), ("params.n ?? 1 == 1", nil), ("params.n ?? (1 == 1)", nil),
    ("(params.n ?? 1) == 1", "params.n ?? 1 == 1"), ("(1 == 1) == true", nil), ("not 1 == 1", nil), ("(not true) == false", nil),
    ("size params.list == 5", nil), ("size (params.list == 5)", nil), ("not params.yes and params.no", nil), ("1 == 1 and 2 == 2", nil),
    ("not (true and false)", nil), ("size params.list ?? 3", nil), ("(size params.list) ?? 3", "size params.list ?? 3"),
  ]

  static let refusals: [Refused] = [
    ("", 1, "an expression is not closed"), ("   ", 4, "an expression is not closed"),
    ("1 +2", 3, "'+' is no operator: expressions do not calculate"),
    ("params.n - 1", 10, "'-' is no operator: expressions do not calculate"),
    ("1 * 2", 3, "'*' is no operator: expressions do not calculate"),
    ("a", 1, "'a' is nothing an expression can refer to"), ("parms.n", 1, "'parms' is nothing an expression can refer to"),
    ("text == 'x'", 1, "'text' is nothing an expression can refer to"), ("params", 7, "'params' needs the name of a parameter behind it"),
    ("params == 1", 7, "'params' needs the name of a parameter behind it"),
    ("params[0]", 7, "'params' needs the name of a parameter behind it"),
    ("params.", 7, "a path ends in '.'"), ("params..n", 8, "no name after '.', but '.'"), ("params.n.", 9, "a path ends in '.'"),
    ("params.n.-", 10, "no name after '.', but '-'"), ("tasks.a", 8, "'tasks.a' needs 'output' or 'status' behind it"),
    ("tasks.a.result", 8, "a task has no 'result'"), ("tasks.a.b.output", 8, "a task has no 'b'"),
    ("run", 4, "'run' needs 'id', 'status' or 'workflow' behind it"),
    ("run.name", 4, "a run has no 'name'"), ("params.n[", 9, "'[' is not closed"), ("params.n[]", 10, "no index after '[', but ']'"),
    ("params.n[-1]", 10, "no index after '[', but '-'"), ("params.n[x]", 10, "no index after '[', but 'x'"),
    ("params.n[1.5]", 10, "an index is a whole number up to 2147483647"),
    ("params.n[2147483648]", 10, "an index is a whole number up to 2147483647"), ("params.n[01]", 10, "'01' is no number"),
    ("params.n[0", 9, "'[' is not closed"),
    ("params.n['x", 10, "a text is not closed"), ("upper(params.n)", 1, "'upper(' is a call, and expressions have none"),
    ("params (x)", 1, "'params(' is a call, and expressions have none"),
    ("size", 5, "an expression is not closed"), ("not", 4, "an expression is not closed"), ("and true", 1, "'and' has nothing on its left"),
    ("or", 1, "'or' has nothing on its left"),
    ("in [1]", 1, "'in' has nothing on its left"), ("true and", 9, "an expression is not closed"),
    ("true and or false", 10, "'or' has nothing on its left"),
    ("1 = 2", 3, "'=' is no operator"), ("1 == ", 6, "an expression is not closed"), ("1 == == 2", 6, "'=' is no operator"),
    ("true && false", 6, "'&' is no operator"),
    ("true || false", 6, "'|' is no operator"), ("!true", 1, "'!' is no operator"), ("1 ? 2", 3, "'?' is no operator"),
    ("1 < 2 < 3", 7, "comparisons do not follow one another"),
    ("1 == 2 in [3]", 8, "comparisons do not follow one another"), ("1 == 2 not in [3]", 8, "comparisons do not follow one another"),
    ("(1", 1, "'(' is not closed"), ("((1)", 1, "'(' is not closed"),
    ("(1]", 3, "']' follows a value"), ("1)", 2, "')' follows a value"), ("()", 2, "expected a value, found ')'"),
    ("1 2", 3, "'2' follows a value"), ("params.n params.m", 10, "'p' follows a value"),
    ("true not false", 6, "'n' follows a value"), ("[1", 1, "'[' is not closed"), ("[1,]", 4, "expected a value, found ']'"),
    ("[1 2]", 4, "'2' follows a value"), ("[params.n]", 2, "'params' in a list"),
    ("{}", 1, "'{' in an expression: objects have no literal"), ("1 == {}", 6, "'{' in an expression: objects have no literal"),
    ("01", 1, "'01' is no number"), ("1.", 1, "'1.' is no number"),
    ("-", 1, "'-' is no number"), ("--1", 1, "'--1' is no number"), ("1e", 1, "'1e' is no number"), ("1e999", 1, "'1e999' is no number"),
    ("12abc", 1, "'12abc' is no number"), ("0x10", 1, "'0x10' is no number"),
    (#""abc"#, 1, "a text is not closed"), ("'abc", 1, "a text is not closed"), (#""a\x""#, 3, "an escape that is not known"),
    (#""\u12""#, 2, "an escape that is not known"),
    (#""\ud800""#, 2, "an escape that is not known"), ("\"a\tb\"", 3, "a control character in a text"),
    ("1 == ${params.n}", 6, "'${' inside an expression"), ("#", 1, "expected a value, found '#'"),
    ("1 == @", 6, "expected a value, found '@'"), ("params.é", 8, "no name after '.', but byte 0xc3"),
    ("'é' == ", 8, "an expression is not closed"), ("'é' é", 5, "byte 0xc3 follows a value"),
    (String(repeating: "(", count: 33) + "1" + String(repeating: ")", count: 33), 33, "an expression nested more than 32 deep"),
    (String(repeating: "not ", count: 33) + "true", 129, "an expression nested more than 32 deep"),
    (String(repeating: "[", count: 33) + String(repeating: "]", count: 33), 33, "an expression nested more than 32 deep"),
    (String(repeating: "1 or ", count: 128) + "1", 638, "an expression of more than 256 parts"),
    ("'" + String(repeating: "x", count: 4_095) + "'", 1, "an expression of more than 4096 bytes"),
    ("params.n" + String(repeating: " ", count: 4_089), 1, "an expression of more than 4096 bytes"),
  ]

  static let values: [Valued] = [
    ("null", "null"), ("true", "true"), ("1.50", "1.5"), ("'a\"b'", #""a\"b""#), ("[1,'x']", #"[1,"x"]"#), ("params.n", "3"),
    ("params.three", "3.0"),
    ("params.beyond", "18446744073709551616"), ("params.huge", "1e300"), ("params.escaped", #""a\"b\\c\nd\u00e9\ud83d\ude00""#),
    ("params.list[1]", "2.0"),
    ("params.list[4]", #"[true, {"k": 1}]"#), ("params.list[4][1].k", "1"), (#"params.object["b c"].d[2]"#, "30"),
    ("params.object.e", #""e""#), ("params.object.size", "4"),
    ("tasks.a.output.total", "12"), ("tasks.a.output.files[1].path", #""y""#), ("tasks.broken.output.total", "12"),
    ("tasks.scalar.output", "5"),
    ("tasks.text.output", #""line \"one\"\nline two""#), ("tasks.a.status", #""COMPLETED""#), ("run.id", #""0190""#),
    (#"tasks["a.b"].output"#, "1"), ("tasks.0.output", "2"), ("params.a-b", "7"),
    ("params.n == 3", "true"), ("params.n == 3.0", "true"), ("params.n == params.three", "true"), ("params.n != 4", "true"),
    ("params.n == '3'", "false"), ("null == null", "true"), ("null == false", "false"),
    ("0 == -0.0", "true"), ("true == true", "true"), ("true == 1", "false"), ("'' == null", "false"),
    ("params.big == 9007199254740992.0", "false"), ("params.big > 9007199254740992.0", "true"),
    ("9007199254740992.0 < params.big", "true"), ("params.max < 9223372036854775808", "true"),
    ("params.max == 9223372036854775807", "true"), ("params.min == -9223372036854775808.0", "true"),
    ("params.min > -1e300", "true"), ("params.max < params.huge", "true"), ("params.half < 1", "true"), ("1 > params.half", "true"),
    ("-1 < -0.5", "true"), ("-0.5 > -1", "true"), ("2 >= 2.5", "false"), ("2.5 >= 2", "true"),
    ("1 <= 1.0", "true"), ("'a' < 'b'", "true"), ("'a' < 'aa'", "true"), ("'' < 'a'", "true"), ("'Z' < 'a'", "true"), ("'z' < 'é'", "true"),
    ("'b' >= 'a'", "true"), ("'\\uffff' < '\\ud83d\\ude00'", "true"),
    ("params.escaped == 'a\"b\\\\c\\nd\\u00e9😀'", "true"), ("'e\\u0301' == '\\u00e9'", "false"),
    ("tasks.text.output == 'line \"one\"\\nline two'", "true"),
    ("params.list == [1, 2, 'x', null, [true]]", "false"), ("params.none == []", "true"), ("[1, [2]] == [1.0, [2.0]]", "true"),
    ("[1] == [1, 2]", "false"), ("[1, 2] == [1]", "false"), ("[] == [null]", "false"), ("[] == null", "false"),
    ("params.object == null", "false"), ("params.object != 1", "true"), ("true and false", "false"), ("true or false", "true"),
    ("false or false", "false"), ("not false", "true"), ("not not true", "true"),
    ("false and params.gone", "false"), ("true or params.gone", "true"), ("true or false and false", "true"),
    ("(true or false) and false", "false"), ("not 1 == 2", "true"), ("1 in [1, 2]", "true"), ("1.0 in [1, 2]", "true"),
    ("3 in [1, 2]", "false"), ("'x' in params.list", "true"), ("null in params.list", "true"), ("[true] in params.list", "false"),
    ("1 not in []", "true"), ("'ain' in params.text", "true"), ("'' in params.text", "true"),
    ("'' in ''", "true"), ("'x' in ''", "false"), ("'aab' in 'aaab'", "true"), ("'abab' in 'abaabab'", "true"),
    ("'plainer' in params.text", "false"), ("'\"b' in params.escaped", "true"), ("'a' in params.object", "true"),
    ("'e' in params.object", "true"), ("'z' in params.object", "false"), ("'z' not in params.object", "true"), ("size params.list", "5"),
    ("size params.none", "0"), ("size params.object", "6"), ("size params.escaped", "9"), ("size 'é'", "1"),
    ("size ''", "0"), ("size [1, [2, 3]]", "2"), ("size tasks.a.output.files > 1", "true"), ("params.gone ?? 1", "1"),
    ("params.n ?? 1", "3"), ("params.nothing ?? 1", "1"), ("params.object.x ?? 'd'", #""d""#),
    ("params.object.null ?? 'd'", #""d""#), ("params.object.null.x ?? 'd'", #""d""#), ("params.list[9] ?? -1", "-1"),
    ("params.gone ?? params.lost ?? 2", "2"), ("params.gone ?? null", "null"), ("(params.gone == 1) ?? false", "false"),
    ("params.no ?? true", "false"), ("params.gone ?? 3 == params.n", "true"), ("size (params.gone ?? [])", "0"),
    ("tasks.skipped.output ?? 0", "0"), ("tasks.skipped.output.total ?? 0", "0"), ("tasks.skipped.output", "null"),
  ]

  static let failures: [Refused] = [
    ("params.gone", 1, "it is not there"), ("params.n == params.gone", 13, "it is not there"),
    ("params.object.x", 14, "'params.object' has no member 'x'"),
    (#"params.object["b c"].d[3]"#, 23, #"'params.object["b c"].d' has no element 3"#),
    ("params.list[5]", 12, "'params.list' has no element 5"), ("params.none[0]", 12, "'params.none' has no element 0"),
    ("params.n.x", 9, "'params.n' is a number, which has no members"),
    ("params.text[0]", 12, "'params.text' is text, which has no elements"),
    ("params.list.x", 12, "'params.list' is a list, which has no members"),
    ("params.object[0]", 14, "'params.object' is an object, which has no elements"),
    ("params.nothing.x", 15, "'params.nothing' is null, which has no members"),
    ("params.yes.x", 11, "'params.yes' is true or false, which has no members"),
    ("tasks.text.output.x", 18, "'tasks.text.output' is text, which has no members"),
    ("tasks.a.output.files[0].name", 24, "'tasks.a.output.files[0]' has no member 'name'"),
    ("tasks.broken.output", 1, "'tasks.broken.output' is no JSON at byte 22"),
    ("tasks.broken.output.rest", 1, "'tasks.broken.output' is no JSON at byte 22"),
    ("tasks.trailing.output", 1, "'tasks.trailing.output' is no JSON at byte 2"),
    ("params.n.x ?? 1", 9, "'params.n' is a number, which has no members"), ("1 < 'x'", 3, "a number and text have no order"),
    ("null < 1", 6, "null and a number have no order"), ("[1] >= [1]", 5, "a list and a list have no order"),
    ("params.gone ?? null < 1", 21, "null and a number have no order"), ("true and 1", 6, "'and' needs true or false, not a number"),
    ("'x' and true", 5, "'and' needs true or false, not text"), ("null or true", 6, "'or' needs true or false, not null"),
    ("not params.n", 1, "'not' needs true or false, not a number"), ("not []", 1, "'not' needs true or false, not a list"),
    ("size 1", 1, "a number has no size"), ("true and size null", 10, "null has no size"),
    ("1 in 2", 3, "a number is not looked for in a number"), ("1 in 'x'", 3, "a number is not looked for in text"),
    ("1 in params.object", 3, "a number is not looked for in an object"), ("'x' in null", 5, "text is not looked for in null"),
    ("params.object == params.object", 15, "objects are not compared"),
    ("params.object in params.list[4]", 15, "objects are not compared"),
  ]
}
