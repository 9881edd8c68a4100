internal import ArgumentParser
internal import Millrace

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Finds every fault of a definition.",
    discussion: """
      Examples:
        millrace workflow check Examples/package-census.yaml
        millrace workflow check mine.yaml --plugins build/libmine.so
        millrace workflow check mine.yaml -o json

      Exit code 0: it can run, perhaps with warnings. 65: it cannot.
      Each fault is told with file, line, column and what to do.
      """)

  @Argument(help: "The definition of a workflow.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @OptionGroup var plugins: PluginOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let engine = try Engine.forPlugins(plugins.search, isolation: plugins.isolation())
    defer { engine.shutdown() }
    engine.tellPluginProblems()
    let reader = engine.plugins.isEmpty ? DefinitionReader(schemas: engine.inputSchemas) : engine.reader
    if engine.plugins.isEmpty { Output.note("warning: no plugin is loaded, so that the names of handlers are not checked") }
    let verdict = Verdict(file: file, reader)
    switch format {
    case .json: try Output.result(verdict.json)
    case .text: try verdict.tell()
    }
    if verdict.definition == nil { throw ExitCode(Exit.badData.rawValue) }
  }
}

/// What the check of a definition found.
struct Verdict {
  let file: String
  /// nil if it cannot run.
  var definition: Definition?
  var faults: [Fault]
  var omitted = 0

  init(file: String, _ reader: DefinitionReader) {
    self.file = file
    do throws(DefinitionError) {
      let reading = try reader.read(path: file)
      (definition, faults) = (reading.definition, reading.warnings)
    } catch {
      (definition, faults, omitted) = (nil, error.faults, error.omitted)
    }
  }

  /// Faults on standard error; what is good on standard output.
  func tell() throws(Refusal) {
    for line in faultLines { Output.aside(line + "\n") }
    if let line { try Output.result(line + "\n") }
  }

  private var faultLines: [String] { faults.map(\.description) + (omitted > 0 ? ["and \(omitted) more"] : []) }

  /// For people; nil if there is nothing good to say.
  private var line: String? {
    guard let definition else { return nil }
    let tasks = self.tasks.count
    let named = self.tasks.map(\.handler) + self.tasks.compactMap { $0.compensation?.handler }
    let handlers = Set(named.filter { !$0.isEmpty }).count
    let warnings = faults.isEmpty ? "" : ", \(faults.count + omitted) \(faults.count + omitted == 1 ? "warning" : "warnings")"
    return "\(file): correct: \(definition.name), \(tasks) \(definition.noun)\(tasks == 1 ? "" : "s"), \(edges) dependencies, "
      + "\(handlers) \(handlers == 1 ? "handler" : "handlers")\(warnings)"
  }

  /// Those of the cleanup among them.
  private var tasks: [TaskDefinition] { definition.map { $0.tasks + $0.cleanup } ?? [] }

  private var edges: Int { tasks.reduce(0) { $0 + $1.dependencies.count } }

  var json: JSON {
    .object([
      .init("file", .string(file)),
      .init("correct", .bool(definition != nil)),
      .init("workflow", definition.map { .string($0.name) } ?? .null),
      .init("kind", definition.map { .string($0.kind.rawValue) } ?? .null),
      .init("tasks", definition.map { _ in .integer(Int64(tasks.count)) } ?? .null),
      .init("dependencies", definition.map { _ in .integer(Int64(edges)) } ?? .null),
      .init("faults", .array(faults.map(Self.json))),
      .init("omitted", .integer(Int64(omitted))),
    ])
  }

  private static func json(_ fault: Fault) -> JSON {
    .object([
      .init("severity", .string(fault.severity.rawValue)),
      .init("code", .string(fault.code.rawValue)),
      .init("message", .string(fault.message)),
      .init("fix", .string(fault.fix)),
      .init("file", .string(fault.file)),
      .init("line", fault.line.map { .integer(Int64($0)) } ?? .null),
      .init("column", fault.column.map { .integer(Int64($0)) } ?? .null),
      .init("task", fault.task.map(JSON.string) ?? .null),
    ])
  }
}
