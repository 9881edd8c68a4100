@testable import MillraceWorkflow

extension BrokenFile {
  static let tasks: [BrokenFile] = [
    BrokenFile(
      what: "tasks without id, without handler, and one that is text",
      text: """
        format: 1
        workflow: w
        tasks:
          - { handler: test/run }
          - { id: b }
          - c

        """,
      faults: [
        "4:5 missing: task 1 has no 'id' => add 'id: NAME'",
        "5:5 missing: task 'b' has no 'handler' => add 'handler: PLUGIN/HANDLER'",
        "6:5 wrong-type: task 3 must be a map, not text => write '- id: NAME' and 'handler: PLUGIN/HANDLER'",
      ]),
    BrokenFile(
      what: "misspelt keys in tasks",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            dependancies: []
            prioritiy: low
            colour: red

        """,
      faults: [
        "6:5 unknown-key: unknown key 'dependancies' in task 'a' => did you mean 'dependencies'?",
        "7:5 unknown-key: unknown key 'prioritiy' in task 'a' => did you mean 'priority'?",
        "8:5 unknown-key: unknown key 'colour' in task 'a' => the keys are id, handler, wait, workflow, parameters, description, dependencies, when, foreach, parallelism, input, env, template, with, priority, timeouts, retry, concurrency, rate, breaker",
      ]),
    BrokenFile(
      what: "ids that are numbers, too long, or hold other letters",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: 42, handler: test/run }
          - { id: größe, handler: test/run }
          - { id: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, handler: test/run }

        """,
      faults: [
        #"4:11 wrong-type: 'id' must be text, not a number => put it in quotes: "42""#,
        "5:11 bad-id: 'id' 'größe' has a letter that is not allowed => use 1 to 128 of A-Z a-z 0-9 . _ and -",
        "6:11 bad-id: 'id' has 129 bytes => use 1 to 128 of A-Z a-z 0-9 . _ and -",
      ]),
    BrokenFile(
      what: "one id for three tasks",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run }
          - { id: a, handler: test/run }
          - { id: a, handler: test/run }

        """,
      faults: [
        "5:11 duplicate-id: the id 'a' is used twice; first at line 4 => give one of the tasks another id",
        "6:11 duplicate-id: the id 'a' is used twice; first at line 4 => give one of the tasks another id",
      ]),
    BrokenFile(
      what: "dependencies that are not there, twice there, or the task itself",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: split, handler: test/run }
          - { id: b, handler: test/run, dependencies: [spilt, split, split, b, nowhere] }

        """,
      faults: [
        "5:48 unknown-task: task 'b' depends on 'spilt', which is not a task => did you mean 'split'?",
        "5:62 duplicate-id: task 'b' depends on 'split' twice => remove one of them",
        "5:69 self-dependency: task 'b' depends on itself => remove the dependency",
        "5:72 unknown-task: task 'b' depends on 'nowhere', which is not a task => add the task, or remove the dependency",
      ]),
    BrokenFile(
      what: "dependencies of wrong types",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, dependencies: b }
          - { id: b, handler: test/run, dependencies: [1, { c: d }, ''] }

        """,
      faults: [
        "4:47 wrong-type: 'dependencies' must be a list of task ids, not text => write 'dependencies: [first, second]'",
        #"5:48 wrong-type: a dependency must be text, not a number => put it in quotes: "1""#,
        "5:51 wrong-type: a dependency must be text, not a map => write text",
        "5:61 bad-id: a dependency is empty => use 1 to 128 of A-Z a-z 0-9 . _ and -",
      ]),
    BrokenFile(
      what: "a cycle, what waits for it, and an unknown handler beside it",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, dependencies: [c] }
          - { id: b, handler: test/run, dependencies: [a] }
          - { id: c, handler: test/rum, dependencies: [b] }
          - { id: d, handler: test/run, dependencies: [c] }

        """,
      faults: [
        "4:48 cycle: a cycle of 3 tasks, each waiting for the next: a -> c -> b -> a => remove one of these dependencies, for example 'c' from 'a'",
        "6:23 unknown-handler: task 'c' has the unknown handler 'test/rum' => did you mean 'test/run'?",
        "7:11 unreachable: task 'd' can never start: it waits for 'c', which is on a cycle => break the cycle",
      ]),
    BrokenFile(
      what: "two cycles that do not touch",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, dependencies: [b] }
          - { id: b, handler: test/run, dependencies: [a] }
          - { id: x, handler: test/run, dependencies: [y] }
          - { id: y, handler: test/run, dependencies: [x] }

        """,
      faults: [
        "4:48 cycle: a cycle of 2 tasks, each waiting for the next: a -> b -> a => remove one of these dependencies, for example 'b' from 'a'",
        "6:48 cycle: a cycle of 2 tasks, each waiting for the next: x -> y -> x => remove one of these dependencies, for example 'y' from 'x'",
      ]),
    BrokenFile(
      what: "handlers: near one, near none, no name at all",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: files/hsah }
          - { id: b, handler: video/encode }
          - { id: c, handler: 'run it' }
          - { id: d, handler: [test/run] }

        """,
      faults: [
        "4:23 unknown-handler: task 'a' has the unknown handler 'files/hsah' => did you mean 'files/hash'?",
        "5:23 unknown-handler: task 'b' has the unknown handler 'video/encode' => load its plugin; known are files/hash, files/list, replay/task, shell/run, test/all, test/run, test/tree",
        "6:23 bad-value: 'run it' is no name for a handler => write 'plugin/handler', of A-Z a-z 0-9 . _ - and /",
        "7:23 wrong-type: 'handler' must be text, not a list => write text",
      ]),
    BrokenFile(
      what: "a result that is no task",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: report, handler: test/run }
        result: reprot

        """,
      faults: [
        "5:9 unknown-task: the result 'reprot' is not a task => did you mean 'report'?"
      ]),
    BrokenFile(
      what: "a result of a wrong type and tasks of a wrong type",
      text: """
        format: 1
        workflow: w
        tasks: { id: a }
        result: [a]

        """,
      faults: [
        "3:8 wrong-type: 'tasks' must be a list, not a map => write '- id: NAME' for each task",
        "4:9 wrong-type: 'result' must be text, not a list => write text",
      ]),
  ]
}
