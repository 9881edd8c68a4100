@testable import MillraceWorkflow

extension BrokenFile {
  static let templates: [BrokenFile] = [
    BrokenFile(
      what: "a template without name and without tasks, one with keys that nobody knows",
      text: """
        format: 1
        workflow: w
        templates:
          - {}
          - { template: t, result: a, tasks: [{ id: a, handler: test/run }], input: [x], defaults: {} }
        tasks: [{ id: u, template: t }]

        """,
      faults: [
        "4:5 missing: a template has no 'template' => add 'template: NAME'",
        "4:5 missing: a template has no 'tasks' => add 'tasks:'",
        "5:70 unknown-key: unknown key 'input' in the template 't' => the keys are template, description, parameters, result, tasks",
        "5:82 unknown-key: unknown key 'defaults' in the template 't' => the keys are template, description, parameters, result, tasks",
      ]),
    BrokenFile(
      what: "templates that are a map, and one that is used",
      text: """
        format: 1
        workflow: w
        templates: { t: [] }
        tasks: [{ id: u, template: t }]

        """,
      faults: [
        "3:12 wrong-type: 'templates' must be a list of templates, not a map => write '- template: NAME' with 'tasks' for each",
        "4:28 unknown-template: task 'u' uses the template 't', which is not there => add it under 'templates', or include its file",
      ]),
    BrokenFile(
      what: "two templates with one name, and one with a name that is none",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, tasks: [{ id: a, handler: test/run }] }
          - { template: t, tasks: [{ id: b, handler: test/run }] }
          - { template: a b, tasks: [{ id: b, handler: test/run }] }
        tasks: [{ id: u, template: t }]

        """,
      faults: [
        "5:17 duplicate-id: the template 't' is there twice; first at line 4 => give one of them another name",
        "6:17 bad-id: 'template' 'a b' has a letter that is not allowed => use 1 to 128 of A-Z a-z 0-9 . _ and -",
      ]),
    BrokenFile(
      what: "faults inside a template are told once, however often it is used",
      text: """
        format: 1
        workflow: w
        templates:
          - template: t
            parameters: { folder: { type: string } }
            tasks:
              - { id: a, handler: test/rum, dependencies: [b, a] }
              - { id: c, handler: test/run, when: '${params.fodler}', env: { X: '${tasks.a.output}' } }
        tasks:
          - { id: u, template: t, with: { folder: x } }
          - { id: v, template: t, with: { folder: y } }
          - { id: w, template: t, with: { folder: z } }

        """,
      faults: [
        "7:27 unknown-handler: task 'a' has the unknown handler 'test/rum' => did you mean 'test/run'?",
        "7:52 unknown-task: task 'a' depends on 'b', which is not a task => add the task, or remove the dependency",
        "7:55 self-dependency: task 'a' depends on itself => remove the dependency",
        "8:46 unknown-parameter: the parameter 'fodler' is not declared by the template 't' => did you mean 'folder'?",
        "8:76 no-dependency: task 'c' refers to 'a', which it does not depend on => add 'a' to its dependencies",
      ]),
    BrokenFile(
      what: "uses of templates that are not there, near one and near none",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: hash-tree, tasks: [{ id: a, handler: test/run }] }
        tasks:
          - { id: u, template: hash-three }
          - { id: v, template: copy }
          - { id: w, template: 7 }

        """,
      faults: [
        "6:24 unknown-template: task 'u' uses the template 'hash-three', which is not there => did you mean 'hash-tree'?",
        "7:24 unknown-template: task 'v' uses the template 'copy', which is not there => there are hash-tree",
        #"8:24 wrong-type: 'template' must be text, not a number => put it in quotes: "7""#,
      ]),
    BrokenFile(
      what: "what a template is given: unknown, missing, of the wrong type, out of bounds",
      text: """
        format: 1
        workflow: w
        templates:
          - template: t
            parameters:
              folder: { type: string, description: Where to look }
              chunks: { type: integer, minimum: 1, maximum: 8, default: 4 }
              mode: { enum: [fast, full], default: fast }
            tasks: [{ id: a, handler: test/run }]
        tasks:
          - { id: u, template: t, with: { fodler: x, chunks: 9, mode: slow } }
          - { id: v, template: t, with: { folder: 3, chunks: many, other: 1 } }
          - { id: w, template: t }
          - { id: x, template: t, with: [folder] }

        """,
      faults: [
        "11:24 missing: task 'u' gives no 'folder' (Where to look) to the template 't' => add it: 'with: { folder: text }'",
        "11:35 unknown-parameter: 'fodler' is no parameter of the template 't' => did you mean 'folder'?",
        "11:54 bad-parameter: the parameter 'chunks' of the template 't' is 9; it must be at most 8 => write 1",
        #"11:63 bad-parameter: the parameter 'mode' of the template 't' is "slow"; it must be one of fast, full => write "fast""#,
        "12:43 bad-parameter: the parameter 'folder' of the template 't' is 3; it must be text => write text",
        #"12:54 bad-parameter: the parameter 'chunks' of the template 't' is "many"; it must be a whole number => write 1"#,
        "12:60 unknown-parameter: 'other' is no parameter of the template 't' => its parameters are folder, chunks, mode",
        "13:24 missing: task 'w' gives no 'folder' (Where to look) to the template 't' => add it: 'with: { folder: text }'",
        "14:33 wrong-type: 'with' must be a map of parameters, not a list => write 'with: { NAME: VALUE }'",
      ]),
    BrokenFile(
      what: "a template sees nothing of the workflow but what it is given",
      text: """
        format: 1
        workflow: w
        parameters: { day: {} }
        templates:
          - template: t
            tasks:
              - { id: a, handler: test/run, env: { D: '${params.day}', S: '${run.status}' } }
              - { id: b, handler: test/run, dependencies: [prepare], env: { O: '${tasks.prepare.output}' } }
        tasks:
          - { id: prepare, handler: test/run }
          - { id: u, template: t, dependencies: [prepare] }

        """,
      faults: [
        "7:50 unknown-parameter: the parameter 'day' is not declared by the template 't' => declare it: 'parameters: { day: { default: VALUE } }'",
        #"7:70 bad-expression: 'run.status' is RUNNING here => declare a parameter for it, and use the template in 'cleanup' with { status: "${run.status}" }"#,
        "8:52 unknown-task: task 'b' depends on 'prepare', which is not a task => add the task, or remove the dependency",
        "8:75 unknown-task: task 'b' refers to 'prepare', which is not a task => name a task that it depends on",
      ]),
    BrokenFile(
      what: "nobody sees what is inside of a use",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, tasks: [{ id: a, handler: test/run }, { id: b, handler: test/run }] }
        tasks:
          - { id: u, template: t }
          - { id: last, handler: test/run, dependencies: [u.a], env: { O: '${tasks["u.b"].output}', P: '${tasks.u.output}' } }
          - { id: u.c, handler: test/run }
        result: u

        """,
      faults: [
        "7:11 unused: 2 tasks do not contribute to the result 'u': last, u.c => let a task that contributes depend on it, or remove it",
        "7:51 unknown-task: task 'last' depends on 'u.a', which is not a task => depend on 'u': what stands inside of it cannot be named",
        "7:70 unknown-task: task 'last' refers to 'u.b', which is not a task => name 'u': what stands inside of it cannot be named",
        "7:99 no-dependency: task 'last' refers to 'u', which it does not depend on => add 'u' to its dependencies",
        "7:99 missing: 'u' has no output: the template 't' does not say which of its tasks gives it => add 'result: TASK' to the template",
        "8:11 duplicate-id: the id 'u.c' is one of those of the tasks that 'u' stands for => give one of the tasks another id",
        "9:9 missing: the result 'u' has no output: the template 't' does not say which of its tasks gives it => add 'result: TASK' to the template",
      ]),
    BrokenFile(
      what: "a use with what belongs to handlers",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, parameters: { x: {} }, tasks: [{ id: a, handler: test/run }] }
        tasks:
          - { id: u, template: t, input: { x: 1 }, env: { A: b }, handler: test/run }
          - { id: v, handler: test/run, with: { x: 1 } }
          - { template: t, with: { x: 1 }, wiht: {} }

        """,
      faults: [
        "6:24 missing: task 'u' gives no 'x' to the template 't' => add it: 'with: { x: VALUE }'",
        "6:27 unknown-key: task 'u' uses a template, and has no 'input' => give values to the template's parameters: 'with: { NAME: VALUE }'",
        "6:44 unknown-key: task 'u' uses a template, and has no 'env' => give values to the template's parameters: 'with: { NAME: VALUE }'",
        "6:59 unknown-key: task 'u' uses a template, and has no 'handler' => remove 'handler' or 'template'",
        "7:33 unknown-key: 'with' gives values to a template, and there is no 'template' => add 'template: NAME', or write 'input'",
        "8:5 missing: task 3 has no 'id' => add 'id: NAME'",
        "8:36 unknown-key: unknown key 'wiht' in task 3 => did you mean 'with'?",
      ]),
    BrokenFile(
      what: "templates that use each other in a circle, and one that uses itself",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: a, tasks: [{ id: x, template: b }] }
          - { template: b, tasks: [{ id: x, template: c }] }
          - { template: c, tasks: [{ id: x, template: a }, { id: y, handler: test/run }] }
          - { template: d, tasks: [{ id: x, template: d }] }
        tasks: [{ id: u, template: a }]

        """,
      faults: [
        "6:47 cycle: the template 'a' uses itself: a -> b -> c -> a => remove one of these uses",
        "7:47 cycle: the template 'd' uses itself: d -> d => remove one of these uses",
      ]),
    BrokenFile(
      what: "a result of a template that is none of its tasks, and uses in a circle",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, result: merg, tasks: [{ id: merge, handler: test/run }] }
        tasks:
          - { id: u, template: t, dependencies: [v] }
          - { id: v, template: t, dependencies: [u] }
          - { id: z, handler: test/run, dependencies: [v] }

        """,
      faults: [
        "4:28 unknown-task: the result 'merg' of the template 't' is not one of its tasks => did you mean 'merge'?",
        "6:42 cycle: a cycle of 2 tasks, each waiting for the next: u -> v -> u => remove one of these dependencies, for example 'v' from 'u'",
        "8:11 unreachable: task 'z' can never start: it waits for 'v', which is on a cycle => break the cycle",
      ]),
    BrokenFile(
      what: "expressions of a use: unknown parameters, tasks not before it, secrets",
      text: """
        format: 1
        workflow: w
        parameters: { day: {} }
        templates: [{ template: t, parameters: { x: {} }, tasks: [{ id: a, handler: test/run }] }]
        tasks:
          - { id: other, handler: test/run }
          - id: u
            template: t
            when: ${tasks.other.output}
            with: { x: ['${params.dya}', '${secrets.S}', '${tasks.u.output}'] }

        """,
      faults: [
        "9:13 no-dependency: task 'u' refers to 'other', which it does not depend on => add 'other' to its dependencies",
        "10:20 unknown-parameter: the parameter 'dya' is not declared => did you mean 'day'?",
        "10:37 bad-expression: a secret may stand in 'env' only: elsewhere it would be written down => give it to the handler: 'env: { NAME: { secret: NAME } }'",
        "10:53 self-dependency: task 'u' refers to itself => name a task that it depends on",
      ]),
    BrokenFile(
      what: "parameters of templates that are declared wrongly",
      text: """
        format: 1
        workflow: w
        templates:
          - template: t
            parameters:
              a: { type: integr }
              b: { type: integer, default: x }
              'c d': {}
            tasks: [{ id: a, handler: test/run }]
        tasks: [{ id: u, template: t, with: { a: 1, 'c d': 2 } }]

        """,
      faults: [
        "6:18 bad-value: 'integr' is no type => did you mean 'integer'?",
        #"7:36 bad-value: the parameter 'b': the default "x" must be a whole number => correct the default"#,
        "8:7 bad-id: 'c d' is no name for a parameter => use 1 to 128 of A-Z a-z 0-9 _ and -",
      ]),
    BrokenFile(
      what: "priorities that only a run could tell",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, parameters: { p: {} }, tasks: [{ id: a, handler: test/run, priority: '${params.p}' }] }
        tasks:
          - { id: first, handler: test/run }
          - { id: u, template: t, dependencies: [first], with: { p: '${tasks.first.output}' } }

        """,
      faults: [
        "7:11 bad-expression: task 'u.a' out of 'u': its priority is settled when the run starts, but the parameter 'p' of 'u' only while it goes on => give a value that needs parameters alone"
      ]),
    BrokenFile(
      what: "one key with two limits, in the workflow and in a template",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, tasks: [{ id: a, handler: test/run, concurrency: { key: db, limit: 2 } }] }
        tasks:
          - { id: u, template: t }
          - { id: v, handler: test/run, concurrency: { key: db, limit: 3 } }

        """,
      faults: [
        "4:28 mismatch: the key 'db' has limit 2 here and 3 at line 7 => write the same limit, or use another key"
      ]),
    BrokenFile(
      what: "templates more than 16 deep, and ids that become too long",
      text: "format: 1\nworkflow: w\ntemplates:\n"
        + (0..<16).map { "  - { template: t\($0), tasks: [{ id: x, template: t\($0 + 1) }] }\n" }.joined()
        + "  - { template: t16, tasks: [{ id: \(String(repeating: "y", count: 120)), handler: test/run }] }\n"
        + "tasks: [{ id: abcdefghij, template: t16 }]\n",
      faults: [
        "19:49 limit: templates are used more than 16 deep in each other => use fewer levels",
        "21:15 limit: a task that 'abcdefghij' stands for has an id of 131 bytes; at most 128 are allowed => use shorter ids",
      ]),
    BrokenFile(
      what: "a template in the cleanup that is tied to a task",
      text: """
        format: 1
        workflow: w
        templates:
          - { template: t, parameters: { s: {} }, tasks: [{ id: a, handler: test/run }] }
        tasks: [{ id: a, handler: test/run }]
        cleanup:
          - { id: u, template: t, dependencies: [a], with: { s: '${run.sttus}' } }

        """,
      faults: [
        "7:42 bad-dependency: cleanup task 'u' depends on 'a': it runs after all tasks anyway => remove the dependency; tasks.a.output and .status may be used without it",
        "7:63 bad-expression: a run has no 'sttus' => write run.id, run.status or run.workflow",
      ]),
  ]
}
