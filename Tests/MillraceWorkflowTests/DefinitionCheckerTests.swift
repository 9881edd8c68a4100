import MillraceWorkflow
import Testing

@Suite struct DefinitionCheckerTests {
  private func faults(_ definition: Definition, handlers: Set<String>? = nil) -> [String] {
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker(handlers: handlers).check(definition) }
    return error?.faults.map(\.description) ?? []
  }

  @Test("the builder gives references that later tasks depend on")
  func builder() throws {
    var census = Definition("census", result: "merge")
    let split = census.task("split", handler: "debian/split", input: ["chunks": 8])
    let parts = (0..<8).map { census.task("parse-\($0)", handler: "debian/parse", dependencies: [split], input: ["chunk": .integer($0)]) }
    census.task("merge", handler: "debian/merge", dependencies: parts, priority: .high, timeouts: Timeouts(startToClose: 1))
    #expect(try DefinitionChecker(handlers: ["debian/split", "debian/parse", "debian/merge"]).check(census) == [])
    #expect(census.tasks.count == 10)
    #expect(census.tasks[9].dependencies == (0..<8).map { "parse-\($0)" })
    #expect(census.tasks[9].policy == Policy(priority: .high, timeouts: Timeouts(startToClose: 1)))
    #expect(!census.tasks[0].isSpecial)
    #expect(census.tasks[0].policy == Policy())
  }

  @Test("a task's policy is a value: a changed copy leaves the other alone")
  func policyIsAValue() {
    let first = TaskDefinition("a", handler: "h", policy: Policy(priority: .high))
    var second = first
    #expect(first == second)
    second.policy.priority = .low
    #expect(first.policy.priority == .high)
    #expect(first != second)
    second.policy = first.policy
    #expect(first == second)
    #expect(first.hashValue == second.hashValue)
  }

  @Test("a task takes 88 bytes or less beside its texts")
  func layout() {
    #expect(MemoryLayout<TaskDefinition>.stride <= 88)
  }

  @Test("values that no file could hold are told with the task's id")
  func values() {
    var definition = Definition("w", parameters: [.init("day"), .init("day"), .init("a b")])
    definition.task("a b", handler: "h")
    definition.task("b", handler: "", input: ["x": "${params.dya}", "y": "${x}"])
    definition.task(
      "c", handler: "h", retry: RetryPolicy(attempts: 0, initial: 2, factor: .nan, cap: 1, nonRetryable: [""]),
      timeouts: Timeouts(heartbeat: 0),
      concurrencyKey: "", concurrencyLimit: 0, concurrencyWeight: 70_000, rate: RateLimit(key: "api", limit: 0, per: 0, burst: 0))
    definition.task("d", handler: "h", timeouts: Timeouts(startToClose: .max))
    #expect(
      faults(definition) == [
        "w: error: the parameter 'day' is declared twice\n  fix: remove one of them",
        "w: error: 'a b' is no name for a parameter\n  fix: use 1 to 128 of A-Z a-z 0-9 _ and -",
        "w: error: 'a b' is no id for task 1\n  fix: use 1 to 128 of A-Z a-z 0-9 . _ and -",
        "w: error: task 'b': '' is no name for a handler\n  fix: write 'plugin/handler', of A-Z a-z 0-9 . _ - and /",
        "w: error: task 'b': 'x' is nothing an expression can refer to\n  fix: write params.NAME, tasks.ID.output, tasks.ID.status or run.id; text stands in quotes",
        "w: error: the parameter 'dya' is not declared\n  fix: did you mean 'day'?",
        "w: error: task 'c': 'heartbeat' is 0 ns\n  fix: use 1 ns to ten years, or nil for no limit",
        "w: error: task 'c': 0 attempts\n  fix: use 1 to 1000000",
        "w: error: task 'c': the retry factor is nan\n  fix: use 1 to 1000",
        "w: error: task 'c': the retry cap is 1 ns, the first wait 2 ns\n  fix: use a cap from the first wait to ten years",
        "w: error: task 'c': the non-retryable error types are too many or too long\n  fix: use at most 64, each of 1 to 64 bytes",
        "w: error: task 'c': a key of 0 bytes\n  fix: use 1 to 256 bytes",
        "w: error: task 'c': the concurrency limit is 0\n  fix: use 1 to 1000000",
        "w: error: task 'c': the weight is 70000\n  fix: use 1 to 65535",
        "w: error: task 'c': 'limit' of the rate is 0\n  fix: use 1 to 1000000",
        "w: error: task 'c': 'burst' of the rate is 0\n  fix: use 1 to 1000000",
        "w: error: task 'c': 'per' of the rate is 0 ns\n  fix: use 1 ns to ten years",
        "w: error: task 'd': 'startToClose' is 18446744073709551615 ns\n  fix: use 1 ns to ten years, or nil for no limit",
      ])
  }

  @Test("names between tasks are checked without a file as well")
  func names() {
    let definition = Definition(
      "w", result: "z",
      tasks: [
        TaskDefinition("a", handler: "debian/spilt", dependencies: ["c"]),
        TaskDefinition("b", handler: "debian/split", dependencies: ["a", "a"]),
        TaskDefinition("c", handler: "debian/split", dependencies: ["b"]), TaskDefinition("a", handler: "debian/split"),
      ])
    #expect(
      faults(definition, handlers: ["debian/split"]) == [
        "w: error: task 'a' has the unknown handler 'debian/spilt'\n  fix: did you mean 'debian/split'?",
        "w: error: the id 'a' is used twice; first as task 1\n  fix: give one of the tasks another id",
        "w: error: task 'b' depends on 'a' twice\n  fix: remove one of them",
        "w: error: a cycle of 3 tasks, each waiting for the next: a -> c -> b -> a\n  fix: remove one of these dependencies, for example 'c' from 'a'",
        "w: error: the result 'z' is not a task\n  fix: name the task whose output is the result",
      ])
  }

  @Test("inputs beyond 16 MiB and beyond 64 levels are refused")
  func inputs() {
    var deep: JSON = 1
    for _ in 0..<65 { deep = [deep] }
    var definition = Definition("w")
    definition.task("large", handler: "h", input: .string(String(repeating: "x", count: Definition.maximumInputBytes)))
    definition.task("deep", handler: "h", input: deep)
    #expect(
      faults(definition) == [
        "w: error: task 'large': the input is larger than 16777216 bytes\n  fix: put it in a file and pass the file's name",
        "w: error: task 'deep': the input is nested more than 64 deep\n  fix: use fewer levels",
      ])
  }

  @Test("a chain of 20,000 tasks, and a ring of them, is checked by loops, not by recursion")
  func longChain() {
    var definition = Definition("w")
    var previous = definition.task("t0", handler: "h")
    for index in 1..<20_000 { previous = definition.task("t\(index)", handler: "h", dependencies: [previous]) }
    #expect(throws: Never.self) { try DefinitionChecker().check(definition) }
    definition.tasks[0].dependencies = [previous.id]
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(definition) }
    #expect(error?.faults.count == 1)
    #expect(error?.faults.first?.message.hasPrefix("a cycle of 20000 tasks, each waiting for the next: t0 -> t19999 -> t19998") == true)
    #expect(error?.faults.first?.message.hasSuffix(" -> (10000 more) -> t0") == true)
  }

  @Test("more tasks or dependencies than allowed are refused")
  func limits() {
    var definition = Definition("w")
    definition.tasks = Array(repeating: TaskDefinition("a", handler: "h"), count: Definition.maximumTasks + 1)
    #expect(
      faults(definition) == [
        "w: error: 1000001 tasks with 0 dependencies; at most 1000000 and 16000000 are allowed\n  fix: let one task do the work of several"
      ])
  }

  @Test("ten thousand tasks in a chain may each use the first one's output and that of the one before the one before it")
  func manyUses() throws {
    var chain = Definition("chain")
    var last = chain.task("t0", handler: "h")
    for i in 1..<10_000 {
      last = chain.task("t\(i)", handler: "h", dependencies: [last], input: ["${tasks.t0.output}", "${tasks.t\(max(i - 2, 0)).status}"])
    }
    #expect(throws: Never.self) { try DefinitionChecker().check(chain) }
    chain.task("other", handler: "h", input: "${tasks.t0.output}")
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(chain) }
    #expect(error?.faults.map(\.message) == ["task 'other' refers to 't0', which it does not depend on"])
  }
}
