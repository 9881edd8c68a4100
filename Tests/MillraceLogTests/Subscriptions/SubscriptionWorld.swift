import MillraceCore
import MillraceLog
import MillraceSimulation
import MillraceTesting
import Testing

/// What a closure has told the test. One thread.
final class Told<Value>: @unchecked Sendable {
  var all: [Value] = []
  var last: Value? { all.last }
  func tell(_ value: Value) { all.append(value) }
}

/// A store in memory, a host on a virtual clock, and a seed that draws what comes next.
///
/// One thread.
final class SubscriptionWorld: @unchecked Sendable {
  let clock = VirtualClock(start: 1_000)
  let memory = MemoryEventStore()
  let host: SubscriptionHost
  private(set) var stores: [FaultyStore] = []
  var random: Seed
  private var ids: UInt64 = 0

  init(seed: UInt64 = 0) throws {
    random = Seed(seed)
    host = try SubscriptionHost(clock: clock.clock, capacity: 64)
  }

  /// The store as one process sees it.
  func process() -> FaultyStore {
    let store = FaultyStore(memory)
    stores.append(store)
    return store
  }

  func number(below limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

  /// Appends an event as another program does, at once.
  @discardableResult func append(
    _ stream: String, _ text: String = "x", type: String = "thing", tenant: String? = nil, correlation: EventID? = nil,
    trace: EventTrace? = nil
  ) throws -> EventID {
    ids += 1
    let id = EventID(high: 0xe, low: ids)
    let draft = EventDraft(id: id, type: type, payload: Array(text.utf8), correlation: correlation, trace: trace)
    let result = Told<Result<AppendReceipt, EventStoreError>>()
    memory.append([StreamAppend(stream: try StreamName(stream), tenant: tenant, events: [draft])]) { result.tell($0) }
    _ = try #require(result.last).get()
    return id
  }

  /// Does all that can be done at this time.
  func settle() {
    while host.runUntilIdle() > 0 || stores.contains(where: { $0.waiting > 0 }) {
      for store in stores { while store.waiting > 0 { store.release(0) } }
    }
  }

  /// Lets time pass.
  func pass(_ nanoseconds: UInt64) {
    let end = clock.now + nanoseconds
    settle()
    while let due = host.nextDue, due <= end {
      if due > clock.now { clock.move(to: due) }
      settle()
    }
    if end > clock.now { clock.move(to: end) }
    settle()
  }

  /// One thing of those that can happen: some work of the host, an answer of a store, the next alarm. False: nothing can.
  func step() -> Bool {
    let answers = stores.indices.filter { stores[$0].waiting > 0 }
    switch number(below: 3) {
    case 0 where !answers.isEmpty:
      let store = stores[answers[number(below: answers.count)]]
      store.release(number(below: store.waiting))
      return true
    case 1:
      if let due = host.nextDue, due > clock.now, number(below: 8) == 0 {
        clock.move(to: due)
        return true
      }
      return host.step { number(below: $0) } || !answers.isEmpty || host.nextDue != nil
    default:
      return host.step { number(below: $0) } || !answers.isEmpty || host.nextDue != nil
    }
  }
}

let second: UInt64 = 1_000_000_000

extension RecordedEvent {
  var text: String { String(decoding: payload, as: UTF8.self) }
}

/// A consumer that asks for the next thing as soon as it has one, or only when told to.
final class Follower: @unchecked Sendable {
  let subscription: CatchUpSubscription
  private(set) var deliveries: [SubscriptionDelivery] = []
  private(set) var end: SubscriptionEnd?
  /// Asks by itself.
  var isEager: Bool
  private(set) var isAsking = false

  init(_ subscription: CatchUpSubscription, isEager: Bool = true) {
    self.subscription = subscription
    self.isEager = isEager
    if isEager { ask() }
  }

  func ask() {
    precondition(!isAsking)
    isAsking = true
    subscription.next { result in
      self.isAsking = false
      switch result {
      case .success(let delivery):
        self.deliveries.append(delivery)
        if self.isEager { self.ask() }
      case .failure(let end): self.end = end
      }
    }
  }

  var events: [RecordedEvent] {
    deliveries.flatMap { delivery in
      if case .events(let events, _) = delivery { return events }
      return []
    }
  }

  var texts: [String] { events.map(\.text) }
}
