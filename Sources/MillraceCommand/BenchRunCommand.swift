internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceBench

struct BenchRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Measures a suite across levels of concurrency.",
    discussion: """
      Examples:
        millrace bench run scheduler
        millrace bench run broker --durable --message-bytes 1024
        millrace bench run end-to-end --mode open --rate 5000 --levels 1,16
        millrace bench run timers --mode open --rate 2000 --slo 'p99<1ms'
        millrace bench run handler --plugin replay --handler task --param seconds=0
        millrace bench run workflow --workflow Examples/package-census.yaml --levels 1 --duration 30s

      A level is the number of requests in flight when closed, of the generator's connections when open.
      Close other programs first: they share the processors with what is measured.
      Ctrl-C ends the measurement and keeps the rounds that were complete (exit code 130).
      """)

  enum Mode: String, ExpressibleByArgument, CaseIterable { case open, closed }

  enum ArrivalsOption: String, ExpressibleByArgument, CaseIterable {
    case poisson, uniform

    var arrivals: Arrivals { self == .poisson ? .poisson : .uniform }
  }

  @Argument(help: "What to measure; `millrace bench list` lists them.")
  var suite: String

  @Option(help: "Levels of concurrency, 1 to 4096. (default: 1,2,4,8,16,32; with --slo 1)")
  var levels: String?

  @Option(help: "closed: each end sends the next request; open: requests are sent by a schedule. (default: closed; with --slo open)")
  var mode: Mode?

  @Option(help: ArgumentHelp("Open: requests a second over all connections.", valueName: "per-second"))
  var rate: Double?

  @Option(help: "Open: how the moments of requests are spread.")
  var arrivals: ArrivalsOption = .poisson

  @Option(help: "Open: what the moments are drawn from.")
  var seed: UInt64 = BenchSettings.defaultSeed

  @Option(help: ArgumentHelp("Of one level in one round.", valueName: "time"))
  var duration = "1s"

  @Option(help: "Rounds, in each of which all levels are measured.")
  var rounds = 5

  @Option(help: ArgumentHelp("Load before each measured time, not counted.", valueName: "time"))
  var warmUp = "200ms"

  @Option(help: ArgumentHelp("Find the highest rate that keeps it, as 'p99<1ms'.", valueName: "objective"))
  var slo: String?

  @Option(help: ArgumentHelp("Suite handler: a plugin's name or file.", valueName: "name-or-file"), completion: .file(extensions: ["so"]))
  var plugin: String?

  @Option(help: ArgumentHelp("Suite handler: one of the plugin's handlers.", valueName: "name"))
  var handler: String?

  @Option(
    help: ArgumentHelp("Suite workflow: the definition.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "json"]))
  var workflow: String?

  @Option(
    name: .customLong("param"),
    help: ArgumentHelp("A member of the handler's input, or a parameter of the workflow. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var parameters: [Assignment] = []

  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting, such as replay.mode=wait. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var settings: [Assignment] = []

  @Option(help: ArgumentHelp("Suite fixed: what a job burns.", valueName: "time"))
  var serviceTime = "100us"

  @Option(help: ArgumentHelp("Suite broker: of a payload, 16 to 1048576.", valueName: "count"))
  var messageBytes = 64

  @Option(help: ArgumentHelp("Suite broker: 1 to 64.", valueName: "count"))
  var consumers = 1

  @Flag(help: "Suite broker: a durable queue; a request ends when its message is on stable storage.")
  var durable = false

  @Option(help: "Threads that run handlers. (default: the processors granted; when open one less, for the generator)")
  var threads: Int?

  @Option(help: "Tasks in progress at once. (default: as many as threads)")
  var slots: Int?

  @Option(help: "What idle threads do.")
  var wait: EngineOptions.Wait = .adaptive

  @Flag(help: "Give each worker and generator thread a processor of its own.")
  var pin = false

  @OptionGroup var plugins: PluginOptions

  @Option(help: ArgumentHelp("Where the result goes. (default: bench-SUITE.json)", valueName: "file"), completion: .file())
  var output: String?

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    if let slots, slots < 1 { throw ValidationError("--slots is \(slots): give 1 or more") }
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads): give 1 or more") }
    do throws(BenchError) { try asked(Messages()).check() } catch { throw ValidationError("\(error)") }
  }

  func run() throws {
    let messages = Messages()
    let asked = try asked(messages)
    let place = output ?? "bench-\(asked.suite.rawValue).json"
    let session = try attempt { () throws(BenchError) in try BenchSession(asked) }
    for line in messages.take() { Output.note(line) }
    Signals.watch()
    let outcome: BenchSession.Outcome
    do throws(BenchError) {
      outcome = try session.run(tell: { Output.note($0) }, isInterrupted: { Signals.received != nil })
    } catch {
      // Its threads may hang in a handler: nothing is waited for.
      throw Refusal(bench: error)
    }
    Signals.unwatch()
    session.close()
    for line in messages.take() { Output.note(line) }
    for remark in outcome.remarks { Output.note(remark) }
    guard let result = outcome.result else {
      Output.note("interrupted before the first round was complete: nothing was measured")
      throw ExitCode(Signals.exit(after: Signals.received ?? SIGINT).rawValue)
    }
    let bytes = BenchResultFile.bytes(result)
    let name = place.split(separator: "/").last.map(String.init) ?? place
    try Output.result(format == .json ? String(decoding: bytes, as: UTF8.self) : BenchTable.text(result, name: name))
    try write(bytes, place)
    if bytes.count > BenchResultFile.limit {
      let (size, most) = (Quantity.bytes(Double(bytes.count)), Quantity.bytes(Double(BenchResultFile.limit)))
      Output.note("\(place) has \(size), report and compare read at most \(most): use fewer levels or rounds")
    }
    let kept = result.search.map { "\($0.trials.count) trials" } ?? "\(result.configuration.rounds) of \(asked.rounds) rounds"
    if let hang = outcome.hang {
      Output.note("\(hang)")
      Output.note("ended early: \(kept) were complete and are kept")
      throw ExitCode(Exit.failed.rawValue)
    }
    if outcome.wasInterrupted {
      Output.note("interrupted: \(kept) were complete and are kept")
      throw ExitCode(Signals.exit(after: Signals.received ?? SIGINT).rawValue)
    }
    if result.levels.allSatisfy({ $0.refusal != nil }) { throw ExitCode(Exit.failed.rawValue) }
  }

  private func asked(_ messages: Messages) throws(BenchError) -> BenchSettings {
    let suite = try Suite(named: suite)
    let mode: BenchConfiguration.Mode = (self.mode ?? (slo == nil ? .closed : .open)) == .open ? .open : .closed
    let levels = try self.levels.map(BenchSettings.levels) ?? (slo == nil ? BenchSettings.defaultLevels : [1])
    let threads = threads ?? (suite == .fixed ? 1 : BenchSettings.defaultThreads(mode))
    var subject = SuiteSettings(threads: threads, slots: slots ?? threads, wait: wait.engine, plugins: plugins.search)
    do throws(Refusal) { subject.pluginTrust = try plugins.trust() } catch { throw .missing(error.message) }
    do { subject.isolation = try plugins.isolation() } catch { throw .wrongUse(error.message) }
    subject.plugin = plugin
    subject.handler = handler
    subject.workflow = workflow
    do {
      subject.parameters = try Assignment.table(parameters, option: "--param", \.json)
      subject.settings = try Assignment.table(settings, option: "--set", \.value)
    } catch {
      throw .wrongUse("\(error)")
    }
    subject.serviceTime = try time("--service-time", serviceTime)
    (subject.messageBytes, subject.consumers, subject.isDurable) = (messageBytes, consumers, durable)
    subject.log = { messages.add($0) }
    var asked = BenchSettings(
      suite: suite, levels: levels, mode: mode, rate: rate, duration: try time("--duration", duration),
      warmUp: try time("--warm-up", warmUp),
      rounds: rounds, subject: subject)
    asked.arrivals = arrivals.arrivals
    asked.seed = seed
    asked.isPinned = pin
    if let slo { asked.objective = try Objective(slo) }
    return asked
  }

  private func time(_ option: String, _ text: String) throws(BenchError) -> UInt64 {
    do throws(DurationSyntaxError) {
      return try DurationText.nanoseconds(text)
    } catch {
      throw .wrongUse("\(option): \(error)")
    }
  }

  private func attempt<Value>(_ body: () throws(BenchError) -> Value) throws(Refusal) -> Value {
    do throws(BenchError) { return try body() } catch { throw Refusal(bench: error) }
  }

  private func write(_ bytes: [UInt8], _ place: String) throws(Refusal) {
    do throws(FileError) {
      try AtomicFile.write(bytes, to: place)
    } catch {
      throw Refusal(error.isOutOfSpace ? .tryAgain : .wrongUse, "--output: \(error)")
    }
    Output.note("wrote \(place)")
  }
}

extension Refusal {
  fileprivate init(bench error: BenchError) {
    let exit: Exit =
      switch error {
      case .wrongUse: .wrongUse
      case .badData: .badData
      case .missing: .missing
      case .tryAgain: .tryAgain
      case .failed, .hung: .failed
      }
    self.init(exit, "\(error)")
  }
}
