internal import ArgumentParser

/// `millrace run FILE` is `millrace run start FILE`.
struct RunGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs workflows, goes on with durable runs, shows and explains them.",
    discussion: """
      Examples:
        millrace run Examples/package-census.yaml --report report
        millrace run explain report merge
        millrace run list
        millrace run show 019a3c52
        millrace run resume
        millrace run start --help

      `millrace run FILE` is `millrace run start FILE`, with all its options. Runs of definitions that say 'durability: log' are durable: they are recorded in
      a directory (--data, MILLRACE_DATA, or .millrace), and outlive their process.
      """,
    subcommands: [
      RunCommand.self, RunResumeCommand.self, RunListCommand.self, RunShowCommand.self, ExplainCommand.self, RunCancelCommand.self,
      RunSignalCommand.self, RunApproveCommand.self, RunRejectCommand.self, RunRetryCommand.self, RunForkCommand.self,
    ], defaultSubcommand: RunCommand.self)
}
