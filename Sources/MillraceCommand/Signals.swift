internal import Glibc
internal import Millrace
internal import Synchronization

/// SIGINT, SIGTERM and SIGHUP while a run goes on: the first asks it to stop, a second ends the process at once. SIGUSR1 asks what it waits for.
///
/// # Threads
/// The handler may run on any thread at any time: it touches two atomics, and calls `write` and `_exit`.
enum Signals {
  /// The first signal, 0 before.
  private static let first = Atomic<Int32>(0)
  /// Whether there is a run that can be asked to stop.
  private static let isWatched = Atomic<Bool>(false)
  private static let hasTerminal = Atomic<Bool>(false)
  /// SIGUSR1 came.
  private static let asked = Atomic<Bool>(false)

  /// Some programs start others with signals blocked: a run must be told to stop all the same.
  static func unblock() {
    var set = sigset_t()
    // The set is filled in, then read, during the calls.
    unsafe sigemptyset(&set)
    for number in numbers + [SIGUSR1] { unsafe sigaddset(&set, number) }
    unsafe sigprocmask(SIG_UNBLOCK, &set, nil)
  }

  private static let numbers = [SIGINT, SIGTERM, SIGHUP]

  /// From now on signals wait for `received`; before, they end the process.
  static func watch() {
    // Order: relaxed. Read by the handler, which is installed below.
    hasTerminal.store(isatty(STDERR_FILENO) == 1, ordering: .relaxed)
    isWatched.store(true, ordering: .relaxed)
    // Also touched here so that the handler never is the one to initialise it.
    first.store(0, ordering: .relaxed)
    for number in numbers {
      var action = sigaction()
      // The struct is filled in by the kernel during the call.
      guard unsafe sigaction(number, nil, &action) == 0 else { continue }
      // `nohup` means it. An ignored SIGINT only means that a script started us in the background.
      if number == SIGHUP, unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1 { continue }
      action = sigaction()
      unsafe action.__sigaction_handler.sa_handler = handle
      action.sa_flags = SA_RESTART
      // Read by the kernel during the call.
      _ = unsafe sigaction(number, &action, nil)
    }
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = ask
    action.sa_flags = SA_RESTART
    // Read by the kernel during the call.
    _ = unsafe sigaction(SIGUSR1, &action, nil)
  }

  /// From now on a signal ends the process at once: there is nothing left to ask.
  static func unwatch() {
    // Order: relaxed. As in `watch`.
    isWatched.store(false, ordering: .relaxed)
  }

  /// The first signal, if there was one.
  static var received: Int32? {
    // Order: relaxed. A number by itself; the caller polls.
    let number = first.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// Whether SIGUSR1 has come since the last call.
  static var isAsked: Bool {
    // Order: relaxed. See `watch`.
    asked.exchange(false, ordering: .relaxed)
  }

  /// How the command ends after a signal.
  static func exit(after number: Int32) -> Exit { number == SIGINT ? .interrupted : .stopped }

  // Order: relaxed. A flag by itself; the caller polls.
  private static let ask: @convention(c) (Int32) -> Void = { _ in Signals.asked.store(true, ordering: .relaxed) }

  private static let handle: @convention(c) (Int32) -> Void = { number in
    // Order: relaxed. See `received`.
    let isFirst = first.compareExchange(expected: 0, desired: number, ordering: .relaxed).exchanged
    if isFirst && isWatched.load(ordering: .relaxed) { return }
    if hasTerminal.load(ordering: .relaxed) { ProgressDisplay.restoreCursor() }
    _exit(Signals.exit(after: number).rawValue)
  }
}
