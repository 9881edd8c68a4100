import Testing

@testable import MillraceWorkflow

/// Conditions of Argo by the thousand, from seeds.
@Suite struct ArgoConditionFuzzTests {
  private static let mark = "{{r}}"

  private struct Grower {
    var random: SeededRandom

    mutating func pick(_ words: [String]) -> String { words[Int.random(in: 0..<words.count, using: &random)] }

    mutating func condition(_ depth: Int = 0) -> String {
      switch Int.random(in: 0..<(depth > 4 ? 3 : 8), using: &random) {
      case 0:
        return "\(operand()) in (\(operand()), \(constant()))".replacing("in (\(ArgoConditionFuzzTests.mark)", with: "in (a")
          .replacing("in ('\(ArgoConditionFuzzTests.mark)'", with: "in ('a'")
      case 1, 2: return "\(operand()) \(pick(["==", "!=", "<", "<=", ">", ">="])) \(operand())"
      case 3: return "!(\(condition(depth + 1)))"
      case 4: return "(\(condition(depth + 1))) \(pick(["==", "!="])) \(pick(["true", "false"]))"
      case 5: return "\(condition(depth + 1)) || \(condition(depth + 1))"
      case 6: return "(\(condition(depth + 1)))"
      default: return "\(condition(depth + 1))&&\(condition(depth + 1))"
      }
    }

    mutating func constant() -> String {
      pick(["a", "heads", "1", "10", "-1", "1.5", "0.5", "true", "false", "'a'", "\"10\"", "'true'", "''"])
    }

    mutating func operand() -> String {
      Bool.random(using: &random) ? constant() : pick([ArgoConditionFuzzTests.mark, "'\(ArgoConditionFuzzTests.mark)'"])
    }
  }

  /// What a program said.
  private struct Said: ExpressionScope {
    let output: KeptBytes
    func value(ofRoot number: Int) throws(ExpressionError) -> RootValue { .json(output.bytes) }
  }

  private func read(_ text: String, _ value: ArgoValue? = nil) -> ArgoCondition? {
    var whole = ArgoText()
    for (index, piece) in text.split(separator: Self.mark, omittingEmptySubsequences: false).enumerated() {
      if index > 0, let value { whole.append(.value(value)) }
      whole.append(.text(String(piece)))
    }
    var parser = ArgoConditionParser(.when) { ArgoText(.unknown($0, reason: "is not there")) }
    do throws(ArgoRefusal) { return try parser.condition(whole) } catch { return nil }
  }

  /// nil: it has no value, or is more than an expression can hold.
  private func holds(_ condition: ArgoCondition, _ scope: Said) throws -> Bool? {
    guard condition.isWithinBounds else { return nil }
    let expression = try #require(try Template("${\(condition.text)}")?.whole)
    do throws(ExpressionError) {
      if case .bool(let flag) = try expression.value(in: scope) { return flag }
      return nil
    } catch {
      return nil
    }
  }

  /// Argo puts what was said in place and judges what it sees; here it is judged where it lies.
  @Test("what a condition becomes holds where it does with what was said put in place", arguments: 0..<4)
  func inPlace(seed: Int) throws {
    var grower = Grower(random: SeededRandom(seed: UInt64(seed)))
    var judged = [0, 0]
    for _ in 0..<400 {
      let text = grower.condition()
      for said in ["a", "heads", "1", "10", "1.5", "-1", "true", "false"] {
        let plain = try JSON(parsing: (try? JSON(parsing: said)) == nil ? JSON.quoted(said) : said)
        let output = JSON.object([.init("result", .string(said)), .init("value", plain)]).text()
        guard let wanted = read(text.replacing(Self.mark, with: said)) else { continue }
        #expect(wanted == .always || wanted == .never, "\(text)")
        let condition = try #require(read(text, .result(of: "r")), "\(text)")
        guard let found = try holds(condition, Said(output: KeptBytes(output.utf8))) else {
          #expect(!condition.isWithinBounds, "\(text), \(said): \(condition.text)")
          continue
        }
        judged[found ? 1 : 0] += 1
        #expect(found == (wanted == .always), "\(text), \(said): \(condition.text)")
      }
    }
    #expect(judged.allSatisfy { $0 > 300 }, "\(judged)")
  }

  @Test("any text is a condition within the bounds of an expression, or refused", arguments: 0..<4)
  func anyText(seed: Int) {
    var random = SeededRandom(seed: UInt64(100 + seed))
    let parts = [
      "a", "1", ".", "'", "\"", "(", ")", "!", "=", "==", "<", ">=", "&&", "||", "in", ",", "-", " ", "true", Self.mark, "~", "\\", "é",
      "\u{0}", "[", "]",
    ]
    var read = 0
    for _ in 0..<5_000 {
      let text = (0..<Int.random(in: 0..<14, using: &random)).map { _ in parts[Int.random(in: 0..<parts.count, using: &random)] }.joined()
      if let condition = self.read(text, .result(of: "r")) {
        read += 1
        #expect(condition.isWithinBounds, "\(text): \(condition.text)")
      }
      if let depends = ArgoDepends(text) { #expect(!depends.tasks.isEmpty) }
    }
    #expect(read > 30)
  }
}
