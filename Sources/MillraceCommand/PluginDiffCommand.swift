internal import ArgumentParser
internal import Millrace
internal import MillracePlugins

struct PluginDiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "abi-diff",
    abstract: "Tells what differs between two builds of a plugin, and what of that breaks.",
    discussion: """
      Examples:
        millrace plugin abi-diff old/libmine.so new/libmine.so
        millrace plugin abi-diff old/libmine.so new/libmine.so -o json

      Compared are the layouts that they were compiled with, their handlers, flags and schemas. Breaking: a definition,
      an input or a host that worked with OLD may not work with NEW. Both are loaded, the one after the other: `init`
      and `deinit` of each run in this process.
      Exit code 0: nothing breaks. 1: something does. 65: a file cannot be read as a plugin.
      """)

  @Argument(help: ArgumentHelp("The build that is in use.", valueName: "old"), completion: .file())
  var old: String

  @Argument(help: ArgumentHelp("The build that is to replace it.", valueName: "new"), completion: .file())
  var new: String

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    var comparison = PluginComparison()
    do throws(PluginError) {
      comparison.compare(try PluginManifest(ofFile: old), try PluginManifest(ofFile: new))
    } catch {
      throw Refusal(.badData, "\(error)")
    }
    do throws(Refusal) {
      let (before, after) = (try Loaded(old), try Loaded(new))
      comparison.compare(before.plugin, after.plugin)
    } catch {
      // One that this host cannot load, because its layout is another one, is told all the same.
      guard comparison.isBreaking, error.exit == .badData else { throw error }
      Output.note("what they describe was not compared: \(error.message)")
    }
    let breaking = comparison.differences.count { $0.isBreaking }
    switch format {
    case .json:
      try Output.result(.object([.init("breaking", .bool(breaking > 0)), .init("differences", .array(comparison.differences.map(json)))]))
    case .text:
      for difference in comparison.differences {
        try Output.result("\(difference.isBreaking ? "breaking  " : "compatible")  \(difference.subject): \(difference.what)\n")
      }
      try Output.result("\(comparison.differences.count) differences, \(breaking) of them breaking\n")
    }
    if breaking > 0 { throw ExitCode(Exit.failed.rawValue) }
  }

  private func json(_ difference: PluginComparison.Difference) -> JSON {
    .object([
      .init("breaking", .bool(difference.isBreaking)), .init("subject", .string(difference.subject)),
      .init("what", .string(difference.what)),
    ])
  }

  /// A plugin in an engine of its own: two builds have the same handlers.
  private final class Loaded {
    let plugin: LoadedPlugin
    private let engine: Engine

    init(_ path: String) throws(Refusal) {
      engine = try Engine.forPlugins(PluginSearch(paths: [path]))
      guard let plugin = engine.plugins.first else {
        engine.shutdown()
        throw Refusal(.badData, engine.pluginProblems.first.map { "\($0)" } ?? "plugin \(path): nothing was loaded")
      }
      self.plugin = plugin
    }

    deinit { engine.shutdown() }
  }
}
