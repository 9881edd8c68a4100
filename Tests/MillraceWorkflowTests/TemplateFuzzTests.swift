import Testing

@testable import MillraceWorkflow

/// Templates by the thousand, from seeds: whatever is read either is refused with a place, or comes out as a definition that passes the check and means the
/// same, and the same again when it is read twice.
@Suite struct TemplateFuzzTests {
  private struct Author {
    var random: SeededRandom
    /// Parameters of each template.
    var declared: [[String]] = []

    mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
    mutating func chance(_ of: Int) -> Bool { pick(of) == 0 }

    mutating func expression(_ names: [String], _ tasks: [String]) -> String {
      var operands = ["run.id", "(1 == 2)", "[1, 'x']", "'}'"]
      if let name = chance(60) ? "zz" : names.randomElement(using: &random) { operands += ["params.\(name)", "params.\(name).a[0]"] }
      if let task = chance(60) ? "zz" : tasks.randomElement(using: &random) {
        operands += ["tasks[\"\(task)\"].output", "tasks.\(task).status"]
      }
      let (a, b) = (operands[pick(operands.count)], operands[pick(operands.count)])
      return ["\(a)", "\(a) ?? \(b)", "\(a) == \(b) or true", "not (\(a) != \(b))", "size \(a)"][pick(5)]
    }

    mutating func value(_ names: [String], _ tasks: [String]) -> String {
      let expression = expression(names, tasks).replacing("'", with: "''")
      switch pick(6) {
      case 0: return "\(pick(9))"
      case 1: return "'plain $$ $${x}'"
      case 2: return "['${\(expression)}', { k: '<${\(expression)}>' }]"
      case 3: return "'a ${\(expression)} $${b}'"
      default: return "'${\(expression)}'"
      }
    }

    mutating func tasks(_ names: [String], level: Int, indent: String) -> String {
      var text = ""
      var ids: [String] = []
      for number in 0..<(1 + pick(4)) {
        let id = chance(80) ? "t0" : chance(80) ? "t1.t0" : "t\(number)"
        let before = ids.filter { _ in chance(2) }
        text += "\(indent)- { id: \(id), dependencies: [\(before.joined(separator: ", "))]"
        if chance(4) { text += ", when: '${\(expression(names, before).replacing("'", with: "''"))}'" }
        if chance(16) { text += ", priority: '${params.\(names.first ?? "zz")}'" }
        if level > 0, chance(2) {
          let template = chance(50) ? level : pick(level)
          let given = (declared.indices.contains(template) ? declared[template] : []).filter { _ in !chance(40) }
          text += ", template: l\(template), with: { " + given.map { "\($0): \(value(names, before))" }.joined(separator: ", ") + " }"
        } else {
          text += ", handler: h, input: \(value(names, before))"
          if chance(4) { text += ", env: { A: '<${\(expression(names, before).replacing("'", with: "''"))}>' }" }
        }
        text += " }\n"
        ids.append(id)
      }
      return text
    }

    mutating func file() -> String {
      var text = "format: 1\nworkflow: w\nparameters: { p: { default: { a: [1] } }, q: { type: string, default: low } }\ntemplates:\n"
      let levels = 1 + pick(3)
      for level in 0..<levels {
        let names = (0..<pick(3)).map { "x\($0)" }
        text +=
          "  - template: l\(level)\n    parameters: { \(names.map { "\($0): \(chance(3) ? "{ default: $${d} }" : "{}")" }.joined(separator: ", ")) }\n"
        text += "    tasks:\n" + tasks(names, level: level, indent: "      ")
        declared.append(names)
      }
      return text + "tasks:\n" + tasks(["p", "q"], level: levels, indent: "  ")
    }
  }

  @Test("what comes out of templates passes the check, has the sources' meaning, and is the same each time")
  func grown() throws {
    var good = 0
    for seed in 0..<400 as Range<UInt64> {
      var author = Author(random: SeededRandom(seed: seed))
      let text = author.file()
      do throws(DefinitionError) {
        let definition = try DefinitionReader().read(Array(text.utf8), name: "w.yaml").definition
        good += 1
        #expect(definition.tasks.allSatisfy { !$0.handler.isEmpty }, "\(text)")
        do throws(DefinitionError) { try DefinitionChecker().check(definition) } catch { Issue.record("seed \(seed): \(error)\n\(text)") }
        let again = try DefinitionReader().read(Array(text.utf8), name: "w.yaml").definition
        #expect(definition == again)
        // A value may turn out not to be one, which is told; nothing traps.
        _ = try? definition.resolve()
      } catch {
        #expect(error.faults.allSatisfy { $0.line != nil }, "seed \(seed): \(error)\n\(text)")
      }
    }
    #expect(good > 80, "\(good)")
  }

  @Test("bytes changed at random in a file with templates are refused or read, never a trap")
  func changed() {
    for seed in 0..<40 as Range<UInt64> {
      var author = Author(random: SeededRandom(seed: seed))
      var bytes = Array(author.file().utf8)
      for _ in 0..<20 {
        for _ in 0..<(1 + author.pick(4)) {
          let place = author.pick(bytes.count)
          switch author.pick(3) {
          case 0: bytes[place] = UInt8(author.pick(256))
          case 1: bytes.remove(at: place)
          default: bytes.insert(Array("{}[]:,$'\" \n-&*".utf8)[author.pick(14)], at: place)
          }
          if bytes.isEmpty { bytes = [0x20] }
        }
        _ = try? DefinitionReader().read(bytes, name: "w.yaml")
      }
    }
  }
}
