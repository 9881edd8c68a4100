@testable import MillraceWorkflow

extension BrokenFile {
  static let values: [BrokenFile] = [
    BrokenFile(
      what: "declarations of parameters that contradict themselves",
      text: """
        format: 1
        workflow: w
        parameters:
          a: { type: integr, default: x }
          b: { type: integer, default: 1.5 }
          c: { type: string, enum: [fast, 3] }
          d: { enum: [], default: 1 }
          e: { type: number, minimum: 10, maximum: 1 }
          f: { type: string, minimum: 1 }
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "4:14 bad-value: 'integr' is no type => did you mean 'integer'?",
        "5:32 bad-value: the parameter 'b': the default 1.5 must be a whole number => correct the default",
        "6:28 bad-value: the parameter 'c': 3 in 'enum' is not text => correct the value, or 'type'",
        "7:14 bad-value: the parameter 'd' has an empty 'enum' => name at least one value, or leave 'enum' out",
        "8:44 bad-value: the parameter 'e': 'maximum' (1) is below 'minimum' (10) => exchange them",
        "9:31 bad-value: the parameter 'f': 'minimum' is for numbers => write 'type: integer' or 'type: number', or remove it",
      ]),
    BrokenFile(
      what: "defaults outside of what is declared, unknown members, names that are none",
      text: """
        format: 1
        workflow: w
        parameters:
          a: { type: integer, minimum: 1, maximum: 10, default: 11 }
          b: { enum: [fast, full], default: slow }
          c: { type: number, minimum: low }
          d: { kind: string }
          'e f': {}
          g: text
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "4:57 bad-value: the parameter 'a': the default 11 must be at most 10 => correct the default",
        #"5:37 bad-value: the parameter 'b': the default "slow" must be one of fast, full => correct the default"#,
        "6:31 bad-value: the parameter 'c': 'minimum' must be a number => write 'minimum: 1'",
        "7:8 unknown-key: unknown key 'kind' in the parameter 'd' => the keys are description, default, type, enum, minimum, maximum",
        "8:3 bad-id: 'e f' is no name for a parameter => use 1 to 128 of A-Z a-z 0-9 _ and -",
        "9:6 wrong-type: the parameter 'g' must be a map, not text => write 'g: { default: VALUE }'",
      ]),
    BrokenFile(
      what: "parameters as a list, and one that is used",
      text: """
        format: 1
        workflow: w
        parameters: [day]
        tasks: [{ id: a, handler: test/run, env: { D: '${params.day}' } }]

        """,
      faults: [
        "3:13 wrong-type: 'parameters' must be a map of names, not a list => write 'parameters: { day: { default: today } }'",
        "4:50 unknown-parameter: the parameter 'day' is not declared => declare it: 'parameters: { day: { default: VALUE } }'",
      ]),
    BrokenFile(
      what: "parameters that are not declared, in every place",
      text: """
        format: 1
        workflow: w
        parameters: { day: {}, mode: {} }
        tasks:
          - id: a
            handler: test/run
            when: ${params.mdoe == 'x'}
            priority: ${params.urgency}
            env: { A: '${params.dya}' }
            input: { command: "echo ${params.day} ${params.yesterday}" }

        """,
      faults: [
        "7:13 unknown-parameter: the parameter 'mdoe' is not declared => did you mean 'mode'?",
        "8:17 unknown-parameter: the parameter 'urgency' is not declared => declare it: 'parameters: { urgency: { default: VALUE } }'",
        "9:18 unknown-parameter: the parameter 'dya' is not declared => did you mean 'day'?",
        "10:45 unknown-parameter: the parameter 'yesterday' is not declared => declare it: 'parameters: { yesterday: { default: VALUE } }'",
      ]),
    BrokenFile(
      what: "syntax of expressions",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            env:
              A: ${params.}
              B: ${1 + 2}
              C: ${tasks.a}
              D: ${len(tasks)}
              E: ${true and}
              F: ${'open}
              G: ${[1, tasks]}

        """,
      faults: [
        "7:18 bad-expression: a path ends in '.' => write a name after it",
        "8:14 bad-expression: '+' is no operator: expressions do not calculate => let a task compute it, and use its output",
        "9:19 bad-expression: 'tasks.a' needs 'output' or 'status' behind it => write tasks.ID.output or tasks.ID.status",
        "10:12 bad-expression: 'len(' is a call, and expressions have none => let a task compute it, and use its output",
        "11:20 bad-expression: a value is missing => write a path such as params.NAME, or a literal",
        "12:12 bad-expression: a text is not closed => write the closing '",
        "13:16 bad-expression: 'tasks' in a list => lists hold literals only: text, numbers, true, false, null and lists",
      ]),
    BrokenFile(
      what: "more syntax of expressions",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            env:
              A: ${a == b}
              B: ${1 == 2 == 3}
              C: ${(1 == 2}
              D: ${1 & 2}
              E: ${run.user}
              F: '${'
              G: ${}

        """,
      faults: [
        "7:12 bad-expression: 'a' is nothing an expression can refer to => write params.NAME, tasks.ID.output, tasks.ID.status or run.id; text stands in quotes",
        "8:19 bad-expression: comparisons do not follow one another => join two comparisons by 'and', or use parentheses",
        "9:12 bad-expression: '(' is not closed => write the closing ')'",
        "10:14 bad-expression: '&' is no operator => write 'and'",
        "11:15 bad-expression: a run has no 'user' => write run.id, run.status or run.workflow",
        "12:13 bad-expression: an expression is not closed => write the closing '}', or $${ for a literal ${",
        "13:12 bad-expression: a value is missing => write a path such as params.NAME, or a literal",
      ]),
    BrokenFile(
      what: "tasks that are named and are not before, not there, or the task itself",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: split, handler: test/run }
          - { id: other, handler: test/run, env: { A: "${tasks.split.output}" } }
          - id: last
            handler: test/run
            dependencies: [split]
            when: ${tasks.spilt.output.n > 0 and tasks.other.status == "COMPLETED"}
            env:
              A: ${tasks.split.output.x} ${tasks.last.output}
              B: ${tasks.split.result}

        """,
      faults: [
        "5:50 no-dependency: task 'other' refers to 'split', which it does not depend on => add 'split' to its dependencies",
        "9:13 unknown-task: task 'last' refers to 'spilt', which is not a task => did you mean 'split'?",
        "9:42 no-dependency: task 'last' refers to 'other', which it does not depend on => add 'other' to its dependencies",
        "11:36 self-dependency: task 'last' refers to itself => name a task that it depends on",
        "12:23 bad-expression: a task has no 'result' => write tasks.split.output or tasks.split.status",
      ]),
    BrokenFile(
      what: "what may not be used where it stands",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            priority: ${run.id}
            when: ${run.status == 'FAILED'}
            input: { command: "${secrets.TOKEN}" }

        """,
      faults: [
        "6:17 bad-expression: a priority is settled by parameters, or by the outputs of tasks before it => use params.NAME or tasks.ID.output",
        "7:13 bad-expression: 'run.status' is RUNNING here => use tasks.ID.status, or move the task to 'cleanup'",
        "8:26 bad-expression: a secret may stand in 'env' only: elsewhere it would be written down => give it to the handler: 'env: { NAME: { secret: NAME } }'",
      ]),
    BrokenFile(
      what: "conditions that are none",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, when: true }
          - { id: b, handler: test/run, when: "x ${true}" }
          - { id: c, handler: test/run, when: "${true", priority: "${'low'} " }

        """,
      faults: [
        "4:39 wrong-type: 'when' must be an expression, not true or false => write 'when: ${tasks.ID.output.count > 0}'",
        "5:39 bad-expression: 'when' must be one expression and nothing else => write 'when: ${tasks.ID.output.count > 0}'",
        "6:46 bad-expression: an expression is not closed => write the closing '}', or $${ for a literal ${",
        "6:59 bad-expression: 'priority' must be one expression and nothing else => write 'priority: ${params.urgency}'",
      ]),
    BrokenFile(
      what: "an expression that is too long and one that is too deep",
      text: "format: 1\nworkflow: w\ntasks:\n  - { id: a, handler: test/run, when: \"${" + String(repeating: "true or ", count: 199)
        + "true}\" }\n"
        + "  - { id: b, handler: test/run, when: \"${" + String(repeating: "(", count: 33) + "true" + String(repeating: ")", count: 33)
        + "}\" }\n",
      faults: [
        "4:1063 limit: an expression of more than 256 parts => let a task compute it, and use its output",
        "5:74 limit: an expression nested more than 32 deep => use fewer levels",
      ]),
    BrokenFile(
      what: "environments",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            env: { A-B: x, 1A: x, C: [1], D: { secrets: x }, E: { secret: "a b" }, H: null }
          - { id: b, handler: test/run, env: [x] }

        """,
      faults: [
        "6:12 bad-id: 'A-B' is no name for a variable => use 1 to 128 of A-Z a-z 0-9 and _, not a digit first",
        "6:20 bad-id: '1A' is no name for a variable => use 1 to 128 of A-Z a-z 0-9 and _, not a digit first",
        "6:30 wrong-type: the variable 'C' must be text, not a list => write text, or '{ secret: NAME }'",
        "6:38 missing: the variable 'D' has no 'secret' => add 'secret: NAME'",
        "6:40 unknown-key: unknown key 'secrets' in the variable 'D' => did you mean 'secret'?",
        "6:67 bad-id: 'a b' is no name for a secret => use 1 to 128 of A-Z a-z 0-9 _ and -",
        "6:79 wrong-type: the variable 'H' must be text, not nothing => write text, or '{ secret: NAME }'",
        "7:38 wrong-type: 'env' must be a map of names, not a list => write 'env: { TOKEN: { secret: NAME } }'",
      ]),
    BrokenFile(
      what: "secrets outside of environments, and names of them that are none",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            when: ${secrets.A == 'x'}
            env: { A: { secret: 3 }, B: { secret: A, or: B }, C: "${secrets}" }

        """,
      faults: [
        "6:13 bad-expression: a secret may stand in 'env' only: elsewhere it would be written down => give it to the handler: 'env: { NAME: { secret: NAME } }'",
        #"7:25 wrong-type: 'secret' must be text, not a number => put it in quotes: "3""#,
        "7:46 unknown-key: unknown key 'or' in the variable 'B' => the keys are secret",
        "7:68 bad-expression: 'secrets' needs the name of a secret behind it => write secrets.NAME",
      ]),
  ]
}
