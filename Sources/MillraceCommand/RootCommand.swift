internal import ArgumentParser
internal import Glibc
internal import Millrace

@main
struct RootCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "millrace",
    abstract: "Runs workflows of compiled handlers.",
    discussion: """
      Examples:
        millrace run Examples/package-census.yaml --report report
        millrace run explain report
        millrace workflow check Examples/package-census.yaml
        millrace workflow graph Examples/package-census.yaml
        millrace plugin list
        millrace stream read data order-17
        millrace log verify data
        millrace bench run scheduler
        millrace doctor

      Results go to standard output, all else to standard error.

      Exit codes: 0 done, 1 the work failed, 2 cancelled or timed out, 64 wrong use,
      65 bad definition or data, 69 a needed part is missing, 75 try again, 130 interrupted.
      """,
    version: Engine.version,
    subcommands: [
      RunGroup.self, SagaGroup.self, WorkflowCommand.self, PluginCommand.self, StreamCommand.self, QueueGroup.self, LogCommand.self,
      BenchCommand.self,
      DoctorCommand.self,
    ])

  /// Wrong use is told by the parser, with exit code 64; refusals of our own by us.
  static func main() {
    // A reader that went away (`| head`) is an error of `write`, not the end of a run.
    signal(SIGPIPE, SIG_IGN)
    Signals.unblock()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let refusal as Refusal {
      Output.note(refusal.message)
      Glibc.exit(refusal.exit.rawValue)
    } catch {
      exit(withError: error)
    }
  }
}
