internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let histories = (1...6 as ClosedRange<UInt64>).map { seed in
    EventStorePromise("appends, repetitions, limits and pages in a random order do what a model does, seed \(seed)") { world in
      let clock = TestWallClock()
      try await world.withStore(clock) { store in
        var history = History(seed: seed, clock: clock)
        for _ in 0..<200 { try await history.step(store) }
        try await history.readBack(store)
      }
    }
  }
}

/// A random history of one caller, beside a model.
private struct History {
  private static let names = ["a-1", "a-2", "b-1", "b-1-x", "b", "c"].map(StreamName.of)
  private static let scopes = names.map(ReadRequest.Scope.stream) + [.stream(.of("none")), .category("a"), .category("b"), .all, .all]

  private let clock: TestWallClock
  private var model = ModelStore()
  private var random: SeededNumbers
  private var number: UInt64 = 0
  private var appended: [[StreamAppend]] = []

  init(seed: UInt64, clock: TestWallClock) {
    random = SeededNumbers(seed)
    self.clock = clock
  }

  mutating func step(_ store: any EventStore) async throws {
    clock.move(by: Int64.random(in: 0...1000, using: &random))
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<9: try await append(newAppends(), store)
    case 9..<12: try await repeatAppend(store)
    case 12: try await limit(store)
    default: try await read(store)
    }
  }

  private mutating func newAppends() -> [StreamAppend] {
    Self.names.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)).map { stream in
      let last = model.lastVersion(of: stream)
      let exact: ExpectedVersion = last.map { .exact($0) } ?? .noStream
      let others: [ExpectedVersion] = [.any, .streamExists, .noStream, .exact((last ?? 3) &+ 1), .exact(0)]
      let expected = Bool.random(using: &random) ? exact : others[Int.random(in: 0..<others.count, using: &random)]
      let tenant: String? = ["one", "two", nil][Int.random(in: 0..<3, using: &random)]
      return StreamAppend(stream: stream, expected: expected, tenant: tenant, events: newEvents(Int.random(in: 1...5, using: &random)))
    }
  }

  private mutating func newEvents(_ count: Int) -> [EventDraft] {
    (0..<count).map { _ in
      number += 1
      return .numbered(number, "type-\(number % 3)", String(repeating: "p", count: Int.random(in: 0...40, using: &random)))
    }
  }

  private mutating func append(_ appends: [StreamAppend], _ store: any EventStore) async throws {
    let wanted = model.judge(appends)
    do {
      let receipt = try await store.append(appends)
      switch wanted {
      case .success(nil):
        #expect(!receipt.wasKnown)
        for (append, place) in zip(appends, receipt.streams) {
          #expect(place.firstVersion == model.lastVersion(of: append.stream).map { $0 + 1 } ?? 0)
          #expect(place.lastPosition - place.firstPosition == UInt64(append.events.count - 1))
        }
        model.keep(appends, receipt, time: clock.now)
        appended.append(appends)
      case .success(let known?): #expect(receipt == known)
      case .failure(let error): Issue.record("appended, but should be refused: \(error)")
      }
    } catch let error as EventStoreError {
      guard case .failure(let expected) = wanted else {
        Issue.record("refused: \(error)")
        return
      }
      // Of several faults in several streams any may be told; partly known ids name any that is known.
      switch (error, expected) {
      case (.idsPartlyKnown, .idsPartlyKnown): break
      default: #expect(appends.count > 1 || error == expected)
      }
    }
  }

  private mutating func repeatAppend(_ store: any EventStore) async throws {
    guard var appends = appended.randomElement(using: &random) else { return }
    switch Int.random(in: 0..<4, using: &random) {
    case 0: break
    case 1: appends[0].expected = .any
    case 2:
      appends[0].expected = .any
      appends[0].events += newEvents(1)
    default:
      appends[0].expected = .any
      appends[0].events.shuffle(using: &random)
    }
    try await append(appends, store)
  }

  /// Each keeps less than the one before.
  private mutating func limit(_ store: any EventStore) async throws {
    guard let stream = Self.names.randomElement(using: &random) else { return }
    var limits = model.limits(of: stream)
    let last = model.lastVersion(of: stream) ?? 0
    if Bool.random(using: &random) {
      limits.firstVersion = max(limits.firstVersion, UInt64.random(in: 0...last + 1, using: &random))
    } else {
      limits.count = min(limits.count ?? 40, UInt64.random(in: 1...20, using: &random))
    }
    try await store.setLimits(limits, of: stream)
    model.limit(stream, limits)
  }

  private mutating func request() -> ReadRequest {
    let scope = Self.scopes[Int.random(in: 0..<Self.scopes.count, using: &random)]
    var request = ReadRequest(scope, Bool.random(using: &random) ? .forward : .backward)
    let most = if case .stream = scope { UInt64(60) } else { UInt64(number + 3) }
    if Int.random(in: 0..<4, using: &random) > 0 { request.start = .at(UInt64.random(in: 0...most, using: &random)) }
    request.limit = Int.random(in: 1...12, using: &random)
    if Bool.random(using: &random) { request.bytes = Int.random(in: 1...200, using: &random) }
    if Int.random(in: 0..<3, using: &random) == 0 { request.tenant = "one" }
    return request
  }

  private mutating func read(_ store: any EventStore) async throws {
    let request = request()
    let page = try await store.read(request)
    if let fault = model.fault(in: page, for: request) { Issue.record("\(request): the page \(fault)") }
  }

  /// Every scope, in both directions, in pages of a random size.
  mutating func readBack(_ store: any EventStore) async throws {
    for scope in Self.scopes {
      for direction in [ReadRequest.Direction.forward, .backward] {
        for tenant in [nil, "one", "two"] {
          let wanted = model.events(ReadRequest(scope, direction, tenant: tenant))
          let events = try await store.readAll(scope, direction, limit: Int.random(in: 1...50, using: &random), tenant: tenant)
          #expect(events == wanted, "\(scope) \(direction) \(tenant ?? "all tenants")")
        }
      }
    }
    #expect(isGrowing(model.all.positions))
  }
}
