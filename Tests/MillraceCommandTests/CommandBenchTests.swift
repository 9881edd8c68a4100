import Foundation
import Millrace
import Testing

@Suite("millrace bench", .timeLimit(.minutes(5)))
struct CommandBenchTests {
  /// So little load that it says nothing, but has all parts.
  private static let tiny = ["--duration", "20ms", "--warm-up", "1ms", "--rounds", "2", "--levels", "1,3", "--threads", "1"]

  private func bench(_ command: Command, _ arguments: [String]) throws -> Command.Ending {
    let (process, output, errors) = try command.process(["bench"] + arguments)
    try process.run()
    process.waitUntilExit()
    return Command.Ending(
      exit: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: output, encoding: .utf8), errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  @Test("list names every suite with a line")
  func list() throws {
    let ending = try bench(try Command(), ["list"])
    #expect(ending.exit == 0)
    for suite in ["scheduler", "dag", "timers", "plugin-call", "end-to-end", "broker", "fixed", "handler", "workflow"] {
      #expect(ending.output.split(separator: "\n").contains { $0.hasPrefix(suite + " ") }, "\(suite)")
    }
  }

  @Test(
    "every suite of its own writes a result with as many rounds of each level as were asked for",
    arguments: ["scheduler", "plugin-call", "end-to-end", "timers"])
  func suites(suite: String) throws {
    let command = try Command()
    let ending = try bench(command, ["run", suite] + Self.tiny)
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("in flight"))
    #expect(ending.errors.contains("wrote bench-\(suite).json"))
    let result = try JSON(parsing: command.read("bench-\(suite).json"))
    #expect(result["schema"] == "millrace.bench/1")
    #expect(result["suite"] == .string(suite))
    #expect(result["configuration"]?["mode"] == "closed")
    #expect(result["configuration"]?["rounds"] == 2)
    let levels = result["levels"]?.array ?? []
    #expect(levels.map { $0["level"] } == [1, 3])
    // Together: in one round of 20 ms a busy machine may leave the command no processor.
    var completed: Int64 = 0
    for round in levels.flatMap({ $0["rounds"]?.array ?? [] }) {
      completed += round["completed"]?.integer ?? 0
      #expect(round["service"]?["count"] == round["completed"])
      #expect((round["cpuNanoseconds"]?.integer ?? 0) > 0)
    }
    #expect(completed > 0)
    #expect(levels.allSatisfy { $0["rounds"]?.array?.count == 2 })
    // Nothing is scheduled once there is no more work.
    #expect(result["idle"]?["wakeUps"] == 0)
    #expect(result["idle"]?["cpuNanoseconds"] == 0)
  }

  @Test("threads that spin without work are seen, and told")
  func spinning() throws {
    let command = try Command()
    let ending = try bench(command, ["run", "scheduler", "--wait", "spin"] + Self.tiny)
    if ending.exit == 64 {
      // Less than a processor is granted to the tests.
      #expect(ending.errors.contains("use `adaptive` or `park`"))
      return
    }
    #expect(ending.exit == 0, "\(ending.errors)")
    let result = try JSON(parsing: command.read("bench-scheduler.json"))
    #expect((result["idle"]?["cpuNanoseconds"]?.integer ?? 0) > 0)
    #expect(ending.output.contains("not at rest without work"))
  }

  @Test("-o json prints the result that the file has; an open load names its rate, its lag, and why it is refused if it is")
  func open() throws {
    let command = try Command()
    let ending = try bench(
      command, ["run", "scheduler", "--mode", "open", "--rate", "3000", "--output", "o.json", "-o", "json"] + Self.tiny)
    let result = try ending.object()
    #expect(try result == JSON(parsing: command.read("o.json")))
    #expect(result["configuration"]?["rate"]?.double == 3_000)
    #expect(result["configuration"]?["arrivals"] == "poisson")
    let levels = result["levels"]?.array ?? []
    for level in levels {
      let rounds = level["rounds"]?.array ?? []
      #expect(rounds.count == 2)
      for round in rounds { #expect(round["lag"]?["count"] == round["response"]?["count"]) }
      let responses = rounds.reduce(0) { $0 + ($1["response"]?["count"]?.integer ?? 0) }
      #expect(responses > 0 || level["refusal"]?.string != nil)
    }
    // On a busy machine the generator may be late: that is told, and is no figure.
    let refusals = levels.compactMap { $0["refusal"]?.string }
    #expect(ending.exit == (refusals.count == levels.count ? 1 : 0))
    for refusal in refusals { #expect(ending.errors.contains(refusal)) }
  }

  @Test("a handler of a plugin is run with its input, and named with the plugin's hash")
  func handler() throws {
    let command = try Command()
    let ending = try bench(command, ["run", "handler", "--plugin", "replay", "--handler", "task", "--param", "seconds=0"] + Self.tiny)
    #expect(ending.exit == 0, "\(ending.errors)")
    let result = try JSON(parsing: command.read("bench-handler.json"))
    #expect(result["suite"] == "handler replay/task")
    #expect(result["configuration"]?["subject"] == "replay/task")
    #expect(result["configuration"]?["subjectHash"]?.string?.count == 64)
    #expect(result["levels"]?[0]?["rounds"]?[0]?["failed"] == 0)
  }

  @Test("a handler that fails every request has no figure: exit code 1")
  func failing() throws {
    let command = try Command()
    let ending = try bench(command, ["run", "handler", "--plugin", "shell", "--handler", "run", "--param", "command=exit 1"] + Self.tiny)
    #expect(ending.exit == 1)
    #expect(ending.errors.contains("requests failed"))
    #expect(ending.output.contains("refused"))
    // What its schema does not allow is not even tried.
    let wrong = try bench(command, ["run", "handler", "--plugin", "replay", "--handler", "task", "--param", "minutes=0"] + Self.tiny)
    #expect(wrong.exit == 64 && wrong.errors.contains("the input of task 'task' has no 'seconds'"), "\(wrong.errors)")
  }

  @Test("a workflow of the user's is run with its parameters")
  func workflow() throws {
    let command = try Command()
    try command.write(
      "two.yaml",
      """
      format: 1
      workflow: two
      parameters: { length: { default: 1000 } }
      tasks:
        - { id: a, handler: replay/task, input: { seconds: "${params.length}" } }
        - { id: b, handler: bench/empty, dependencies: [a] }
      """)
    let ending = try bench(command, ["run", "workflow", "--workflow", "two.yaml", "--param", "length=0"] + Self.tiny)
    #expect(ending.exit == 0, "\(ending.errors)")
    let result = try JSON(parsing: command.read("bench-workflow.json"))
    #expect(result["suite"] == "workflow two")
    #expect(result["configuration"]?["subject"] == "two.yaml")
    #expect(result["configuration"]?["subjectHash"]?.string?.count == 64)
    let wrong = try bench(command, ["run", "workflow", "--workflow", "two.yaml", "--param", "lenght=0"] + Self.tiny)
    #expect(wrong.exit == 64)
    #expect(wrong.errors.contains("lenght"))
    let missing = try bench(command, ["run", "workflow", "--workflow", "three.yaml"] + Self.tiny)
    #expect(missing.exit == 65)
  }

  @Test("the search tells each trial, and the result lists them")
  func search() throws {
    let command = try Command()
    // Anything keeps this, until the generator or the queue gives up.
    let ending = try bench(
      command,
      ["run", "fixed", "--service-time", "5ms", "--slo", "p50<10s", "--duration", "50ms", "--warm-up", "1ms", "--output", "s.json"])
    let result = try JSON(parsing: command.read("s.json"))
    let trials = result["search"]?["trials"]?.array ?? []
    #expect(!trials.isEmpty)
    #expect(ending.errors.split(separator: "\n").count { $0.contains(" a second for ") } == trials.count)
    #expect(result["search"]?["objective"] == "p50<10s")
    let rate = result["search"]?["rate"]?.double
    #expect((ending.exit == 0) == (rate != nil))
    if let rate {
      #expect(rate > 0)
      #expect(ending.output.contains("highest rate that keeps p50<10s"))
      #expect(trials.last?["phase"] == "confirm")
    }
  }

  @Test(
    "wrong use is told by its name: exit code 64",
    arguments: [
      (["schedular"], "did you mean scheduler?"), (["scheduler", "--levels", "1,x"], "'x'"), (["scheduler", "--levels", "0"], "1 to 4096"),
      (["scheduler", "--mode", "open"], "--rate"), (["scheduler", "--rate", "5"], "--mode open"),
      (["scheduler", "--duration", "1"], "--duration"), (["scheduler", "--duration", "2h"], "--duration is 2h"),
      (["scheduler", "--warm-up", "1d"], "--warm-up"), (["scheduler", "--rounds", "0"], "--rounds"),
      (["scheduler", "--slo", "p98<1ms"], "p98"), (["scheduler", "--slo", "p99<1ms", "--levels", "1,2"], "one level"),
      (["scheduler", "--plugin", "x"], "suite handler"), (["handler"], "--plugin"), (["handler", "--plugin", "replay"], "--handler"),
      (["handler", "--plugin", "replay", "--handler", "tusk"], "did you mean replay/task?"), (["workflow"], "--workflow"),
      (["scheduler", "--threads", "0"], "--threads"), (["scheduler", "--threads", "1000"], "threads is 1000"),
      (["scheduler", "--threads", "4000", "--pin"], "--pin"), (["scheduler", "--param", "a=1"], "--param"),
      (
        ["scheduler", "--output", "nowhere/x.json"] + ["--duration", "1ms", "--warm-up", "0s", "--rounds", "1", "--levels", "1"], "nowhere"
      ),
    ] as [([String], String)])
  func wrongUse(arguments: [String], says: String) throws {
    let ending = try bench(try Command(), ["run"] + arguments)
    #expect(ending.exit == 64, "\(ending.errors)")
    #expect(ending.errors.contains(says), "\(ending.errors)")
  }

  @Test("a plugin that is missing or refused is told in its own words")
  func plugins() throws {
    let command = try Command()
    let missing = try bench(command, ["run", "handler", "--plugin", "nosuch.so", "--handler", "a"])
    #expect(missing.exit == 69)
    #expect(missing.errors.contains("nosuch.so"))
    try command.write("bad.so", "no plugin")
    let bad = try bench(command, ["run", "handler", "--plugin", "./bad.so", "--handler", "a"])
    #expect(bad.exit == 65)
    #expect(bad.errors.contains("not an ELF shared object"))
    let unknown = try bench(command, ["run", "handler", "--plugin", "repley", "--handler", "a"])
    #expect(unknown.exit == 69)
    #expect(unknown.errors.contains("did you mean replay?"))
  }

  @Test("SIGINT ends the measurement, keeps the complete rounds and says so: exit code 130")
  func interrupt() throws {
    let command = try Command()
    let (process, output, _) = try command.process([
      "bench", "run", "scheduler", "--duration", "20ms", "--warm-up", "0s", "--rounds", "1000", "--levels", "1", "--threads", "1", "--wait",
      "park",
    ])
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    var text = ""
    while !text.contains("round 3 of 1000"), let byte = try errors.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
      text += String(decoding: byte, as: UTF8.self)
    }
    kill(process.processIdentifier, SIGINT)
    text += String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    let result = try JSON(parsing: command.read("bench-scheduler.json"))
    let rounds = result["levels"]?[0]?["rounds"]?.array?.count ?? 0
    #expect(rounds >= 2 && rounds < 1_000)
    #expect(result["configuration"]?["rounds"]?.integer == Int64(rounds))
    #expect(text.contains("interrupted: \(rounds) of 1000 rounds"))
    #expect(try String(contentsOfFile: output, encoding: .utf8).contains("in flight"))
  }
}
