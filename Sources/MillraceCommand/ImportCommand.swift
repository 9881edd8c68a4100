internal import ArgumentParser
internal import Millrace

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Makes a definition of a workflow of Argo.",
    discussion: """
      Examples:
        millrace workflow import argo.yaml
        millrace workflow import argo.yaml --output mine.yaml
        millrace workflow import argo.yaml --strict

      The definition goes to standard output or the file, what is not as it was to standard error, with its line.
      Exit code 65: nothing can be made of it; with --strict, also if anything is not as it was.
      """)

  @Argument(help: "A Workflow, WorkflowTemplate or CronWorkflow of Argo.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @Option(help: ArgumentHelp("Write there, not to standard output.", valueName: "file"), completion: .file())
  var output: String?

  @Flag(help: "Write nothing if anything is not as it was.")
  var strict = false

  func run() throws {
    let reading: ArgoWorkflow.Reading
    do throws(DefinitionError) {
      reading = try ArgoWorkflow.read(path: file)
    } catch {
      throw Refusal(.badData, "\(error)")
    }
    for note in reading.notes { Output.aside("\(note)\n") }
    let count = reading.notes.count + reading.omitted
    if reading.omitted > 0 { Output.aside("and \(reading.omitted) more\n") }
    if strict, count > 0 { throw Refusal(.badData, "\(file): \(count) \(count == 1 ? "part is" : "parts are") not as before") }
    if let output { try write(reading.text, to: output) } else { try Output.result(reading.text) }
    Output.note("\(reading.definition.name): \(reading.definition.tasks.count) tasks, \(count) notes")
  }

  private func write(_ text: String, to output: String) throws(Refusal) {
    do throws(FileError) {
      try AtomicFile.write(Array(text.utf8), to: output)
    } catch {
      throw Refusal(error.isOutOfSpace ? .tryAgain : .wrongUse, "--output: \(error)")
    }
  }
}
