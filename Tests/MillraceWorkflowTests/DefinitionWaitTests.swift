import Testing

@testable import MillraceWorkflow

@Suite struct DefinitionWaitTests {
  private static func workflow(_ body: String) -> String {
    "format: 1\nworkflow: w\nparameters: { when: { default: 1s } }\ntasks:\n" + body
  }

  private static func read(_ body: String) throws -> Definition {
    try DefinitionReader(handlers: ["h"]).read(Array(workflow(body).utf8), name: "w.yaml").definition
  }

  @Test("every kind of wait is read, in both forms")
  func kinds() throws {
    let definition = try Self.read(
      """
        - { id: a, wait: { signal: release } }
        - { id: b, wait: { until: "2026-12-24T18:00:00+01:00" }, dependencies: [a] }
        - { id: c, wait: { for: 30d } }
        - { id: d, wait: { approval: "Deploy ${params.when}?" }, timeouts: { scheduleToClose: 1d } }
        - { id: e, wait: approval }
        - { id: f, wait: signal release }
        - { id: g, wait: "until ${tasks.a.output.at}", dependencies: [a] }
        - { id: i, wait: for 1m30s, when: "${params.when == \\"1s\\"}" }
        - { id: j, wait: { approval: null } }
        - { id: k, wait: { message: "orders-${params.when}" } }
        - { id: l, wait: message orders }
      """)
    #expect(
      definition.tasks.map(\.wait) == [
        .signal("release"), .until("2026-12-24T18:00:00+01:00"), .duration("30d"), .approval("Deploy ${params.when}?"),
        .approval("Approve e?"), .signal("release"), .until("${tasks.a.output.at}"), .duration("1m30s"), .approval("Approve j?"),
        .message(queue: "orders-${params.when}"), .message(queue: "orders"),
      ])
    #expect(definition.tasks.allSatisfy { $0.handler == "" })
    #expect(definition.signalNames == ["release", "release"])
    #expect(try definition.resolve().tasks[3].input == "Deploy 1s?")
    #expect(try definition.resolve().tasks[9].input == "orders-1s")
  }

  static let faults: [Broken] = [
    Broken(
      what: "both a handler and a wait", text: workflow("  - { id: a, handler: h, wait: approval }\n"),
      printed: """
        w.yaml:5:26: error: task 'a' has both 'handler' and 'wait'
          fix: keep one of them; two tasks can do both
        """),
    Broken(
      what: "keys for a handler",
      text: workflow("  - { id: a, wait: approval, input: 1, concurrency: { key: k }, timeouts: { heartbeat: 1s } }\n"),
      printed: """
        w.yaml:5:30: error: task 'a' has 'input', but no handler that could use it
          fix: remove 'input'
        w.yaml:5:40: error: task 'a' has 'concurrency', but no handler that could use it
          fix: remove 'concurrency'
        w.yaml:5:77: error: task 'a' has a 'heartbeat', but no handler that could give one
          fix: remove 'heartbeat'
        """),
    Broken(
      what: "a message of a queue that there cannot be, or of none",
      text: workflow("  - { id: a, wait: { message: millrace.x } }\n  - { id: b, wait: message a b }\n  - { id: c, wait: message }\n"),
      printed: """
        w.yaml:5:31: error: 'message': 'millrace.x' cannot name an exchange or a queue: names that begin with 'millrace.' are the system's
          fix: name a queue: 1 to 128 of A-Z a-z 0-9 . _ and -
        w.yaml:6:20: error: 'message': 'a b' cannot name an exchange or a queue: byte 2 is none of A-Z a-z 0-9 . _ -
          fix: name a queue: 1 to 128 of A-Z a-z 0-9 . _ and -
        w.yaml:7:20: error: 'wait: message' does not say for what
          fix: write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: "QUESTION"'
        """),
    Broken(
      what: "an unknown kind, near one", text: workflow("  - { id: a, wait: { signl: x } }\n"),
      printed: """
        w.yaml:5:22: error: 'wait' knows no 'signl'
          fix: did you mean 'signal'?
        """),
    Broken(
      what: "two kinds, none, a list, no text",
      text: workflow(
        "  - { id: a, wait: { signal: x, for: 1s } }\n  - { id: b, wait: {} }\n  - { id: c, wait: [x] }\n  - { id: d, wait: { for: 5 } }\n  - { id: e, wait: signal }\n"
      ),
      printed: """
        w.yaml:5:20: error: 'wait' names 2 things to wait for
          fix: write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: "QUESTION"'
        w.yaml:6:20: error: 'wait' names 0 things to wait for
          fix: write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: "QUESTION"'
        w.yaml:7:20: error: 'wait' must be a map, not a list
          fix: write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: "QUESTION"'
        w.yaml:8:27: error: 'for' must be text, not a number
          fix: write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: "QUESTION"'
        w.yaml:9:20: error: 'wait: signal' does not say for what
          fix: write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: "QUESTION"'
        """),
    Broken(
      what: "a name, a time and a duration that are none",
      text: workflow(
        "  - { id: a, wait: { signal: a b } }\n  - { id: b, wait: { until: \"2026-12-24T18:00:00\" } }\n  - { id: c, wait: { for: 30 days } }\n"
      ),
      printed: """
        w.yaml:5:30: error: 'signal': 'a b' is no name for a signal
          fix: use 1 to 128 of A-Z a-z 0-9 . _ and -
        w.yaml:6:29: error: 'until': '2026-12-24T18:00:00' is no time
          fix: write it with its zone, as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00
        w.yaml:7:27: error: 'for': '30 days' has no unit
          fix: write 30s for seconds; the units are d, h, m, s, ms, us or ns
        """),
    Broken(
      what: "an expression over what is not there", text: workflow("  - { id: a, wait: { until: \"${params.wen}\" } }\n"),
      printed: """
        w.yaml:5:32: error: the parameter 'wen' is not declared
          fix: did you mean 'when'?
        """),
    Broken(
      what: "neither a handler nor a wait", text: workflow("  - { id: a }\n"),
      printed: """
        w.yaml:5:5: error: task 'a' has no 'handler'
          fix: add 'handler: PLUGIN/HANDLER'
        """),
  ]

  @Test("what is wrong with a wait is told with its place", arguments: faults)
  func fault(_ broken: Broken) {
    let error = #expect(throws: DefinitionError.self) {
      try DefinitionReader(handlers: ["h"]).read(Array(broken.text.utf8), name: broken.name)
    }
    #expect(error?.description == broken.printed)
  }

  @Test("messages that start runs are read, in both forms, and what is wrong with them is told with its place")
  func triggers() throws {
    func read(_ trigger: String) throws -> MessageTrigger? {
      let text = "format: 1\nworkflow: w\nparameters: { id: {} }\non_message: \(trigger)\ntasks:\n  - { id: a, handler: h }\n"
      return try DefinitionReader(handlers: ["h"]).read(Array(text.utf8), name: "w.yaml").definition.onMessage
    }
    #expect(try read("orders") == MessageTrigger(queue: "orders"))
    #expect(
      try read("{ exchange: shop, key: \"order.#\", prefetch: 7, parameter: id }")
        == MessageTrigger(exchange: "shop", key: "order.#", prefetch: 7, parameter: "id"))
    let faults: [(String, String)] = [
      ("{ prefetch: 1 }", "w.yaml:4:13: error: 'on_message' names neither a queue nor an exchange"),
      ("{ queue: a b }", "w.yaml:4:22: error: 'queue': 'a b' cannot name an exchange or a queue"),
      ("{ queue: a, key: b }", "w.yaml:4:30: error: 'key' is for an 'exchange'"),
      ("{ queue: a, prefetch: 0 }", "w.yaml:4:35: error: "),
      ("{ queue: a, parameter: ie }", "w.yaml:4:36: error: the parameter 'ie' is not declared\n  fix: did you mean 'id'?"),
      ("{ queu: a }", "w.yaml:4:15: error: "),
    ]
    for (trigger, printed) in faults {
      let error = #expect(throws: DefinitionError.self) { try read(trigger) }
      #expect(error?.description.hasPrefix(printed) == true, "\(error?.description ?? "")")
    }
    var definition = Definition("w", tasks: [TaskDefinition("a", handler: "h")])
    definition.onMessage = MessageTrigger(queue: "a", prefetch: 0, parameter: "id")
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(definition) }
    #expect(error?.faults.map(\.code) == [.badValue, .unknownParameter])
  }

  @Test("a definition made in Swift is held against the same")
  func swift() throws {
    var good = Definition("w")
    let go = good.wait("go", for: .signal("release"))
    good.wait("pause", for: .lasting(.milliseconds(1_500)), dependencies: [go], timeouts: Timeouts(scheduleToClose: 1))
    try DefinitionChecker(handlers: []).check(good)
    #expect(good.tasks[1].wait == .duration("1s500ms"))
    var bad = Definition("w")
    bad.wait("a", for: .signal(""))
    bad.wait("b", for: .until("tomorrow"))
    bad.wait("c", for: .approval("${tasks.nothing.output}"))
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(bad) }
    #expect(error?.faults.map(\.code) == [.badId, .badValue, .unknownTask])
  }

  @Test("times are read to the nanosecond, with their zone")
  func times() {
    #expect(WallTime.nanoseconds("1970-01-01T00:00:01Z") == 1_000_000_000)
    #expect(WallTime.nanoseconds("1970-01-01T01:00:00.5+01:00") == 500_000_000)
    #expect(WallTime.nanoseconds("1970-01-02T00:00:00.000000001Z") == 86_400_000_000_001)
    #expect(WallTime.nanoseconds("2026-12-24T18:00:00+01:00") == 1_798_131_600_000_000_000)
    for text in [
      "", "2026-12-24", "2026-12-24T18:00:00", "2026-13-24T18:00:00Z", "2300-01-01T00:00:00Z", "2026-12-24T18:00:00.Z", "18:00Z", "Z",
    ] {
      #expect(WallTime.nanoseconds(text) == nil, "\(text)")
    }
  }

  @Test("pictures show what a task waits for")
  func graph() throws {
    let definition = try Self.read("  - { id: go, wait: { signal: release } }\n")
    #expect(try Graph.text(definition).contains("wait: signal release"))
    #expect(try Graph.mermaid(definition).contains("wait: signal release"))
  }
}
