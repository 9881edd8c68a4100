internal import CMillrace
import MillraceCore

/// How a generator gets from now to the moment of its next request.
@safe struct Pacer: Sendable {
  /// Waits until `moment`, or for a part of the time: the caller looks at its clock again.
  typealias Wait = @convention(c) (UnsafeMutableRawPointer?, _ moment: UInt64, _ now: UInt64) -> Void

  private let function: Wait
  // unsafe: outlives the generator.
  private nonisolated(unsafe) let context: UnsafeMutableRawPointer?

  /// unsafe: `context` must outlive every use.
  @unsafe init(context: UnsafeMutableRawPointer?, wait: @escaping Wait) {
    unsafe self.context = context
    unsafe function = wait
  }

  @inline(__always) func wait(until moment: UInt64, now: UInt64) { unsafe function(context, moment, now) }

  /// Wakes up so long before a moment and spins: a wake-up may be late by 75 microseconds.
  static let margin: UInt64 = 100_000
  /// Sleeps end after so long, so that a generator with nothing to do hears that it shall stop.
  static let longestSleep: UInt64 = 20_000_000

  /// For threads without a whole processor each: sleeps up to the moment, and may be late.
  static let sleeping = unsafe Pacer(context: nil) { _, moment, now in millrace_sleep_until(min(moment, now &+ Pacer.longestSleep)) }

  /// For threads and `Clock.monotonic`.
  static let real = unsafe Pacer(context: nil) { _, moment, now in
    let left = moment &- now
    if left > 2 * Pacer.margin { millrace_sleep_until(now &+ min(left &- Pacer.margin, Pacer.longestSleep)) } else { millrace_pause() }
  }
}

/// What a generator has to say for itself after a round: whether it sent what it was asked for.
struct GeneratorTally: Sendable, Equatable {
  /// Requests that the schedule has in the window.
  var asked: UInt64 = 0
  /// Those of them that were sent before the window ended.
  var sentInTime: UInt64 = 0

  static func + (a: GeneratorTally, b: GeneratorTally) -> GeneratorTally {
    GeneratorTally(asked: a.asked + b.asked, sentInTime: a.sentInTime + b.sentInTime)
  }
}

/// One thread's part of an open load: sends what the schedule says, when it says, and never looks at answers.
///
/// A request that is late is sent at once, with the moment at which it should have been sent in its ticket: what the delay did to it is measured.
struct Generator {
  /// The share of the window that the generator may run on behind its end, to send what is late.
  static let grace = 10

  private var schedule: Schedule
  private let clock: Clock
  private let pacer: Pacer

  init(_ schedule: Schedule, clock: Clock, pacer: Pacer) {
    self.schedule = schedule
    self.clock = clock
    self.pacer = pacer
  }

  /// Sends until the window has ended.
  ///
  /// - Parameters:
  ///   - isStopped: asked before each request and after each sleep.
  ///   - began: called before the first request of the window.
  ///   - send: sends one request.
  @inline(__always) mutating func run(
    _ window: Window, isStopped: () -> Bool, began: () -> Void = {}, send: (Ticket) -> Void
  ) -> GeneratorTally {
    var tally = GeneratorTally()
    let last = window.end &+ window.nanoseconds / UInt64(Generator.grace)
    var isWarm = false
    while schedule.next < window.end {
      let intended = schedule.next
      if !isWarm, intended >= window.begin {
        isWarm = true
        began()
      }
      var now = clock.now
      while now < intended {
        if isStopped() { return tally }
        pacer.wait(until: intended, now: now)
        now = clock.now
      }
      if now > last || isStopped() { break }
      send(Ticket(intended: intended, sent: now))
      if intended >= window.begin {
        tally.asked += 1
        if now < window.end { tally.sentInTime += 1 }
      }
      schedule.advance()
    }
    countUnsent(window, &tally)
    return tally
  }

  /// What was asked for and not sent at all. No further than twice what was: it is clear by then.
  private mutating func countUnsent(_ window: Window, _ tally: inout GeneratorTally) {
    let most = 2 * tally.asked + 1_000
    while schedule.next < window.end, tally.asked < most {
      if schedule.next >= window.begin { tally.asked += 1 }
      schedule.advance()
    }
  }
}
