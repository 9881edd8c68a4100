import MillraceCore
import MillraceTesting
import Synchronization
import Testing

@testable import MillraceLog

@Suite struct PersistentGroupTests {
  private func fill(_ world: SubscriptionWorld, _ count: Int, stream: String = "s-1") throws {
    for index in 0..<count { try world.append(stream, "\(index)") }
  }

  @Test("consumers compete: each message goes to one of them, in turn, and no more at once than it has room for")
  func competing() throws {
    let world = try SubscriptionWorld()
    try fill(world, 10)
    let group = try world.group()
    let a = TestConsumer("a", group, credit: 2)
    let b = TestConsumer("b", group, credit: 3)
    try world.begin(group)
    #expect(a.told == ["0#1", "2#1"] && b.told == ["1#1", "3#1", "4#1"])
    a.acknowledgeAll()
    world.settle()
    #expect(a.told == ["0#1", "2#1", "5#1", "6#1"])
    #expect(group.status.delivered == 5 && group.status.held == 3 && group.status.settled == 2 && group.status.consumers == 2)
  }

  @Test("dispatch to single fills one consumer before it goes on to the next")
  func single() throws {
    let world = try SubscriptionWorld()
    try fill(world, 6)
    let group = try world.group { $0.strategy = .dispatchToSingle }
    let a = TestConsumer("a", group, credit: 2)
    let b = TestConsumer("b", group, credit: 3)
    try world.begin(group)
    #expect(a.told == ["0#1", "1#1"] && b.told == ["2#1", "3#1", "4#1"])
  }

  @Test("pinned gives all messages of a stream to one consumer, passes by streams whose consumer has no room, and spreads streams")
  func pinned() throws {
    let world = try SubscriptionWorld()
    for round in 0..<5 { for stream in 0..<40 { try world.append("s-\(stream)", "\(round)") } }
    let group = try world.group { $0.strategy = .pinned }
    let consumers = ["a", "b", "c"].map { TestConsumer($0, group, credit: 20) { $0.acknowledge($1) } }
    try world.begin(group)
    let owners = consumers.map { Set($0.messages.map(\.event.stream)) }
    #expect(owners.reduce(0) { $0 + $1.count } == 40 && owners.allSatisfy { $0.count > 5 })
    #expect(consumers.reduce(0) { $0 + $1.messages.count } == 200)
    for consumer in consumers {
      for stream in Set(consumer.messages.map(\.event.stream)) {
        #expect(consumer.messages.filter { $0.event.stream == stream }.map(\.event.text) == ["0", "1", "2", "3", "4"])
      }
    }
    // One has no room: only its streams wait.
    consumers[0].answer = nil
    for _ in 0..<30 { for stream in 0..<40 { try world.append("s-\(stream)", "more") } }
    world.settle()
    #expect(consumers[0].open.count == 20)
    #expect(consumers[1].messages.count + consumers[2].messages.count > 200)
  }

  @Test("when a consumer comes or goes only its streams move, and who comes again by its name gets the same ones")
  func pinnedMoves() throws {
    var table = ConsumerTable()
    let streams = try (0..<1_000).map { try StreamName("s-\($0)") }
    for id in UInt64(1)...4 { table.add(id, name: "c\(id)", credit: 1) }
    let before = streams.map { table.choose(.pinned, stream: $0) }
    for id in UInt64(1)...4 { #expect((150...350).contains(before.count { $0 == id })) }
    #expect(table.remove(3) && !table.remove(3))
    for (stream, owner) in zip(streams, before) {
      let now = table.choose(.pinned, stream: stream)
      #expect(owner == 3 ? now != 3 : now == owner)
    }
    table.add(9, name: "c3", credit: 1)
    #expect(streams.map { table.choose(.pinned, stream: $0) } == before.map { $0 == 3 ? 9 : $0 })
    // Two of one name share.
    table.add(10, name: "c3", credit: 1)
    let shared = streams.map { table.choose(.pinned, stream: $0) }
    #expect(shared.contains(9) && shared.contains(10))
  }

  @Test("a message that is not answered in time is given again with its attempt; the late answer is counted, and changes nothing")
  func timeout() throws {
    let world = try SubscriptionWorld()
    try fill(world, 1)
    let group = try world.group { $0.messageTimeout = 5 * second }
    let a = TestConsumer("a", group)
    try world.begin(group)
    world.pass(5 * second - 1)
    #expect(a.told == ["0#1"])
    world.pass(1)
    #expect(a.told == ["0#1", "0#2"])
    a.consumer?.acknowledge(a.messages[0])
    world.settle()
    #expect(group.status.late == 1 && group.status.delivered == 1 && group.status.settled == 0)
    a.acknowledge(a.messages[1])
    world.pass(60 * second)
    #expect(a.told.count == 2 && group.status.settled == 1 && group.status.delivered == 0)
  }

  @Test("a message that was given again has its time anew: the time of its first giving ends nothing")
  func timeoutAnew() throws {
    let world = try SubscriptionWorld()
    try fill(world, 1)
    let group = try world.group { $0.messageTimeout = 5 * second }
    let a = TestConsumer("a", group)
    try world.begin(group)
    world.pass(3 * second)
    a.refuse(a.messages[0], .retry())
    world.pass(5 * second - 1)
    #expect(a.told == ["0#1", "0#2"])
    world.pass(1)
    #expect(a.told == ["0#1", "0#2", "0#3"])
  }

  @Test("what consumers say: retry at once or later, park, skip; each is counted, and a consumer cannot answer for another")
  func refusals() throws {
    let world = try SubscriptionWorld()
    try fill(world, 4)
    let group = try world.group()
    let a = TestConsumer("a", group)
    try world.begin(group)
    let other = TestConsumer("b", group)
    other.consumer?.acknowledge(a.messages[0])
    a.refuse(a.messages[0], .retry())
    a.refuse(a.messages[1], .retry(after: 3 * second))
    a.refuse(a.messages[2], .park("no such customer"))
    a.refuse(a.messages[3], .skip)
    world.settle()
    #expect(group.status.late == 1)
    #expect((a.told + other.told).filter { $0.hasSuffix("#2") } == ["0#2"])
    world.pass(3 * second - 1)
    #expect((a.told + other.told).filter { $0.hasSuffix("#2") } == ["0#2"])
    world.pass(1)
    #expect(Set((a.told + other.told).filter { $0.hasSuffix("#2") }) == ["0#2", "1#2"])
    #expect(group.status.settled == 1 && group.status.parked == 1)
    let parked = try world.parked(group)
    #expect(parked.map(\.reason) == ["no such customer"] && parked.map(\.attempts) == [1])
    #expect(parked[0].stream.description == "s-1" && parked[0].eventVersion == 2 && parked[0].id == a.messages[2].event.id)
  }

  @Test("after the last retry a message is parked: given once more than there are retries", arguments: [0, 1, 3])
  func retries(most: Int) throws {
    let world = try SubscriptionWorld()
    let id = try world.append(
      "s-1", "bad", correlation: EventID(high: 1, low: 2), trace: EventTrace(trace: EventID(high: 3, low: 4), span: 5, flags: 1))
    let group = try world.group { $0.maxRetries = most }
    let a = TestConsumer("a", group) { $0.refuse($1, .retry()) }
    try world.begin(group)
    world.pass(second)
    #expect(a.told == (1...most + 1).map { "bad#\($0)" })
    let parked = try #require(world.memory.all.last { $0.stream.description == "$parked-g" })
    #expect(parked.correlation == EventID(high: 1, low: 2) && parked.causation == id && parked.trace?.span == 5)
    #expect(try world.parked(group).map(\.attempts) == [most + 1])
    #expect(group.status.held == 0 && group.status.parked == 1)
  }

  @Test("parked messages are replayed as if they were new, the oldest first, and are parked again if they fail again")
  func replay() throws {
    let world = try SubscriptionWorld()
    try fill(world, 30)
    let group = try world.group {
      $0.readBatch = 4
      $0.maxRetries = 2
    }
    let a = TestConsumer("a", group) { $0.refuse($1, .park("later")) }
    try world.begin(group)
    world.pass(second)
    #expect(try world.parked(group).count == 30)
    let moved = Told<Result<Int, GroupRequestError>>()
    a.answer = { $0.acknowledge($1) }
    group.replayParked(limit: 7) { moved.tell($0) }
    world.settle()
    #expect(moved.all == [.success(7)])
    #expect(a.told.suffix(7) == (0..<7).map { "\($0)#1" })
    #expect(try world.parked(group).map(\.eventVersion) == (7..<30).map(UInt64.init))
    a.answer = { $0.refuse($1, .retry()) }
    group.replayParked { moved.tell($0) }
    group.replayParked { moved.tell($0) }
    world.pass(second)
    #expect(moved.all == [.success(7), .failure(.isReplaying), .success(23)])
    #expect(a.told.count { $0.hasPrefix("29#") } == 4)
    #expect(try world.parked(group).map(\.attempts) == Array(repeating: 3, count: 23))
    a.answer = { $0.acknowledge($1) }
    group.replayParked { moved.tell($0) }
    world.pass(second)
    group.replayParked { moved.tell($0) }
    world.settle()
    #expect(moved.all.suffix(2) == [.success(23), .success(0)])
    #expect(try world.parked(group).isEmpty && group.status.held == 0)
  }

  @Test("a parked message whose event its stream has let go of is gone, and counted")
  func gone() throws {
    let world = try SubscriptionWorld()
    try fill(world, 3)
    let group = try world.group()
    let a = TestConsumer("a", group) { $0.refuse($1, .park("later")) }
    try world.begin(group)
    world.memory.setLimits(StreamLimits(firstVersion: 2), of: try StreamName("s-1")) { _ in }
    a.answer = { $0.acknowledge($1) }
    let moved = Told<Result<Int, GroupRequestError>>()
    group.replayParked { moved.tell($0) }
    world.settle()
    #expect(moved.all == [.success(3)] && a.told == ["0#1", "1#1", "2#1", "2#1"])
    #expect(group.status.gone == 2 && group.status.held == 0)
  }

  @Test("checkpoints are written after their time if there are enough settled messages, and at once when there are many")
  func checkpoints() throws {
    let world = try SubscriptionWorld()
    try fill(world, 9)
    let group = try world.group {
      $0.minCheckpoint = 10
      $0.maxCheckpoint = 100
      $0.checkpointAfter = 2 * second
    }
    let consumer = TestConsumer("a", group, credit: 500) { $0.acknowledge($1) }
    try world.begin(group)
    func written() -> Int { world.memory.all.count { $0.stream.description == "$group-g" } }
    #expect(written() == 1)
    world.pass(10 * second)
    #expect(written() == 1, "nine are too few")
    try world.append("s-1", "10th")
    world.pass(2 * second)
    #expect(written() == 2)
    #expect(try world.record().next == UInt64(world.memory.all.count) - 1)
    try fill(world, 100)
    world.settle()
    #expect(written() == 3, "a hundred are worth it at once")
    world.stop(group)
    #expect(consumer.end == .stopped && written() == 3, "all was written")
    #expect(group.status.storedCheckpoint == group.status.checkpoint)
  }

  @Test("a group goes on where it stopped: settled messages do not come again, those at consumers do with their attempts")
  func restart() throws {
    let world = try SubscriptionWorld()
    try fill(world, 6)
    let first = try world.group()
    let a = TestConsumer("a", first, credit: 4)
    try world.begin(first)
    a.acknowledge(a.messages[1])
    world.settle()
    #expect(a.told == ["0#1", "1#1", "2#1", "3#1", "4#1"])
    world.stop(first)
    #expect(try world.record().outstanding.map(\.place) == [0, 2, 3, 4])
    let second = try world.group(owner: 2)
    let b = TestConsumer("b", second, credit: 10)
    try world.begin(second)
    #expect(b.told == ["0#2", "2#2", "3#2", "4#2", "5#1"])
  }

  @Test("a message that was at a consumer for the last time when its process died is parked by the next one")
  func poison() throws {
    let world = try SubscriptionWorld()
    try fill(world, 1)
    for owner in UInt64(1)...3 {
      let group = try world.group(owner: owner) { $0.maxRetries = 2 }
      let a = TestConsumer("a", group)
      try world.begin(group)
      #expect(a.told == ["0#\(owner)"])
      world.stop(group)
    }
    let last = try world.group(owner: 4)
    let a = TestConsumer("a", last)
    try world.begin(last)
    #expect(a.told.isEmpty)
    #expect(try world.parked(last).map(\.attempts) == [3])
  }

  @Test("who takes a group over fences its owner: that one learns it with its next write, or by looking, and writes nothing more")
  func fencing() throws {
    for writes in [true, false] {
      let world = try SubscriptionWorld()
      try fill(world, 20)
      let old = try world.group(owner: 1)
      let a = TestConsumer("a", old, credit: 20)
      try world.begin(old)
      let new = try world.group(owner: 2)
      let b = TestConsumer("b", new, credit: 20)
      try world.begin(new)
      #expect(b.messages.count == 20, "the old owner had written nothing of them")
      if writes { a.acknowledgeAll() }
      world.pass(2 * second)
      #expect(a.end == .lostOwnership && old.status.end == .lostOwnership && new.status.isRunning)
      #expect(try world.record().next == 0 || writes == false)
      b.acknowledgeAll()
      world.pass(2 * second)
      #expect(try world.record().next >= 20)
    }
  }

  @Test("of two that begin at once one owns the group, and the other is told")
  func race() throws {
    for seed in UInt64(0)..<30 {
      let world = try SubscriptionWorld(seed: seed)
      let results = Told<String>()
      for owner in UInt64(1)...2 {
        let store = world.process()
        store.isSlow = true
        try world.group(store: store, owner: owner).start { result in
          switch result {
          case .success: results.tell("owns")
          case .failure(let end): results.tell("\(end)")
          }
        }
      }
      while results.all.count < 2 { _ = world.step() }
      #expect(Set(results.all) == ["owns", "\(GroupEnd.lostOwnership)"] || results.all == ["owns", "owns"])
      // If both began one after the other, the first learns it later.
      world.pass(10 * second)
      #expect(try world.record().epoch == UInt64(results.all.count { $0 == "owns" }))
    }
  }

  @Test("an owner that looks after its group while it writes does not take its own write for another's")
  func looking() throws {
    let world = try SubscriptionWorld()
    try fill(world, 40)
    let store = world.process()
    let group = try world.group(store: store) { $0.maxCheckpoint = 10 }
    let a = TestConsumer("a", group, credit: 40)
    try world.begin(group)
    // The look is on its way when the acknowledgements come, and sees what they have had written.
    let reads = store.counts[.read] ?? 0
    store.isSlow = true
    store.actsLate = { _ in true }
    world.clock.move(by: 2 * second)
    world.host.runUntilIdle()
    #expect(store.counts[.read] == reads + 1 && store.waiting == 1)
    store.isSlow = false
    let append = store.counts[.append] ?? 0
    a.acknowledgeAll()
    world.host.runUntilIdle()
    #expect(store.counts[.append] ?? 0 > append)
    world.settle()
    world.pass(10 * second)
    #expect(group.status.isRunning && group.status.settled == 40)
  }

  @Test("a write whose outcome is not known is repeated as it was: it stands there once, and what it was for is answered once")
  func outcomeUnknown() throws {
    for isDone in [false, true] {
      let world = try SubscriptionWorld()
      let store = world.process()
      let group = try world.group(store: store)
      try world.begin(group)
      store.fault = { operation, number in
        guard operation == .append, number < 4 else { return nil }
        return isDone ? .doneBut(.outcomeUnknown("cut off")) : .fail(.outcomeUnknown("cut off"))
      }
      var settings = GroupSettings()
      settings.maxRetries = 3
      let told = Told<Bool>()
      group.update(settings) { told.tell((try? $0.get()) != nil) }
      world.pass(60 * second)
      #expect(told.all == [true] && group.status.settings == settings && store.counts[.append] == 5)
      #expect(world.memory.all.count == 2)
      world.stop(group)
      #expect(group.status.end == .stopped)
    }
  }

  @Test("new settings are kept, and all consumers begin anew: what they had is given again")
  func settings() throws {
    let world = try SubscriptionWorld()
    try fill(world, 2)
    let group = try world.group()
    let a = TestConsumer("a", group)
    try world.begin(group)
    var settings = GroupSettings()
    settings.messageTimeout = second
    settings.strategy = .pinned
    let told = Told<Bool>()
    group.update(settings) { told.tell((try? $0.get()) != nil) }
    let before = a.messages
    world.settle()
    #expect(told.all == [true] && a.notices[2] == .reconnected(settings))
    #expect(a.told == ["0#1", "1#1", "0#2", "1#2"])
    a.consumer?.acknowledge(before[0])
    world.settle()
    #expect(group.status.late == 1)
    world.pass(second)
    #expect(a.told.count == 6, "by the new timeout")
    settings.maxRetries = -1
    group.update(settings) { told.tell((try? $0.get()) != nil) }
    world.stop(group)
    #expect(told.all == [true, false])
    let next = try world.group(owner: 2)
    try world.begin(next)
    #expect(next.status.settings.strategy == .pinned && next.status.settings.messageTimeout == second)
  }

  @Test("consumers that go leave what they had to the others, with its attempts; the last one that goes leaves it to the next")
  func comeAndGo() throws {
    let world = try SubscriptionWorld()
    try fill(world, 4)
    let group = try world.group()
    let a = TestConsumer("a", group, credit: 2)
    let b = TestConsumer("b", group, credit: 2)
    try world.begin(group)
    a.disconnect()
    world.settle()
    #expect(b.told == ["1#1", "3#1"])
    b.acknowledge(b.messages[0])
    world.settle()
    #expect(b.told == ["1#1", "3#1", "0#2"])
    b.disconnect()
    world.settle()
    let c = TestConsumer("c", group)
    world.settle()
    #expect(c.told.sorted() == ["0#3", "2#2", "3#2"])
    #expect(a.messages.count == 2 && b.messages.count == 3)
  }

  @Test("there are so many consumers at most: one more is told so at once")
  func consumerLimit() throws {
    let world = try SubscriptionWorld()
    let group = try world.group()
    let consumers = (0...PersistentGroup.consumerLimit).map { TestConsumer("\($0)", group) }
    try world.begin(group)
    #expect(consumers.dropLast().allSatisfy { $0.end == nil } && group.status.consumers == PersistentGroup.consumerLimit)
    guard case .invalid = consumers.last?.end else {
      Issue.record("one more than the limit")
      return
    }
  }

  @Test("a consumer can stop the group: its message goes back, all are told, and the next owner gives it again")
  func stoppedByConsumer() throws {
    let world = try SubscriptionWorld()
    try fill(world, 2)
    let group = try world.group()
    let b = TestConsumer("b", group, credit: 1)
    let a = TestConsumer("a", group, credit: 1) { $0.refuse($1, .stop("the shop is on fire")) }
    try world.begin(group)
    #expect(a.end == .stoppedByConsumer("the shop is on fire") && b.end == a.end && group.status.end == a.end)
    #expect(try world.record().outstanding == [.init(place: 0, attempts: 1), .init(place: 1, attempts: 1)])
  }

  @Test("nothing is given after stop has completed, at whatever moment it comes, and everybody is told the end")
  func stop() throws {
    for moment in 0..<60 {
      let world = try SubscriptionWorld(seed: UInt64(moment))
      try fill(world, 30)
      let store = world.process()
      store.isSlow = true
      let group = try world.group(store: store) { $0.minCheckpoint = 1 }
      let a = TestConsumer("a", group, credit: 3) { $0.acknowledge($1) }
      group.start { _ in }
      for _ in 0..<moment * 2 { _ = world.step() }
      let told = Told<Int>()
      group.stop { told.tell(a.notices.count) }
      while told.all.isEmpty { _ = world.step() }
      world.settle()
      world.pass(100 * second)
      #expect(told.all == [a.notices.count] && a.end == .stopped)
      #expect(world.host.nextDue == nil)
    }
  }

  @Test("buffers are bounded: no more is read while so much is held, in history and live")
  func bounds() throws {
    let world = try SubscriptionWorld()
    try fill(world, 200)
    let store = world.process()
    let group = try world.group(store: store) {
      $0.historyBuffer = 40
      $0.liveBuffer = 10
      $0.readBatch = 8
    }
    try world.begin(group)
    #expect(group.status.held == 40 && !group.status.isLive)
    let reads = store.counts[.read] ?? 0
    world.settle()
    #expect(store.counts[.read] == reads)
    let a = TestConsumer("a", group, credit: 5) { $0.acknowledge($1) }
    world.settle()
    #expect(a.messages.count == 200 && group.status.isLive)
    a.disconnect()
    world.settle()
    for _ in 0..<100 {
      try fill(world, 1)
      world.settle()
    }
    #expect((10..<10 + 8).contains(group.status.held) && group.status.isLive)
  }

  @Test("definitions and settings that cannot be are refused with what is wrong, and so is a group that exists with another source")
  func invalid() throws {
    let world = try SubscriptionWorld()
    for name in ["", "a b", "ä", String(repeating: "x", count: 129)] {
      #expect(throws: GroupEnd.self) {
        try PersistentGroup(GroupDefinition(name, SubscriptionSource(.all)), store: world.memory, host: world.host)
      }
    }
    let changes: [(inout GroupSettings) -> Void] = [
      { $0.messageTimeout = 0 }, { $0.maxRetries = -1 }, { $0.liveBuffer = 0 }, { $0.historyBuffer = 0 }, { $0.readBatch = 5_000 },
      { $0.checkpointAfter = 0 }, { $0.minCheckpoint = 0 }, { $0.maxCheckpoint = 9 },
    ]
    for change in changes { #expect(throws: GroupEnd.self) { try world.group(SubscriptionSource(.all), change) } }
    try world.begin(try world.group())
    let told = Told<GroupEnd>()
    try world.group(SubscriptionSource(.category("x")), owner: 2).start { if case .failure(let end) = $0 { told.tell(end) } }
    world.settle()
    #expect(told.all == [.hasOtherSource(SubscriptionSource(.all))])
    try world.append("$group-g", "{}")
    try world.group(owner: 3).start { if case .failure(let end) = $0 { told.tell(end) } }
    world.settle()
    #expect(told.last == .damagedState(version: 1, "its format is not 1"))
  }

  @Test("a store that fails for good ends the group with the reason; one that is busy is asked again")
  func failures() throws {
    let world = try SubscriptionWorld()
    try fill(world, 20)
    let store = world.process()
    store.fault = { operation, number in
      operation == .append && number < 3 ? .fail(.busy) : operation == .read && number % 2 == 0 ? .fail(.unavailable("gone")) : nil
    }
    let group = try world.group(store: store)
    let a = TestConsumer("a", group, credit: 1) { $0.acknowledge($1) }
    group.start { _ in }
    world.pass(60 * second)
    #expect(a.messages.count == 20)
    store.fault = { operation, _ in operation == .append ? .fail(.noSpace("full")) : nil }
    try fill(world, 20)
    world.pass(60 * second)
    #expect(a.end == .store(.noSpace("full")))
  }

  @Test("a group that cannot take over, since its store refuses all appends, stops when it is told to; one that never writes by time rests")
  func refused() throws {
    let world = try SubscriptionWorld()
    let store = world.process()
    store.fault = { operation, _ in operation == .append ? .fail(.unavailable("gone")) : nil }
    let group = try world.group(store: store)
    group.start { _ in }
    world.pass(second)
    let isStopped = Mutex(false)
    group.stop { isStopped.withLock { $0 = true } }
    world.pass(60 * second)
    #expect(isStopped.withLock { $0 })
    let resting = try world.group(owner: 2) { $0.checkpointAfter = .max }
    resting.start { _ in }
    world.settle()
    resting.stop()
    world.settle()
  }
}
