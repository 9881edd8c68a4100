internal import ArgumentParser
internal import MillraceBench

struct BenchCompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Tells whether B is faster than A, slower, or whether that cannot be told.",
    discussion: """
      Examples:
        millrace bench compare before.json after.json
        millrace bench compare before.json after.json --fail-on slower
        millrace bench compare before/ after/ -o json

      A and B are result files, or folders of them. Folders whose files were measured in turns
      (before, after, after, before, ...) are compared pair by pair, which tells the most.
      Exit code 0: compared. 1: `--fail-on` names a verdict that was given. 65: no results, or of different suites.
      """)

  enum FailOn: String, ExpressibleByArgument, CaseIterable {
    case slower
  }

  @Argument(help: ArgumentHelp("What B is compared with: a result file or a folder of them.", valueName: "a"), completion: .file())
  var first: String

  @Argument(help: ArgumentHelp("What is compared.", valueName: "b"), completion: .file())
  var second: String

  @Option(help: "The chance that no interval misses the truth, 0.5 to 0.9999.")
  var confidence = 0.95

  @Option(help: "Differences up to this share are not told, 0 to 0.5: two builds of one source differ by as much.")
  var margin = 0.01

  @Flag(help: "Uses rounds in which the machine was slow, too.")
  var allRounds = false

  @Option(help: "Exit code 1 where this verdict is given for any level.")
  var failOn: FailOn?

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    guard (0.5...0.9999).contains(confidence) else { throw ValidationError("--confidence must be 0.5 to 0.9999") }
    guard (0...0.5).contains(margin) else { throw ValidationError("--margin must be 0 to 0.5") }
  }

  func run() throws {
    var options = BenchComparison.Options()
    options.confidence = confidence
    options.margin = margin
    options.usesAllRounds = allRounds
    let comparison = try compare(options)
    for warning in comparison.warnings { Output.note("warning: \(warning)") }
    switch format {
    case .text: try Output.result(comparison.text)
    case .json: try Output.result(comparison.json)
    }
    if failOn == .slower, comparison.rows.contains(where: { $0.verdict == .slower }) { throw ExitCode(Exit.failed.rawValue) }
  }

  private func compare(_ options: BenchComparison.Options) throws(Refusal) -> BenchComparison {
    let results: [[BenchResult]]
    do throws(BenchResultError) {
      results = [try BenchResultFile.readAll(first), try BenchResultFile.readAll(second)]
    } catch {
      throw Refusal(.badData, error.description)
    }
    do throws(BenchComparisonError) {
      return try BenchComparison(results[0], results[1], options: options)
    } catch {
      throw Refusal(.badData, "\(first), \(second): \(error.message)")
    }
  }
}
