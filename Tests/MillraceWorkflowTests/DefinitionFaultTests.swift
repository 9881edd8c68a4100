import MillraceWorkflow
import Testing

/// A definition that is wrong, and what must be printed about it, word for word.
struct Broken: Sendable, CustomTestStringConvertible {
  var what: String
  var text: String
  var name = "w.yaml"
  var printed: String

  var testDescription: String { what }
}

@Suite struct DefinitionFaultTests {
  static let handlers: Set<String> = ["debian/split", "debian/parse", "debian/merge", "shell/run"]

  /// `body` behind a correct beginning of three lines.
  private static func workflow(_ body: String) -> String { "format: 1\nworkflow: w\ntasks:\n" + body }

  static let cases: [Broken] = [
    Broken(
      what: "tab as indentation", text: "format: 1\nworkflow: w\ntasks:\n\t- id: a",
      printed: """
        w.yaml:4:1: error: not YAML: found character that cannot start any token while scanning for the next token
          fix: indent with spaces, not tabs; put text that begins with @, ` or % in quotes
        """),
    Broken(
      what: "colon in plain text", text: "format: 1\nworkflow: w\ndescription: a: b\n",
      printed: """
        w.yaml:3:15: error: not YAML: mapping values are not allowed in this context
          fix: put text that contains ': ' in quotes, or check the indentation
        """),
    Broken(
      what: "JSON syntax", text: "{\n  \"format\": 1,\n  \"workflow\": \"w\",\n}", name: "w.json",
      printed: """
        w.json:4:1: error: a comma before '}'
          fix: remove the comma
        """),
    Broken(
      what: "nothing in the file", text: "# nothing\n",
      printed: """
        w.yaml:1:1: error: the file is empty
          fix: begin with 'format: 1' and 'workflow: NAME'
        """),
    Broken(
      what: "control characters are not passed on to the terminal", text: workflow("  - { id: \"a\\e[2Jb\", handler: shell/run }\n"),
      printed: """
        w.yaml:4:11: error: 'id' 'a\\u{1b}[2Jb' has a letter that is not allowed
          fix: use 1 to 128 of A-Z a-z 0-9 . _ and -
        """),
    Broken(
      what: "no map", text: "- a\n",
      printed: """
        w.yaml:1:1: error: the definition must be a map, not a list
          fix: begin with 'format: 1' and 'workflow: NAME'
        """),
    Broken(
      what: "missing keys", text: "description: x\n",
      printed: """
        w.yaml:1:1: error: the definition has no 'format'
          fix: add 'format: 1'
        w.yaml:1:1: error: the definition has no 'workflow'
          fix: add 'workflow: NAME'
        w.yaml:1:1: error: the definition has no 'tasks'
          fix: add 'tasks:'
        """),
    Broken(
      what: "unknown format", text: "format: 2\nworkflow: w\ntasks:\n  - { id: a, handler: shell/run }\n",
      printed: """
        w.yaml:1:9: error: format 2 is not known; this release reads 1
          fix: write 'format: 1'
        """),
    Broken(
      what: "unknown key, near one", text: workflow("  - id: a\n    handler: shell/run\n    dependancies: []\n"),
      printed: """
        w.yaml:6:5: error: unknown key 'dependancies' in task 'a'
          fix: did you mean 'dependencies'?
        """),
    Broken(
      what: "unknown key, near none", text: workflow("  - { id: a, handler: shell/run }\n") + "colour: red\n",
      printed: """
        w.yaml:5:1: error: unknown key 'colour' in the definition
          fix: the keys are format, kind, workflow, description, version, version_policy, include, parameters, defaults, on_failure, result, schedule, on_message, \
        concurrency, durability, templates, tasks, cleanup
        """),
    Broken(
      what: "key twice", text: workflow("  - id: a\n    handler: shell/run\n    id: b\n"),
      printed: """
        w.yaml:6:5: error: the key 'id' occurs twice; first at line 4
          fix: remove one of them
        """),
    Broken(
      what: "number as id", text: workflow("  - id: 42\n    handler: shell/run\n"),
      printed: """
        w.yaml:4:9: error: 'id' must be text, not a number
          fix: put it in quotes: "42"
        """),
    Broken(
      what: "bad id", text: workflow("  - id: größe 1\n    handler: shell/run\n"),
      printed: """
        w.yaml:4:9: error: 'id' 'größe 1' has a letter that is not allowed
          fix: use 1 to 128 of A-Z a-z 0-9 . _ and -
        """),
    Broken(
      what: "id and handler missing", text: workflow("  - id: a\n    handler: shell/run\n  - priority: low\n"),
      printed: """
        w.yaml:6:5: error: task 2 has no 'id'
          fix: add 'id: NAME'
        w.yaml:6:5: error: task 2 has no 'handler'
          fix: add 'handler: PLUGIN/HANDLER'
        """),
    Broken(
      what: "duplicate id", text: workflow("  - { id: a, handler: shell/run }\n  - { id: a, handler: shell/run }\n"),
      printed: """
        w.yaml:5:11: error: the id 'a' is used twice; first at line 4
          fix: give one of the tasks another id
        """),
    Broken(
      what: "unknown dependency",
      text: workflow("  - { id: split, handler: shell/run }\n  - { id: b, handler: shell/run, dependencies: [spilt] }\n"),
      printed: """
        w.yaml:5:49: error: task 'b' depends on 'spilt', which is not a task
          fix: did you mean 'split'?
        """),
    Broken(
      what: "dependencies as text", text: workflow("  - { id: b, handler: shell/run, dependencies: a }\n"),
      printed: """
        w.yaml:4:48: error: 'dependencies' must be a list of task ids, not text
          fix: write 'dependencies: [first, second]'
        """),
    Broken(
      what: "self-dependency", text: workflow("  - id: a\n    handler: shell/run\n    dependencies:\n      - a\n"),
      printed: """
        w.yaml:7:9: error: task 'a' depends on itself
          fix: remove the dependency
        """),
    Broken(
      what: "cycle and what waits for it",
      text: workflow(
        """
          - { id: a, handler: shell/run, dependencies: [c] }
          - { id: b, handler: shell/run, dependencies: [a] }
          - { id: c, handler: shell/run, dependencies: [b] }
          - { id: d, handler: shell/run, dependencies: [c] }

        """),
      printed: """
        w.yaml:4:49: error: a cycle of 3 tasks, each waiting for the next: a -> c -> b -> a
          fix: remove one of these dependencies, for example 'c' from 'a'
        w.yaml:7:11: error: task 'd' can never start: it waits for 'c', which is on a cycle
          fix: break the cycle
        """),
    Broken(
      what: "unknown handler, near one", text: workflow("  - { id: a, handler: debian/splitt }\n"),
      printed: """
        w.yaml:4:23: error: task 'a' has the unknown handler 'debian/splitt'
          fix: did you mean 'debian/split'?
        """),
    Broken(
      what: "unknown handler, near none", text: workflow("  - { id: a, handler: video/encode }\n"),
      printed: """
        w.yaml:4:23: error: task 'a' has the unknown handler 'video/encode'
          fix: load its plugin; known are debian/merge, debian/parse, debian/split, shell/run
        """),
    Broken(
      what: "bad durations",
      text: workflow(
        """
          - id: a
            handler: shell/run
            timeouts:
              scheduleToStart: 10
              startToClose: 5 minutes
              scheduleToClose: 0s
              heartbeat: 11y

        """),
      printed: """
        w.yaml:7:24: error: 'scheduleToStart': '10' has no unit
          fix: write 10s for seconds; the units are d, h, m, s, ms, us or ns
        w.yaml:8:21: error: 'startToClose': '5 minutes' has no unit
          fix: write 5s for seconds; the units are d, h, m, s, ms, us or ns
        w.yaml:9:24: error: 'scheduleToClose' is zero
          fix: write at least 1ns, or leave it out for no limit
        w.yaml:10:18: error: 'heartbeat': '11y' has the unknown unit 'y'
          fix: the units are d, h, m, s, ms, us or ns
        """),
    Broken(
      what: "more bad durations",
      text: workflow("  - { id: a, handler: shell/run, timeouts: { startToClose: 1s1m, scheduleToClose: 4000d, heartbeat: 1.5s } }\n"),
      printed: """
        w.yaml:4:60: error: 'startToClose': '1s1m' does not name its units from large to small
          fix: write each unit once, as in 1h30m
        w.yaml:4:83: error: 'scheduleToClose': '4000d' is longer than ten years
          fix: write at most 3650d, or leave it out for no limit
        w.yaml:4:101: error: 'heartbeat': '1.5s' is not a whole number of its unit
          fix: use a smaller unit: 1500ms instead of 1.5s
        """),
    Broken(
      what: "bad priorities", text: workflow("  - { id: a, handler: shell/run, priority: hihg }\n") + "defaults: { priority: urgent }\n",
      printed: """
        w.yaml:4:44: error: 'hihg' is no priority
          fix: did you mean 'high'?
        w.yaml:5:23: error: 'urgent' is no priority
          fix: write low, normal, high or critical
        """),
    Broken(
      what: "retry out of bounds",
      text: workflow(
        "  - { id: a, handler: shell/run, retry: { attempts: 0, factor: 0.5, initial: 2m, cap: 1m, nonRetryable: [\"\"] } }\n"),
      printed: """
        w.yaml:4:53: error: 'attempts' is 0; it may be 1 to 1000000
          fix: write a number from 1 to 1000000
        w.yaml:4:64: error: 'factor' is 0.5; it may be 1 to 1000
          fix: write 'factor: 2'
        w.yaml:4:87: error: 'cap' (1m) is shorter than 'initial' (2m)
          fix: write a cap of at least 2m
        w.yaml:4:106: error: an error type of 0 bytes
          fix: use 1 to 64 bytes
        """),
    Broken(
      what: "on_failure", text: workflow("  - { id: a, handler: shell/run }\n") + "on_failure: stop\n",
      printed: """
        w.yaml:5:13: error: 'stop' is no choice for 'on_failure'
          fix: write fail_fast or continue
        """),
    Broken(
      what: "expressions",
      text: "format: 1\nworkflow: w\nparameters: { day: {} }\ntasks:\n"
        + """
          - id: a
            handler: shell/run
            input:
              - ${params.dya}
              - text ${env.HOME}
              - '${params.day'
              - $${literal} $5 $$ ${params.day}

        """,
      printed: """
        w.yaml:8:11: error: the parameter 'dya' is not declared
          fix: did you mean 'day'?
        w.yaml:9:16: error: 'env' is nothing an expression can refer to
          fix: write params.NAME, tasks.ID.output, tasks.ID.status or run.id; text stands in quotes
        w.yaml:10:22: error: an expression is not closed
          fix: write the closing '}', or $${ for a literal ${
        """),
    Broken(
      what: "expressions in texts that stand in the file in other words are told at the text's beginning",
      text: workflow("  - id: a\n    handler: shell/run\n    input: [\"\\t${params.a}\", 'it''s ${1 +}']\n"),
      printed: """
        w.yaml:6:13: error: the parameter 'a' is not declared
          fix: declare it: 'parameters: { a: { default: VALUE } }'
        w.yaml:6:30: error: '+' is no operator: expressions do not calculate
          fix: let a task compute it, and use its output
        """),
    Broken(
      what: "tasks that expressions name",
      text: workflow(
        """
          - { id: split, handler: shell/run }
          - { id: other, handler: shell/run, input: "${tasks.split.output}" }
          - id: last
            handler: shell/run
            dependencies: [split]
            when: ${tasks.spilt.output.n > 0 and tasks.other.status == "COMPLETED"}
            input:
              a: ${tasks.split.output.x} ${tasks.last.output}
              b: ${tasks.split.result}

        """),
      printed: """
        w.yaml:5:48: error: task 'other' refers to 'split', which it does not depend on
          fix: add 'split' to its dependencies
        w.yaml:9:13: error: task 'last' refers to 'spilt', which is not a task
          fix: did you mean 'split'?
        w.yaml:9:42: error: task 'last' refers to 'other', which it does not depend on
          fix: add 'other' to its dependencies
        w.yaml:11:36: error: task 'last' refers to itself
          fix: name a task that it depends on
        w.yaml:12:23: error: a task has no 'result'
          fix: write tasks.split.output or tasks.split.status
        """),
    Broken(
      what: "what expressions may not use where they stand",
      text: workflow(
        """
          - id: a
            handler: shell/run
            priority: ${run.id}
            input: ["${run.status}", "${secrets.TOKEN}"]

        """),
      printed: """
        w.yaml:6:17: error: a priority is settled by parameters, or by the outputs of tasks before it
          fix: use params.NAME or tasks.ID.output
        w.yaml:7:16: error: 'run.status' is RUNNING here
          fix: use tasks.ID.status, or move the task to 'cleanup'
        w.yaml:7:33: error: a secret may stand in 'env' only: elsewhere it would be written down
          fix: give it to the handler: 'env: { NAME: { secret: NAME } }'
        """),
    Broken(
      what: "cleanup tasks that are tied to others, and others to them",
      text: workflow(
        """
          - { id: a, handler: shell/run, dependencies: [c] }
          - { id: b, handler: shell/run, when: "${tasks.d.status == 'FAILED'}" }
        cleanup:
          - { id: c, handler: shell/run, dependencies: [b], input: "${run.status} ${tasks.a.output} ${tasks.d.status}" }
          - { id: d, handler: shell/run, dependencies: [e] }
          - { id: e, handler: shell/run, dependencies: [d] }
          - { id: a, handler: shell/rum }
        result: c

        """),
      printed: """
        w.yaml:4:49: error: task 'a' depends on 'c', a cleanup task, which runs after it
          fix: remove the dependency
        w.yaml:5:43: error: task 'b' refers to 'd', a cleanup task, which runs after it
          fix: name a task that it depends on
        w.yaml:7:49: error: cleanup task 'c' depends on 'b': it runs after all tasks anyway
          fix: remove the dependency; tasks.b.output and .status may be used without it
        w.yaml:7:95: error: task 'c' refers to 'd', which it does not depend on
          fix: add 'd' to its dependencies
        w.yaml:8:49: error: a cycle of 2 tasks, each waiting for the next: d -> e -> d
          fix: remove one of these dependencies, for example 'e' from 'd'
        w.yaml:10:11: error: the id 'a' is used twice; first at line 4
          fix: give one of the tasks another id
        w.yaml:10:23: error: task 'a' has the unknown handler 'shell/rum'
          fix: did you mean 'shell/run'?
        w.yaml:11:9: error: the result 'c' is a cleanup task
          fix: name a task of 'tasks'
        """),
    Broken(
      what: "environments",
      text: workflow(
        """
          - id: a
            handler: shell/run
            env: { A-B: x, 1A: x, C: [1], D: { secrets: x }, E: { secret: "a b" }, F: "${params.x} ${secrets.Y}", G: 5, H: null }
          - { id: b, handler: shell/run, env: [x] }

        """),
      printed: """
        w.yaml:6:12: error: 'A-B' is no name for a variable
          fix: use 1 to 128 of A-Z a-z 0-9 and _, not a digit first
        w.yaml:6:20: error: '1A' is no name for a variable
          fix: use 1 to 128 of A-Z a-z 0-9 and _, not a digit first
        w.yaml:6:30: error: the variable 'C' must be text, not a list
          fix: write text, or '{ secret: NAME }'
        w.yaml:6:38: error: the variable 'D' has no 'secret'
          fix: add 'secret: NAME'
        w.yaml:6:40: error: unknown key 'secrets' in the variable 'D'
          fix: did you mean 'secret'?
        w.yaml:6:67: error: 'a b' is no name for a secret
          fix: use 1 to 128 of A-Z a-z 0-9 _ and -
        w.yaml:6:82: error: the parameter 'x' is not declared
          fix: declare it: 'parameters: { x: { default: VALUE } }'
        w.yaml:6:116: error: the variable 'H' must be text, not nothing
          fix: write text, or '{ secret: NAME }'
        w.yaml:7:39: error: 'env' must be a map of names, not a list
          fix: write 'env: { TOKEN: { secret: NAME } }'
        """),
    Broken(
      what: "conditions that are none",
      text: workflow(
        """
          - { id: a, handler: shell/run, when: true }
          - { id: b, handler: shell/run, when: "x ${true}" }
          - { id: c, handler: shell/run, when: "true" }
          - { id: d, handler: shell/run, when: "${true", priority: "${'low'} " }

        """),
      printed: """
        w.yaml:4:40: error: 'when' must be an expression, not true or false
          fix: write 'when: ${tasks.ID.output.count > 0}'
        w.yaml:5:40: error: 'when' must be one expression and nothing else
          fix: write 'when: ${tasks.ID.output.count > 0}'
        w.yaml:6:40: error: 'when' must be one expression and nothing else
          fix: write 'when: ${tasks.ID.output.count > 0}'
        w.yaml:7:47: error: an expression is not closed
          fix: write the closing '}', or $${ for a literal ${
        w.yaml:7:60: error: 'priority' must be one expression and nothing else
          fix: write 'priority: ${params.urgency}'
        """),
    Broken(
      what: "parameters declared wrongly",
      text: "format: 1\nworkflow: w\nparameters:\n"
        + """
          a: { type: integr, default: x }
          b: { type: integer, default: 1.5 }
          c: { type: string, enum: [fast, 3] }
          d: { enum: [], default: 1 }
          e: { type: number, minimum: 10, maximum: 1 }
          f: { type: string, minimum: 1 }
          g: { type: integer, minimum: 1, maximum: 10, default: 11 }
          h: { enum: [fast, full], default: slow }
          i: { type: number, minimum: low }
          j: { kind: string }
        tasks: [{ id: a, handler: shell/run }]

        """,
      printed: """
        w.yaml:4:14: error: 'integr' is no type
          fix: did you mean 'integer'?
        w.yaml:5:32: error: the parameter 'b': the default 1.5 must be a whole number
          fix: correct the default
        w.yaml:6:28: error: the parameter 'c': 3 in 'enum' is not text
          fix: correct the value, or 'type'
        w.yaml:7:14: error: the parameter 'd' has an empty 'enum'
          fix: name at least one value, or leave 'enum' out
        w.yaml:8:44: error: the parameter 'e': 'maximum' (1) is below 'minimum' (10)
          fix: exchange them
        w.yaml:9:31: error: the parameter 'f': 'minimum' is for numbers
          fix: write 'type: integer' or 'type: number', or remove it
        w.yaml:10:57: error: the parameter 'g': the default 11 must be at most 10
          fix: correct the default
        w.yaml:11:37: error: the parameter 'h': the default "slow" must be one of fast, full
          fix: correct the default
        w.yaml:12:31: error: the parameter 'i': 'minimum' must be a number
          fix: write 'minimum: 1'
        w.yaml:13:8: error: unknown key 'kind' in the parameter 'j'
          fix: the keys are description, default, type, enum, minimum, maximum
        """),
    Broken(
      what: "unknown result", text: workflow("  - { id: report, handler: shell/run }\n") + "result: reprot\n",
      printed: """
        w.yaml:5:9: error: the result 'reprot' is not a task
          fix: did you mean 'report'?
        """),
    Broken(
      what: "one key with two limits",
      text: workflow(
        "  - { id: a, handler: shell/run, concurrency: { key: db, limit: 1 } }\n  - { id: b, handler: shell/run, concurrency: { key: db, limit: 2 } }\n"
      ),
      printed: """
        w.yaml:5:5: error: the key 'db' has limit 2 here and 1 at line 4
          fix: write the same limit, or use another key
        """),
    Broken(
      what: "concurrency and rates of tasks",
      text: workflow(
        """
          - { id: a, handler: shell/run, concurrency: { key: db, limit: 2, weight: 3 } }
          - { id: b, handler: shell/run, concurrency: { key: "t-${tasks.a.output}", wieght: 0 }, rate: { key: api, limit: 5 } }
          - { id: c, handler: shell/run, concurrency: { key: "", weight: 0 }, rate: { key: api, limit: 5, per: 2s } }
          - { id: d, handler: shell/run, rate: { key: "${params.x}", per: 0s, burst: 0 } }

        """),
      printed: """
        w.yaml:4:5: error: task 'a': the weight 3 is more than the limit of 'db', 2
          fix: raise 'limit' to 3, or lower 'weight'
        w.yaml:5:59: error: a key is settled when the run starts, by its parameters
          fix: use params.NAME
        w.yaml:5:77: error: unknown key 'wieght' in 'concurrency'
          fix: did you mean 'weight'?
        w.yaml:6:5: error: the rate 'api' is 5 per 2s, burst 1 here and 5 per 1s, burst 1 at line 5
          fix: write the same rate, or use another key
        w.yaml:6:54: error: 'key' has 0 bytes
          fix: use 1 to 256 bytes
        w.yaml:6:66: error: 'weight' is 0; it may be 1 to 65535
          fix: write a number from 1 to 65535
        w.yaml:7:40: error: 'rate' has no 'limit'
          fix: add 'limit: 100'
        w.yaml:7:50: error: the parameter 'x' is not declared
          fix: declare it: 'parameters: { x: { default: VALUE } }'
        w.yaml:7:67: error: 'per' is zero
          fix: write 'per: 1s'
        w.yaml:7:78: error: 'burst' is 0; it may be 1 to 1000000
          fix: write a number from 1 to 1000000
        """),
    Broken(
      what: "concurrency of the workflow",
      text: workflow("  - { id: a, handler: shell/run }\n")
        + "concurrency: { key: \"x-${run.id}\", limit: 0, when_full: cancel_old, weight: 1 }\n",
      printed: """
        w.yaml:5:26: error: a key is settled when the run starts, by its parameters
          fix: use params.NAME
        w.yaml:5:43: error: 'limit' is 0; it may be 1 to 1000000
          fix: write a number from 1 to 1000000
        w.yaml:5:57: error: 'cancel_old' is no choice for 'when_full'
          fix: did you mean 'cancel_older'?
        w.yaml:5:69: error: unknown key 'weight' in 'concurrency'
          fix: the keys are key, limit, when_full
        """),
    Broken(
      what: "a tag", text: workflow("  - { id: a, handler: !custom shell/run }\n"),
      printed: """
        w.yaml:4:23: error: the tag !custom is not read
          fix: remove it; put text in quotes
        """),
    Broken(
      what: "an alias without anchor", text: workflow("  - *first\n"),
      printed: """
        w.yaml:4:5: error: the alias *first names no anchor before it
          fix: write &first before the value it names
        """),
    Broken(
      what: "two documents", text: workflow("  - { id: a, handler: shell/run }\n") + "---\nformat: 1\n",
      printed: """
        w.yaml:5:1: error: a second document begins here
          fix: keep one workflow in a file
        """),
    Broken(
      what: "the same faults in JSON",
      text: #"{"format": 1, "workflow": "w", "tasks": [{"id": "a", "handler": "shell/rum", "dependencies": ["a", "é"]}]}"#, name: "w.json",
      printed: """
        w.json:1:65: error: task 'a' has the unknown handler 'shell/rum'
          fix: did you mean 'shell/run'?
        w.json:1:95: error: task 'a' depends on itself
          fix: remove the dependency
        w.json:1:100: error: a dependency 'é' has a letter that is not allowed
          fix: use 1 to 128 of A-Z a-z 0-9 . _ and -
        """),
  ]

  @Test("a broken definition is refused with every fault, its place and what to do", arguments: cases)
  func broken(_ broken: Broken) {
    let reader = DefinitionReader(handlers: Self.handlers)
    let error = #expect(throws: DefinitionError.self) { try reader.read(Array(broken.text.utf8), name: broken.name) }
    #expect(error?.description == broken.printed)
  }

  @Test("a cycle of 1,000 tasks is printed as its whole path")
  func longCycle() {
    let tasks = (0..<1_000).map { "  - { id: t\($0), handler: shell/run, dependencies: [t\(($0 + 1) % 1_000)] }\n" }.joined()
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(Self.workflow(tasks).utf8), name: "w.yaml") }
    let path = ((0..<1_000).map { "t\($0)" } + ["t0"]).joined(separator: " -> ")
    #expect(error?.faults.count == 1)
    #expect(error?.faults.first?.message == "a cycle of 1000 tasks, each waiting for the next: \(path)")
    #expect(error?.faults.first?.line == 4)
  }

  @Test("each knot of cycles is told once, by its own path")
  func twoCycles() {
    let text = Self.workflow(
      """
        - { id: a, handler: h, dependencies: [b, x] }
        - { id: b, handler: h, dependencies: [a, c] }
        - { id: c, handler: h, dependencies: [a] }
        - { id: x, handler: h, dependencies: [y] }
        - { id: y, handler: h, dependencies: [x] }

      """)
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(text.utf8), name: "w.yaml") }
    #expect(
      error?.faults.map(\.message) == [
        "a cycle of 2 tasks, each waiting for the next: a -> b -> a", "a cycle of 2 tasks, each waiting for the next: x -> y -> x",
      ])
  }

  @Test("a hundred faults are listed, the rest counted")
  func manyFaults() {
    let tasks = (0..<250).map { "  - { id: t\($0), handler: shell/run, dependencies: [nowhere] }\n" }.joined()
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(Self.workflow(tasks).utf8), name: "w.yaml") }
    #expect(error?.faults.count == 100)
    #expect(error?.omitted == 150)
    #expect(error?.description.hasSuffix("\nand 150 more") == true)
  }

  @Test("tasks that do not contribute to the result are a warning, not an error")
  func unused() throws {
    let text =
      Self.workflow("  - { id: a, handler: shell/run }\n  - { id: b, handler: shell/run }\n  - { id: c, handler: shell/run }\n")
      + "result: b\n"
    let reading = try DefinitionReader().read(Array(text.utf8), name: "w.yaml")
    #expect(
      reading.warnings.map(\.description) == [
        "w.yaml:4:11: warning: 2 tasks do not contribute to the result 'b': a, c\n  fix: let a task that contributes depend on it, or remove it"
      ])
  }

  @Test("a file that cannot be read says why")
  func unreadable() {
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(path: "/nonexistent/w.yaml") }
    #expect(
      error?.description
        == "/nonexistent/w.yaml: error: cannot read the file: No such file or directory\n  fix: give the path of a definition")
    let folder = #expect(throws: DefinitionError.self) { try DefinitionReader().read(path: "/") }
    #expect(folder?.faults.first?.message == "cannot read the file: Is a directory")
  }
}
