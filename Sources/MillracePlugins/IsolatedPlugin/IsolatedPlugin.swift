import CMillrace
import Glibc
import MillraceCore
import Synchronization

/// A plugin in processes of its own: what it says of itself, its calls, and what becomes of its processes.
///
/// A call is copied into memory that a process can read, and ends by its token: no thread waits for it. What does not fit into a process waits in order.
///
/// # Threads
/// `call` any. One thread receives: one of the plugin's own, which also starts the processes (they end with it), or, with `Driver.caller`, whoever calls
/// `start`, `turn` and `stop`.
/// # Fields
/// `seats`: see there. `waiting`, `told`, `parked`, `isOver`: behind the monitor. What else changes is the receiving thread's.
@safe public final class IsolatedPlugin: @unchecked Sendable {
  /// Who receives.
  package enum Driver {
    case thread, caller
  }

  /// A handler, as the engine calls it.
  @safe private final class Entry {
    let plugin: Unmanaged<IsolatedPlugin>
    let index: UInt32

    init(_ plugin: IsolatedPlugin, _ index: UInt32) {
      unsafe self.plugin = .passUnretained(plugin)
      self.index = index
    }
  }

  /// Between two looks at attempts that should stop, while some are in flight or were a moment ago.
  private static let tick: UInt64 = 10_000_000
  private static let memoryTick: UInt64 = 100_000_000
  /// A sleep when nothing is in flight.
  private static let deepSleep: UInt64 = 1_000_000_000

  let path: String
  let isolation: PluginIsolation
  let bounds: IsolationBounds
  private let copy: PrivateCopy
  private let host: UnsafePointer<millrace_host>
  private let clock: @Sendable () -> UInt64
  private let driver: Driver
  private let launch: ChildProcess.Start
  private let seats: [ChildSeat]
  /// Rung for the receiving thread.
  private let alarm: Int32
  private let monitor = Monitor()
  private var waiting: [CallRequest] = []
  private let waitingCount = Atomic<Int>(0)
  private let parkedSeats = Atomic<Int>(0)
  private let isDeep = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  private var told: [IsolatedProcess]
  private var parked = ""
  private var isOver = false
  private var startError: PluginError?
  private var isStarted = false

  private(set) var description: ChildDescription?
  private var descriptionBytes: [UInt8] = []
  private var entries: [Entry] = []
  private var name: String
  /// By which it is isolated; nil: by none.
  private let expected: String?
  private var looks: UInt32 = 0
  private var nextTick: UInt64 = 0
  private var nextMemoryTick: UInt64 = 0
  private var lastNews: UInt64 = 0
  private var lineSecond: UInt64 = 0
  private var linesLeft = 0
  private var lostLines: UInt64 = 0

  /// Nothing is started yet. Throws `badIsolation`, `noPluginHost`, `noPrivateCopy`.
  init(
    _ copy: consuming PrivateCopy, path: String, name expected: String?, isolation: PluginIsolation, bounds: IsolationBounds,
    settings: [String: String],
    host: UnsafePointer<millrace_host>, driver: Driver, clock: @escaping @Sendable () -> UInt64
  ) throws(PluginError) {
    self.expected = expected
    let name = expected ?? path
    self.name = name
    if let fault = bounds.fault(isUntrusted: isolation.isUntrusted) { throw .badIsolation(path: path, reason: fault) }
    let program = try PluginHostProgram.find(bounds.program, plugin: path)
    // Only its own: what other plugins are set to is none of its business.
    let own = settings.filter { $0.key.hasPrefix(name + ".") && !$0.key.utf8.contains(0) && !$0.value.utf8.contains(0) }
    let texts = own.sorted { $0.key < $1.key }.flatMap { Array("\($0.key)\0\($0.value)\0".utf8) }
    guard texts.count <= Int(MILLRACE_ISOLATION_SETTINGS_BYTES) / 2 else {
      throw .badIsolation(path: path, reason: "its settings are longer than 512 KiB together")
    }
    let alarm = millrace_alarm()
    guard alarm >= 0 else { throw .noProcess(path: path, reason: "no descriptor is to be had: \(errorText())") }
    self.alarm = alarm
    self.copy = copy
    self.path = path
    self.isolation = isolation
    self.bounds = bounds
    unsafe self.host = host
    self.driver = driver
    self.clock = clock
    let now = unsafe host.pointee.now(host)
    let system = millrace_monotonic()
    // A clock that is not the system's stands still, or runs ahead: it is told with each attempt.
    let isReal = max(now, system) - min(now, system) < 1_000_000_000
    unsafe launch = ChildProcess.Start(
      program: program, bounds: bounds, isUntrusted: isolation.isUntrusted, settings: texts, hostName: String(cString: host.pointee.name),
      hostVersion: String(cString: host.pointee.version), clockOffset: isReal ? 0 : nil)
    let tables = unsafe HostTables(host)
    seats = (0..<bounds.processes).map { _ in ChildSeat(bounds, tables) }
    told = seats.map { _ in IsolatedProcess() }
  }

  deinit {
    close(alarm)
    monitor.deallocate()
  }

  /// Where the sealed copy of its file is, for this process.
  var copyPath: String { copy.path }

  /// What its processes are doing. Any thread.
  public var processes: [IsolatedProcess] { monitor.locked { told } }

  // MARK: Start

  /// Starts the processes, and waits until all of them are ready. Throws what keeps the plugin from being loaded; then nothing is left of it.
  package func start() throws(PluginError) {
    switch driver {
    case .caller:
      begin()
      while startError == nil, !isReady { turn(waits: true) }
      if startError != nil { finish() }
    case .thread:
      let isThere = OwnThread.run { [self] in
        begin()
        while !isStopping.load(ordering: .acquiring), startError == nil { turn(waits: true) }
        finish()
      }
      guard isThere else { throw .noProcess(path: path, reason: "no thread is to be had") }
      monitor.locked { while !isStarted && !isOver { monitor.wait(.work) } }
    }
    if let startError {
      if driver == .thread { monitor.locked { while !isOver { monitor.wait(.ended) } } }
      throw startError
    }
  }

  private var isReady: Bool { seats.allSatisfy { if case .runs = $0.phase { true } else { false } } }

  private func begin() {
    for seat in seats { startChild(seat) }
  }

  private func startChild(_ seat: ChildSeat) {
    do throws(PluginError) {
      seat.take(try ChildProcess(launch, plugin: copy, path: path), isVirtual: launch.clockOffset == nil)
      seat.phase = .starting(until: clock() &+ bounds.start)
    } catch {
      crash(seat, error.what, error)
    }
    tell(seat)
  }

  /// Reads how far a child has come that starts.
  private func look(at seat: ChildSeat, until: UInt64, _ now: UInt64) {
    let state = seat.state
    switch state {
    case UInt32(MILLRACE_CHILD_STARTS):
      if let end = seat.child?.ended() {
        crash(seat, "\(end.words) while it was loaded", .crashedAtStart(path: path, how: end.words))
      } else if now >= until {
        let words = "it was not ready after \(Supervision.seconds(bounds.start))"
        seat.child?.kill()
        crash(seat, words, .crashedAtStart(path: path, how: words))
      }
    case UInt32(MILLRACE_CHILD_READY):
      do throws(PluginError) {
        try describe(seat.description)
        seat.phase = .runs
        // Until now its bell was to be rung whatever it did.
        seat.setSleeps(false)
        seat.open()
        tell(seat)
        if isReady {
          monitor.locked {
            isStarted = true
            monitor.broadcast(.work)
          }
        }
      } catch {
        crash(seat, error.what, error)
      }
    default:
      let error = refusal(state, seat.words)
      crash(seat, error.what, error)
    }
  }

  private func refusal(_ state: UInt32, _ words: String) -> PluginError {
    switch state {
    case UInt32(MILLRACE_CHILD_REFUSED):
      return .failedInit(path: path, plugin: name, reason: words.isEmpty ? "it gave no reason" : words)
    case UInt32(MILLRACE_CHILD_ABI): return .wrongABI(path: path, plugin: UInt32(words), host: MILLRACE_ABI_VERSION)
    case UInt32(MILLRACE_CHILD_LINKER): return SharedObject.refusal(words, path: path)
    case UInt32(MILLRACE_CHILD_NO_ENTRY): return .missingEntry(path: path)
    case UInt32(MILLRACE_CHILD_SANDBOX): return .noSandbox(path: path, reason: words)
    case UInt32(MILLRACE_CHILD_MALFORMED):
      let parts = words.split(separator: "\t", maxSplits: 1)
      return .malformed(
        path: path, field: String(parts.first ?? "it"), reason: parts.count > 1 ? String(parts[1]) : "is not as plugin.h says")
    default: return .malformed(path: path, field: "the state of its process", reason: "is \(state)")
    }
  }

  /// The first child's description counts; the others, of the same bytes, must say the same.
  private func describe(_ bytes: [UInt8]) throws(PluginError) {
    if description != nil {
      guard bytes == descriptionBytes else {
        throw .malformed(path: path, field: "the description", reason: "is not what the same plugin said before")
      }
      return
    }
    let read = try ChildDescription(bytes, path: path)
    let plugin = try unsafe PluginDescription(UnsafePointer(read.plugin), path: path)
    if let expected, plugin.name != expected {
      throw .malformed(
        path: path, field: "name",
        reason: "is \(plugin.name), expected \(expected), by which it was isolated: name its file libmillrace-plugin-\(plugin.name).so")
    }
    name = plugin.name
    description = read
    descriptionBytes = bytes
  }

  /// Its handlers call this plugin from here on. Once, after `start`.
  func serve(_ handlers: [LoadedHandler]) {
    guard let description else { preconditionFailure("a plugin that has started has described itself") }
    entries = handlers.indices.map { Entry(self, UInt32($0)) }
    for (index, entry) in entries.enumerated() {
      // unsafe: the entries live as long as this object, which its `LoadedPlugin` keeps.
      unsafe description.serve(index, most: bounds.slots * bounds.processes, context: Unmanaged.passUnretained(entry).toOpaque()) {
        context, call, outcome in
        unsafe Unmanaged<Entry>.fromOpaque(context!)._withUnsafeGuaranteedRef { entry in
          unsafe entry.plugin._withUnsafeGuaranteedRef { unsafe $0.call(entry.index, call!, outcome!) }
        }
      }
    }
  }

  // MARK: Calls

  private func call(_ handler: UInt32, _ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    // Order: relaxed. Whoever comes a moment too early waits in the line, which is emptied.
    if parkedSeats.load(ordering: .relaxed) == seats.count { return unsafe refuse(outcome, "plugin-parked", parkedWords) }
    let host = unsafe call.pointee.host!
    let attempt = unsafe call.pointee.attempt
    let token = unsafe host.pointee.token(attempt)
    guard token != 0 else { return unsafe refuse(outcome, "plugin-crashed", "the attempt has no token") }
    // Order: sequentially consistent. Pairs with `pump`: those that wait go first.
    if waitingCount.load(ordering: .sequentiallyConsistent) == 0 {
      let seat = best
      let sent = unsafe seat.send(
        handler: handler, number: call.pointee.attempt_number, deadline: call.pointee.deadline, host: host, attempt: attempt, token: token,
        key: call.pointee.task_key, id: call.pointee.task_id)
      switch sent {
      case .sent:
        wake()
        return UInt32(MILLRACE_PENDING)
      case .tooLarge(let bytes): return unsafe refuse(outcome, "input-too-large", tooLargeWords(bytes))
      case .full: break
      }
    }
    let request = unsafe CallRequest(call, handler: handler, token: token)
    let isLate = monitor.locked {
      if isOver { return true }
      waiting.append(request)
      waitingCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
      return false
    }
    if isLate { return unsafe refuse(outcome, "plugin-stopped", "the engine stops") }
    // The receiving thread may have given slots back before it could see the line.
    _ = millrace_ring(alarm)
    return UInt32(MILLRACE_PENDING)
  }

  /// The receiving thread looks at what is in flight only now and then if that was nothing.
  private func wake() {
    // Order: sequentially consistent. Pairs with `sleep`.
    if isDeep.load(ordering: .sequentiallyConsistent) { _ = millrace_ring(alarm) }
  }

  /// The one with the fewest attempts of those that take some.
  private var best: ChildSeat {
    var best = seats[0]
    for seat in seats.dropFirst() where seat.isOpen && (!best.isOpen || seat.load < best.load) { best = seat }
    return best
  }

  private var parkedWords: String { monitor.locked { parked } }

  private func tooLargeWords(_ bytes: UInt64) -> String {
    "its inputs take \(bytes) bytes, an attempt of plugin \(name) has \(bounds.attemptBytes): set attemptBytes, or give it less"
  }

  private func refuse(_ outcome: UnsafeMutablePointer<millrace_outcome>, _ type: String, _ words: String) -> UInt32 {
    unsafe Self.fill(outcome, outcome.pointee.message, UInt32(MILLRACE_FAILED), type, words)
    return UInt32(MILLRACE_FAILED)
  }

  /// unsafe: `message` has MILLRACE_MESSAGE_BYTES.
  static func fill(
    _ outcome: UnsafeMutablePointer<millrace_outcome>, _ message: UnsafeMutablePointer<CChar>?, _ status: UInt32, _ type: String,
    _ words: String
  ) {
    unsafe outcome.pointee.status = status
    unsafe withUnsafeMutableBytes(of: &outcome.pointee.error_type) { field in
      unsafe field.initializeMemory(as: UInt8.self, repeating: 0)
      unsafe field.copyBytes(from: type.utf8.prefix(Int(MILLRACE_ERROR_TYPE_BYTES) - 1))
    }
    guard let message = unsafe message else { return }
    let text = words.utf8.prefix(Int(MILLRACE_MESSAGE_BYTES) - 1)
    for (place, byte) in text.enumerated() { unsafe message[place] = CChar(bitPattern: byte) }
    unsafe message[text.count] = 0
    unsafe outcome.pointee.message = message
    unsafe outcome.pointee.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    unsafe outcome.pointee.message_length = UInt32(text.count)
  }

  // MARK: The line

  /// Sends those that wait, as far as there is room. Receiving thread.
  private func pump() {
    // Order: sequentially consistent. Pairs with `call`.
    while waitingCount.load(ordering: .sequentiallyConsistent) > 0 {
      guard let request = monitor.locked({ waiting.first }) else { return }
      let sent = unsafe best.send(
        handler: request.handler, number: request.number, deadline: request.deadline, host: request.host, attempt: request.attempt,
        token: request.token, key: request.key, id: request.id)
      switch sent {
      case .full: return
      case .sent: break
      case .tooLarge(let bytes): end(request, UInt32(MILLRACE_FAILED), "input-too-large", tooLargeWords(bytes))
      }
      monitor.locked { _ = waiting.removeFirst() }
      waitingCount.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
  }

  /// Ends those that wait and for which `condition` holds.
  private func endWaiting(_ status: UInt32, _ type: String, _ words: String, where condition: (CallRequest) -> Bool) {
    guard waitingCount.load(ordering: .sequentiallyConsistent) > 0 else { return }
    let all = monitor.locked { waiting }
    // Only this thread takes some away.
    let ended = all.indices.filter { condition(all[$0]) }
    for index in ended { end(all[index], status, type, words) }
    monitor.locked { for index in ended.reversed() { waiting.remove(at: index) } }
    waitingCount.wrappingSubtract(ended.count, ordering: .sequentiallyConsistent)
  }

  private func end(_ request: CallRequest, _ status: UInt32, _ type: String, _ words: String) {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MILLRACE_MESSAGE_BYTES)) { message in
      var outcome = unsafe millrace_outcome()
      unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
      unsafe Self.fill(&outcome, message.baseAddress, status, type, words)
      _ = unsafe request.host.pointee.complete(request.host, request.token, &outcome)
    }
  }

  // MARK: A turn

  /// Reads what the processes have said, looks after them, and, if there was nothing, waits a moment for more.
  package func turn(waits: Bool) {
    var news = 0
    for seat in seats { news += seat.receive(self) }
    looks = news > 0 ? 0 : looks &+ 1
    if news > 0 || looks & 63 == 1 {
      let now = clock()
      if news > 0 { lastNews = now }
      if now >= nextTick { tick(now) }
    }
    pump()
    if news == 0, waits { wait() }
  }

  private var flying: Int { seats.reduce(0) { $0 + $1.load } }

  private func wait() {
    if bounds.wait == .spin || (bounds.wait == .adaptive && looks < bounds.wait.spins && flying > 0) {
      millrace_pause()
    } else {
      looks = 0
      sleep()
    }
  }

  private func sleep() {
    let now = clock()
    var timeout = Self.tick
    let isQuiet = flying == 0 && waitingCount.load(ordering: .relaxed) == 0 && now &- lastNews > 100_000_000
    if isQuiet {
      timeout = Self.deepSleep
      for seat in seats {
        switch seat.phase {
        case .starting(let until), .waits(let until): timeout = min(timeout, max(until, now) - now)
        case .runs, .parked, .ended: break
        }
      }
      // Order: sequentially consistent. Pairs with `ChildSeat.send` and `wake`.
      isDeep.store(true, ordering: .sequentiallyConsistent)
      millrace_shared_fence()
      if flying > 0 { timeout = Self.tick }
    }
    for seat in seats { seat.setSleeps(true) }
    // Pairs with the child's fence between its entry and `sleeps`.
    millrace_shared_fence()
    if !seats.contains(where: \.hasNews) {
      var descriptors = [pollfd(fd: alarm, events: Int16(POLLIN), revents: 0)]
      for seat in seats {
        guard let child = seat.child else { continue }
        descriptors.append(pollfd(fd: child.handle, events: Int16(POLLIN), revents: 0))
        descriptors.append(pollfd(fd: child.bell, events: Int16(POLLIN), revents: 0))
      }
      let ready = unsafe millrace_wait_for(&descriptors, UInt32(descriptors.count), Int64(timeout))
      if ready > 0 {
        if descriptors[0].revents != 0 { _ = millrace_hush(alarm) }
        for index in stride(from: 1, to: descriptors.count, by: 2) {
          // Its end: to be looked at now.
          if descriptors[index].revents != 0 { nextTick = 0 }
          if descriptors[index + 1].revents != 0 { _ = millrace_hush(descriptors[index + 1].fd) }
        }
      }
    }
    isDeep.store(false, ordering: .relaxed)
    for seat in seats { seat.setSleeps(false) }
    looks = 0
  }

  // MARK: Supervision

  private func tick(_ now: UInt64) {
    nextTick = now &+ Self.tick
    let looksAtMemory = now >= nextMemoryTick
    if looksAtMemory { nextMemoryTick = now &+ Self.memoryTick }
    for seat in seats {
      switch seat.phase {
      case .starting(let until):
        look(at: seat, until: until, now)
        nextTick = now
      case .runs: watch(seat, now, looksAtMemory)
      case .waits(let until): if now >= until { startChild(seat) }
      case .parked, .ended: break
      }
    }
    endWaiting(UInt32(MILLRACE_CANCELLED), "cancelled", "it was told to stop while it waited for a process", where: \.isCancelled)
    tellLostLines(now)
  }

  private func watch(_ seat: ChildSeat, _ now: UInt64, _ looksAtMemory: Bool) {
    guard let child = seat.child else { return }
    if let end = child.ended() { return crash(seat, end.words) }
    if let violation = seat.violation { return crash(seat, "\(violation), and was killed") }
    if seat.tellCancelled(at: now, grace: bounds.grace) {
      return crash(
        seat,
        "an attempt did not end within \(Supervision.seconds(bounds.grace)) of being told to, by a timeout or a cancellation, and its process was killed"
      )
    }
    guard looksAtMemory, let memory = child.memory else { return }
    if bounds.memory > 0, memory.own > UInt64(bounds.memory) {
      return crash(seat, "it took \(memory.own) bytes of memory, more than the \(bounds.memory) that it may have, and was killed")
    }
    let shared = child.layout.outputs + UInt64(bounds.slots) * ChildSeat.keptBytes + UInt64(seat.load) * child.regionBytes
    if memory.arena > shared {
      crash(seat, "it filled \(memory.arena) bytes of memory for outputs with \(seat.load) attempts in flight, and was killed")
    }
  }

  /// The process of a seat has ended, or is killed now: so have the attempts in flight there. Whatever it said before counts.
  private func crash(_ seat: ChildSeat, _ reason: String, _ error: PluginError? = nil) {
    seat.close()
    _ = seat.child?.end()
    if seat.violation == nil { while seat.receive(self) > 0, seat.violation == nil {} }
    let lost = seat.endAll(
      UInt32(MILLRACE_RETRY), "plugin-crashed", "plugin \(name): \(reason); the attempt was in flight there")
    seat.letGo()
    if !isStarted {
      // Not loaded at all.
      seat.phase = .ended
      startError = error ?? .crashedAtStart(path: path, how: reason)
      return
    }
    switch seat.supervision.ended(because: reason, at: clock()) {
    case .restart(let at):
      seat.phase = .waits(until: at)
      report(MILLRACE_LOG_WARNING, "\(reason); \(lost) attempts were in flight; it is started again")
      tell(seat)
    case .park:
      seat.phase = .parked
      monitor.locked { parked = "plugin \(name) is parked: \(seat.supervision.parkedWords)" }
      // Before an attempt is refused by it: whoever sees that finds the reason.
      report(MILLRACE_LOG_ERROR, seat.supervision.parkedWords)
      tell(seat)
      parkedSeats.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if parkedSeats.load(ordering: .relaxed) == seats.count {
        endWaiting(UInt32(MILLRACE_FAILED), "plugin-parked", parkedWords) { _ in true }
      }
    }
  }

  private func tell(_ seat: ChildSeat) {
    guard let index = seats.firstIndex(where: { $0 === seat }) else { return }
    let state: IsolatedProcess.State =
      switch seat.phase {
      case .starting: .starting
      case .runs: .running
      case .waits: .waiting
      case .parked: .parked
      case .ended: .stopped
      }
    let process = IsolatedProcess(
      state: state, process: seat.child?.process, crashes: seat.supervision.crashes, lastReason: seat.supervision.lastReason,
      landlock: Int(seat.landlock))
    monitor.locked { told[index] = process }
  }

  // MARK: Its log

  private func report(_ level: some BinaryInteger, _ line: String) {
    unsafe host.pointee.log(host, UInt32(level), "plugin \(name): \(line)")
  }

  /// A line of a child; false: there were too many in this second.
  func say(_ level: UInt32, _ line: [UInt8]) -> Bool {
    let now = clock()
    if now &- lineSecond >= 1_000_000_000 {
      lineSecond = now
      linesLeft = bounds.linesPerSecond
    }
    if linesLeft == 0 { return false }
    linesLeft -= 1
    unsafe host.pointee.log(host, level, String(decoding: line.prefix { $0 != 0 }, as: UTF8.self))
    return true
  }

  private func tellLostLines(_ now: UInt64) {
    for seat in seats { lostLines &+= UInt64(seat.takeLostLines()) }
    guard lostLines > 0, now &- lineSecond >= 1_000_000_000 else { return }
    report(MILLRACE_LOG_WARNING, "\(lostLines) lines of its log were too many, and are lost")
    lostLines = 0
  }

  // MARK: Stop

  /// Ends the processes: they are told to, waited for, then killed. What is in flight ends as cancelled. When it returns there is no process and no thread
  /// any more. Any number of times.
  package func stop() {
    switch driver {
    case .caller: finish()
    case .thread:
      isStopping.store(true, ordering: .releasing)
      _ = millrace_ring(alarm)
      monitor.locked { while !isOver { monitor.wait(.ended) } }
    }
  }

  private func finish() {
    if monitor.locked({ isOver }) { return }
    let deadline = millrace_monotonic() &+ bounds.stop
    for seat in seats {
      if case .runs = seat.phase { seat.sendStop() } else { seat.child?.kill() }
    }
    for seat in seats {
      guard let child = seat.child else { continue }
      // It may have to say what is in flight before it goes.
      while child.ended() == nil {
        let now = millrace_monotonic()
        if now >= deadline { child.kill() }
        var descriptor = pollfd(fd: child.handle, events: Int16(POLLIN), revents: 0)
        _ = unsafe millrace_wait_for(&descriptor, 1, Int64(min(Self.tick, max(deadline, now &+ 1) - now)))
        _ = seat.receive(self)
      }
      seat.close()
      while seat.violation == nil, seat.receive(self) > 0 {}
      _ = seat.endAll(UInt32(MILLRACE_CANCELLED), "plugin-stopped", "plugin \(name) was stopped")
      seat.phase = .ended
      seat.letGo()
      tell(seat)
    }
    tellLostLines(.max)
    monitor.locked {
      isOver = true
    }
    endWaiting(UInt32(MILLRACE_CANCELLED), "plugin-stopped", "plugin \(name) was stopped") { _ in true }
    monitor.locked {
      monitor.broadcast(.work)
      monitor.broadcast(.ended)
    }
  }
}

/// A process of an isolated plugin, for people.
public struct IsolatedProcess: Sendable, Hashable {
  /// What it does.
  public enum State: String, Sendable {
    /// It is loading the plugin.
    case starting
    /// It takes attempts.
    case running
    /// For its next start, after a crash.
    case waiting
    /// It is started no more.
    case parked
    /// As the engine, or because it could not be loaded.
    case stopped
  }

  /// What it does now.
  public var state = State.starting
  /// Its id; nil: there is none at the moment.
  public var process: Int32?
  /// How often it ended without being told to.
  public var crashes: UInt64 = 0
  /// Why the last time; empty: it never did.
  public var lastReason = ""
  /// Version of landlock that keeps it in; 0: none does.
  public var landlock = 0
}

extension ChildSeat {
  /// Takes attempts. A hint.
  var isOpen: Bool { gate.load(ordering: .relaxed) & ChildSeat.shut == 0 }
  /// Attempts in flight. A hint.
  var load: Int { inFlight.load(ordering: .relaxed) }
}
