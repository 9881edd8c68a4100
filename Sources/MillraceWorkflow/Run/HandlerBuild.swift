internal import MillraceCore
internal import Synchronization

/// A build of a plugin as runs know it: who may still call into its code.
///
/// A run pins the builds of its handlers when it is made, and lets go of them when it has ended and none of its handlers is inside, late ones and holders of tokens
/// among them. Nothing is counted for a task.
///
/// # Threads
/// Any.
/// # Fields
/// `word`: bit 0 it is closed, bit 1 it shall go when nobody pins it, the rest counts pins.
/// # Progress
/// `pin`, `unpin`, `close`: lock-free.
package final class HandlerBuild: Sendable {
  private static let closed: UInt64 = 1
  private static let leaving: UInt64 = 2
  private static let one: UInt64 = 4

  private let word = Atomic<UInt64>(0)
  private let isWatched = Atomic<Bool>(false)
  private let monitor = Monitor()
  /// The monitor's: what attempts that end are counted in.
  private nonisolated(unsafe) var tally: AttemptTally?
  /// Told when a build that shall go is pinned by nobody: by whoever let go last, which it must not block.
  private let idle: @Sendable () -> Void

  package init(idle: @escaping @Sendable () -> Void) { self.idle = idle }

  deinit { monitor.deallocate() }

  // MARK: Pins

  /// Keeps the build. False: it has gone.
  package func pin() -> Bool {
    // Order: acquiring. Pairs with the CAS in `close`: whoever finds it open has its code.
    let before = word.add(HandlerBuild.one, ordering: .acquiring).oldValue
    if before & HandlerBuild.closed == 0 { return true }
    word.subtract(HandlerBuild.one, ordering: .relaxed)
    return false
  }

  package func unpin() {
    // Order: releasing, and acquiring for who tells. Pairs with the CAS in `close`: all that was done with the code happened before it goes.
    let after = word.subtract(HandlerBuild.one, ordering: .acquiringAndReleasing).newValue
    if after == HandlerBuild.leaving { idle() }
  }

  package var pins: Int { Int(word.load(ordering: .relaxed) / HandlerBuild.one) }

  /// It shall go when nobody pins it. Any number of times.
  package func leave() {
    // Order: acquiring and releasing. Pairs with the subtraction in `unpin`: the later of the two tells.
    if word.bitwiseOr(HandlerBuild.leaving, ordering: .acquiringAndReleasing).newValue == HandlerBuild.leaving { idle() }
  }

  /// From here on nobody can pin it. True: nobody does, and it was open: its code may go.
  package func close() -> Bool {
    // Order: acquiring. Pairs with the subtraction in `unpin`.
    word.compareExchange(expected: HandlerBuild.leaving, desired: HandlerBuild.closed, ordering: .acquiringAndReleasing).exchanged
  }

  // MARK: Watching

  /// Has the attempts of runs that end counted in `tally`; nil: no more.
  package func watch(_ tally: AttemptTally?) {
    monitor.locked { unsafe self.tally = tally }
    isWatched.store(tally != nil, ordering: .releasing)
  }

  var watcher: AttemptTally? {
    // Order: acquiring. Pairs with the store in `watch`.
    isWatched.load(ordering: .acquiring) ? monitor.locked { unsafe tally } : nil
  }
}

extension WorkflowRun {
  /// Something may call handlers of the run, or be inside of one: not after the builds have been let go of. False: they have.
  func enterBuilds() -> Bool {
    var count = users.load(ordering: .relaxed)
    while count > 0 {
      // Order: acquiring. Pairs with the subtraction in `leaveBuilds`.
      let (done, now) = users.weakCompareExchange(expected: count, desired: count + 1, ordering: .acquiring)
      if done { return true }
      count = now
    }
    return false
  }

  /// The last one lets go of the builds.
  func leaveBuilds() {
    guard !compiled.builds.isEmpty else { return }
    // Order: acquiring and releasing. What every one did with the code happened before the last one lets go.
    if users.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { for build in compiled.builds { build.unpin() } }
  }

  /// Pins the builds of a workflow. False: one has gone, and none is pinned.
  static func pin(_ builds: [HandlerBuild]) -> Bool {
    for (i, build) in builds.enumerated() where !build.pin() {
      for pinned in builds[..<i] { pinned.unpin() }
      return false
    }
    return true
  }
}
