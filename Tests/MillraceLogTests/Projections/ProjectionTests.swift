import MillraceCore
import MillraceSimulation
import MillraceTesting
import Testing

@testable import MillraceLog

@Suite struct ProjectionTests {
  /// Effects that a test sees: text and attempt. `answer` may wait.
  private final class Effects: @unchecked Sendable {
    var told: [String] = []
    var states: [String] = []
    var answer: (EffectCall<String>, @escaping @Sendable (EffectOutcome) -> Void) -> Void = { $1(.done) }

    var effect: Projection<Joined>.Effect {
      { [self] call, done in
        told.append("\(call.event.text)#\(call.attempt)")
        states.append(call.state)
        answer(call, done)
      }
    }
  }

  private func projection(
    _ world: SubscriptionWorld, _ effects: Effects?, scope: ReadRequest.Scope = .all, store: FaultyStore? = nil, owner: UInt64 = 1,
    version: UInt32 = 1, _ change: (inout Projection<Joined>.Options) -> Void = { _ in }
  ) throws -> Projection<Joined> {
    var options = Projection<Joined>.Options()
    options.policy.events = 5
    change(&options)
    return try Projection(
      "p", Joined(version: version), of: SubscriptionSource(scope), store: store ?? world.process(), host: world.host,
      owner: EventID(high: owner, low: 0), options: options, effect: effects?.effect)
  }

  private func begin(_ world: SubscriptionWorld, _ projection: Projection<Joined>) throws {
    let told = Told<Result<Void, ProjectionEnd>>()
    projection.start { told.tell($0) }
    world.settle()
    try #require(told.last).get()
  }

  private func state(_ world: SubscriptionWorld, _ projection: Projection<Joined>) throws -> String {
    let told = Told<String>()
    projection.read { state, _ in told.tell(state) }
    world.settle()
    return try #require(told.last)
  }

  private func stop(_ world: SubscriptionWorld, _ projection: Projection<Joined>) {
    projection.stop()
    world.settle()
  }

  private func fill(_ world: SubscriptionWorld, _ range: Range<Int>) throws { for index in range { try world.append("s-1", "\(index)") } }

  private func joined(_ range: Range<Int>) -> String { range.map { "\($0)," }.joined() }

  @Test("a new projection folds what has happened without effects, and has effects for what happens; or for all, if it is told so")
  func first() throws {
    for (first, wanted) in [(FirstEffects.ofNewEvents, ["3#1", "4#1"]), (.ofAllEvents, ["0#1", "1#1", "2#1", "3#1", "4#1"])] {
      for scope in [ReadRequest.Scope.all, .stream(try StreamName("s-1")), .category("s")] {
        let world = try SubscriptionWorld()
        try fill(world, 0..<3)
        let effects = Effects()
        let projection = try projection(world, effects, scope: scope) { $0.first = first }
        try begin(world, projection)
        #expect(!projection.status.isRebuilding && projection.status.isLive)
        try fill(world, 3..<5)
        world.settle()
        #expect(effects.told == wanted, "\(scope)")
        #expect(effects.states.last == "0,1,2,3,4,")
        #expect(try state(world, projection) == "0,1,2,3,4,")
      }
    }
  }

  @Test("it goes on where it stopped: nothing is folded twice, and no effect is asked for twice")
  func restart() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    for round in 0..<4 {
      let projection = try projection(world, effects, owner: UInt64(round))
      try begin(world, projection)
      try fill(world, round * 7..<round * 7 + 7)
      world.settle()
      stop(world, projection)
      #expect(projection.status.storedCheckpoint == projection.status.checkpoint && projection.status.snapshotError == nil)
    }
    #expect(effects.told == (0..<28).map { "\($0)#1" })
    #expect(effects.states.last == joined(0..<28))
  }

  @Test(
    "a lost snapshot, a new version of the reducer and a wished rebuild fold all from the start, and ask for no effect again",
    arguments: ["lost", "version", "wish"])
  func rebuild(why: String) throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    let first = try projection(world, effects)
    try begin(world, first)
    try fill(world, 0..<20)
    world.settle()
    stop(world, first)
    #expect(effects.told.count == 20)
    try fill(world, 20..<23)
    if why == "lost" { world.memory.loseSnapshots() }
    let second = try projection(world, effects, owner: 2, version: why == "version" ? 2 : 1) { $0.rebuilds = why == "wish" }
    try begin(world, second)
    #expect(effects.told == (0..<23).map { "\($0)#1" }, "those that came while it was stopped have theirs")
    #expect(effects.states.suffix(3) == [joined(0..<21), joined(0..<22), joined(0..<23)])
  }

  @Test("a rebuild that is stopped half way goes on, and still has no effect again")
  func rebuildTwice() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    let first = try projection(world, effects)
    try begin(world, first)
    try fill(world, 0..<40)
    world.settle()
    stop(world, first)
    world.memory.loseSnapshots()
    let store = world.process()
    store.fault = { operation, number in operation == .read && number > 3 ? .loseAnswer : nil }
    let half = try projection(world, effects, store: store, owner: 2) { $0.limit = 6 }
    half.start()
    world.settle()
    #expect(half.status.isRebuilding && half.status.checkpoint > 5)
    stop(world, half)
    let reads = Told<Int>()
    let counted = world.process()
    let last = try projection(world, effects, store: counted, owner: 3) { $0.limit = 6 }
    try begin(world, last)
    reads.tell(counted.counts[.read] ?? 0)
    #expect(try state(world, last) == joined(0..<40) && effects.told.count == 40)
    #expect(reads.all[0] < 9, "it did not begin from the start")
  }

  @Test(
    "an effect that is to be tried again is, after longer and longer waits, while nothing after it is folded; then it fails the projection")
  func retries() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    effects.answer = { call, done in done(call.attempt < 4 ? .retry("not now") : .done) }
    let first = try projection(world, effects) { $0.backoff = StoreBackoff(initial: second, cap: 60 * second, attempts: 6) }
    try begin(world, first)
    try fill(world, 0..<2)
    world.settle()
    #expect(effects.told == ["0#1"] && first.status.effectError == "not now")
    #expect(try state(world, first) == "0,")
    world.pass(60 * second)
    #expect(effects.told == ["0#1", "0#2", "0#3", "0#4", "1#1", "1#2", "1#3", "1#4"] && first.status.effectError == nil)
    effects.answer = { _, done in done(.retry("never")) }
    try fill(world, 2..<3)
    world.pass(1_000 * second)
    let place = try #require(world.memory.all.last { $0.text == "2" }).position
    #expect(first.status.end == .effect(at: place, "6 times: never"))
    effects.told = []
    effects.answer = { _, done in done(.failed("no")) }
    let again = try projection(world, effects, owner: 2)
    again.start()
    world.settle()
    #expect(effects.told == ["2#1"] && again.status.end == .effect(at: place, "no"))
    effects.answer = { _, done in done(.done) }
    let good = try projection(world, effects, owner: 3)
    try begin(world, good)
    #expect(effects.told == ["2#1", "2#1"] && effects.states.last == "0,1,2,")
  }

  @Test("effects are one at a time and in order; one that answers twice, or after the stop, changes nothing")
  func order() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    let open = Told<@Sendable (EffectOutcome) -> Void>()
    effects.answer = { open.tell($1) }
    let projection = try projection(world, effects)
    try begin(world, projection)
    try fill(world, 0..<3)
    world.pass(second)
    #expect(effects.told == ["0#1"])
    open.all[0](.done)
    open.all[0](.done)
    world.pass(second)
    #expect(effects.told == ["0#1", "1#1"])
    stop(world, projection)
    open.all[1](.done)
    world.pass(60 * second)
    #expect(effects.told == ["0#1", "1#1"] && world.host.nextDue == nil)
    let next = try self.projection(world, effects, owner: 2)
    try begin(world, next)
    #expect(effects.told == ["0#1", "1#1", "1#1"] && effects.states.last == "0,1,", "under way when it was stopped: asked for again")
  }

  @Test("what an event causes carries its correlation, its id as the cause, its trace, and an id that is the same each time")
  func causes() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    let drafts = Told<EventDraft>()
    effects.answer = { call, done in
      drafts.tell(call.draft("caused", payload: []))
      drafts.tell(call.draft("caused", number: 1, payload: []))
      done(call.attempt == 1 ? .retry("once more") : .done)
    }
    let projection = try projection(world, effects)
    try begin(world, projection)
    let trace = EventTrace(trace: EventID(high: 7, low: 8), span: 9, flags: 1)
    let first = try world.append("s-1", correlation: EventID(high: 1, low: 2), trace: trace)
    let second = try world.append("s-1")
    world.pass(60 * MillraceLogTests.second)
    #expect(drafts.all.map(\.causation) == [first, first, first, first, second, second, second, second])
    #expect(drafts.all.map(\.correlation) == Array(repeating: EventID(high: 1, low: 2), count: 4) + Array(repeating: second, count: 4))
    #expect(drafts.all.map(\.trace) == Array(repeating: trace, count: 4) + Array(repeating: nil, count: 4))
    let ids = drafts.all.map(\.id)
    #expect(ids[0] == ids[2] && ids[1] == ids[3] && ids[4] == ids[6] && Set(ids).count == 4)
  }

  @Test("a second instance takes over, and the first learns it with its next checkpoint")
  func fencing() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    let first = try projection(world, effects, owner: 1)
    try begin(world, first)
    let second = try projection(world, effects, owner: 2)
    try begin(world, second)
    try fill(world, 0..<1)
    world.pass(5 * MillraceLogTests.second)
    #expect(first.status.end == .lostOwnership && second.status.isRunning && second.status.storedCheckpoint > 0)
  }

  @Test("what cannot be: a name, another source, damaged state, an event that is not understood")
  func faults() throws {
    let world = try SubscriptionWorld()
    #expect(throws: ProjectionEnd.self) {
      try Projection("a b", Joined(), of: SubscriptionSource(.all), store: world.memory, host: world.host)
    }
    let first = try projection(world, nil)
    try begin(world, first)
    try fill(world, 0..<1)
    try world.append("s-1", "bad")
    world.settle()
    #expect(first.status.end == .reducer(at: 2, "Wrong()"))
    let other = try projection(world, nil, scope: .category("x"), owner: 2)
    other.start()
    world.settle()
    #expect(other.status.end == .hasOtherSource(SubscriptionSource(.all)))
    try world.append("$projection-p", "[]")
    let damaged = try projection(world, nil, owner: 3)
    damaged.start()
    world.settle()
    #expect(damaged.status.end == .damagedState(version: 1, "it is no JSON object"))
  }

  @Test("a snapshot that is not kept is told, and costs a replay only")
  func unkept() throws {
    let world = try SubscriptionWorld()
    let store = world.process()
    let effects = Effects()
    store.fault = { operation, _ in operation == .save ? .fail(.noSpace("full")) : nil }
    let first = try projection(world, effects, store: store)
    try begin(world, first)
    try fill(world, 0..<12)
    world.settle()
    #expect(first.status.snapshotError == "no space: full")
    stop(world, first)
    let next = try projection(world, effects, owner: 2)
    try begin(world, next)
    #expect(try state(world, next) == joined(0..<12) && effects.told.count == 12)
  }

  @Test("a snapshot that the reducer cannot read is told, and costs a replay only")
  func undecodable() throws {
    let world = try SubscriptionWorld()
    let effects = Effects()
    let first = try projection(world, effects)
    try begin(world, first)
    try world.append("s-1", "unreadable")
    try fill(world, 0..<12)
    world.settle()
    stop(world, first)
    // Until one is kept that it can read.
    let next = try projection(world, effects, owner: 2) { $0.policy.events = 1_000 }
    try begin(world, next)
    let told = next.status.snapshotError
    #expect(told?.hasPrefix("the reducer cannot read the snapshot of version ") == true, "\(told ?? "nothing")")
    #expect(try state(world, next) == "unreadable," + joined(0..<12) && effects.told.count == 13)
  }

  @Test(
    "whatever the schedule, the faults and the crashes: each event has its effect, and each state is that of a fold from the start",
    arguments: 0..<120)
  func schedules(seed: Int) throws {
    let world = try SubscriptionWorld(seed: UInt64(seed))
    let effects = Effects()
    effects.answer = { call, done in
      // The state is all events up to this one, each once.
      let place = call.event.position
      let wanted = world.memory.all.filter { $0.position <= place && !$0.stream.description.hasPrefix("$") }.map { $0.text + "," }.joined()
      #expect(call.state == wanted, "seed \(seed)")
      switch world.number(below: 8) {
      case 0: done(.retry("drawn"))
      case 1: break
      default: done(.done)
      }
    }
    try fill(world, 0..<5)
    for owner in 1...5 {
      let store = world.process()
      store.isSlow = true
      store.actsLate = { _ in world.number(below: 2) == 0 }
      store.fault = { operation, _ in
        switch (world.number(below: 20), operation) {
        case (0, _): .fail(.busy)
        case (1, .append): .fail(.outcomeUnknown("dead"))
        case (2, .append): .doneBut(.outcomeUnknown("dead"))
        case (3, _): .answerTwice
        case (4, .save): .fail(.noSpace("full"))
        default: nil
        }
      }
      let projection = try projection(world, effects, store: store, owner: UInt64(owner), version: world.number(below: 5) == 0 ? 2 : 1) {
        $0.first = .ofAllEvents
        $0.limit = 1 + world.number(below: 6)
        $0.policy.events = 1 + world.number(below: 6)
        $0.rebuilds = world.number(below: 6) == 0
      }
      projection.start()
      for _ in 0..<250 {
        _ = world.step()
        if world.number(below: 25) == 0 { try fill(world, 100..<101 + world.number(below: 3)) }
      }
      if world.number(below: 2) == 0 { store.isDead = true } else { projection.stop() }
      if world.number(below: 5) == 0 { world.memory.loseSnapshots() }
    }
    effects.answer = { $1(.done) }
    for store in world.stores {
      store.isSlow = false
      store.fault = { _, _ in nil }
    }
    world.settle()
    let before = effects.states.count
    let last = try projection(world, effects, owner: 9) { $0.first = .ofAllEvents }
    try begin(world, last)
    world.pass(10 * second)
    let events = world.memory.all.filter { !$0.stream.description.hasPrefix("$") }
    #expect(try state(world, last) == events.map { $0.text + "," }.joined())
    #expect(effects.states.count >= events.count && before <= effects.states.count)
    // Every event has had an effect: the states that effects saw have each length there is.
    #expect(Set(effects.states.map { $0.count { $0 == "," } }) == Set(1...events.count))
  }
}
