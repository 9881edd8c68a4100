internal import ArgumentParser
internal import Millrace

/// What is given in advance to tasks that wait.
struct AnswerOptions: ParsableArguments {
  @Option(
    name: .customLong("signal"),
    help: ArgumentHelp(
      "A signal for a task that waits for it, with JSON or text to come with it. May be repeated.", valueName: "name[=value]"),
    transform: Self.signal)
  var signals: [Assignment] = []

  @Option(
    name: .customLong("approve"), help: ArgumentHelp("Says yes when the task asks for an approval. May be repeated.", valueName: "task"))
  var approvals: [String] = []

  @Sendable static func signal(_ text: String) throws -> Assignment {
    text.contains("=") ? try Assignment.parse(text) : Assignment(name: text, value: "null")
  }

  /// Refuses what no task of the workflow could take. Of child workflows' tasks, `TASK/ID`, only the run will know.
  func check(_ definition: Definition) throws(Refusal) {
    let names = definition.signalNames
    for signal in signals where !names.contains(signal.name) && !signal.name.contains("/") {
      throw Refusal(
        .wrongUse,
        "--signal \(signal.name): no task waits for it"
          + (names.isEmpty ? "" : "; they wait for \(Set(names).sorted().prefix(8).joined(separator: ", "))"))
    }
    let asking = (definition.tasks + definition.cleanup).filter { if case .approval = $0.wait { true } else { false } }.map(\.id)
    for task in approvals where !asking.contains(task) && !task.contains("/") {
      throw Refusal(
        .wrongUse,
        "--approve \(task): no task of that id asks for an approval"
          + (asking.isEmpty ? "" : "; those that do are \(asking.prefix(8).joined(separator: ", "))"))
    }
  }
}
