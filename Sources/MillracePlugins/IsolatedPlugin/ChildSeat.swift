import CMillrace
import Glibc
import Synchronization

/// A place for a process of an isolated plugin: the attempts that are in flight there, and what the process says of them.
///
/// # Threads
/// `send` any. All else is the receiving thread's.
/// # Fields
/// `gate`: how many threads are in `send` (31 bits), and `shut`. `page`, `arena`, `layout`: written while the gate is shut and nobody inside.
/// # Progress
/// `send` is lock-free towards other threads and never waits for the child. One that is stopped between taking a number of the ring and writing its entry
/// keeps the child from later entries.
@safe final class ChildSeat: @unchecked Sendable {
  enum Phase {
    case starting(until: UInt64)
    case runs
    case waits(until: UInt64)
    case parked
    case ended
  }

  enum Sent {
    case sent
    /// No slot is free, or no process there.
    case full
    /// The inputs are more than fit into a region.
    case tooLarge(UInt64)
  }

  static let shut: UInt32 = 1 << 31
  /// Bytes of a region that keep their memory between attempts.
  static let keptBytes: UInt64 = 64 << 10

  let slots: CallSlots
  let inFlight = Atomic<Int>(0)
  let gate = Atomic<UInt32>(ChildSeat.shut)
  var phase = Phase.ended
  var supervision: Supervision
  private(set) var child: ChildProcess?
  private var page = unsafe UnsafeMutableRawPointer(bitPattern: 16)!
  private var arena = unsafe UnsafeRawPointer(bitPattern: 16)!
  private var layout = millrace_isolation_layout()
  private var regionBytes: UInt64 = 0
  private var isVirtual = false
  /// What has been read of the ring of responses, and of the log.
  private var head: UInt32 = 0
  private var logHead: UInt32 = 0
  private var lostLines: UInt32 = 0
  /// What the child did that no child of ours does: it is killed for it.
  var violation: String?
  // unsafe: allocated in init, freed in deinit.
  private let message: UnsafeMutablePointer<CChar>

  private let tables: HostTables
  private static let nearOffset = 256
  /// Bytes of an ending that each attempt has.
  private static let firstHalf = 64

  init(_ bounds: IsolationBounds, _ tables: HostTables) {
    self.tables = tables
    slots = CallSlots(count: bounds.slots)
    supervision = Supervision(bounds)
    unsafe message = .allocate(capacity: Int(MILLRACE_MESSAGE_BYTES))
  }

  deinit {
    slots.deallocate()
    unsafe message.deallocate()
  }

  // MARK: The gate

  /// A new process, which gets no attempts before `open`.
  func take(_ child: ChildProcess, isVirtual: Bool) {
    self.child = child
    unsafe (page, arena) = unsafe (child.page, child.arena)
    layout = child.layout
    regionBytes = child.regionBytes
    self.isVirtual = isVirtual
    (head, logHead, lostLines) = (0, 0, 0)
    violation = nil
  }

  // Order: releasing. Pairs with `enter`: who gets in finds the memory of this process.
  func open() { gate.store(0, ordering: .releasing) }

  /// Nobody sends any more: waits for those who do, which copy inputs at most.
  func close() {
    // Order: acquiring and releasing. Pairs with `enter`.
    gate.bitwiseOr(Self.shut, ordering: .acquiringAndReleasing)
    // Order: acquiring. Pairs with `leave`.
    while gate.load(ordering: .acquiring) & ~Self.shut != 0 { millrace_yield() }
  }

  /// The process has ended, and all that it said is read.
  func letGo() { child = nil }

  private func enter() -> Bool {
    // Order: acquiring and releasing. Pairs with `open` and `close`.
    if gate.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue & Self.shut == 0 { return true }
    leave()
    return false
  }

  // Order: releasing. Pairs with the load in `close`.
  private func leave() { gate.wrappingSubtract(1, ordering: .releasing) }

  // MARK: Sending

  /// Sends an attempt to the process. Its inputs are copied. Complexity: O(bytes of the inputs).
  ///
  /// unsafe: `host` and `attempt` are valid until the token is completed, `key` and `id` for the call.
  @unsafe func send(
    handler: UInt32, number: UInt32, deadline: UInt64, host: UnsafePointer<millrace_host>, attempt: OpaquePointer?, token: millrace_token,
    key: UnsafePointer<CChar>, id: UnsafePointer<CChar>
  ) -> Sent {
    guard enter() else { return .full }
    defer { leave() }
    guard let slot = slots.take() else { return .full }
    let request = unsafe self.request(slot)
    let bytes: UInt64
    do throws(CallWriter.TooLarge) {
      var writer = unsafe CallWriter(
        page: page, near: layout.requests + UInt64(slot * MemoryLayout<millrace_isolated_request>.stride + Self.nearOffset),
        region: layout.inputs + UInt64(slot) * regionBytes, most: regionBytes)
      bytes = try unsafe writer.write(
        request, handler: handler, number: number, deadline: deadline, host: host, tables, attempt: attempt, key: key, id: id)
    } catch {
      slots.give(slot)
      return .tooLarge(error.bytes)
    }
    unsafe request.pointee.generation = slots.generation(slot)
    if isVirtual { unsafe millrace_shared_store_long(millrace_page_now(page), host.pointee.now(host)) }
    unsafe slots.send(slot, CallSlots.Call(attempt: attempt, host: host, token: token, handler: handler, inputBytes: bytes))
    // Order: sequentially consistent. Pairs with `IsolatedPlugin.sleep`: either the receiving thread sees it, or its caller sees that it sleeps deeply.
    inFlight.wrappingAdd(1, ordering: .sequentiallyConsistent)
    push(UInt32(slot))
    return .sent
  }

  /// The last entry that the child reads.
  func sendStop() { push(MILLRACE_ISOLATION_STOP) }

  private func push(_ value: UInt32) {
    let tail = unsafe millrace_shared_take(millrace_page_tail(page))
    let place = Int(layout.request_ring) + Int(tail & (layout.request_capacity - 1)) * 8
    // Releasing: pairs with the child's load. The request is written before its entry.
    unsafe millrace_shared_store_long(page + place, UInt64(tail &+ 1) << 32 | UInt64(value))
    // Pairs with the child's fence between `sleeps` and its look at the tail.
    millrace_shared_fence()
    if unsafe millrace_shared_load(millrace_arena_sleeps(arena)) != 0 { unsafe millrace_shared_wake(millrace_page_tail(page)) }
  }

  private func request(_ slot: Int) -> UnsafeMutablePointer<millrace_isolated_request> {
    unsafe (page + Int(layout.requests)).assumingMemoryBound(to: millrace_isolated_request.self) + slot
  }

  // MARK: Receiving

  /// Whether the child has said something that is not read. Of what it lies about, only it suffers.
  var hasNews: Bool {
    guard child != nil else { return false }
    return unsafe isEntry(millrace_shared_load_long(entry))
  }

  private var entry: UnsafeRawPointer { unsafe arena + Int(layout.response_ring) + Int(head & (layout.response_capacity - 1)) * 8 }
  private func isEntry(_ word: UInt64) -> Bool { UInt32(truncatingIfNeeded: word >> 32) == head &+ 1 }

  /// The host wants its bell rung, or not any more.
  func setSleeps(_ sleeps: Bool) { if child != nil { unsafe millrace_shared_store(millrace_page_sleeps(page), sleeps ? 1 : 0) } }

  /// Reads what the child has said, a ring full at most: how much that was. `plugin` takes the lines of its log.
  func receive(_ plugin: IsolatedPlugin) -> Int {
    guard child != nil else { return 0 }
    var count = 0
    var hasLines = false
    while count < Int(layout.response_capacity), violation == nil {
      // Acquiring: pairs with the child's store; what it tells of is written before.
      let word = unsafe millrace_shared_load_long(entry)
      guard isEntry(word) else { break }
      head &+= 1
      count += 1
      let (slot, what) = (Int(word & 0xffff), Int(word >> 16 & 0xffff))
      if what == MILLRACE_SAYS_LOG {
        hasLines = true
        continue
      }
      let isSent = slot < slots.count && slots.isSent(slot)
      switch what {
      case MILLRACE_SAYS_ENDED where isSent: end(slot, later: false)
      case MILLRACE_SAYS_LATER where isSent: end(slot, later: true)
      case MILLRACE_SAYS_BEAT where isSent: beat(slot)
      // The end of the attempt was told a moment before.
      case MILLRACE_SAYS_BEAT where slot < slots.count: break
      case MILLRACE_SAYS_ENDED, MILLRACE_SAYS_LATER: violation = "it ended an attempt that it did not have"
      default: violation = "it wrote an answer that is none"
      }
    }
    if count > 0 { unsafe millrace_shared_store(millrace_page_response_head(page), head) }
    if hasLines { readLog(plugin) }
    return count
  }

  private func ending(_ slot: Int) -> UnsafeRawPointer {
    unsafe arena + Int(layout.endings) + slot * MemoryLayout<millrace_isolated_ending>.stride
  }

  private func beat(_ slot: Int) {
    let call = slots.call(slot)
    guard let place = MemoryLayout<millrace_isolated_ending>.offset(of: \.progress) else { return }
    unsafe call.host.pointee.heartbeat(call.attempt, millrace_shared_load(ending(slot) + place))
  }

  private func end(_ slot: Int, later: Bool) {
    let call = slots.call(slot)
    let place = unsafe ending(slot)
    // One copy of each half: whatever the child writes there afterwards, this is what it said.
    var said = millrace_isolated_ending()
    unsafe millrace_shared_copy(&said, place, Self.firstHalf)
    if said.status != UInt32(MILLRACE_DONE) {
      unsafe withUnsafeMutableBytes(of: &said) { bytes in
        unsafe millrace_shared_copy(bytes.baseAddress! + Self.firstHalf, place + Self.firstHalf, bytes.count - Self.firstHalf)
      }
    }
    guard said.generation == slots.generation(slot) else {
      violation = "it ended an attempt that was over"
      return
    }
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.status = said.status
    unsafe outcome.retry_after = said.retry_after
    var isGood = true
    do throws(Refusal) {
      if said.status == UInt32(MILLRACE_DONE) {
        unsafe outcome.output = try take(said.output, slot, call)
      } else {
        unsafe takeError(said, slot, &outcome)
        unsafe outcome.details = try take(said.details, slot, call)
      }
    } catch {
      isGood = false
      unsafe fill(&outcome, UInt32(MILLRACE_RETRY), error.type, error.words)
    }
    // Too late is no fault: the host has ended the attempt by then.
    if later && isGood {
      _ = unsafe call.host.pointee.complete_after(call.host, call.token, said.delay, &outcome)
    } else {
      _ = unsafe call.host.pointee.complete(call.host, call.token, &outcome)
    }
    let outputBytes = min(said.used, regionBytes)
    if max(call.inputBytes, outputBytes) > Self.keptBytes {
      child?.drop(slot: slot, inputBytes: call.inputBytes, outputBytes: outputBytes, kept: Self.keptBytes)
    }
    give(slot)
  }

  /// The type and the message of an error, copied.
  private func takeError(_ said: millrace_isolated_ending, _ slot: Int, _ outcome: UnsafeMutablePointer<millrace_outcome>) {
    let type = unsafe arena + Int(layout.words) + slot * MemoryLayout<millrace_isolated_words>.stride
    unsafe withUnsafeMutableBytes(of: &outcome.pointee.error_type) { field in
      unsafe millrace_shared_copy(field.baseAddress!, type, field.count)
      unsafe field[field.count - 1] = 0
    }
    let length = min(said.message_length, UInt32(MILLRACE_MESSAGE_BYTES) - 1)
    unsafe millrace_shared_copy(message, type + Int(MILLRACE_ERROR_TYPE_BYTES), Int(length))
    unsafe outcome.pointee.message = message
    unsafe outcome.pointee.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    unsafe outcome.pointee.message_length = length
  }

  private struct Refusal: Error {
    let type: String
    let words: String
  }

  /// What the child offers, copied into memory of the host's. Throws if it is not where the attempt's outputs are, or if there is no room.
  private func take(_ offered: millrace_payload, _ slot: Int, _ call: CallSlots.Call) throws(Refusal) -> millrace_payload {
    var payload = millrace_payload()
    if offered.length == 0 { return payload }
    let start = layout.outputs + UInt64(slot) * regionBytes
    guard offered.arena == MILLRACE_ARENA_OUTPUT, offered.length <= UInt64(MILLRACE_INLINE_BYTES), offered.offset >= start,
      offered.offset - start <= regionBytes, offered.length <= regionBytes - (offered.offset - start)
    else { throw Refusal(type: "bad-outcome", words: "the plugin's process gave a payload that its attempt did not claim") }
    let type = offered.content_type <= UInt32(MILLRACE_TEXT) ? offered.content_type : UInt32(MILLRACE_BYTES)
    guard let bytes = unsafe call.host.pointee.claim(call.attempt, offered.length, type, &payload) else {
      throw Refusal(type: "no-memory", words: "there was no memory for an output of \(offered.length) bytes")
    }
    // unsafe: both have so many bytes; those of the arena may change meanwhile, which harms whoever reads them no more than any others.
    unsafe bytes.copyMemory(from: arena + Int(offered.offset), byteCount: Int(offered.length))
    return payload
  }

  /// Says in `outcome` how an attempt ended, with a message of this seat.
  private func fill(_ outcome: UnsafeMutablePointer<millrace_outcome>, _ status: UInt32, _ type: String, _ words: String) {
    unsafe IsolatedPlugin.fill(outcome, message, status, type, words)
  }

  private func give(_ slot: Int) {
    slots.give(slot)
    inFlight.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }

  /// Ends all that is in flight: no process is there to do it.
  func endAll(_ status: UInt32, _ type: String, _ words: String) -> Int {
    var count = 0
    for slot in 0..<slots.count where slots.isSent(slot) {
      let call = slots.call(slot)
      var outcome = unsafe millrace_outcome()
      unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
      unsafe fill(&outcome, status, type, words)
      _ = unsafe call.host.pointee.complete(call.host, call.token, &outcome)
      give(slot)
      count += 1
    }
    return count
  }

  /// Tells attempts to stop that should. True: one was told longer than `grace` ago.
  func tellCancelled(at now: UInt64, grace: UInt64) -> Bool {
    var isStuck = false
    for slot in 0..<slots.count where slots.isSent(slot) {
      let call = slots.call(slot)
      if call.toldAt != 0 {
        if now >= call.toldAt, now - call.toldAt > grace { isStuck = true }
      } else if unsafe call.host.pointee.cancelled(call.attempt) != 0 {
        slots.tell(slot, at: max(1, now))
        unsafe millrace_shared_store(millrace_request_cancelled(request(slot)), slots.generation(slot))
      }
    }
    return isStuck
  }

  // MARK: What it says of itself

  var state: UInt32 { child == nil ? 0 : unsafe millrace_shared_load(millrace_arena_state(arena)) }
  var landlock: UInt32 { child == nil ? 0 : unsafe millrace_shared_load(millrace_arena_landlock(arena)) }

  /// Copied once.
  var description: [UInt8] {
    let count = Int(min(unsafe millrace_shared_load(millrace_arena_bytes(arena)), MILLRACE_ISOLATION_DESCRIPTION_BYTES))
    return unsafe Array(UnsafeRawBufferPointer(start: arena + Int(layout.description), count: count))
  }

  /// For a person.
  var words: String { String(decoding: description.prefix(4_096).prefix { $0 != 0 }, as: UTF8.self) }

  private func readLog(_ plugin: IsolatedPlugin) {
    let bytes = UInt32(MILLRACE_ISOLATION_LOG_BYTES)
    let tail = unsafe millrace_shared_load(millrace_arena_log_tail(arena))
    guard tail &- logHead <= bytes else {
      violation = "it wrote over its log"
      return
    }
    var lost: UInt32 = 0
    while logHead != tail {
      let left = tail &- logHead
      let start = left >= 8 ? copyLog(logHead, 8) : []
      guard start.count == 8 else {
        violation = "it wrote over its log"
        return
      }
      let length = UInt32(start[4]) | UInt32(start[5]) << 8 | UInt32(start[6]) << 16 | UInt32(start[7]) << 24
      guard length <= MILLRACE_ISOLATION_LINE_BYTES, (8 + length + 7) / 8 * 8 <= left else {
        violation = "it wrote over its log"
        return
      }
      if !plugin.say(UInt32(start[0] & 3), copyLog(logHead &+ 8, Int(length))) { lost += 1 }
      logHead &+= (8 + length + 7) / 8 * 8
    }
    unsafe millrace_shared_store(millrace_page_log_head(page), logHead)
    let childLost = unsafe millrace_shared_load(millrace_arena_lost_lines(arena))
    if childLost != lostLines {
      lost &+= childLost &- lostLines
      lostLines = childLost
    }
    self.lost &+= lost
  }

  /// Lines that were too many, since somebody asked.
  private var lost: UInt32 = 0
  func takeLostLines() -> UInt32 {
    defer { lost = 0 }
    return lost
  }

  private func copyLog(_ at: UInt32, _ count: Int) -> [UInt8] {
    let bytes = Int(MILLRACE_ISOLATION_LOG_BYTES)
    let place = Int(at) % bytes
    let first = min(count, bytes - place)
    let log = unsafe arena + Int(layout.log)
    return unsafe Array(UnsafeRawBufferPointer(start: log + place, count: first))
      + Array(UnsafeRawBufferPointer(start: log, count: count - first))
  }
}
