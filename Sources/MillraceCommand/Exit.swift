/// Exit codes of the command, the same for every subcommand.
enum Exit: Int32 {
  case done = 0
  /// The workflow failed.
  case failed = 1
  /// Cancelled by SIGTERM or SIGHUP, or nothing failed but timeouts.
  case stopped = 2
  case wrongUse = 64
  /// A bad definition, or a plugin file that was refused.
  case badData = 65
  case missing = 69
  /// The machine refused for now: no space, no memory, no further threads.
  case tryAgain = 75
  case interrupted = 130
}

/// Why the command ends early: printed on standard error as `millrace: MESSAGE`.
struct Refusal: Error {
  var exit: Exit
  /// What was wrong, where, and what to do.
  var message: String

  init(_ exit: Exit, _ message: String) {
    self.exit = exit
    self.message = message
  }
}
