import MillraceLog
import MillraceTesting
import Testing

@Suite struct MemoryEventStoreTests {
  private let store = MemoryEventStore()

  private func append(
    _ stream: String, _ expected: ExpectedVersion, _ ids: [UInt64], payload: [UInt8] = []
  ) throws -> AppendReceipt {
    try answer {
      store.append([StreamAppend(stream: try! StreamName(stream), expected: expected, events: drafts(ids, payload))], completion: $0)
    }
  }

  private func drafts(_ ids: [UInt64], _ payload: [UInt8] = []) -> [EventDraft] {
    ids.map { EventDraft(id: EventID(high: 0, low: $0), type: "t", payload: payload) }
  }

  private func answer<Value: Sendable>(_ call: (@escaping EventCompletion<Value>) -> Void) throws -> Value {
    let box = Box<Value>()
    call { box.result = $0 }
    return try #require(box.result, "answered before the call returned").get()
  }

  private final class Box<Value: Sendable>: @unchecked Sendable { var result: Result<Value, EventStoreError>? }

  private func read(_ request: ReadRequest) throws -> EventPage { try answer { store.read(request, completion: $0) } }

  @Test("expected versions: each holds or is refused with what is there")
  func expected() throws {
    let name = try StreamName("s")
    func refused(_ expected: ExpectedVersion, _ actual: UInt64?) -> EventStoreError {
      .wrongExpectedVersion(stream: name, expected: expected, actual: actual)
    }
    #expect(throws: refused(.streamExists, nil)) { try append("s", .streamExists, [1]) }
    #expect(throws: refused(.exact(0), nil)) { try append("s", .exact(0), [1]) }
    #expect(try append("s", .noStream, [1, 2]).streams == [.init(firstVersion: 0, lastVersion: 1, firstPosition: 0, lastPosition: 1)])
    #expect(throws: refused(.noStream, 1)) { try append("s", .noStream, [3]) }
    #expect(throws: refused(.exact(0), 1)) { try append("s", .exact(0), [3]) }
    #expect(throws: refused(.exact(2), 1)) { try append("s", .exact(2), [3]) }
    #expect(try append("s", .exact(1), [3]).streams[0].firstVersion == 2)
    #expect(try append("s", .streamExists, [4]).streams[0].firstVersion == 3)
    #expect(try append("s", .any, [5]).streams[0].firstVersion == 4)
    #expect(store.all.count == 5)
  }

  @Test("a repeated append is answered as the first time; one of which only some events stand there, or in another order, is refused")
  func repetition() throws {
    let first = try append("s", .noStream, [1, 2, 3])
    for expected in [ExpectedVersion.noStream, .any, .streamExists] {
      let again = try append("s", expected, [1, 2, 3])
      #expect(again.wasKnown && again.streams == first.streams)
    }
    #expect(try append("s", .exact(0), [2, 3]).wasKnown)
    let name = try StreamName("s")
    #expect(throws: EventStoreError.idsPartlyKnown(stream: name, known: EventID(high: 0, low: 3))) { try append("s", .any, [9, 3]) }
    #expect(throws: EventStoreError.idsPartlyKnown(stream: name, known: EventID(high: 0, low: 2))) { try append("s", .any, [2, 1]) }
    #expect(throws: EventStoreError.idsPartlyKnown(stream: name, known: EventID(high: 0, low: 3))) { try append("s", .exact(2), [3, 4]) }
    #expect(try append("other", .any, [1]).wasKnown == false, "ids are a stream's own")
    #expect(store.all.count == 4)
  }

  @Test("an append over streams takes place wholly or not at all, its events stand together, and it is repeated wholly or refused")
  func atomic() throws {
    let (a, b) = (try StreamName("a"), try StreamName("b"))
    let both = [StreamAppend(stream: a, expected: .noStream, events: drafts([1, 2])), StreamAppend(stream: b, events: drafts([1]))]
    let receipt: AppendReceipt = try answer { store.append(both, completion: $0) }
    #expect(receipt.streams.map(\.firstPosition) == [0, 2])
    let again: AppendReceipt = try answer { store.append(both, completion: $0) }
    #expect(again.wasKnown && again.streams == receipt.streams)
    let half = [StreamAppend(stream: a, events: drafts([1, 2])), StreamAppend(stream: b, events: drafts([7]))]
    #expect(throws: EventStoreError.self) { let _: AppendReceipt = try answer { store.append(half, completion: $0) } }
    let wrong = [StreamAppend(stream: a, events: drafts([8])), StreamAppend(stream: b, expected: .exact(9), events: drafts([8]))]
    #expect(throws: EventStoreError.self) { let _: AppendReceipt = try answer { store.append(wrong, completion: $0) } }
    #expect(store.all.count == 3)
  }

  @Test("what breaks a rule is refused as invalid, and writes nothing")
  func invalid() throws {
    func isInvalid(_ appends: [StreamAppend]) -> Bool {
      do {
        let _: AppendReceipt = try answer { store.append(appends, completion: $0) }
        return false
      } catch EventStoreError.invalid { return true } catch { return false }
    }
    let name = try StreamName("s")
    let long = String(repeating: "x", count: 129)
    #expect(isInvalid([]))
    #expect(isInvalid([StreamAppend(stream: name, events: [])]))
    #expect(isInvalid([StreamAppend(stream: name, events: drafts([1, 1]))]))
    #expect(isInvalid([StreamAppend(stream: name, events: drafts([1])), StreamAppend(stream: name, events: drafts([2]))]))
    #expect(isInvalid([StreamAppend(stream: name, tenant: "", events: drafts([1]))]))
    #expect(isInvalid([StreamAppend(stream: name, tenant: long, events: drafts([1]))]))
    #expect(isInvalid([StreamAppend(stream: name, events: [EventDraft(id: EventID(high: 0, low: 1), type: long, payload: [])])]))
    #expect(isInvalid([StreamAppend(stream: name, events: drafts(Array(0...4_096)))]))
    #expect(isInvalid([StreamAppend(stream: name, events: drafts([1, 2], Array(repeating: 0, count: 9 << 20)))]))
    #expect(isInvalid(try (0...64).map { StreamAppend(stream: try StreamName("s-\($0)"), events: drafts([1])) }))
    #expect(throws: EventStoreError.self) { try read(ReadRequest(.all, limit: 0)) }
    #expect(throws: EventStoreError.self) { try read(ReadRequest(.all, limit: 4_097)) }
    #expect(store.all.isEmpty)
  }

  @Test("pages, in both directions and every scope, leave nothing out and give nothing twice", arguments: [1, 2, 3, 7, 100])
  func pages(limit: Int) throws {
    for number in 0..<20 { _ = try append("\(number % 3 == 0 ? "a" : "b")-\(number % 2)", .any, [UInt64(number)], payload: [1, 2, 3]) }
    let all = store.all
    for scope in [ReadRequest.Scope.all, .category("a"), .category("b"), .category("c"), .stream(try StreamName("b-1"))] {
      for direction in [ReadRequest.Direction.forward, .backward] {
        var got: [RecordedEvent] = []
        var start = ReadRequest.Start.edge
        while true {
          let page = try read(ReadRequest(scope, direction, from: start, limit: limit))
          got += page.events
          #expect(page.events.count <= limit)
          guard !page.isLast, let next = page.next else { break }
          start = .at(next)
        }
        let wanted = all.filter { event in
          switch scope {
          case .all: true
          case .category(let category): event.stream.category == category
          case .stream(let name): event.stream == name
          }
        }
        #expect(got == (direction == .forward ? wanted : wanted.reversed()))
      }
    }
    #expect(try read(ReadRequest(.all, limit: 100, bytes: 7)).events.count == 2)
    #expect(try read(ReadRequest(.all, limit: 100, bytes: 1)).events.count == 1)
  }

  @Test("limits hide what is older or more; versions go on")
  func limits() throws {
    let name = try StreamName("s")
    _ = try append("s", .any, Array(0..<10))
    func versions() throws -> [UInt64] { try read(ReadRequest(.stream(name))).events.map(\.version) }
    func set(_ limits: StreamLimits) throws { try answer { store.setLimits(limits, of: name, completion: $0) } }
    try set(StreamLimits(count: 3))
    #expect(try versions() == [7, 8, 9])
    #expect(try read(ReadRequest(.all)).events.map(\.version) == [7, 8, 9])
    try set(StreamLimits(firstVersion: 8))
    #expect(try versions() == [8, 9])
    try set(StreamLimits(firstVersion: 99))
    let page = try read(ReadRequest(.stream(name)))
    #expect(page.events.isEmpty && page.lastVersion == 9 && page.isLast)
    _ = try append("s", .exact(9), [10])
    try set(StreamLimits())
    #expect(try versions() == Array(0...10))
    final class Wall: @unchecked Sendable { var now: Int64 = 100 }
    let wall = Wall()
    let aged = MemoryEventStore(wall: { wall.now })
    for id in UInt64(0)..<3 {
      aged.append([StreamAppend(stream: name, events: drafts([id]))]) { _ in }
      wall.now += 10
    }
    aged.setLimits(StreamLimits(age: 15), of: name) { _ in }
    aged.read(ReadRequest(.stream(name))) { #expect((try? $0.get().events.map(\.version)) == [2]) }
    aged.position(since: 105) { #expect((try? $0.get()) == 1) }
    aged.position(since: 1_000) { #expect((try? $0.get()) == 3) }
  }

  @Test("waits are told once, when their position is there; given up they are cancelled, and closed with the store")
  func waits() throws {
    final class Told: @unchecked Sendable { var all: [Result<UInt64, EventStoreError>] = [] }
    let told = Told()
    func wait(_ position: UInt64) -> any EventWait { store.await(position) { told.all.append($0) } }
    _ = wait(0)
    let second = wait(1)
    let given = wait(0)
    given.cancel()
    given.cancel()
    #expect(told.all == [.failure(.cancelled)])
    _ = try append("s", .any, [1])
    #expect(told.all == [.failure(.cancelled), .success(1)])
    _ = wait(0)
    #expect(told.all.last == .success(1))
    try answer { (completion: @escaping EventCompletion<Void>) in store.close(completion: completion) }
    #expect(told.all.count == 4 && told.all.last == .failure(.closed))
    second.cancel()
    _ = wait(0)
    #expect(told.all.count == 5 && told.all.last == .failure(.closed))
    #expect(throws: EventStoreError.closed) { try append("s", .any, [2]) }
    #expect(throws: EventStoreError.closed) { try read(ReadRequest(.all)) }
    #expect(throws: EventStoreError.closed) { let _: UInt64 = try answer { store.end(completion: $0) } }
  }

  @Test("a snapshot takes the place of an older one, is refused when it is ahead of its stream, and may be lost")
  func snapshots() throws {
    let name = try StreamName("s")
    func save(_ version: UInt64, _ state: [UInt8]) throws {
      try answer { store.save(Snapshot(stream: name, reducer: "r", reducerVersion: 1, version: version, state: state), completion: $0) }
    }
    func kept(_ reducer: String = "r") throws -> [UInt8]? {
      let snapshot: Snapshot? = try answer { store.snapshot(of: name, reducer: reducer, completion: $0) }
      return snapshot?.state
    }
    #expect(throws: EventStoreError.snapshotAhead(stream: name, version: 0, actual: nil)) { try save(0, [0]) }
    _ = try append("s", .any, [1, 2, 3])
    #expect(throws: EventStoreError.snapshotAhead(stream: name, version: 3, actual: 2)) { try save(3, [3]) }
    try save(1, [1])
    try save(2, [2])
    try save(0, [0])
    #expect(try kept() == [2] && kept("other") == nil)
    #expect(throws: EventStoreError.self) { try save(2, Array(repeating: 0, count: EventLimits.snapshot + 1)) }
    store.loseSnapshots()
    #expect(try kept() == nil)
  }
}
