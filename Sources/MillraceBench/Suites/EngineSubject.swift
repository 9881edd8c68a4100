internal import Millrace
internal import MillraceCore

/// A request is one run of a workflow that was prepared before: what a program that embeds the engine pays, from `Engine.start` to the end of the run.
@safe final class EngineSubject: SubjectOwner {
  enum Work { case endToEnd, handler, workflow }

  private let engine: Engine
  private let meter: Meter
  private let workflow: PreparedWorkflow
  /// `plugin/handler`, or the workflow's file.
  let name: String
  let workflowName: String
  /// SHA-256 of the plugin, or of the workflow's file.
  let hash: String?

  init(_ work: Work, _ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    self.meter = meter
    let engine = try EngineSubject.engine(work, settings)
    self.engine = engine
    do throws(BenchError) {
      let own = try EngineSubject.work(work, settings, engine)
      (name, hash) = (own.name, own.hash)
      workflowName = own.reading.definition.name
      do {
        workflow = try engine.prepare(own.reading, parameters: own.parameters)
      } catch let error as DefinitionError {
        throw .wrongUse("\(error)")
      } catch {
        throw .badData("\(error)")
      }
    } catch {
      engine.shutdown()
      throw error
    }
  }

  private static func engine(_ work: Work, _ settings: SuiteSettings) throws(BenchError) -> Engine {
    var configuration = Engine.Configuration()
    configuration.slots = settings.slots
    configuration.threads = settings.threads
    configuration.wait = settings.wait
    configuration.settings = settings.settings
    configuration.capacity = min(configuration.capacity, 1 << 20)
    configuration.stallAfter = 0
    configuration.plugins = settings.plugins
    configuration.pluginTrust = settings.pluginTrust
    configuration.isolation = settings.isolation
    if work == .handler, let plugin = settings.plugin, isFile(plugin) { configuration.plugins = PluginSearch(paths: [plugin]) }
    let log = settings.log
    configuration.log = { level, line in if level != .debug { log(line) } }
    do throws(EngineError) {
      return try Engine(configuration)
    } catch {
      switch error {
      case .runtime(let error): throw BenchError(error)
      case .plugins(let error): throw .missing("\(error)")
      default: throw .badData("\(error)")
      }
    }
  }

  private static func isFile(_ plugin: String) -> Bool { plugin.contains("/") || plugin.hasSuffix(".so") }

  // MARK: What is run

  private struct Own {
    var reading: DefinitionReader.Reading
    var parameters: [String: JSON]
    var name: String
    var hash: String?
  }

  private static func work(_ work: Work, _ settings: SuiteSettings, _ engine: Engine) throws(BenchError) -> Own {
    switch work {
    case .endToEnd:
      guard engine.handlerNames.contains(PluginCallSubject.handlerName) else { throw .missing(PluginCallSubject.notFound) }
      let inner = ["one", "two", "three"]
      let tasks = [task("first", [])] + inner.map { task($0, ["first"]) } + [task("last", inner)]
      return Own(reading: try read(tasks, "end-to-end", engine), parameters: [:], name: "end-to-end", hash: nil)
    case .handler: return try handler(settings, engine)
    case .workflow:
      guard let file = settings.workflow else { throw .wrongUse("suite workflow needs --workflow FILE") }
      do throws(DefinitionError) {
        let reading = try engine.reader.read(path: file)
        return Own(reading: reading, parameters: settings.parameters, name: file, hash: sha256(ofFile: file))
      } catch {
        throw .badData("\(error)" + (engine.pluginProblems.map { "\n\($0)" }.joined()))
      }
    }
  }

  private static func task(_ id: String, _ dependencies: [String]) -> JSON {
    ["id": .string(id), "handler": .string(PluginCallSubject.handlerName), "dependencies": .array(dependencies.map { .string($0) })]
  }

  private static func handler(_ settings: SuiteSettings, _ engine: Engine) throws(BenchError) -> Own {
    guard let wanted = settings.plugin else { throw .wrongUse("suite handler needs --plugin NAME-OR-FILE and --handler NAME") }
    guard let handler = settings.handler else { throw .wrongUse("suite handler needs --handler NAME, a handler of \(wanted)") }
    var names = NearestName()
    let plugin: LoadedPlugin
    if isFile(wanted) {
      guard let loaded = engine.plugins.first else {
        throw .badData(engine.pluginProblems.first.map { "\($0)" } ?? "\(wanted): no plugin was loaded")
      }
      plugin = loaded
    } else {
      guard let loaded = engine.plugins.first(where: { $0.name == wanted }) else {
        let known = engine.plugins.map(\.name)
        let guess = names.nearest(to: wanted, among: known).map { "did you mean \($0)?" } ?? "found: \(known.joined(separator: ", "))"
        let problems = engine.pluginProblems.map { "\n\($0)" }.joined()
        throw .missing("there is no plugin '\(wanted)': \(known.isEmpty ? "none was found; `--plugins` names a place" : guess)\(problems)")
      }
      plugin = loaded
    }
    let qualified = handler.contains("/") ? handler : "\(plugin.name)/\(handler)"
    let known = plugin.handlers.map(\.qualifiedName)
    guard known.contains(qualified) else {
      let guess = names.nearest(to: qualified, among: known).map { "did you mean \($0)?" } ?? "it has \(known.joined(separator: ", "))"
      throw .wrongUse("plugin \(plugin.name) has no handler '\(handler)': \(guess)")
    }
    let input = JSON.object(settings.parameters.sorted { $0.key < $1.key }.map { JSON.Member($0.key, $0.value) })
    let task: JSON =
      settings.parameters.isEmpty
      ? ["id": "task", "handler": .string(qualified)] : ["id": "task", "handler": .string(qualified), "input": input]
    return Own(reading: try read([task], "handler", engine), parameters: [:], name: qualified, hash: plugin.sha256)
  }

  private static func read(_ tasks: [JSON], _ name: String, _ engine: Engine) throws(BenchError) -> DefinitionReader.Reading {
    let text: JSON = ["format": 1, "workflow": .string(name), "tasks": .array(tasks)]
    do throws(DefinitionError) {
      return try engine.reader.read(text.utf8(), name: name + ".json")
    } catch {
      throw .wrongUse("\(error)")
    }
  }

  private static func sha256(ofFile path: String) -> String? {
    guard case .success(let bytes) = FileBytes.read(path, limit: JSON.maximumBytes), var digest = Digest() else { return nil }
    // The bytes live through the call.
    unsafe bytes.withUnsafeBytes { unsafe digest.update($0) }
    return digest.finish()
  }

  // MARK: Requests

  var subject: Subject {
    // unsafe: this object outlives the engine's threads, which `stop` ends.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<EngineSubject>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.start(Ticket(intended: intended, sent: sent)) }
    }
  }

  private func start(_ ticket: Ticket) -> Bool {
    do {
      let run = try engine.start(workflow)
      run.whenFinished { [meter] status in meter.end(ticket, isDone: status == .completed) }
      return true
    } catch {
      return false
    }
  }

  func stop() { engine.shutdown() }
}
