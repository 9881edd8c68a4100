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
      Ctrl-C asks the run to stop, and tells what was done (exit code 130); a second one ends it at once. A run whose definition says
      'durability: log' is suspended by it: `millrace run resume` goes on with it.
      SIGUSR1 makes it tell what it waits for, and goes on.
      """)

  @Argument(help: "The definition of the workflow.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @Option(
    name: .customLong("param"),
    help: ArgumentHelp(
      "A parameter of the workflow; JSON if it reads as JSON and need not be text, else text. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var parameters: [Assignment] = []

  @OptionGroup var engine: EngineOptions

  @OptionGroup var data: DataOptions

  @OptionGroup var answers: AnswerOptions

  @Flag(help: "Look at the plugins' files: a new build there is given to the runs that start from then on.")
  var watch = false

  @Option(help: ArgumentHelp("Write report.json, run.json and timeline.html there.", valueName: "dir"), completion: .directory)
  var report: String?

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    _ = try Assignment.table(parameters, option: "--param", \.json)
  }

  func run() throws {
    let folder = try report.map(ReportFolder.init)
    let messages = Messages()
    // First of all: it may change the environment.
    var configuration = try engine.configuration(messages)
    if let directory = try dataDirectory { configuration.data = directory }
    if watch { configuration.watchesPlugins = .milliseconds(500) }
    let engine = try Engine.made(configuration)
    engine.tellPluginProblems()
    let reading = try read(engine)
    for warning in reading.warnings { Output.aside("\(warning)\n") }
    try answers.check(reading.definition)
    if data.given != nil, !reading.definition.isRecorded {
      Output.note("warning: \(reading.definition.name) does not say 'durability: log': its run is not recorded in \(data.directory)")
    }

    let handle = try start(reading, engine)
    Output.note(
      "run \(handle.id) of \(reading.definition.name): \(handle.progress().tasks) tasks, \(engine.slots) slots, \(engine.threads) threads"
    )
    let follower = RunFollower(engine, messages, data, directory: configuration.data)
    let signal = follower.follow([handle], answers)

    let (record, resumption) = follower.record(handle)
    let outcome = RunOutcome(
      record: record, result: handle.result?.mapTexts(engine.redact),
      trace: Trace(reading.definition, timeScale: self.engine.scale, waits: self.engine.waits), signal: signal, resumption: resumption)
    let refusals = [
      attempt { () throws(Refusal) in try outcome.print(format) }, attempt { () throws(Refusal) in try folder?.write(outcome) },
    ]
    // Overdue handlers and what they started have to end first.
    engine.shutdown()
    for message in messages.take() { Output.note(message) }
    let exit = outcome.exit == .done ? refusals.compactMap { $0 }.first?.exit ?? .done : outcome.exit
    throw ExitCode(exit.rawValue)
  }

  /// Where the run is to be recorded; nil: it is not. The engine is made with it before the definition can be checked, so that is looked at twice; for long ones only
  /// if they have the word.
  private var dataDirectory: String? {
    get throws(Refusal) {
      let bytes: [UInt8]
      switch FileBytes.read(file, limit: JSON.maximumBytes) {
      // That is told when it is read for good; no directory is made for it.
      case .failure: return nil
      case .success(let text): bytes = text
      }
      if data.given != nil { return data.forEngine() }
      guard bytes.contains(Array("durability".utf8)) else { return nil }
      let definition: Definition
      // What is wrong with it is told when it is read for good.
      do throws(DefinitionError) { definition = try DefinitionReader().read(path: file).definition } catch { return nil }
      return definition.isRecorded ? data.forEngine() : nil
    }
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
}

extension Definition {
  /// Its runs, or those that its tasks start, are durable.
  fileprivate var isRecorded: Bool {
    durability == .log || (tasks + cleanup).contains { $0.isSpecial && $0.child?.definition?.isRecorded == true }
  }
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
