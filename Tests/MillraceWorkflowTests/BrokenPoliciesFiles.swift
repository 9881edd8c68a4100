@testable import MillraceWorkflow

extension BrokenFile {
  static let policies: [BrokenFile] = [
    BrokenFile(
      what: "durations without units, with wrong ones, and none",
      text: """
        format: 1
        workflow: w
        tasks:
          - id: a
            handler: test/run
            timeouts:
              scheduleToStart: 10
              startToClose: 5 minutes
              scheduleToClose: 0s
              heartbeat: 11y

        """,
      faults: [
        "7:24 bad-duration: 'scheduleToStart': '10' has no unit => write 10s for seconds; the units are d, h, m, s, ms, us or ns",
        "8:21 bad-duration: 'startToClose': '5 minutes' has no unit => write 5s for seconds; the units are d, h, m, s, ms, us or ns",
        "9:24 bad-duration: 'scheduleToClose' is zero => write at least 1ns, or leave it out for no limit",
        "10:18 bad-duration: 'heartbeat': '11y' has the unknown unit 'y' => the units are d, h, m, s, ms, us or ns",
      ]),
    BrokenFile(
      what: "durations that run backwards, are too long, are broken, are lists",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, timeouts: { startToClose: 1s1m, scheduleToClose: 4000d, heartbeat: 1.5s, scheduleToStart: [1s] } }

        """,
      faults: [
        "4:59 bad-duration: 'startToClose': '1s1m' does not name its units from large to small => write each unit once, as in 1h30m",
        "4:82 bad-duration: 'scheduleToClose': '4000d' is longer than ten years => write at most 3650d, or leave it out for no limit",
        "4:100 bad-duration: 'heartbeat': '1.5s' is not a whole number of its unit => use a smaller unit: 1500ms instead of 1.5s",
        "4:123 wrong-type: 'scheduleToStart' must be a duration, not a list => write 10s, 250ms or 1m30s",
      ]),
    BrokenFile(
      what: "an unknown timeout and timeouts that are text",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, timeouts: { startToclose: 1s, stop: 1s } }
          - { id: b, handler: test/run, timeouts: 5m }

        """,
      faults: [
        "4:45 unknown-key: unknown key 'startToclose' in 'timeouts' => did you mean 'startToClose'?",
        "4:63 unknown-key: unknown key 'stop' in 'timeouts' => the keys are scheduleToStart, startToClose, scheduleToClose, heartbeat",
        "5:43 wrong-type: 'timeouts' must be a map, not text => write 'timeouts: { startToClose: 5m }'",
      ]),
    BrokenFile(
      what: "priorities",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, priority: hihg }
          - { id: b, handler: test/run, priority: 3 }
          - { id: c, handler: test/run, priority: '${tasks.a.status}' }
        defaults: { priority: urgent, color: red }

        """,
      faults: [
        "4:43 bad-value: 'hihg' is no priority => did you mean 'high'?",
        #"5:43 wrong-type: 'priority' must be text, not a number => put it in quotes: "3""#,
        "6:46 no-dependency: task 'c' refers to 'a', which it does not depend on => add 'a' to its dependencies",
        "7:23 bad-value: 'urgent' is no priority => write low, normal, high or critical",
        "7:31 unknown-key: unknown key 'color' in 'defaults' => the keys are priority, timeouts, retry, concurrency, rate, breaker",
      ]),
    BrokenFile(
      what: "retries out of bounds",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, retry: { attempts: 0, factor: 0.5, initial: 2m, cap: 1m, nonRetryable: [''] } }
          - { id: b, handler: test/run, retry: { attempts: many, factor: x, retries: 3 } }

        """,
      faults: [
        "4:52 bad-value: 'attempts' is 0; it may be 1 to 1000000 => write a number from 1 to 1000000",
        "4:63 bad-value: 'factor' is 0.5; it may be 1 to 1000 => write 'factor: 2'",
        "4:86 bad-value: 'cap' (1m) is shorter than 'initial' (2m) => write a cap of at least 2m",
        "4:105 bad-value: an error type of 0 bytes => use 1 to 64 bytes",
        "5:52 wrong-type: 'attempts' must be a whole number, not text => write a number from 1 to 1000000",
        "5:66 wrong-type: 'factor' must be a number, not text => write 'factor: 2'",
        "5:69 unknown-key: unknown key 'retries' in 'retry' => the keys are attempts, initial, factor, cap, nonRetryable",
      ]),
    BrokenFile(
      what: "retries of wrong types",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, retry: 3 }
          - { id: b, handler: test/run, retry: { nonRetryable: bad-input, attempts: 1.5 } }

        """,
      faults: [
        "4:40 wrong-type: 'retry' must be a map, not a number => write 'retry: { attempts: 3 }'",
        "5:56 wrong-type: 'nonRetryable' must be a list of error types, not text => write 'nonRetryable: [bad-input]'",
        "5:77 wrong-type: 'attempts' must be a whole number, not a number => write a number from 1 to 1000000",
      ]),
    BrokenFile(
      what: "breaker: no destination, numbers out of bounds, a destination that is no parameter, two that are not the same",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, breaker: { window: 65, failure_rate: 0, canaries: 0 } }
          - { id: b, handler: test/run, breaker: { destination: shop, open_for: 10s, longest: 5s } }
          - { id: c, handler: test/run, breaker: { destination: shop, retry_budget: { ratio: -1, least: 1.5, per: 0s } } }
          - { id: d, handler: test/run, breaker: { destination: '${tasks.a.output}', colour: red } }

        """,
      faults: [
        "4:42 missing: 'breaker' has no 'destination' => add 'destination: payments'",
        "4:52 bad-value: 'window' is 65; it may be 1 to 64 => write a number from 1 to 64",
        "4:70 bad-value: 'failure_rate' is 0; it may be more than 0, up to 1 => write 0.5",
        "4:83 bad-value: 'canaries' is 0; it may be 1 to 1000 => write a number from 1 to 1000",
        "5:42 bad-value: 'longest' is shorter than 'open_for' (10s) => write at least 10s",
        "6:5 mismatch: the breaker of 'shop' is not the same here as at line 5 => write the same breaker, or put it into 'defaults'",
        "6:86 bad-value: 'ratio' is -1; it may be 0 to 1000 => write 0.2",
        "6:97 wrong-type: 'least' must be a whole number, not a number => write a number from 0 to 1000000",
        "6:107 bad-duration: 'per' is 0s => write 10s",
        "7:60 bad-expression: a key is settled when the run starts, by its parameters => use params.NAME",
        "7:78 unknown-key: unknown key 'colour' in 'breaker' => the keys are destination, failure_rate, window, open_for, longest, canaries, retry_budget",
      ]),
    BrokenFile(
      what: "concurrency and rate: no key, two limits, limits out of bounds, a weight beyond its limit",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: test/run, concurrency: { limit: 2 } }
          - { id: b, handler: test/run, concurrency: { key: db, limit: 1 } }
          - { id: c, handler: test/run, concurrency: { key: db, limit: 2 } }
          - { id: d, handler: test/run, concurrency: { key: '', limit: 0 } }
          - { id: e, handler: test/run, concurrency: { key: net, limit: 2, weight: 3 }, rate: { key: 'api-${tasks.a.output}', limit: 0, per: 0s } }

        """,
      faults: [
        "4:46 missing: 'concurrency' has no 'key' => add 'key: NAME'",
        "6:5 mismatch: the key 'db' has limit 2 here and 1 at line 5 => write the same limit, or use another key",
        "7:53 bad-value: 'key' has 0 bytes => use 1 to 256 bytes",
        "7:64 bad-value: 'limit' is 0; it may be 1 to 1000000 => write a number from 1 to 1000000",
        "8:5 bad-value: task 'e': the weight 3 is more than the limit of 'net', 2 => raise 'limit' to 3, or lower 'weight'",
        "8:101 bad-expression: a key is settled when the run starts, by its parameters => use params.NAME",
        "8:126 bad-value: 'limit' is 0; it may be 1 to 1000000 => write a number from 1 to 1000000",
        "8:134 bad-duration: 'per' is zero => write 'per: 1s'",
      ]),
    BrokenFile(
      what: "versions that are no numbers from 1 on, and a policy that is none",
      text: """
        format: 1
        workflow: w
        version: 0
        version_policy: pined
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:10 bad-value: 'version' is 0; it may be 1 to 1000000000 => write 'version: 1', and count up with each change",
        "4:17 bad-value: 'pined' is no version policy => did you mean 'pinned'?",
      ]),
    BrokenFile(
      what: "a version as text, a policy near none, an unknown key near one",
      text: """
        format: 1
        workflow: w
        version: '1.2'
        version_policy: always
        versions: 3
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:10 wrong-type: 'version' must be a whole number, not text => write 'version: 1', and count up with each change",
        "4:17 bad-value: 'always' is no version policy => write pinned, upgrade-at-step-boundary or drain",
        "5:1 unknown-key: unknown key 'versions' in the definition => did you mean 'version'?",
      ]),
    BrokenFile(
      what: "a durability near one",
      text: """
        format: 1
        workflow: w
        durability: logs
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: ["3:13 bad-value: 'logs' is no durability => did you mean 'log'?"]),
    BrokenFile(
      what: "a durability near none of the two",
      text: """
        format: 1
        workflow: w
        durability: true
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: ["3:13 wrong-type: 'durability' must be text, not true or false => put it in quotes: \"true\""]),
    BrokenFile(
      what: "a version beyond the last",
      text: """
        format: 1
        workflow: w
        version: 1000000001
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:10 bad-value: 'version' is 1000000001; it may be 1 to 1000000000 => write 'version: 1', and count up with each change"
      ]),
  ]
}
