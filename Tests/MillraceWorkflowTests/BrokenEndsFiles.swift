@testable import MillraceWorkflow

extension BrokenFile {
  static let ends: [BrokenFile] = [
    BrokenFile(
      what: "cleanup tasks that are tied to others, and others to them",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, dependencies: [c] }
          - { id: b, handler: test/run, when: "${tasks.d.status == 'FAILED'}" }
        cleanup:
          - { id: c, handler: test/run, dependencies: [b], env: { S: "${run.status} ${tasks.a.output} ${tasks.d.status}" } }
          - { id: d, handler: test/run, dependencies: [e] }
          - { id: e, handler: test/run, dependencies: [d] }
        result: c

        """,
      faults: [
        "4:48 bad-dependency: task 'a' depends on 'c', a cleanup task, which runs after it => remove the dependency",
        "5:42 bad-dependency: task 'b' refers to 'd', a cleanup task, which runs after it => name a task that it depends on",
        "7:48 bad-dependency: cleanup task 'c' depends on 'b': it runs after all tasks anyway => remove the dependency; tasks.b.output and .status may be used without it",
        "7:97 no-dependency: task 'c' refers to 'd', which it does not depend on => add 'd' to its dependencies",
        "8:48 cycle: a cycle of 2 tasks, each waiting for the next: d -> e -> d => remove one of these dependencies, for example 'e' from 'd'",
        "10:9 bad-dependency: the result 'c' is a cleanup task => name a task of 'tasks'",
      ]),
    BrokenFile(
      what: "a cleanup with ids of tasks, unknown handlers and unknown keys",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run }
        cleanup:
          - { id: a, handler: test/rum }
          - { id: b, handler: test/run, depends: [a] }

        """,
      faults: [
        "6:11 duplicate-id: the id 'a' is used twice; first at line 4 => give one of the tasks another id",
        "6:23 unknown-handler: task 'a' has the unknown handler 'test/rum' => did you mean 'test/run'?",
        "7:33 unknown-key: unknown key 'depends' in task 'b' => the keys are id, handler, wait, workflow, parameters, description, dependencies, when, foreach, parallelism, input, env, template, with, priority, timeouts, retry, concurrency, rate, breaker",
      ]),
    BrokenFile(
      what: "a cleanup that waits for a task, and a task that asks how the run ended",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, env: { S: '${run.status}' } }
        cleanup:
          - { id: b, handler: test/run, dependencies: [a] }

        """,
      faults: [
        "4:46 bad-expression: 'run.status' is RUNNING here => use tasks.ID.status, or move the task to 'cleanup'",
        "6:48 bad-dependency: cleanup task 'b' depends on 'a': it runs after all tasks anyway => remove the dependency; tasks.a.output and .status may be used without it",
      ]),
    BrokenFile(
      what: "schedules: cron",
      text: """
        format: 1
        workflow: w
        schedule: '61 * * *'
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:11 bad-schedule: a cron expression has 5 fields, and this has 4 => write minute, hour, day of month, month and day of week, as '30 4 * * MON-FRI'"
      ]),
    BrokenFile(
      what: "schedules: unknown members, zones and choices",
      text: """
        format: 1
        workflow: w
        schedule:
          cron: '0 4 * * *'
          zone: Europe/Berln
          missed: never
          overlap: both
          jiter: 5m
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "5:9 bad-schedule: the time zone 'Europe/Berln' is not in /usr/share/zoneinfo => did you mean 'Europe/Berlin'?",
        "6:11 bad-value: 'never' is no choice for 'missed' => write skip, one or all",
        "7:12 bad-value: 'both' is no choice for 'overlap' => write skip, queue, cancel or allow",
        "8:3 unknown-key: unknown key 'jiter' in 'schedule' => did you mean 'jitter'?",
      ]),
    BrokenFile(
      what: "schedules: a calendar that has no such days",
      text: """
        format: 1
        workflow: w
        schedule: { at: ['25:00'], weekdays: [someday], months: [13], start: tomorrow }
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:18 bad-schedule: '25:00' is no time of day => write 09:00, or 09:00:30",
        "3:39 bad-schedule: 'someday' is none of 'weekdays' => write [mon-fri]",
        "3:58 bad-schedule: '13' is none of 'months' => write [jan, jul]",
        "3:70 bad-schedule: 'start' is 'tomorrow', which is no moment from 1970 to 9999 => write 2026-03-29, 2026-03-29T09:00 or 2026-03-29T09:00Z",
      ]),
    BrokenFile(
      what: "schedules: parameters that the workflow does not have",
      text: """
        format: 1
        workflow: w
        parameters: { day: { type: integer } }
        schedule: { every: 1d, parameters: { dya: 1 } }
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "4:11 missing: the parameter 'day' has no default, and the schedule does not give it => add 'parameters: { day: VALUE }' to 'schedule'",
        "4:38 unknown-parameter: the parameter 'dya' is not declared => did you mean 'day'?",
      ]),
  ]
}
