import CMillrace
import MillraceCore
import Synchronization

/// What handlers and the measuring thread share: a block of memory for each lane, how much is done, and a gate behind which the measuring thread sleeps, so that
/// it takes no processor from the workers.
///
/// # Fields
/// `lots`, `threshold`, `gate`: all threads. Of a lane's block the count is written by its lane and read by all; the rest is the lane's alone.
@safe struct Stage: @unchecked Sendable {
  static let lanes = 64
  /// A lane tells the others about its jobs in lots of so many.
  private static let lot: UInt64 = 64
  private static let header = 512
  private static let stride = 512
  private static let countOffset = 384

  /// What a lane calls the plugin with. The interface has the host set the outcome anew for each call.
  @safe struct Call {
    let run: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_call>?, UnsafeMutablePointer<millrace_outcome>?) -> UInt32
    let context: UnsafeMutableRawPointer?
    var call: millrace_call
    var outcome: millrace_outcome
    let message: UnsafeMutablePointer<CChar>

    /// An outcome without traces of the last call, as the interface asks: stores only.
    @inline(__always) mutating func renew() {
      unsafe outcome = millrace_outcome()
      unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
      unsafe outcome.message_capacity = MILLRACE_MESSAGE_BYTES
      unsafe outcome.message = message
    }
  }

  // unsafe: allocated zeroed, never freed by the value: `deallocate`.
  let base: UnsafeMutableRawPointer

  init() {
    precondition(MemoryLayout<Call>.size <= Stage.countOffset, "a lane's call fits before its count")
    let bytes = Stage.header + Stage.lanes * Stage.stride
    unsafe base = .allocate(byteCount: bytes, alignment: 128)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
  }

  /// The stage behind a handler's context.
  @unsafe init(_ context: UnsafeMutableRawPointer) { unsafe base = context }

  func deallocate() { unsafe base.deallocate() }

  private var lots: UnsafeMutablePointer<Atomic<UInt64>> { unsafe base.assumingMemoryBound(to: Atomic<UInt64>.self) }
  private var threshold: UnsafeMutablePointer<Atomic<UInt64>> { unsafe (base + 128).assumingMemoryBound(to: Atomic<UInt64>.self) }
  private var gate: UnsafeMutablePointer<Atomic<UInt32>> { unsafe (base + 256).assumingMemoryBound(to: Atomic<UInt32>.self) }
  /// Where handlers that stamp leave nanoseconds, one for each job. Set while no job runs.
  private var samples: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>?> {
    unsafe (base + 384).assumingMemoryBound(to: UnsafeMutablePointer<UInt64>?.self)
  }

  @inline(__always) func call(_ lane: Int) -> UnsafeMutablePointer<Call> {
    unsafe (base + Stage.header + lane &* Stage.stride).assumingMemoryBound(to: Call.self)
  }
  @inline(__always) private func count(_ lane: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe (base + Stage.header + lane &* Stage.stride + Stage.countOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  // MARK: Lanes

  /// One job or node is done: what a live display of progress reads. Near the end of what is expected the measuring thread is woken.
  @inline(__always) func finished(_ lane: Int) {
    let own = unsafe count(lane)
    // Order: relaxed, releasing. Only the lane writes; pairs with the acquiring loads in `total`.
    let next = unsafe own.pointee.load(ordering: .relaxed) &+ 1
    unsafe own.pointee.store(next, ordering: .releasing)
    if next & (Stage.lot - 1) == 0 { publishLot() }
  }

  @inline(never) private func publishLot() {
    // Order: sequentially consistent. One lane alone finds that its lot crosses the threshold.
    let before = unsafe lots.pointee.add(Stage.lot, ordering: .sequentiallyConsistent).oldValue
    let threshold = unsafe threshold.pointee.load(ordering: .relaxed)
    if before < threshold, before &+ Stage.lot >= threshold { open() }
  }

  /// Lets the measuring thread go on.
  func open() {
    // Order: releasing. Pairs with the acquiring loads in `waitForGate`.
    unsafe gate.pointee.store(1, ordering: .releasing)
    _ = unsafe millrace_futex_wake(gate, 1)
  }

  /// Leaves how long ago `since` was; what is early looks enormous.
  @inline(__always) func stamp(_ index: Int, since: UInt64) { leave(Clock.monotonic.now &- since, at: index) }

  @inline(__always) func leave(_ value: UInt64, at index: Int) {
    guard let samples = unsafe samples.pointee else { preconditionFailure("there is no place for samples") }
    unsafe samples[index] = value
  }

  // MARK: The measuring thread

  /// unsafe: `memory` holds a sample for each job that stamps, and outlives them.
  @unsafe func collect(into memory: UnsafeMutablePointer<UInt64>?) { unsafe samples.pointee = memory }

  var total: UInt64 {
    var total: UInt64 = 0
    // Order: acquiring. Pairs with the releasing store in `finished`.
    for lane in 0..<Stage.lanes { total &+= unsafe count(lane).pointee.load(ordering: .acquiring) }
    return total
  }

  /// Before anything is submitted: `count` more jobs will be done. What `total` will then say.
  func expect(_ count: Int, lanes: Int) -> UInt64 {
    let (before, slack) = (total, UInt64(lanes) * Stage.lot)
    unsafe gate.pointee.store(0, ordering: .relaxed)
    // Order: releasing. Handlers see it through the submission. It is crossed for certain, and later than now, or not at all.
    unsafe threshold.pointee.store(count > slack ? before &+ UInt64(count) - slack : 0, ordering: .releasing)
    return before &+ UInt64(count)
  }

  func waitForGate() {
    // Order: acquiring. Pairs with the releasing store in `open`.
    while unsafe gate.pointee.load(ordering: .acquiring) == 0 { _ = unsafe millrace_futex_wait(gate, 0, -1) }
  }

  /// Sleeps until less than a lot for each lane is left, and looks for the rest.
  func waitForCount(_ target: UInt64) {
    // Even if it is crossed by now: whoever opens the gate must have done so before it is shut again.
    if unsafe threshold.pointee.load(ordering: .relaxed) != 0 { waitForGate() }
    var looks = 0
    while total < target {
      looks += 1
      if looks & 63 == 0 { millrace_yield() } else { millrace_pause() }
    }
  }
}
