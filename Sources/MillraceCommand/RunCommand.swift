internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceCore

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "start",
    abstract: "Runs a workflow and prints its result.",
    discussion: """
      Examples:
        millrace run Examples/package-census.yaml --report report
        millrace run Examples/package-census.yaml --param sampleMiB=512
        millrace run trace.json --slots 64 --time-scale 0.01 --set replay.mode=wait
        millrace run trace.json --order critical-path -o json
        millrace run Examples/approval.yaml --signal 'build={"version": "1.2"}' --approve ok

      The file is YAML, JSON, or a recorded trace in WfFormat 1.5.
      Ctrl-C asks the run to stop, and tells what was done (exit code 130); a second one ends it at once.
      SIGUSR1 makes it tell what it waits for, and goes on.
      """)

  /// A handler that runs for longer is told of, nanoseconds: a minute. Work of some seconds is what people start a command for.
  private static let stallAfter: UInt64 = 60_000_000_000

  /// The engine's words, as options.
  enum Order: String, ExpressibleByArgument, CaseIterable {
    case fifo, deadline
    case criticalPath = "critical-path"

    var engine: Engine.Order {
      switch self {
      case .fifo: .fifo
      case .deadline: .deadline
      case .criticalPath: .criticalPath
      }
    }
  }

  enum Wait: String, ExpressibleByArgument, CaseIterable {
    case spin, adaptive, park

    var engine: WaitPolicy {
      switch self {
      case .spin: .spin
      case .adaptive: .adaptive
      case .park: .park
      }
    }
  }

  @Argument(help: "The definition of the workflow.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @Option(
    name: .customLong("param"),
    help: ArgumentHelp(
      "A parameter of the workflow; JSON if it reads as JSON and need not be text, else text. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var parameters: [Assignment] = []

  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting, such as replay.mode=wait. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var settings: [Assignment] = []

  @Option(help: "Tasks in progress at once. (default: as many as threads)")
  var slots: Int?

  @Option(help: "Threads that run handlers. (default: the processors granted)")
  var threads: Int?

  @Option(help: "Which ready task of a priority goes first.")
  var order: Order = .fifo

  @Option(help: "What idle threads do.")
  var wait: Wait = .adaptive

  @Option(help: ArgumentHelp("Replayed seconds for each recorded one: sets replay.time-scale.", valueName: "factor"))
  var timeScale: Double?

  @OptionGroup var plugins: PluginOptions

  @OptionGroup var secrets: SecretOptions

  @OptionGroup var answers: AnswerOptions

  @Option(help: ArgumentHelp("Write report.json, run.json and timeline.html there.", valueName: "dir"), completion: .directory)
  var report: String?

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    _ = try Assignment.table(parameters, option: "--param", \.json)
    let settings = try Assignment.table(settings, option: "--set", \.value)
    if let slots, slots < 1 { throw ValidationError("--slots is \(slots): give 1 or more") }
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads): give 1 or more") }
    if let timeScale {
      guard timeScale.isFinite, timeScale >= 0 else {
        throw ValidationError("--time-scale is \(timeScale): give a number from 0 on, as 0.01")
      }
      if settings[Trace.scaleSetting] != nil {
        throw ValidationError("--time-scale and --set \(Trace.scaleSetting) say the same: give one")
      }
    }
  }

  func run() throws {
    let folder = try report.map(ReportFolder.init)
    let messages = Messages()
    // First of all: it changes the environment.
    let secrets = try secrets.source()
    var configuration = try configuration(messages)
    configuration.secrets = secrets
    let engine = try Engine.made(configuration)
    engine.tellPluginProblems()
    let reading = try read(engine)
    for warning in reading.warnings { Output.aside("\(warning)\n") }
    try answers.check(reading.definition)

    let handle = try start(reading, engine)
    Output.note(
      "run \(handle.id) of \(reading.definition.name): \(handle.progress().tasks) tasks, \(engine.slots) slots, \(engine.threads) threads"
    )
    let signal = follow(handle, messages)

    let outcome = RunOutcome(
      record: handle.record(), result: handle.result?.mapTexts(engine.redact),
      trace: Trace(reading.definition, timeScale: scale, waits: waits),
      signal: signal)
    let refusals = [
      attempt { () throws(Refusal) in try outcome.print(format) }, attempt { () throws(Refusal) in try folder?.write(outcome) },
    ]
    // Overdue handlers and what they started have to end first.
    engine.shutdown()
    for message in messages.take() { Output.note(message) }
    let exit = outcome.exit == .done ? refusals.compactMap { $0 }.first?.exit ?? .done : outcome.exit
    throw ExitCode(exit.rawValue)
  }

  private func configuration(_ messages: Messages) throws -> Engine.Configuration {
    var configuration = Engine.Configuration()
    configuration.slots = slots
    configuration.threads = threads
    configuration.order = order.engine
    configuration.wait = wait.engine
    configuration.plugins = plugins.search
    configuration.settings = try Assignment.table(settings, option: "--set", \.value)
    if let timeScale { configuration.settings[Trace.scaleSetting] = "\(timeScale)" }
    configuration.log = { level, line in if level != .debug { messages.add(line) } }
    configuration.stallAfter = Self.stallAfter
    configuration.stalled = { messages.add("stalled: \($0)") }
    return configuration
  }

  private func read(_ engine: Engine) throws(Refusal) -> DefinitionReader.Reading {
    do throws(DefinitionError) {
      return try engine.reader.read(path: file)
    } catch {
      throw Refusal(definition: error, of: engine)
    }
  }

  private func start(_ reading: DefinitionReader.Reading, _ engine: Engine) throws -> WorkflowHandle {
    let texts = Set(reading.definition.parameters.lazy.filter { $0.kind == .string }.map(\.name))
    let parameters = try Assignment.table(parameters, option: "--param") { texts.contains($0.name) ? $0.jsonText : $0.json }
    Signals.watch()
    do {
      return try engine.start(reading, parameters: parameters)
    } catch let error as DefinitionError {
      throw Refusal(definition: error, of: engine)
    } catch let error as SecretError {
      throw Refusal(.missing, "the run does not start: \(error)")
    } catch let error as CompileError {
      if case .memory(let what) = error { throw Refusal(.tryAgain, what) }
      throw Refusal(.badData, "\(file): \(error)")
    } catch {
      // The definition is correct, but there is no room for it.
      throw Refusal(.tryAgain, "the run does not start: \(error)")
    }
  }

  /// Shows the run until it has ended; at a signal, cancels it.
  ///
  /// - Returns: the signal.
  private func follow(_ handle: WorkflowHandle, _ messages: Messages) -> Int32? {
    let display = ProgressDisplay()
    var desk = WaitDesk(handle, answers)
    desk.send()
    var signal: Int32?
    // A tick is what a person hardly notices, and a redraw every second one.
    while handle.wait(nanoseconds: 50_000_000) == nil {
      if signal == nil, let number = Signals.received {
        signal = number
        display.clear()
        let running = handle.runningTasks
        let names = running.isEmpty ? "" : " (\(running.joined(separator: ", ")))"
        Output.note("\(number == SIGINT ? "interrupted" : "told to stop"): waiting for the running tasks\(names); once more ends at once")
        handle.cancel()
      }
      var lines = messages.take()
      if Signals.isAsked { lines += Self.explanation(handle) }
      if !lines.isEmpty { display.clear() }
      for line in lines { Output.note(line) }
      desk.look(clear: display.clear)
      if desk.isAsking { continue }
      let progress = handle.progress()
      display.update(progress: progress, running: handle.runningTasks, now: progress.elapsed)
    }
    display.finish()
    Signals.unwatch()
    return signal
  }

  /// What the run waits for.
  private static func explanation(_ handle: WorkflowHandle) -> [String] {
    let progress = handle.progress()
    return ["run \(handle.id): \(progress.finished) of \(progress.tasks) tasks are done"]
      + handle.explain().flatMap { $0.text.split(separator: "\n").map(String.init) }
  }

  /// Does it, says what went wrong, and goes on: the run's outcome must not be lost by it.
  private func attempt(_ work: () throws(Refusal) -> Void) -> Refusal? {
    do throws(Refusal) {
      try work()
      return nil
    } catch {
      Output.note(error.message)
      return error
    }
  }

  private var scale: Double? { timeScale ?? settings.first { $0.name == Trace.scaleSetting }.flatMap { Double($0.value) } }

  private var waits: Bool { settings.contains(Assignment(name: "replay.mode", value: "wait")) }
}

extension Refusal {
  /// A definition that cannot run. Wrong parameters are wrong use; if all that is wrong is that plugins are not there, that is what is missing.
  init(definition error: DefinitionError, of engine: Engine) {
    let errors = error.faults.filter { $0.severity == .error }
    let lines = "\(error)"
    if errors.allSatisfy({ $0.line == nil && [.unknownParameter, .badParameter, .missing].contains($0.code) }) {
      self.init(.wrongUse, lines)
    } else if engine.plugins.isEmpty, errors.allSatisfy({ $0.code == .unknownHandler }) {
      self.init(.missing, "\(lines)\nno plugin is loaded: `millrace doctor` shows where they are looked for, `make build` builds them")
    } else {
      self.init(.badData, lines)
    }
  }
}
