import Testing

@testable import MillraceLog

/// The transitions of a catch-up subscription, one by one.
@Suite struct CatchUpMachineTests {
  private func event(_ place: UInt64) throws -> RecordedEvent {
    RecordedEvent(
      position: place, stream: try StreamName("s-1"), version: place, tenant: nil, id: EventID(high: 0, low: place), type: "t",
      typeVersion: 1,
      contentType: "c", payload: [], correlation: nil, causation: nil, trace: nil, time: 0)
  }

  private func page(_ places: Range<UInt64>, isLast: Bool) throws -> CatchUpMachine.Answer {
    .page(.success(EventPage(events: try places.map(event), next: places.upperBound, isLast: isLast, lastVersion: nil)))
  }

  private func machine(_ scope: ReadRequest.Scope = .all) -> CatchUpMachine {
    CatchUpMachine(
      SubscriptionSource(scope), from: 0, limit: 2, bytes: 100, backoff: StoreBackoff(initial: 100, cap: 1_000, attempts: 3), seed: 7)
  }

  /// What the machine asks and gives, in words.
  private func words(_ actions: [CatchUpMachine.Action]) -> [String] {
    actions.map { action in
      switch action {
      case .askEnd(let number): "\(number) end?"
      case .read(let number, let request):
        if case .at(let place) = request.start { "\(number) read \(place) x\(request.limit)" } else { "read from an edge" }
      case .await(let number, let position): "\(number) await \(position)"
      case .giveUpWait: "give up"
      case .sleep: "sleep"
      case .deliver(.events(let events, let checkpoint)): "events \(events.map(\.position)) -> \(checkpoint)"
      case .deliver(.caughtUp(let checkpoint)): "caught up \(checkpoint)"
      case .deliver(.fellBehind): "behind"
      case .refuse(let end): "refuse: \(end)"
      }
    }
  }

  @Test("from the first demand to live, and on")
  func life() throws {
    var machine = machine()
    func apply(_ input: CatchUpMachine.Input) -> [String] { words(machine.apply(input, now: 0)) }
    #expect(apply(.demand) == ["1 end?"])
    #expect(apply(.answer(1, .end(.success(3)))) == ["3 read 0 x2"])
    #expect(apply(.answer(1, .end(.success(9)))) == [], "an old answer")
    #expect(try apply(.answer(3, page(0..<2, isLast: false))) == ["events [0, 1] -> 2", "5 read 2 x2"])
    #expect(try apply(.answer(3, page(0..<2, isLast: false))) == [], "the same again")
    #expect(try apply(.answer(5, page(2..<3, isLast: true))) == [], "one page ahead, and no more")
    #expect(apply(.demand) == ["events [2] -> 3", "7 await 3"])
    #expect(apply(.demand) == ["caught up 3"])
    #expect(machine.status.isLive)
    #expect(apply(.demand) == [])
    #expect(apply(.answer(7, .awaited(.success(8)))) == ["9 read 3 x2"])
    #expect(try apply(.answer(9, page(3..<5, isLast: false))) == ["behind"])
    #expect(!machine.status.isLive && machine.status.lag == 5)
    #expect(apply(.demand) == ["events [3, 4] -> 5", "11 read 5 x2"])
  }

  @Test("what the store refuses for now is asked again when the alarm comes, not before; the third time is the last")
  func refusals() throws {
    var machine = machine()
    _ = machine.apply(.demand, now: 0)
    #expect(words(machine.apply(.answer(1, .end(.failure(.busy))), now: 1_000)) == ["sleep"])
    #expect(words(machine.apply(.alarm, now: 1_010)) == [], "too early: the wait is 50 at least")
    #expect(words(machine.apply(.alarm, now: 1_100)) == ["2 end?"])
    #expect(words(machine.apply(.answer(2, .end(.failure(.unavailable("x")))), now: 2_000)) == ["sleep"])
    #expect(words(machine.apply(.alarm, now: 2_200)) == ["3 end?"])
    #expect(words(machine.apply(.answer(3, .end(.failure(.busy))), now: 3_000)) == ["refuse: \(EventStoreError.busy)"])
    #expect(words(machine.apply(.demand, now: 3_000)) == ["refuse: \(EventStoreError.busy)"])
  }

  @Test("stopped while it waits it gives the wait up; stopped in other states it does nothing but refuse the demand")
  func stops() throws {
    var waiting = machine()
    _ = waiting.apply(.demand, now: 0)
    _ = waiting.apply(.answer(1, .end(.success(0))), now: 0)
    #expect(words(try waiting.apply(.answer(3, page(0..<0, isLast: true)), now: 0)) == ["caught up 0", "5 await 0"])
    #expect(words(waiting.apply(.stop, now: 0)) == ["give up"])
    #expect(words(waiting.apply(.answer(5, .awaited(.failure(.cancelled))), now: 0)) == [])
    var asking = machine()
    _ = asking.apply(.demand, now: 0)
    #expect(words(asking.apply(.stop, now: 0)) == ["refuse: stopped"])
    #expect(words(asking.apply(.answer(1, .end(.success(3))), now: 0)) == [])
    var resting = machine()
    _ = resting.apply(.demand, now: 0)
    _ = resting.apply(.answer(1, .end(.failure(.busy))), now: 0)
    #expect(words(resting.apply(.stop, now: 0)) == ["refuse: stopped"])
    #expect(words(resting.apply(.alarm, now: .max)) == [])
  }

  @Test("a page that leads nowhere is a fault of the store, and ends the subscription instead of asking for ever")
  func nowhere() throws {
    var machine = machine()
    _ = machine.apply(.demand, now: 0)
    _ = machine.apply(.answer(1, .end(.success(9))), now: 0)
    let empty = EventPage(events: [], next: 0, isLast: false, lastVersion: nil)
    #expect(words(machine.apply(.answer(3, .page(.success(empty))), now: 0)) == ["refuse: \(SubscriptionEnd.disorder(at: 0))"])
  }

  @Test("waits double from the first to the cap, each drawn from its upper half; the same seed gives the same ones")
  func backoff() {
    for seed in UInt64(0)..<200 {
      var patience = Patience(StoreBackoff(initial: 3, cap: 100, attempts: nil), seed: seed)
      var same = patience
      for longest: UInt64 in [3, 6, 12, 24, 48, 96, 100, 100, 100] {
        let wait = patience.failed()
        #expect(wait == same.failed())
        #expect((longest - longest / 2...longest).contains(wait ?? 0))
      }
    }
    var edge = Patience(StoreBackoff(initial: .max / 2 + 1, cap: .max, attempts: nil), seed: 1)
    for _ in 0..<100 { #expect(edge.failed() ?? 0 >= .max / 4) }
  }
}
