import MillraceWorkflow
import Testing

@Suite struct DefinitionVersionTests {
  @Test(
    "a version policy that has no effect is warned of, and no other",
    arguments: [
      ("", "upgrade-at-step-boundary", "runs in memory"), ("durability: log", "upgrade-at-step-boundary", nil),
      ("", "drain", nil), ("durability: log", "drain", nil), ("", "pinned", nil),
      ("kind: saga\ndurability: log", "upgrade-at-step-boundary", "sagas"), ("kind: saga\ndurability: log", "drain", nil),
    ] as [(String, String, String?)])
  func warnings(more: String, policy: String, who: String?) throws {
    let isSaga = more.contains("saga")
    let text = """
      format: 1
      workflow: w
      \(more)
      version_policy: \(policy)
      \(isSaga ? "steps" : "tasks"):
        - { id: a, handler: h\(isSaga ? ", compensation: none" : "") }
      """
    let warnings = try DefinitionReader(handlers: ["h"]).read(Array(text.utf8), name: "w.yaml").warnings.map(\.description)
    #expect(warnings.count == (who == nil ? 0 : 1))
    if let who { #expect(warnings[0].contains("has no effect: \(who)")) }
  }
}
