internal import ArgumentParser
internal import Millrace

struct WorkflowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workflow",
    abstract: "Looks at definitions without running them.",
    discussion: """
      Examples:
        millrace workflow check Examples/package-census.yaml
        millrace workflow show Examples/package-census.yaml
        millrace workflow list Examples
        millrace workflow graph Examples/package-census.yaml
        millrace workflow graph trace.json --format svg --output trace.svg
        millrace workflow schedule nightly.yaml --next 10
        millrace workflow import argo.yaml --output mine.yaml
      """,
    subcommands: [CheckCommand.self, ShowCommand.self, ListCommand.self, GraphCommand.self, ScheduleCommand.self, ImportCommand.self])
}

struct GraphCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graph",
    abstract: "Shows what waits for what.",
    discussion: """
      Examples:
        millrace workflow graph Examples/package-census.yaml
        millrace workflow graph trace.json --format svg --output trace.svg
        millrace workflow graph mine.yaml --format mermaid
        millrace workflow graph mine.yaml --format dot | dot -Tpng -o mine.png

      Large workflows are summed up: tasks of one kind in one layer become one line, box or field of dots.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, svg, mermaid, dot
  }

  @Argument(help: "The definition of a workflow.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @Option(help: "A list for the terminal, a picture, or text that Mermaid or Graphviz draws.")
  var format: Format = .text

  @Option(help: ArgumentHelp("Write there, not to standard output.", valueName: "file"), completion: .file())
  var output: String?

  func run() throws {
    let graph = try drawing()
    guard let output else { return try Output.result(graph) }
    do throws(FileError) {
      try AtomicFile.write(Array(graph.utf8), to: output)
    } catch {
      throw Refusal(error.isOutOfSpace ? .tryAgain : .wrongUse, "--output: \(error)")
    }
  }

  /// The handlers do not matter here: a plan may be looked at where its plugins are not.
  private func drawing() throws(Refusal) -> String {
    do throws(DefinitionError) {
      let definition = try DefinitionReader().read(path: file).definition
      return switch format {
      case .text: try Graph.text(definition)
      case .svg: try Graph.svg(definition)
      case .mermaid: try Graph.mermaid(definition)
      case .dot: try Graph.dot(definition)
      }
    } catch {
      throw Refusal(.badData, "\(error)")
    }
  }
}
