import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

/// One thread and a virtual clock.
@Suite struct RunForeachTests {
  private func start(_ world: SteppedWorld, _ definition: Definition, _ parameters: [String: JSON] = [:]) throws -> WorkflowRun {
    try DefinitionChecker().check(definition)
    return try world.start(definition.resolve(parameters: parameters))
  }

  private func run(_ world: SteppedWorld, _ definition: Definition, _ parameters: [String: JSON] = [:]) throws -> WorkflowRun {
    let run = try start(world, definition, parameters)
    world.drain()
    while run.status == .running, world.passToNextTimer() != nil {}
    return run
  }

  private func task(_ run: WorkflowRun, _ id: String) throws -> TaskRecord {
    try #require(run.record(slots: 1, threads: 1).tasks.first { $0.id == id })
  }

  /// Accounts of the run, and of its records: each task and each item is in one of the four.
  private func isAccounted(_ run: WorkflowRun) -> Bool {
    let record = run.record(slots: 1, threads: 1)
    var counts: [TaskStatus: Int] = [:]
    for task in record.tasks {
      counts[task.status, default: 0] += 1
      for (status, count) in task.items?.unlistedStatuses ?? [:] { counts[status, default: 0] += count }
    }
    let failed = counts[.failed, default: 0] + counts[.timedOut, default: 0]
    return run.accounts == [counts[.completed, default: 0], failed, counts[.skipped, default: 0], counts[.cancelled, default: 0]]
      && run.accounts.reduce(0, +) == record.taskCount && run.progress().tasks == record.taskCount && run.progress().running == 0
  }

  // MARK: Lists

  @Test(
    "the items come from a literal list, an expression or a range, and the output is the list of what they give",
    arguments: [
      (Foreach.list(["a", "b"]), #"[["a",0],["b",1]]"#),
      (.list([]), "[]"),
      (.list([7]), "[[7,0]]"),
      (.list([["n": [1, [2, 3]]], [], "", nil, 1.5]), #"[[{"n":[1,[2,3]]},0],[[],1],["",2],[null,3],[1.5,4]]"#),
      (.list(["${params.last}", "x${params.last}"]), #"[[2,0],["x2",1]]"#),
      (.list("${params.list}"), #"[[{"k":"é\n"},0],[2,1],[[3],2]]"#),
      (.list("${tasks.first.output.files}"), #"[["p",0],["q",1]]"#),
      (.range(from: 0, to: 2), "[[0,0],[1,1],[2,2]]"),
      (.range(from: 5, to: "${params.last}", step: -2), "[[5,0],[3,1]]"),
      (.range(from: 1, to: 0), "[]"),
      (.range(from: .integer(.max), to: .integer(.max)), "[[9223372036854775807,0]]"),
    ])
  func lists(foreach: Foreach, expected: String) throws {
    let world = try RunExpressionTests.world()
    var workflow = Definition("w", parameters: [.init("last", fallback: 2), .init("list", fallback: [["k": "é\n"], 2, [3]])])
    let first = workflow.task("first", handler: "json", input: ["files": ["p", "q"]])
    let each = workflow.task("each", handler: "json", dependencies: [first], input: ["${item}", "${index}"], foreach: foreach)
    workflow.task("all", handler: "show", dependencies: [each], input: "${size tasks.each.output}")
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    #expect(run.text("each") == expected)
    let count = try JSON(parsing: expected).array?.count ?? -1
    #expect(run.text("all") == "\(count)|\(expected)")
    #expect(run.accounts == [3 + count, 0, 0, 0])
    #expect(isAccounted(run))
  }

  @Test("items have the task's inputs, keys of their own, and what the task says of env, and are read one by one")
  func items() throws {
    let world = try RunExpressionTests.world()
    let seen = Left<[String]>([])
    world.handler("look") { call in
      seen.value.append(
        "\(call.task) \(call.key.split(separator: "/")[1]) \(call.inputCount) \(call.input(0)) \(call.input(1)) \(call.variable("WHO") ?? "-")"
      )
      return call.done(#"{"sum":\#(call.input(0))}"#, MILLRACE_JSON)
    }
    var workflow = Definition("w")
    let first = workflow.task("first", handler: "json", input: ["of", "first"])
    let each = workflow.task(
      "each", handler: "look", dependencies: [first], input: "${item}", foreach: .range(from: 10, to: 12),
      environment: ["WHO": "n${index} of ${size tasks.first.output}"])
    workflow.task(
      "last", handler: "json", dependencies: [each],
      input: [
        "second": "${tasks.each.output[1].sum}", "none": "${tasks.each.output[3].sum ?? 'none'}", "count": "${size tasks.each.output}",
      ])
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    #expect(
      seen.value == (0..<3).map { #"each[\#($0)] each[\#($0)] 2 \#(10 + $0) ["of","first"] n\#($0) of 2"# })
    #expect(run.text("last") == #"{"second":11,"none":"none","count":3}"#)
    #expect(run.text("each[2]") == #"{"sum":12}"#)
    for wrong in ["each[3]", "each[-1]", "each[]", "each[x]", "first[0]", "none[0]", "each[0"] {
      #expect(run.text(wrong) == nil, "\(wrong)")
    }
    let each0 = try task(run, "each[0]")
    #expect(each0.attempts.count == 1 && each0.status == .completed && each0.handler == "look" && each0.ready != nil)
    let parent = try task(run, "each")
    #expect(parent.items?.count == 3 && parent.items?.listed.count == 3 && parent.items?.statuses == [.completed: 3])
    #expect(parent.dependencies == [0, 3, 4, 5])
  }

  @Test("what is no list, has no value or is too long fails the task, and says so; nothing is begun")
  func noLists() throws {
    let world = try RunExpressionTests.world()
    world.handler("none") { _ in fatalError("no item begins") }
    let faults: [(Foreach, String)] = [
      (.list("${params.text}"), "expression: ${params.text}: 'foreach' needs a list, not text"),
      (
        .list("${tasks.first.output.files}"),
        "expression: ${tasks.first.output.files}: 'tasks.first.output' is a list, which has no members"
      ),
      (.list("${tasks.bytes.output}"), "expression: ${tasks.bytes.output}: the output of task 'bytes' is neither JSON nor text"),
      (.range(from: 0, to: "${params.text}"), "expression: ${params.text}: 'to' needs a whole number, and this is none"),
      (.range(from: 0, to: 3, step: "${params.zero}"), "expression: 'step' is 0"),
      (.range(from: 1, to: "${params.million}"), "too-many-items: the list has 1000001 items: at most 1000000 are allowed"),
      (.range(from: .integer(.min), to: "${params.million}"), "too-many-items: the list has 9223372036855775810 items"),
    ]
    for (foreach, message) in faults {
      var workflow = Definition(
        "w",
        parameters: [.init("text", fallback: "t"), .init("zero", fallback: 0), .init("million", fallback: 1_000_001)], onFailure: .continue)
      let first = workflow.task("first", handler: "json", input: [1])
      let bytes = workflow.task("bytes", handler: "bytes")
      let each = workflow.task("each", handler: "none", dependencies: [first, bytes], foreach: foreach)
      workflow.task("after", handler: "json", dependencies: [each])
      let run = try run(world, workflow)
      #expect(run.status == .failed)
      let attempt = try #require(try task(run, "each").attempts.last)
      #expect("\(attempt.errorType): \(attempt.message)".hasPrefix(message), "\(attempt)")
      #expect(run.accounts == [2, 1, 1, 0])
      #expect(world.host.activeRuns.isEmpty)
    }
  }

  @Test("a list of one more than a million elements fails with the count")
  func tooMany() throws {
    let world = try RunExpressionTests.world()
    world.handler("list") { call in call.done("[" + String(repeating: "1,", count: 1_000_000) + "1]", MILLRACE_JSON) }
    var workflow = Definition("w")
    let list = workflow.task("list", handler: "list")
    workflow.task("each", handler: "json", dependencies: [list], foreach: .list("${tasks.list.output}"))
    let run = try run(world, workflow)
    #expect(try task(run, "each").attempts.last?.message == "the list has 1000001 items: at most 1000000 are allowed")
  }

  // MARK: Conditions

  @Test("a condition that names no item is asked once, before there is a list; one that does is asked for each, and gives null")
  func conditions() throws {
    let world = try RunExpressionTests.world()
    var workflow = Definition("w", parameters: [.init("on", fallback: false)])
    let off = workflow.task("off", handler: "json", when: "${params.on}", foreach: .list("${params.on.no.list}"))
    let some = workflow.task("some", handler: "json", input: "${item}", when: "${item != 2 and index < 3}", foreach: .range(from: 1, to: 5))
    workflow.task("last", handler: "show", dependencies: [off, some], input: "${tasks.some.output[1] ?? 'skipped'}")
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    #expect(run.text("last") == #""skipped"|null|[1,null,3,null,null]"#)
    #expect(run.accounts == [4, 0, 4, 0])
    #expect(isAccounted(run))
    #expect(try task(run, "some[1]").status == .skipped)
  }

  // MARK: Failures

  @Test("an item that fails stops the others, fails its task, and the run with it")
  func failFast() throws {
    let world = try RunExpressionTests.world()
    let begun = Left(0)
    world.handler("third") { call in
      begun.value += 1
      return call.input(0) == "3" ? call.end(MILLRACE_FAILED, "odd") : call.done("1", MILLRACE_JSON)
    }
    var workflow = Definition("w")
    let each = workflow.task("each", handler: "third", input: "${item}", foreach: .range(from: 1, to: 2000), parallelism: 4)
    workflow.task("after", handler: "json", dependencies: [each])
    workflow.cleanup("tell", handler: "json", input: ["${tasks.each.status}", "${tasks.each.output ?? 'none'}"])
    let run = try run(world, workflow)
    #expect(run.status == .failed)
    #expect(begun.value == 3)
    let attempt = try #require(try task(run, "each").attempts.last)
    #expect(attempt.errorType == "items-failed")
    #expect(attempt.message == "1 of 2000 items failed; the first was each[2]: odd: ")
    #expect(run.text("tell") == #"["FAILED","none"]"#)
    #expect(run.accounts == [3, 2, 1, 1997])
    #expect(isAccounted(run))
  }

  @Test("with on_failure: continue the other items end, and the task says how many failed")
  func goOn() throws {
    let world = try RunExpressionTests.world()
    world.handler("odd") { call in
      call.input(0).last == "1" ? call.end(MILLRACE_FAILED, "one") : call.done("1", MILLRACE_JSON)
    }
    var workflow = Definition("w", onFailure: .continue)
    let each = workflow.task("each", handler: "odd", input: "${item}", foreach: .range(from: 1, to: 1500))
    workflow.task("after", handler: "json", dependencies: [each])
    workflow.task("beside", handler: "json")
    let run = try run(world, workflow)
    #expect(run.status == .failed)
    let parent = try task(run, "each")
    #expect(parent.attempts.last?.message == "150 of 1500 items failed; the first was each[0]: one: ")
    #expect(run.accounts == [1351, 151, 1, 0])
    #expect(parent.items?.statuses == [.completed: 1350, .failed: 150])
    #expect(parent.items?.attempts == 1500)
    // More than a thousand: the first that failed have records, and none that took no time.
    #expect(parent.items?.listed.count == ItemsRecord.listedOfMany)
    #expect(isAccounted(run))
  }

  @Test("each item has its own attempts and waits, and a place that waits holds up no other")
  func retries() throws {
    let world = try RunExpressionTests.world()
    world.handler("flaky") { call in call.number < 3 && call.input(0) != "1" ? call.retry() : call.done("\(call.number)", MILLRACE_JSON) }
    var workflow = Definition("w")
    workflow.task(
      "each", handler: "flaky", input: "${item}", foreach: .range(from: 0, to: 3), retry: RetryPolicy(attempts: 3, initial: 1_000_000))
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    #expect(run.text("each") == "[3,1,3,3]")
    #expect(run.progress().attempts == 1 + 10)
    let waits = try [0, 2, 3].map { try task(run, "each[\($0)]").attempts.map(\.start) }
    #expect(Set(waits).count == 3)
    #expect(try task(run, "each[2]").attempts.map(\.status) == [.failed, .failed, .completed])
    #expect(world.timers.count == 0)
    // The same seed, the same waits.
    let again = try self.run(
      try RunExpressionTests.world(with: {
        $0.handler("flaky") { call in call.number < 3 && call.input(0) != "1" ? call.retry() : call.done("\(call.number)", MILLRACE_JSON) }
      }), workflow)
    #expect(try task(again, "each[3]").attempts.map(\.start) == waits[2])
  }

  @Test("parallelism bounds the items in progress, those that wait for their next attempt among them")
  func parallelism() throws {
    for bound in [1, 3] {
      let world = try RunExpressionTests.world()
      let held = Left<[HeldAttempt]>([])
      world.handler("hold") { call in
        held.value.append(call.hold())
        return call.end(MILLRACE_PENDING)
      }
      var workflow = Definition("w")
      workflow.task("each", handler: "hold", foreach: .range(from: 0, to: 9), parallelism: bound)
      let run = try start(world, workflow)
      var ended = 0
      while run.status == .running {
        world.drain()
        #expect(held.value.count == min(bound, 10 - ended))
        #expect(run.progress().running == 1 + held.value.count)
        #expect(run.runningTasks().sorted() == ["each"] + held.value.indices.map { "each[\(ended + $0)]" })
        guard !held.value.isEmpty else { break }
        #expect(world.complete(held.value.removeFirst().token, MILLRACE_DONE))
        ended += 1
        world.drain()
      }
      #expect(run.status == .completed && ended == 10)
    }
  }

  @Test("with one slot nothing waits for ever: the task holds none while its items run")
  func oneSlot() throws {
    let world = try SteppedWorld(slots: 1)
    world.handler("json") { call in call.done(call.input(0), MILLRACE_JSON) }
    var workflow = Definition("w")
    for i in 0..<3 { workflow.task("each-\(i)", handler: "json", input: "${item}", foreach: .range(from: 0, to: 99)) }
    let run = try run(world, workflow)
    #expect(run.status == .completed && run.accounts == [303, 0, 0, 0])
  }

  @Test("an engine with little room has fewer items at once, and ends them all")
  func littleRoom() throws {
    let world = try SteppedWorld(slots: 4, capacity: 140)
    world.handler("json") { call in call.done(call.input(0), MILLRACE_JSON) }
    var workflow = Definition("w")
    workflow.task("each", handler: "json", input: "${item}", foreach: .range(from: 1, to: 500))
    let run = try run(world, workflow)
    #expect(run.status == .completed && run.accounts == [501, 0, 0, 0])
  }

  @Test("an engine without room for a single item fails the task, and says so")
  func noRoom() throws {
    let world = try SteppedWorld(slots: 1, capacity: 1)
    world.handler("json") { call in call.done(call.input(0), MILLRACE_JSON) }
    var workflow = Definition("w")
    workflow.task("each", handler: "json", foreach: .range(from: 1, to: 9))
    let run = try run(world, workflow)
    let attempt = try #require(try task(run, "each").attempts.last)
    #expect(attempt.errorType == "no-room" && attempt.message.hasPrefix("the items do not start: the engine holds its limit of 1 jobs"))
    #expect(run.status == .failed && run.accounts == [0, 1, 0, 0] && isAccounted(run))
  }

  // MARK: Timeouts

  @Test("start-to-close ends an item, not its task, and its next attempt has the same input")
  func startToClose() throws {
    let world = try RunExpressionTests.world()
    world.handler("hang") { call in
      if call.input(0) == "1", call.number == 1 { return call.hold().token == 0 ? 0 : call.end(MILLRACE_PENDING) }
      return call.done(call.input(0), MILLRACE_JSON)
    }
    var workflow = Definition("w")
    workflow.task(
      "each", handler: "hang", input: "${item}", foreach: .range(from: 0, to: 2), retry: RetryPolicy(attempts: 2, initial: 1_000),
      timeouts: Timeouts(startToClose: 5_000_000_000))
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    #expect(run.text("each") == "[0,1,2]")
    #expect(try task(run, "each[1]").attempts.map(\.status) == [.timedOut, .completed])
    #expect(world.timers.count == 0)
  }

  @Test("schedule-to-close of an item counts from its turn, in a wait for its next attempt too; the place goes on with the next item")
  func scheduleToClose() throws {
    let world = try RunExpressionTests.world()
    world.handler("again") { call in call.input(0) == "0" ? call.retry(after: 60_000_000_000) : call.done(call.input(0), MILLRACE_JSON) }
    world.handler("never") { call in
      _ = call.token()
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w", onFailure: .continue)
    workflow.task(
      "waits", handler: "again", input: "${item}", foreach: .range(from: 0, to: 2), parallelism: 1,
      retry: RetryPolicy(attempts: 3, initial: 1_000),
      timeouts: Timeouts(scheduleToClose: 70_000_000_000))
    workflow.task(
      "hangs", handler: "never", foreach: .range(from: 0, to: 2), parallelism: 1, timeouts: Timeouts(scheduleToClose: 1_000_000_000))
    let run = try run(world, workflow)
    #expect(run.status == .failed)
    #expect(try task(run, "waits[0]").status == .failed || task(run, "waits[0]").status == .timedOut)
    #expect(try task(run, "waits[1]").status == .completed && task(run, "waits[2]").status == .completed)
    #expect(try (0..<3).map { try task(run, "hangs[\($0)]").attempts.last?.end } == [1_000_000_000, 2_000_000_000, 3_000_000_000])
    #expect(
      try task(run, "hangs").attempts.last?.message.hasPrefix("3 of 3 items failed; the first was hangs[0]: schedule-to-close") == true)
    #expect(isAccounted(run))
    #expect(world.timers.count == 0)
  }

  @Test("late code of an item reads its own input while its place works on others, and is counted out by itself")
  func lateCode() throws {
    let world = try SteppedWorld(slots: 8)
    let left = Left<[String]>([])
    // The blocking pool: the handler of item 0 is inside while the items after it run.
    let isInside = Left(false)
    world.handler("late", flags: MILLRACE_BLOCKING) { [unowned world] call in
      if call.input(0) == "\"0\"", !isInside.value {
        isInside.value = true
        world.clock.move(by: 2_000_000_000)
        world.turn()
        world.drain()
        while !world.pool.isEmpty { world.runBlocking(thread: 1) }
        left.value.append("late \(call.task) \(call.input(0)) \(call.isCancelled)")
        return call.done("late")
      }
      left.value.append("\(call.task) \(call.input(0)) \(call.isCancelled)")
      return call.done(call.input(0), MILLRACE_JSON)
    }
    var workflow = Definition("w", parameters: [.init("none", fallback: "")], onFailure: .continue)
    workflow.task(
      "each", handler: "late", input: "${index}${params.none}", foreach: .range(from: 0, to: 3), parallelism: 1,
      timeouts: Timeouts(startToClose: 1_000_000_000))
    let run = try start(world, workflow)
    world.drain()
    while !world.pool.isEmpty { world.runBlocking() }
    world.drain()
    #expect(left.value == ["each[1] \"1\" false", "each[2] \"2\" false", "each[3] \"3\" false", "late each[0] \"0\" true"])
    #expect(run.status == .failed)
    #expect(run.accounts == [3, 2, 0, 0])
    #expect(isAccounted(run))
    #expect(world.timers.count == 0)
  }

  // MARK: Stopping

  @Test("cancelling a run stops the items that run, and starts none of the others", arguments: [0, 1, 2, 5, 9])
  func cancel(steps: Int) throws {
    let world = try RunExpressionTests.world()
    let held = Left<[HeldAttempt]>([])
    world.handler("hold") { call in
      if call.input(0) != "2" { return call.done("1", MILLRACE_JSON) }
      held.value.append(call.hold())
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w")
    workflow.task("each", handler: "hold", input: "${item}", foreach: .range(from: 0, to: 5000), parallelism: 3)
    workflow.cleanup("tell", handler: "json", input: "${tasks.each.status}")
    let run = try start(world, workflow)
    for _ in 0..<steps { world.step() }
    run.cancel()
    world.drain()
    #expect(run.status == .cancelled)
    #expect(run.text("tell") == #""CANCELLED""#)
    #expect(isAccounted(run))
    for attempt in held.value { #expect(!world.complete(attempt.token, MILLRACE_DONE)) }
    #expect(world.host.abandonedAttempts == 0)
  }

  @Test("an engine that ends while items run leaves no task and no item without an end", arguments: [0, 1, 2, 3, 6])
  func abandoned(steps: Int) throws {
    let world = try RunExpressionTests.world()
    let held = Left<[HeldAttempt]>([])
    world.handler("hold") { call in
      held.value.append(call.hold())
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w")
    let each = workflow.task("each", handler: "hold", input: "${item}", foreach: .range(from: 0, to: 5000))
    workflow.task("after", handler: "json", dependencies: [each])
    let run = try start(world, workflow)
    for _ in 0..<steps { world.step() }
    world.host.endRuns()
    #expect(run.status == .cancelled)
    #expect(isAccounted(run))
    #expect(world.host.activeRuns.isEmpty)
    // Their holders may still ask.
    for (index, attempt) in held.value.enumerated() { #expect(attempt.isCancelled && attempt.input(0) == "\(index)") }
  }

  @Test("the holder of a token of an item that is over reads that item's input until it completes it")
  func abandonedToken() throws {
    let world = try RunExpressionTests.world()
    let held = Left<[HeldAttempt]>([])
    world.handler("hold") { call in
      if call.input(0) != "0" { return call.done("1", MILLRACE_JSON) }
      held.value.append(call.hold())
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w", onFailure: .continue)
    workflow.task(
      "each", handler: "hold", input: "${item}", foreach: .range(from: 0, to: 4), parallelism: 1,
      timeouts: Timeouts(startToClose: 1_000_000_000))
    weak var kept: WorkflowRun?
    do {
      let run = try run(world, workflow)
      kept = run
      #expect(run.accounts == [4, 2, 0, 0])
    }
    #expect(kept != nil && world.host.abandonedAttempts == 1)
    #expect(held.value[0].input(0) == "0")
    #expect(!world.complete(held.value[0].token, MILLRACE_DONE))
    #expect(kept == nil && world.host.abandonedAttempts == 0)
  }

  // MARK: Outputs

  @Test("a list of outputs that is too long is told to whoever wants it whole, and read one by one")
  func tooLong() throws {
    let world = try RunExpressionTests.world()
    world.handler("big") { call in call.done("\"" + String(repeating: "x", count: 9 << 20) + "\"", MILLRACE_JSON) }
    world.handler("count") { call in call.done("\(call.inputCount) \(call.input(1).utf8.count)") }
    var workflow = Definition("w", onFailure: .continue)
    let each = workflow.task("each", handler: "big", foreach: .range(from: 0, to: 1))
    workflow.task("one", handler: "json", dependencies: [each], input: "${size tasks.each.output[1]}")
    workflow.task("expression", handler: "json", dependencies: [each], input: "${tasks.each.output}")
    workflow.task("input", handler: "count", dependencies: [each])
    let run = try run(world, workflow)
    #expect(run.text("one") == "\(9 << 20)")
    let message =
      "the outputs of the 2 items of 'each' have more than 16777216 bytes as one list: use them one by one, as tasks.each.output[0]"
    #expect(try task(run, "expression").attempts.last?.message.contains(message) == true)
    let input = try #require(try task(run, "input").attempts.last)
    #expect(input.errorType == "too-large" && input.message.hasPrefix(message))
    #expect(run.text("each") == nil && run.outputProblem(of: "each")?.hasPrefix(message) == true)
    #expect(run.text("each[1]")?.utf8.count == (9 << 20) + 2)
  }

  @Test("the extension gives the items of an input one by one, where they lie")
  func extensionOfTheHost() throws {
    let world = try RunExpressionTests.world()
    world.handler("read") { call in
      guard let found = unsafe call.host.pointee.extension(call.host, MILLRACE_ITEMS) else { return call.end(MILLRACE_FAILED, "none") }
      // unsafe: the id names this struct.
      let items = unsafe found.assumingMemoryBound(to: millrace_items.self).pointee
      var lines = (UInt32(0)..<4).map { index in unsafe "\(items.count(call.attempt, index))" }
      for item in 0..<4 as Range<UInt32> {
        var output = unsafe millrace_input()
        #expect(unsafe items.item(call.attempt, 1, item, &output) == -1)
        unsafe output.size = UInt32(MemoryLayout<millrace_input>.size)
        guard unsafe items.item(call.attempt, 1, item, &output) == 0 else { continue }
        lines.append(unsafe String(decoding: UnsafeRawBufferPointer(start: output.bytes, count: Int(output.payload.length)), as: UTF8.self))
        lines.append(unsafe String(cString: output.name))
      }
      return call.done(lines.joined(separator: " "))
    }
    var workflow = Definition("w")
    let each = workflow.task("each", handler: "json", input: "${item}", when: "${item != 7}", foreach: .range(from: 6, to: 8))
    let first = workflow.task("first", handler: "json")
    workflow.task("read", handler: "read", dependencies: [each, first], foreach: .list([1]))
    let run = try run(world, workflow)
    #expect(run.text("read[0]") == "-1 3 -1 -1 6 each null each 8 each")
  }

  @Test("outputs of every kind are elements: JSON, text, none; bytes and what is no JSON are told")
  func kinds() throws {
    let world = try RunExpressionTests.world()
    world.handler("kinds") { call in
      switch call.input(0) {
      case "0": call.done(#" {"a":1} "#, MILLRACE_JSON)
      case "1": call.done("text \"1\"")
      case "2": call.end(MILLRACE_DONE)
      case "3": call.done("{", MILLRACE_JSON)
      default: call.done("\u{1}", MILLRACE_BYTES)
      }
    }
    for (last, expected) in [(2, #"[{"a":1},"text \"1\"",null]"#), (3, nil), (4, nil)] {
      var workflow = Definition("w")
      let each = workflow.task(
        "each", handler: "kinds", input: "${item}", foreach: .range(from: last == 4 ? 4 : 0, to: .integer(Int64(last))))
      workflow.task("all", handler: "json", dependencies: [each], input: "${tasks.each.output}")
      let run = try run(world, workflow)
      #expect(run.text("all") == expected)
      if expected == nil {
        let message = try task(run, "all").attempts.last?.message ?? ""
        let expected = last == 4 ? "the output of task 'each[0]' is neither JSON nor text" : "the output of 'each[3]' is no JSON at byte 1"
        #expect(message.contains(expected), "\(message)")
      }
    }
  }

  @Test("items of items, and cleanup tasks with items")
  func nested() throws {
    let world = try RunExpressionTests.world()
    var workflow = Definition("w")
    let rows = workflow.task("rows", handler: "json", input: ["${item}", "${item}"], foreach: .range(from: 1, to: 3))
    workflow.task("again", handler: "json", dependencies: [rows], input: "${item[0]}", foreach: .list("${tasks.rows.output}"))
    workflow.cleanup("each", handler: "json", input: "${item} ${run.status} ${tasks.again.output[1]}", foreach: .list(["a", "b"]))
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    #expect(run.text("again") == "[1,2,3]")
    #expect(run.text("each") == #"["a COMPLETED 2","b COMPLETED 2"]"#)
    #expect(run.text("each[1]") == #""b COMPLETED 2""#)
    #expect(isAccounted(run))
  }

  @Test("a literal input is the same for all items, and naming it, or one that was made, as the output is allowed")
  func named() throws {
    let world = try RunExpressionTests.world()
    world.handler("name") { call in
      var input = unsafe millrace_input()
      unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
      _ = unsafe call.host.pointee.input(call.attempt, 0, &input)
      unsafe call.outcome.pointee.output = input.payload
      return call.end(MILLRACE_DONE)
    }
    var workflow = Definition("w", onFailure: .continue)
    workflow.task("each", handler: "name", input: ["${item}"], foreach: .range(from: 1, to: 2))
    let run = try run(world, workflow)
    #expect(run.text("each") == "[[1],[2]]")
  }

  // MARK: Memory

  @Test("an item takes at most 64 bytes beside its output, whatever it comes from")
  func bytes() throws {
    let world = try RunExpressionTests.world()
    world.handler("list") { call in call.done("[" + (0..<5000).map { "{\"n\":\($0)}" }.joined(separator: ",") + "]", MILLRACE_JSON) }
    var workflow = Definition("w")
    let list = workflow.task("list", handler: "list")
    workflow.task("numbers", handler: "json", input: "${item}", foreach: .range(from: 1, to: 5000))
    workflow.task("elements", handler: "json", dependencies: [list], input: "${item.n}", foreach: .list("${tasks.list.output}"))
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    let entries = run.allItems
    #expect(entries.map(\.items.bytesPerItem) == [40, 44])
    for entry in entries {
      // What a place has, beside 64 bytes an item: bounded, whatever the number of items.
      #expect(entry.items.places == 64 + Items.places)
      #expect(entry.run?.records.count == entry.items.places && entry.run?.plan.count == entry.items.places)
      #expect(entry.run?.log.isEmpty == true && entry.run?.slow.isEmpty == true && entry.run?.environments.isEmpty == true)
    }
  }
}

extension RawCall {
  /// A variable of the task's environment.
  func variable(_ name: String) -> String? {
    guard let found = unsafe host.pointee.extension(host, MILLRACE_ENVIRONMENT) else { return nil }
    // unsafe: the id names this struct.
    return unsafe found.assumingMemoryBound(to: millrace_environment.self).pointee.get(attempt, name).map { unsafe String(cString: $0) }
  }
}

extension RunExpressionTests {
  static func world(with change: (SteppedWorld) -> Void) throws -> SteppedWorld {
    let world = try world()
    change(world)
    return world
  }
}
