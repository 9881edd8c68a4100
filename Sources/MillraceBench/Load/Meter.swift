internal import Glibc
internal import MillraceCore
internal import Synchronization

/// Where subjects tell how requests end: counts and latencies, a lane for each thread that tells.
///
/// When closed, the end of a request sends the next one, on the thread that told it: there is no generator that could be late.
///
/// # Threads
/// `end`: any. `prepare`, `isQuiet`, `collect`: the one that drives the round, while no request is under way (but for `isQuiet`).
/// # Fields
/// A lane: its state (recorder, follow-ups), which only its own thread touches between `prepare` and the moment at which all is quiet; and its two
/// counters, which it alone writes. Both start on lines of their own.
/// # Progress
/// `end`: wait-free, but for what the subject's `send` does. No lock and no allocation, but for a thread's first call.
@safe final class Meter: @unchecked Sendable {
  /// What a lane's own thread touches.
  private struct LaneState {
    var recorder = Recorder()
    /// Requests that this lane has still to send.
    var owed = 0
    /// `send` is on the stack: a request that ends within it is followed by the loop that called, not by a deeper one.
    var isSending = false
  }

  /// Set before a round, constant in it.
  private struct Round {
    var window = Window(begin: 0, end: 1, isOpen: true)
    var subject: Subject?
  }

  private static let stride = (MemoryLayout<LaneState>.size + padding - 1) / padding * padding

  let clock: Clock
  private let laneCount: Int
  /// Lanes that are handed out by number, before those that threads claim.
  private let reserved: Int
  private let states: UnsafeMutableRawPointer
  /// Two words a lane, sent and ended; the last pair for all threads that found no lane.
  private let counters: UnsafeMutableRawPointer
  private let key: pthread_key_t
  private let claimed = Atomic<Int>(0)
  private let stopped = Atomic<Bool>(false)
  /// In raw memory: read for each request, without a check for exclusive access.
  private let round: UnsafeMutablePointer<Round>

  /// - Parameters:
  ///   - reserved: lanes for threads of the harness: 0 for the one that drives, then its generators.
  ///   - others: threads that may tell of ends beside them, at most.
  init(clock: Clock, reserved: Int, others: Int) {
    self.clock = clock
    self.reserved = reserved
    laneCount = reserved + others
    // unsafe: freed in deinit; every lane is initialised here.
    unsafe states = .allocate(byteCount: laneCount * Meter.stride, alignment: padding)
    unsafe counters = .allocate(byteCount: (laneCount + 1) * padding, alignment: padding)
    unsafe round = .allocate(capacity: 1)
    unsafe round.initialize(to: Round())
    for lane in 0..<laneCount { unsafe (states + lane * Meter.stride).initializeMemory(as: LaneState.self, to: LaneState()) }
    for lane in 0...laneCount {
      unsafe (counters + lane * padding).initializeMemory(as: Atomic<UInt64>.self, to: Atomic(0))
      unsafe (counters + lane * padding + 8).initializeMemory(as: Atomic<UInt64>.self, to: Atomic(0))
    }
    var key = pthread_key_t()
    // Filled in during the call.
    let code = unsafe pthread_key_create(&key, nil)
    precondition(code == 0, "no key for a thread's lane: errno \(code)")
    self.key = key
  }

  deinit {
    pthread_key_delete(key)
    for lane in 0..<laneCount { unsafe state(lane).deinitialize(count: 1) }
    unsafe states.deallocate()
    unsafe counters.deallocate()
    unsafe round.deinitialize(count: 1)
    unsafe round.deallocate()
  }

  // MARK: Lanes

  /// Gives the calling thread a lane below `reserved`.
  func adopt(lane: Int) {
    precondition(lane >= 0 && lane < reserved, "lane \(lane) is not reserved")
    // The value is a number; nobody follows it.
    unsafe _ = pthread_setspecific(key, UnsafeRawPointer(bitPattern: lane + 1))
  }

  /// The calling thread's own; `laneCount`: there are more threads than were foreseen.
  private var lane: Int {
    // As set by `adopt` and below: a number.
    if let known = unsafe pthread_getspecific(key) { return Int(bitPattern: known) - 1 }
    // Order: relaxed. Each number is handed out once; nothing else is published by it.
    let claim = reserved + claimed.wrappingAdd(1, ordering: .relaxed).oldValue
    let lane = min(claim, laneCount)
    unsafe _ = pthread_setspecific(key, UnsafeRawPointer(bitPattern: lane + 1))
    return lane
  }

  private func state(_ lane: Int) -> UnsafeMutablePointer<LaneState> {
    // unsafe: initialised above; lane < laneCount.
    unsafe (states + lane * Meter.stride).assumingMemoryBound(to: LaneState.self)
  }

  private func counter(_ lane: Int, _ word: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    // unsafe: initialised above; lane <= laneCount, word 0 or 1.
    unsafe (counters + lane * padding + word * 8).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always) private func count(_ lane: Int, _ word: Int) {
    let counter = unsafe counter(lane, word)
    if lane == laneCount {
      // Order: sequentially consistent: several threads write here. Pairs with the loads in `total`.
      unsafe counter.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    } else {
      // Order: releasing. The lane alone writes. Pairs with the acquiring load in `total`: who sees the count sees what was recorded before.
      unsafe counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }
  }

  private func total(_ word: Int) -> UInt64 {
    // Order: acquiring. Pairs with the releases in `count`.
    (0...laneCount).reduce(0) { unsafe $0 &+ counter($1, word).pointee.load(ordering: .acquiring) }
  }

  // MARK: A round

  /// Begins a round: nothing is recorded yet.
  func prepare(_ window: Window, _ subject: Subject) {
    unsafe round.pointee = Round(window: window, subject: subject)
    for lane in 0..<laneCount { unsafe state(lane).pointee.recorder.reset() }
    stopped.store(false, ordering: .relaxed)
  }

  /// Nothing more shall be sent.
  func stop() {
    // Order: relaxed. Senders look at it before each request; nothing is published by it.
    stopped.store(true, ordering: .relaxed)
  }

  // Order: relaxed. As above.
  var isStopped: Bool { stopped.load(ordering: .relaxed) }

  /// Sends one request of an open load.
  @inline(__always) func send(_ ticket: Ticket) {
    guard let subject = unsafe round.pointee.subject else { preconditionFailure("a meter sends only in a round") }
    count(lane, 0)
    if !subject.send(ticket) { end(ticket, isDone: false, isFollowed: false) }
  }

  /// Sends the first `level` requests of a closed load.
  func launch(_ level: Int) {
    let lane = lane
    for _ in 0..<level { count(lane, 0) }
    unsafe state(lane).pointee.owed += level
    sendOwed(lane)
  }

  /// A request has ended. Called once for each that was sent and taken.
  ///
  /// - Parameter isFollowed: false for one that was refused: to try again at once would only turn in circles.
  @inline(__always) func end(_ ticket: Ticket, isDone: Bool, isFollowed: Bool = true) {
    let now = clock.now
    let lane = lane
    if lane < laneCount {
      let state = unsafe state(lane)
      let window = unsafe round.pointee.window
      unsafe state.pointee.recorder.record(ticket, end: now, isDone: isDone, window)
      if !window.isOpen, isFollowed, now < window.end, !isStopped {
        // Counted before the end of this one is: whoever finds as many ended as sent may be sure that nothing is under way.
        count(lane, 0)
        unsafe state.pointee.owed += 1
        if unsafe !state.pointee.isSending { sendOwed(lane) }
      }
    }
    count(lane, 1)
  }

  private func sendOwed(_ lane: Int) {
    guard let subject = unsafe round.pointee.subject else { preconditionFailure("a meter sends only in a round") }
    let state = unsafe state(lane)
    unsafe state.pointee.isSending = true
    while unsafe state.pointee.owed > 0 {
      unsafe state.pointee.owed -= 1
      let now = clock.now
      let ticket = Ticket(intended: now, sent: now)
      if !subject.send(ticket) { end(ticket, isDone: false, isFollowed: false) }
    }
    unsafe state.pointee.isSending = false
  }

  /// Requests that were sent and have not ended; 0 only if that is so at this moment and nobody sends any more.
  var underWay: UInt64 {
    // Ends first: see `end`.
    let ended = total(1)
    return total(0) &- ended
  }

  /// Requests that ended on threads without a lane, of all rounds: they are recorded nowhere.
  var strays: UInt64 { unsafe counter(laneCount, 1).pointee.load(ordering: .acquiring) }

  /// What all lanes recorded. Only when nothing is under way.
  func collect() -> Recorder {
    var sum = Recorder()
    for lane in 0..<laneCount { unsafe sum.add(state(lane).pointee.recorder) }
    return sum
  }
}
