internal import MillraceCore

/// Moves dead letters back, step by step: each goes out of its queue and into its target at once, also on the disk, so that it may be stopped between any two steps, or killed within one.
///
/// It comes to the messages that were ready when it was made, in the queue's order; what dies again meanwhile is not among them. Others publish to and consume both queues as they like.
///
/// ```swift
/// var redrive = try broker.redrive(from: dead, options)
/// loop: while true {
///   switch redrive.step() {
///   case .now: continue
///   case .at(let moment): ...        // call it again then
///   case .done: break loop
///   }
/// }
/// ```
///
/// # Threads
/// One at a time. It waits for nobody, sleeps never, and keeps no message between two steps.
@safe public struct Redrive: ~Copyable, @unchecked Sendable {
  /// Messages that one step comes to, at most, and moves, at most.
  static let examined = 1_024
  static let moved = QueuePlace.batch
  /// Nanoseconds that it may be late and catch up; what it is later than that is not caught up with.
  static let patience: UInt64 = 1_000_000_000

  private let broker: Broker
  private let source: BrokerName
  private let place: QueuePlace
  private let since: UInt64
  private let options: RedriveOptions
  private let sieve: RedriveSieve
  private var core: PublishCore
  private var work: Workspace
  private let candidates: [QueueCandidate]
  private var next = 0
  /// When the message counted 0 of its rate might go.
  private var origin: UInt64
  /// Those that have gone since then.
  private var sent: UInt64 = 0

  /// What it has done so far.
  public private(set) var progress = RedriveProgress()

  init(_ broker: Broker, _ source: BrokerName, _ options: RedriveOptions) throws(BrokerError) {
    if let fault = options.fault { throw .configuration("redrive of '\(source)': \(fault)") }
    if options.target == .queue(source) { throw .configuration("redrive of '\(source)': the target is the queue itself: name another one") }
    let place = try broker.place(of: source)
    let (since, candidates) = try broker.candidates(source, place, apart: true)
    var confirms: Confirms?
    if broker.journal != nil { do throws(MemoryError) { confirms = try broker.takeConfirms() } catch { throw .memory(bytes: error.bytes) } }
    var core: PublishCore
    do throws(RoutingError) { core = try PublishCore(broker.router, confirms) } catch {
      if let confirms { broker.giveConfirms(confirms) }
      throw .routing(error)
    }
    core.keepsRefused = true
    (self.broker, self.source, self.place, self.since) = (broker, source, place, since)
    (self.options, self.candidates) = (options, candidates)
    self.core = core
    sieve = RedriveSieve(options.filter)
    work = Workspace(broker.pool)
    origin = broker.host.clock.now
    progress.total = candidates.count
  }

  deinit { if let confirms = core.confirms { broker.giveConfirms(confirms) } }

  /// Which of the messages that were moved into durable queues are on stable storage there; nil: the broker has no journal.
  public var confirms: Confirms? { core.confirms }

  private struct Lifted {
    var candidate: QueueCandidate
    var message: UInt64
    var isMoved = false
  }

  /// Comes to the next messages: 1,024 at most, of which it moves 64 at most, and no more than its rate says. A queue that was deleted ends it. Complexity: O(messages x properties).
  public mutating func step() -> RedriveStep {
    let now = broker.host.clock.now
    let most = min(Redrive.moved, options.limit.map { $0 - progress.moved } ?? .max)
    if most == 0 || next == candidates.count { return .done }
    let allowed = allowance(now)
    if allowed == 0 { return .at(due) }
    var lifted = lift(min(most, allowed), now)
    guard let journal = lifted.journal else { return .done }
    for index in lifted.all.indices { move(&lifted.all[index], journal, now) }
    settle(lifted.all, now)
    broker.bury(&work)
    if next == candidates.count || progress.moved == options.limit { return .done }
    return allowance(now) > 0 ? .now : .at(due)
  }

  // MARK: Rate

  /// The moment at which the next message may go.
  private var due: UInt64 {
    guard let rate = options.rate else { return 0 }
    let (high, low) = sent.multipliedFullWidth(by: 1_000_000_000)
    let (quotient, remainder) = UInt64(rate).dividingFullWidth((high, low))
    return origin &+ quotient &+ (remainder > 0 ? 1 : 0)
  }

  /// How many may go now.
  private mutating func allowance(_ now: UInt64) -> Int {
    guard let rate = options.rate else { return .max }
    if now > due, now - due > Redrive.patience { (origin, sent) = (now - Redrive.patience, 0) }
    if now < due { return 0 }
    let (high, low) = (now - origin).multipliedFullWidth(by: UInt64(rate))
    let (whole, _) = (1_000_000_000 as UInt64).dividingFullWidth((high, low))
    return Int(clamping: whole + 1 - sent)
  }

  // MARK: Moving

  /// Takes messages that are meant out of their places. `journal`: what the journal knows the queue by; nil: the queue was deleted.
  private mutating func lift(_ most: Int, _ now: UInt64) -> (all: [Lifted], journal: UInt32?) {
    var all: [Lifted] = []
    guard let locked = place.locked(exactly: since) else { return ([], nil) }
    let arrived = locked.state.drain(place, &work)
    locked.state.machine.advance(now, &work.gone)
    let wall = broker.host.wall()
    let end = min(candidates.count, next + Redrive.examined)
    while next < end, all.count < most {
      let candidate = candidates[next]
      next += 1
      progress.examined += 1
      guard let message = locked.state.machine.message(candidate) else {
        progress.missed += 1
        continue
      }
      // unsafe: the queue holds it.
      guard sieve.wants(unsafe MessageBlock(message), wall: wall) else {
        progress.passed += 1
        continue
      }
      locked.state.machine.lift(candidate.entry)
      all.append(Lifted(candidate: candidate, message: message))
    }
    let journal = locked.state.journal
    broker.end(place, locked, arrived: arrived, now, &work)
    return (all, journal)
  }

  /// Puts a message into its target, if that takes it: another block that refers to the same payload.
  private mutating func move(_ lifted: inout Lifted, _ journal: UInt32, _ now: UInt64) {
    // unsafe: the queue holds it for as long as it is lifted.
    let block = unsafe MessageBlock(lifted.message)
    var deaths = block.deaths
    do throws(RedriveRefusal) {
      let route = try RedriveRoute(block, deaths, from: source, options.target, broker)
      let count = try find(route, block)
      deaths.redrive(from: source.description, at: broker.host.wall(), by: options.by)
      let letter = work.cache.letter(of: block, key: route.key, deaths, route.ownExchange)
      // It leaves its durable queue together with its way into the next one.
      if journal != 0, block.journalNumber != 0 { core.settlements.append(JournalSettlement(block.journalNumber, in: journal, .moved)) }
      let (taken, refusal) = unsafe withUnsafePointer(to: letter.number) {
        unsafe core.insert(count, MessageList($0, count: 1), due: 0, now, broker, &work)
      }
      defer { core.settlements.removeAll(keepingCapacity: true) }
      if taken == 0 {
        work.cache.release(letter)
        throw .refused(refusal?.description ?? PublishRefusal.unroutable.description)
      }
      // What no journal has taken with it leaves by itself: its target is not durable.
      work.settlements += core.settlements
      lifted.isMoved = true
      sent += 1
      progress.moved += 1
    } catch {
      progress.stayedCount += 1
      if progress.stayed.count == RedriveProgress.mostStayed { return }
      let properties = unsafe MessageProperties(block)
      progress.stayed.append(
        RedriveProgress.Stayed(message: properties.text(.messageID) ?? properties.text(.key) ?? source.description, why: error))
    }
  }

  /// How many queues it goes to, whose numbers `core` then has. Throws why it goes to none.
  private mutating func find(_ route: RedriveRoute, _ block: MessageBlock) throws(RedriveRefusal) -> Int {
    let headers = unsafe MessageProperties(block)[.headers] ?? UnsafeRawBufferPointer(start: nil, count: 0)
    var key = route.routingKey
    let found: Result<Int, RouteRefusal> = key.withUTF8 { key in
      // unsafe: both are there meanwhile.
      Result { () throws(RouteRefusal) in try unsafe core.route(route.exchange, key, headers) }
    }
    let count: Int
    do throws(RouteRefusal) { count = try found.get() } catch { throw .refused(error.description) }
    if count == 0 { throw route.exchange == .default ? .noQueue(route.name) : .refused(PublishRefusal.unroutable.description) }
    // A queue that makes room by itself would drop another message for this one.
    for index in 0..<count {
      if let full = broker.dropsFor(block.bytes, unsafe core.numbers[index], &work) {
        throw .refused(PublishRefusal.full(queue: full).description)
      }
    }
    return count
  }

  /// Those that were moved are gone, the others stand where they stood.
  private mutating func settle(_ lifted: [Lifted], _ now: UInt64) {
    guard let locked = place.locked(exactly: since) else {
      // It was deleted meanwhile, and with it what was not moved.
      broker.settleJournal(&work)
      return broker.takeAwayDeleted(since, lifted.map(\.candidate.entry))
    }
    let arrived = locked.state.drain(place, &work)
    var moved: [QueueDeparture] = []
    for one in lifted {
      if one.isMoved {
        locked.state.machine.takeAway(one.candidate.entry, &moved)
      } else {
        locked.state.machine.putDown(one.candidate.entry, now, &work.gone)
      }
    }
    // Told to the journal before.
    locked.state.count(moved)
    broker.end(place, locked, arrived: arrived + lifted.count - moved.count, now, &work)
    for departure in moved { work.cache.release(unsafe MessageBlock(departure.message)) }
  }
}
