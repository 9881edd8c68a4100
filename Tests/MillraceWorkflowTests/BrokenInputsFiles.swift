@testable import MillraceWorkflow

extension BrokenFile {
  static let inputs: [BrokenFile] = [
    BrokenFile(
      what: "misspelt keys",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: files/hash, input: { file: [x] } }
          - { id: b, handler: files/list, input: { directroy: /tmp, patern: '*' } }
          - { id: c, handler: replay/task, input: { second: 1 } }

        """,
      faults: [
        "4:44 unknown-key: unknown key 'file' in the input of task 'a' => did you mean 'files'?",
        "5:42 missing: the input of task 'b' has no 'directory' => add 'directory: TEXT'",
        "5:44 unknown-key: unknown key 'directroy' in the input of task 'b' => did you mean 'directory'?",
        "5:61 unknown-key: unknown key 'patern' in the input of task 'b' => did you mean 'pattern'?",
        "6:43 missing: the input of task 'c' has no 'seconds' => add 'seconds: 0'",
      ]),
    BrokenFile(
      what: "wrong types, in lists and maps",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: files/hash, input: { files: x } }
          - { id: b, handler: files/hash, input: { files: [a, 1, '', null] } }
          - { id: c, handler: shell/run, input: { program: ls, environment: { A: 1, B: x }, inheritEnvironment: 'no' } }

        """,
      faults: [
        "4:51 wrong-type: input.files of task 'a' must be a list, not text => write a list",
        #"5:55 wrong-type: input.files[1] of task 'b' must be text, not a number => put it in quotes: "1""#,
        "5:58 bad-value: input.files[2] of task 'b' has 0 characters; there must be at least 1 => write more",
        "5:62 wrong-type: input.files[3] of task 'b' must be text, not nothing => write text",
        #"6:74 wrong-type: input.environment.A of task 'c' must be text, not a number => put it in quotes: "1""#,
        "6:105 wrong-type: input.inheritEnvironment of task 'c' must be true or false, not text => write true or false",
      ]),
    BrokenFile(
      what: "numbers out of bounds and no whole ones",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: files/list, input: { directory: /tmp, limit: 0 } }
          - { id: b, handler: files/list, input: { directory: /tmp, limit: 1.5 } }
          - { id: c, handler: replay/task, input: { seconds: -1 } }
          - { id: d, handler: files/list, input: { directory: /tmp, limit: 1000001 } }

        """,
      faults: [
        "4:68 bad-value: input.limit of task 'a' is 0; it must be at least 1 => write a number that is at least 1",
        "5:68 wrong-type: input.limit of task 'b' must be a whole number, not 1.5 => write a whole number",
        "6:54 bad-value: input.seconds of task 'c' is -1; it must be at least 0 => write a number that is at least 0",
        "7:68 bad-value: input.limit of task 'd' is 1000001; it must be at most 1000000 => write a number that is at most 1000000",
      ]),
    BrokenFile(
      what: "no input where one is needed, and one that is text",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: files/list }
          - { id: b, handler: replay/task, input: 3 }
          - { id: c, handler: shell/run, input: null }

        """,
      faults: [
        "4:5 missing: the input of task 'a' has no 'directory' => add 'directory: TEXT'",
        "5:43 wrong-type: the input of task 'b' must be a map, not a number => write a map",
        "6:41 missing: the input of task 'c' has no 'program' and no 'command' => add one of them",
      ]),
    BrokenFile(
      what: "of two things one is needed, and both are there",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: shell/run, input: { program: ls, command: ls } }
          - { id: b, handler: shell/run, input: { directory: /tmp } }

        """,
      faults: [
        "4:41 bad-value: the input of task 'a' has 'program' and 'command', and may only be one of 2 things => remove what belongs to the others",
        "5:41 missing: the input of task 'b' has no 'program' and no 'command' => add one of them",
      ]),
    BrokenFile(
      what: "expressions whose type is known",
      text: """
        format: 1
        workflow: w
        parameters: { n: { type: integer, default: 1 }, s: { type: string, default: x }, any: { default: 1 } }
        tasks:
          - { id: a, handler: files/list, input: { directory: '${params.n}', recursive: '${params.s}', limit: '${params.any}' } }
          - { id: b, handler: files/list, input: { directory: '${params.s}', limit: '${size params.s}', recursive: '${run.id}' } }
          - { id: c, handler: files/list, input: { directory: 'x ${params.n}', limit: 'x ${params.n}', recursive: '${params.n > 0}' } }

        """,
      faults: [
        "5:55 wrong-type: input.directory of task 'a' must be text; the expression gives a whole number => use a value of that type",
        "5:81 wrong-type: input.recursive of task 'a' must be true or false; the expression gives text => use a value of that type",
        "6:108 wrong-type: input.recursive of task 'b' must be true or false; the expression gives text => use a value of that type",
        "7:79 wrong-type: input.limit of task 'c' must be a whole number, not text => write a whole number",
      ]),
    BrokenFile(
      what: "inputs in templates, by the types of their parameters",
      text: """
        format: 1
        workflow: w
        templates:
          - template: t
            parameters: { folder: { type: string }, n: { type: integer, default: 1 } }
            tasks:
              - { id: a, handler: files/list, input: { directory: '${params.n}', limit: '${params.folder}', recusive: true } }
        tasks:
          - { id: u, template: t, with: { folder: x } }
          - { id: v, template: t, with: { folder: y } }

        """,
      faults: [
        "7:59 wrong-type: input.directory of task 'a' must be text; the expression gives a whole number => use a value of that type",
        "7:81 wrong-type: input.limit of task 'a' must be a whole number; the expression gives text => use a value of that type",
        "7:101 unknown-key: unknown key 'recusive' in the input of task 'a' => did you mean 'recursive'?",
      ]),
    BrokenFile(
      what: "choices, constants, lengths and numbers of elements",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/all, input: { mode: fats, kind: y, name: x, list: [1], pair: [1, 2], level: 10 } }
          - { id: b, handler: test/all, input: { name: abcdef, list: [1, 2, 3, 4], level: 0 } }

        """,
      faults: [
        #"4:48 bad-value: input.mode of task 'a' is "fats"; it must be one of fast, full => did you mean 'fast'?"#,
        #"4:60 bad-value: input.kind of task 'a' is "y"; it must be x => write that"#,
        "4:69 bad-value: input.name of task 'a' has 1 character; there must be at least 2 => write more",
        "4:78 bad-value: input.list of task 'a' has 1 element; there must be at least 2 => write more",
        #"4:90 wrong-type: input.pair[0] of task 'a' must be text, not a number => put it in quotes: "1""#,
        #"4:93 wrong-type: input.pair[1] of task 'a' must be text, not a number => put it in quotes: "2""#,
        "4:104 bad-value: input.level of task 'a' is 10; it must be below 10 => write a number that is below 10",
        "5:48 bad-value: input.name of task 'b' has 6 characters; there must be at most 5 => write fewer",
        "5:62 bad-value: input.list of task 'b' has 4 elements; there must be at most 3 => write fewer",
        "5:83 bad-value: input.level of task 'b' is 0; it must be above 0 => write a number that is above 0",
      ]),
    BrokenFile(
      what: "schemas that refer to themselves, and one of several shapes",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/tree, input: { name: a, children: [{ name: b, children: [{ nam: c }] }] } }
          - { id: b, handler: test/tree, input: { name: a, children: [{ name: b, children: [{ name: 3 }] }], size: { bytes: x } } }
          - { id: c, handler: test/tree, input: { name: a, size: [1] } }

        """,
      faults: [
        "4:85 missing: input.children[0].children[0] of task 'a' has no 'name' => add 'name: TEXT'",
        "4:87 unknown-key: unknown key 'nam' in input.children[0].children[0] of task 'a' => did you mean 'name'?",
        #"5:93 wrong-type: input.children[0].children[0].name of task 'b' must be text, not a number => put it in quotes: "3""#,
        "5:117 wrong-type: input.size.bytes of task 'b' must be a whole number, not text => write a whole number",
        "6:58 bad-value: input.size of task 'c' is none of the 2 things that it may be => input.size of task 'c' must be a whole number, not a list",
      ]),
    BrokenFile(
      what: "inputs, dependencies and handlers at once",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: files/list
            dependencies: [b]
            when: ${tasks.b.output}
            priority: highest
            input: { directory: 7, limit: '${tasks.c.output}', pattern: ['*'] }
            timeouts: { startToClose: 1x }

        """,
      faults: [
        "6:20 unknown-task: task 'a' depends on 'b', which is not a task => add the task, or remove the dependency",
        "7:13 unknown-task: task 'a' refers to 'b', which is not a task => name a task that it depends on",
        "8:15 bad-value: 'highest' is no priority => write low, normal, high or critical",
        #"9:25 wrong-type: input.directory of task 'a' must be text, not a number => put it in quotes: "7""#,
        "9:38 unknown-task: task 'a' refers to 'c', which is not a task => name a task that it depends on",
        "9:65 wrong-type: input.pattern of task 'a' must be text, not a list => write text",
        "10:31 bad-duration: 'startToClose': '1x' has the unknown unit 'x' => the units are d, h, m, s, ms, us or ns",
      ]),
  ]
}
