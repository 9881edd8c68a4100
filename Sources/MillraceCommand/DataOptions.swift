internal import ArgumentParser
internal import Glibc
internal import Millrace

/// Where durable runs are recorded: the same on every command that has to do with them.
struct DataOptions: ParsableArguments {
  static let variable = "MILLRACE_DATA"
  static let fallback = ".millrace"

  @Option(
    name: .customLong("data"),
    help: ArgumentHelp("The directory of durable runs. (default: MILLRACE_DATA, else .millrace)", valueName: "dir"),
    completion: .directory)
  var given: String?

  init() {}
  init(directory: String) { given = directory }

  /// As given, or as the environment says, or `.millrace` in the working directory.
  var directory: String {
    if let given { return given }
    // unsafe: copied at once; the command's only thread.
    let named = unsafe getenv(Self.variable).map { unsafe String(cString: $0) } ?? ""
    return named.isEmpty ? Self.fallback : named
  }

  /// For what stands in advice: how a further command finds the same runs.
  var words: String { given.map { " --data \($0)" } ?? "" }

  /// The directory, which the engine makes if it is not there: then that is told.
  func forEngine() -> String {
    let directory = directory
    if unsafe access(directory, F_OK) != 0 {
      Output.note("durable runs are recorded in \(directory), which is new; --data or \(Self.variable) names another directory")
    }
    return directory
  }
}
