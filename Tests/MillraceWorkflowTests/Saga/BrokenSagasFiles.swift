@testable import MillraceWorkflow

extension BrokenFile {
  static let sagas: [BrokenFile] = [
    BrokenFile(
      what: "a saga with two pivots, a step beside them, and compensations that are missing or would never run",
      text: """
        format: 1
        kind: saga
        workflow: w
        steps:
          - { id: a, handler: test/run }
          - { id: b, handler: test/run, dependencies: [a], compensation: none }
          - { id: c, handler: test/run, dependencies: [b], pivot: true, compensation: { handler: test/run } }
          - { id: d, handler: test/run, dependencies: [c], compensation: { handler: test/run } }
          - { id: e, handler: test/run, dependencies: [d], pivot: true }
          - { id: f, handler: test/run, dependencies: [b] }

        """,
      faults: [
        "5:5 missing: step 'a' has no 'compensation' => add 'compensation: { handler: NAME }', or 'compensation: none' if there is nothing to undo",
        "7:79 mismatch: the pivot 'c' has a compensation, which would never run => remove it: once the pivot is done, the saga only goes forward",
        "8:66 mismatch: step 'd' comes after the pivot 'c' and has a compensation, which would never run => remove it, or let 'c' depend on 'd'",
        "9:59 mismatch: step 'e' is a second pivot; the first is 'c' at line 7 => leave 'pivot' in one of them",
        "10:11 bad-dependency: step 'f' comes neither before nor after the pivot 'c' => let it depend on 'c', or 'c' on it",
      ]),
    BrokenFile(
      what: "compensations that are none, of no shape, and with unknown parts",
      text: """
        format: 1
        kind: saga
        workflow: w
        steps:
          - { id: a, handler: test/run, compensation: test/run }
          - { id: b, handler: test/run, compensation: }
          - { id: c, handler: test/run, compensation: { input: 1 } }
          - { id: d, handler: test/run, compensation: { handler: test/rum, retires: 1 } }
          - { id: e, handler: test/run, compensation: { handler: test/run, retry: { attempts: forever }, timeouts: { startToClose: 0s } } }
          - { id: f, handler: test/run, compensation: [none] }

        """,
      faults: [
        "5:47 wrong-type: the compensation of step 'a' must be a map or none, not text => write 'compensation: { handler: NAME }', or 'none' if there is nothing to undo",
        "6:47 wrong-type: the compensation of step 'b' must be a map or none, not nothing => write 'compensation: { handler: NAME }', or 'none' if there is nothing to undo",
        "7:47 missing: the compensation of step 'c' has no 'handler' => add 'handler: PLUGIN/HANDLER'",
        "8:58 unknown-handler: the compensation of step 'd' has the unknown handler 'test/rum' => did you mean 'test/run'?",
        "8:68 unknown-key: unknown key 'retires' in the compensation of step 'd' => the keys are handler, input, retry, timeouts",
        "9:87 bad-value: 'forever' is no number of attempts => write a number from 1 to 1000000, or unlimited",
        "9:124 bad-duration: 'startToClose' is zero => write at least 1ns, or leave it out for no limit",
        "10:47 wrong-type: the compensation of step 'f' must be a map or none, not a list => write 'compensation: { handler: NAME }', or 'none' if there is nothing to undo",
      ]),
    BrokenFile(
      what: "a saga with the keys of a workflow, and steps with those of tasks",
      text: """
        format: 1
        kind: saga
        workflow: w
        on_failure: continue
        cleanup: []
        tasks: []
        steps:
          - { id: a, wait: approval, when: "${true}", compensation: none }
          - { id: a, handler: test/run, compensation: none, pivot: maybe, dependencies: [b] }

        """,
      faults: [
        "4:1 unknown-key: the definition has 'on_failure', but is a saga => remove it: what was done is undone",
        "5:1 unknown-key: the definition has 'cleanup', but is a saga => remove it: write a step",
        "6:1 unknown-key: the definition has 'tasks', but is a saga => write 'steps', or remove 'kind: saga'",
        "8:5 missing: step 'a' has no 'handler' => add 'handler: PLUGIN/HANDLER'",
        "8:14 unknown-key: step 'a' has 'wait', which steps of a saga do not have => the keys are id, handler, description, dependencies, input, env, compensation, pivot, priority, timeouts, retry, concurrency, rate, breaker",
        "8:30 unknown-key: step 'a' has 'when', which steps of a saga do not have => the keys are id, handler, description, dependencies, input, env, compensation, pivot, priority, timeouts, retry, concurrency, rate, breaker",
        "9:11 duplicate-id: the id 'a' is used twice; first at line 8 => give one of the steps another id",
        "9:60 wrong-type: 'pivot' must be true or false, not text => write 'pivot: true', or leave it out",
        "9:82 unknown-task: step 'a' depends on 'b', which is not a step => add the step, or remove the dependency",
      ]),
    BrokenFile(
      what: "a workflow with the parts of a saga, and a kind near one",
      text: """
        format: 1
        kind: sagas
        workflow: w
        tasks:
          - { id: a, handler: test/run, compensation: none, pivot: true, retry: { attempts: unlimited } }
        steps: []

        """,
      faults: [
        "2:7 bad-value: 'sagas' is no kind of definition => did you mean 'saga'?",
        "5:33 unknown-key: task 'a' has 'compensation', but is no saga => remove it, or make the definition a saga: 'kind: saga' and 'steps'",
        "5:53 unknown-key: task 'a' has 'pivot', but is no saga => remove it, or make the definition a saga: 'kind: saga' and 'steps'",
        "5:85 wrong-type: 'attempts' must be a whole number, not text => write a number from 1 to 1000000",
        "6:1 unknown-key: the definition has 'steps', but is no saga => add 'kind: saga', or write 'tasks'",
      ]),
    BrokenFile(
      what: "a saga with a cycle, and expressions that name what is not before them",
      text: """
        format: 1
        kind: saga
        workflow: w
        result: z
        steps:
          - { id: a, handler: test/run, compensation: { handler: test/run, input: "${tasks.a.output} ${tasks.d.output}" } }
          - { id: b, handler: test/run, dependencies: [c], compensation: none }
          - { id: c, handler: test/run, dependencies: [b], compensation: none, input: "${tasks.c.output}" }
          - { id: d, handler: test/run, dependencies: [a], compensation: { handler: test/run, input: "${tasks.a.output}" }, pivot: false }
          - { id: e, handler: test/run, dependencies: [c], pivot: true }

        """,
      faults: [
        "4:9 unknown-task: the result 'z' is not a step => name the step whose output is the result",
        "6:96 no-dependency: step 'a' refers to 'd', which it does not depend on => add 'd' to its dependencies",
        "7:48 cycle: a cycle of 2 steps, each waiting for the next: b -> c -> b => remove one of these dependencies, for example 'c' from 'b'",
        "8:82 self-dependency: step 'c' refers to itself => name a step that it depends on",
        "10:11 unreachable: step 'e' can never start: it waits for 'c', which is on a cycle => break the cycle",
      ]),
    BrokenFile(
      what: "a compensation whose input its handler does not take, with timeouts that contradict each other",
      text: """
        format: 1
        kind: saga
        workflow: w
        steps:
          - id: a
            handler: test/run
            compensation: { handler: files/list, input: { directory: 1 }, timeouts: { startToClose: 2m, scheduleToClose: 1m } }

        """,
      faults: [
        "7:19 mismatch: the compensation of step 'a': 'startToClose' (2m) never passes, for 'scheduleToClose' is 1m => make 'startToClose' shorter, or leave it out",
        "7:62 wrong-type: input.directory of the compensation of step 'a' must be text, not a number => put it in quotes: \"1\"",
      ]),
  ]
}
