internal import ArgumentParser
internal import CMillrace
internal import Millrace
internal import MillracePlugins

struct PluginCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plugin",
    abstract: "Begins plugins, lists them, and looks for their faults.",
    discussion: """
      Examples:
        millrace plugin list
        millrace plugin list --plugins build/libmine.so -o json
        millrace plugin new mine --lang c
        millrace plugin check build/libmine.so
        millrace plugin abi-diff old/libmine.so new/libmine.so
      """,
    subcommands: [PluginNewCommand.self, PluginCheckCommand.self, PluginListCommand.self, PluginDiffCommand.self])
}

struct PluginListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists the plugins that are found, and their handlers.",
    discussion: """
      Examples:
        millrace plugin list
        millrace plugin list --plugins build/libmine.so
        millrace plugin list --isolate shell=process
        millrace plugin list -o json
        millrace plugin list --data /var/lib/orders

      With --data it also shows which builds are kept there and the durable runs that need them, and, if a process has the directory, which builds that has
      loaded, how many of its runs have each, and since when.

      Exit code 65: a plugin was refused; why is told on standard error.
      """)

  @OptionGroup var plugins: PluginOptions

  @OptionGroup var data: DataOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let kept = try data.given == nil ? nil : KeptBuilds(data)
    let running = try data.given == nil ? nil : RunningBuilds.ask(data.directory)
    let engine = try Engine.forPlugins(plugins)
    defer { engine.shutdown() }
    switch format {
    case .json:
      let refused = engine.pluginProblems.map { JSON.object([.init("path", .string($0.path)), .init("reason", .string("\($0)"))]) }
      var members: [JSON.Member] = [.init("plugins", .array(engine.plugins.map(PluginTable.json))), .init("refused", .array(refused))]
      if let kept { members.append(.init("kept", .array(kept.builds.map(\.json)))) }
      if let running { members.append(.init("running", .array(running))) }
      try Output.result(.object(members))
    case .text:
      if engine.plugins.isEmpty { Output.note("no plugin is loaded; `millrace doctor` shows where they are looked for") }
      var tables = engine.plugins.isEmpty ? [] : PluginTable.tables(engine.plugins)
      if let kept {
        if kept.builds.isEmpty { Output.note("no builds of plugins are kept in \(data.directory)") }
        if !kept.builds.isEmpty { tables.append(.init("kept", .array(kept.builds.map { $0.row(now: kept.now) }))) }
        if let running { tables.append(.init("running", .array(running.map { RunningBuilds.row($0, now: kept.now) }))) }
      }
      if !tables.isEmpty { try Output.result(ResultTables.text(.object(tables), width: Output.width)) }
    }
    engine.tellPluginProblems()
    if !engine.pluginProblems.isEmpty { throw ExitCode(Exit.badData.rawValue) }
  }
}

/// Plugins as JSON, and as what a terminal shows.
enum PluginTable {
  static func json(_ plugin: LoadedPlugin) -> JSON {
    let members: [JSON.Member] = [
      .init("name", .string(plugin.name)),
      .init("version", .string(plugin.version)),
      .init("summary", .string(plugin.summary)),
      .init("path", .string(plugin.path)),
      .init("sha256", .string(plugin.sha256)),
    ]
    return .object(
      members + isolation(plugin) + [
        .init("configurationSchema", plugin.configurationSchema.map(schema) ?? .null),
        .init("handlers", .array(plugin.handlers.map(json))),
      ])
  }

  /// Where its handlers run, and how that goes.
  static func isolation(_ plugin: LoadedPlugin) -> [JSON.Member] {
    [.init("isolation", .string(plugin.isolation.name)), .init("processes", .array((plugin.isolated?.processes ?? []).map(json)))]
  }

  private static func json(_ process: IsolatedProcess) -> JSON {
    .object([
      .init("state", .string(process.state.rawValue)),
      .init("process", process.process.map { .integer(Int64($0)) } ?? .null),
      .init("crashes", .integer(Int64(clamping: process.crashes))),
      .init("lastReason", .string(process.lastReason)),
      .init("landlock", .integer(Int64(process.landlock))),
    ])
  }

  private static func json(_ handler: LoadedHandler) -> JSON {
    .object([
      .init("name", .string(handler.qualifiedName)),
      .init("summary", .string(handler.summary)),
      .init("blocking", .bool(isBlocking(handler))),
      .init("exclusive", .bool(handler.flags & UInt32(MILLRACE_EXCLUSIVE) != 0)),
      .init("concurrency", .integer(Int64(handler.concurrency))),
      .init("inputSchema", handler.inputSchema.map(schema) ?? .null),
      .init("outputSchema", handler.outputSchema.map(schema) ?? .null),
    ])
  }

  /// As an object where it is JSON: plugins promise it, nobody has checked.
  private static func schema(_ text: String) -> JSON { Assignment(name: "", value: text).json }

  static func tables(_ plugins: [LoadedPlugin]) -> [JSON.Member] {
    [.init("plugins", .array(plugins.map(row))), .init("handlers", .array(plugins.flatMap(\.handlers).map(row)))]
  }

  static func row(_ plugin: LoadedPlugin) -> JSON {
    .object([
      .init("plugin", .string(plugin.name)),
      .init("version", .string(plugin.version)),
      .init("build", .string(String(plugin.sha256.prefix(12)))),
      .init("runs", .string(runs(plugin))),
      .init("file", .string(plugin.path)),
    ])
  }

  /// Where, and how that goes.
  private static func runs(_ plugin: LoadedPlugin) -> String {
    let troubled = (plugin.isolated?.processes ?? []).filter { $0.crashes > 0 || $0.state != .running }
    return plugin.isolation.name + troubled.map { ", \($0.state.rawValue) after \($0.crashes) crashes: \($0.lastReason)" }.joined()
  }

  private static func row(_ handler: LoadedHandler) -> JSON {
    .object([
      .init("handler", .string(handler.qualifiedName)),
      .init("runsOn", .string(isBlocking(handler) ? "blocking thread" : "worker")),
      .init("does", .string(handler.summary)),
    ])
  }

  private static func isBlocking(_ handler: LoadedHandler) -> Bool { handler.flags & UInt32(MILLRACE_BLOCKING) != 0 }
}
