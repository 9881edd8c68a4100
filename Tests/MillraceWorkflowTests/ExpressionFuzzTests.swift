import Testing

@testable import MillraceWorkflow

/// Expressions by the thousand, from seeds: grown by the grammar, and bytes changed at random.
@Suite struct ExpressionFuzzTests {
  /// Grows a text by the published grammar.
  private struct Grower {
    var random: SeededRandom
    var budget = 40

    mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    mutating func expression(_ depth: Int = 0) -> String {
      budget -= 1
      if depth > 6 || budget < 0 { return operand(depth) }
      switch pick(9) {
      case 0: return expression(depth + 1) + " or " + expression(depth + 1)
      case 1: return expression(depth + 1) + " and " + expression(depth + 1)
      case 2: return "not " + expression(depth + 1)
      case 3:
        return "(" + expression(depth + 1) + ") " + ["==", "!=", "<", "<=", ">", ">=", "in", "not in"][pick(8)] + " " + operand(depth)
      case 4: return operand(depth) + " ?? " + operand(depth)
      case 5: return "size " + operand(depth)
      default: return operand(depth)
      }
    }

    mutating func operand(_ depth: Int) -> String {
      switch pick(10) {
      case 0: return ["null", "true", "false"][pick(3)]
      case 1: return ["0", "-1", "12", "0.5", "1e9", "-3.25", "9007199254740993"][pick(7)]
      case 2: return ["'a'", "\"b\\n\"", "''", "'\\u00e9'", "\"it's\""][pick(5)]
      case 3: return ["[]", "[1, 2]", "['x', [null]]", "[true]"][pick(4)]
      case 4 where depth < 6 && budget > 0: return "(" + expression(depth + 1) + ")"
      default: return path()
      }
    }

    mutating func path() -> String {
      let roots = [
        "params.n", "params.object", "params.list", "params.gone", "tasks.a.output", "tasks.broken.output", "tasks.a.status", "run.id",
      ]
      var path = roots[pick(8)]
      for _ in 0..<pick(3) { path += [".a", "[0]", "[\"b c\"]", ".d", "[2]", ".files", ".size"][pick(7)] }
      return path
    }
  }

  /// The value, or why there is none: never a trap.
  private func evaluate(_ expression: Expression) -> String {
    do throws(ExpressionError) {
      var writer = ExpressionWriter(limit: 1 << 20)
      try writer.json(try expression.value(in: CaseScope(roots: expression.roots)))
      return String(decoding: writer.bytes, as: UTF8.self)
    } catch {
      return "error: \(error.message)"
    }
  }

  private func check(_ expression: Expression) throws {
    let printed = expression.text
    let again = try ExpressionParser.parse(printed, maximumBytes: .max)
    #expect(again == expression, "\(printed)")
    #expect(again.text == printed)
    // Places in messages are not part of the meaning, but the words are.
    #expect(evaluate(again) == evaluate(expression), "\(printed)")
  }

  @Test("ten thousand expressions of the grammar are read, printed, read again as the same, and evaluated", arguments: 0..<4)
  func grammar(seed: Int) throws {
    var grower = Grower(random: SeededRandom(seed: UInt64(seed)))
    var read = 0
    for _ in 0..<2_500 {
      grower.budget = 40
      let text = grower.expression()
      do throws(ExpressionError) {
        let expression = try ExpressionParser.parse(text)
        read += 1
        do { try check(expression) } catch { Issue.record("\(text): \(error)") }
      } catch {
        // `a == b == c` grows as well.
        #expect(error.message.contains("comparisons do not follow") || error.kind == .limit, "\(text): \(error.message)")
      }
    }
    #expect(read > 2_000)
  }

  @Test("forty thousand texts with changed bytes are read or refused within their bounds, and never trap", arguments: 0..<4)
  func bytes(seed: Int) throws {
    var grower = Grower(random: SeededRandom(seed: UInt64(1_000 + seed)))
    let alphabet = Array("()[]{}.'\"\\$?=!<>-+0eE9 \u{0}\n\u{7f}nota".utf8) + [0x80, 0xC3, 0xA9, 0xF0, 0xFF]
    for _ in 0..<10_000 {
      grower.budget = 12
      var bytes = Array(grower.expression().utf8)
      for _ in 0...grower.pick(4) {
        let at = grower.pick(bytes.count + 1)
        switch grower.pick(3) {
        case 0: bytes.insert(alphabet[grower.pick(alphabet.count)], at: at)
        case 1 where at < bytes.count: bytes.remove(at: at)
        default: if at < bytes.count { bytes[at] = alphabet[grower.pick(alphabet.count)] }
        }
      }
      let kept = KeptBytes(bytes)
      do throws(ExpressionError) {
        let expression = try ExpressionParser.parse(kept.bytes)
        #expect(expression.nodes.count <= Expression.maximumNodes)
        do { try check(expression) } catch { Issue.record("\(String(decoding: bytes, as: UTF8.self)): \(error)") }
      } catch {
        #expect(0...bytes.count ~= error.offset)
      }
      do throws(ExpressionError) {
        if let template = try Template("x${" + String(decoding: bytes, as: UTF8.self) + "}") { #expect(!template.parts.isEmpty) }
      } catch {
        #expect(error.offset >= 0)
      }
    }
  }

  @Test("outputs with changed bytes give a value that is JSON, or an error", arguments: 0..<4)
  func outputs(seed: Int) throws {
    struct Output: ExpressionScope {
      let kept: KeptBytes
      func value(ofRoot number: Int) throws(ExpressionError) -> RootValue { .json(kept.bytes) }
    }
    let paths = try ["", ".a", "[1]", ".a.b[0]", "[0][0]", ".a ?? 1"].map { try ExpressionParser.parse("tasks.x.output" + $0) }
    let questions = try [
      "size tasks.x.output", "tasks.x.output == [1]", "1 in tasks.x.output", "'a' in tasks.x.output", "'a' < tasks.x.output",
    ]
    .map { try ExpressionParser.parse($0) }
    let documents = [
      #"{"a": {"b": [1, 2.5e3, "x\n\u00e9"]}, "c": null}"#, #"[1, [true, "é"], {"a": -0.5}]"#, #""text with \ud83d\ude00""#, "12",
    ]
    var random = SeededRandom(seed: UInt64(seed))
    let alphabet = Array("{}[]\",:\\u0d8e.-+ \n".utf8) + [0x80, 0xC3, 0xED, 0xFF, 0x00]
    var values = 0
    for round in 0..<5_000 {
      var bytes = Array(documents[round % documents.count].utf8)
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        if Bool.random(using: &random) {
          bytes[at] = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        } else {
          bytes.remove(at: at)
        }
        if bytes.isEmpty { bytes = [0x20] }
      }
      let scope = Output(kept: KeptBytes(bytes))
      for expression in paths + questions {
        do throws(ExpressionError) {
          var writer = ExpressionWriter(limit: 1 << 20)
          try writer.json(try expression.value(in: scope))
          values += 1
          // Members that occur twice are the one thing that is not looked for.
          do throws(JSONSyntaxError) { _ = try JSON(parsing: writer.bytes) } catch {
            #expect(error.message.contains("occurs twice"), "\(String(decoding: writer.bytes, as: UTF8.self)): \(error.message)")
          }
        } catch {
          #expect(!error.message.isEmpty)
        }
      }
    }
    #expect(values > 1_000)
  }
}
