internal import ArgumentParser
internal import Glibc
internal import Millrace

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists the definitions of a folder: names, versions, tasks, schedules, and whether they are correct.",
    discussion: """
      Examples:
        millrace workflow list
        millrace workflow list Examples
        millrace workflow list Examples/patterns -o json

      Files that end in .yaml, .yml or .json and hold a definition or a recorded trace; folders below are not looked into.
      Handlers are checked if plugins are found. `workflow check` tells what is wrong with a file.
      """)

  /// Files of a folder that are looked at.
  private static let maximumFiles = 10_000

  @Argument(help: "The folder. (default: the current one)", completion: .directory)
  var folder = "."

  @OptionGroup var plugins: PluginOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let names = try files()
    let engine = try Engine.forPlugins(plugins.search, isolation: plugins.isolation())
    defer { engine.shutdown() }
    engine.tellPluginProblems()
    let reader = engine.plugins.isEmpty ? DefinitionReader(schemas: engine.inputSchemas) : engine.reader
    let prefix = folder == "." ? "" : folder.hasSuffix("/") ? folder : folder + "/"
    let found = names.filter { DefinitionReader.holdsDefinition(path: prefix + $0) }.map { Entry(path: prefix + $0, reader) }
    switch format {
    case .json: try Output.result(.object([.init("definitions", .array(found.map(\.json)))]))
    case .text:
      if found.isEmpty { return Output.note("there is no definition in \(folder)") }
      try Output.result(ResultTables.text(.object([.init("definitions", .array(found.map(\.row)))]), width: Output.width))
    }
  }

  /// Names of the files that may hold definitions, in order.
  private func files() throws(Refusal) -> [String] {
    // A C string for the call; closed below.
    guard let directory = unsafe opendir(folder) else { throw Refusal(.wrongUse, "\(folder) cannot be listed: \(Output.reason(errno))") }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      // The name ends with a NUL within the entry, which lives until the next call.
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      guard [".yaml", ".yml", ".json"].contains(where: { name.hasSuffix($0) }), !name.hasPrefix(".") else { continue }
      guard names.count < Self.maximumFiles else {
        throw Refusal(.wrongUse, "\(folder) has more than \(Self.maximumFiles) files: name a folder below")
      }
      names.append(name)
    }
    return names.sorted()
  }

  /// One file.
  private struct Entry {
    let path: String
    var definition: Definition?
    var faults = 0

    init(path: String, _ reader: DefinitionReader) {
      self.path = path
      do throws(DefinitionError) {
        definition = try reader.read(path: path).definition
      } catch {
        faults = error.faults.count { $0.severity == .error } + error.omitted
      }
    }

    private var next: String? { definition?.schedule.flatMap(Overview.next) }

    var json: JSON {
      .object([
        .init("file", .string(path)),
        .init("correct", .bool(definition != nil)),
        .init("faults", .integer(Int64(faults))),
        .init("workflow", definition.map { .string($0.name) } ?? .null),
        .init("version", definition?.version.map { .integer(Int64($0)) } ?? .null),
        .init("tasks", definition.map { .integer(Int64($0.tasks.count + $0.cleanup.count)) } ?? .null),
        .init("scheduled", definition.map { .bool($0.schedule != nil) } ?? .null),
        .init("next", next.map(JSON.string) ?? .null),
      ])
    }

    var row: JSON {
      .object([
        .init("file", .string(path)),
        .init("workflow", .string(definition?.name ?? "")),
        .init("version", .string(definition?.version.map { "\($0)" } ?? "")),
        .init("tasks", .string(definition.map { "\($0.tasks.count + $0.cleanup.count)" } ?? "")),
        .init("next", .string(next ?? "")),
        .init("correct", .string(definition != nil ? "yes" : "no: \(faults) \(faults == 1 ? "fault" : "faults")")),
      ])
    }
  }
}
