import Testing

@testable import MillraceBroker

/// What a dead letter tells of its way, and when it has gone round in a circle.
@Suite struct DeathsTests {
  private func deaths(_ all: (String, QueueExit)...) -> Deaths {
    var deaths = Deaths()
    for (index, death) in all.enumerated() {
      deaths.add(death.1, in: death.0, at: Int64(index), exchange: "x\(index)", routingKeys: ["k\(index)"])
    }
    return deaths
  }

  @Test("one entry for each queue and reason, newest first, with the time and the way of the first")
  func entries() {
    let deaths = deaths(("a", .expired), ("b", .rejected), ("a", .rejected), ("a", .expired))
    #expect(deaths.all.map(\.queue) == ["a", "a", "b"])
    #expect(deaths.all.map(\.reason) == [.expired, .rejected, .rejected])
    #expect(deaths.all.map(\.count) == [2, 1, 1])
    #expect(deaths.all[0].time == 0 && deaths.all[0].exchange == "x0" && deaths.all[0].routingKeys == ["k0"])
    #expect(deaths.first?.queue == "a" && deaths.first?.count == 1 && deaths.last?.count == 2)
  }

  @Test("the time to live that a message had is kept where it died first")
  func expiration() {
    var deaths = Deaths()
    deaths.add(.expired, in: "a", at: 1, exchange: "", routingKeys: ["a"], expiration: 500)
    deaths.add(.expired, in: "b", at: 2, exchange: "", routingKeys: ["b"])
    #expect(deaths.all.map(\.originalExpiration) == [nil, 500] && deaths.first?.originalExpiration == 500)
  }

  @Test("a message goes round by itself if it died there before and nobody has rejected it since")
  func cycles() {
    // A queue that gives to itself by expiry, at once and over another one.
    #expect(deaths(("a", .expired)).isCycle(to: "a"))
    #expect(deaths(("a", .expired), ("b", .maxLength)).isCycle(to: "a"))
    #expect(!deaths(("a", .expired)).isCycle(to: "b"))
    #expect(!Deaths().isCycle(to: "a"))
    // A consumer had it in its hands.
    #expect(!deaths(("a", .rejected)).isCycle(to: "a"))
    #expect(!deaths(("a", .expired), ("b", .rejected)).isCycle(to: "a"))
    #expect(!deaths(("a", .expired), ("b", .rejected), ("c", .expired)).isCycle(to: "a"))
    #expect(!deaths(("a", .rejected), ("b", .expired)).isCycle(to: "a"))
    // That was before it died there last.
    #expect(deaths(("b", .rejected), ("a", .expired)).isCycle(to: "a"))
    #expect(deaths(("b", .rejected), ("a", .expired), ("c", .deliveryLimit)).isCycle(to: "a"))
  }

  @Test("the entries have a bound, and the first death is not forgotten")
  func bound() {
    var deaths = Deaths()
    for index in 0..<1_000 { deaths.add(.expired, in: "q\(index)", at: Int64(index), exchange: "", routingKeys: []) }
    #expect(deaths.all.count == Deaths.most && deaths.last?.queue == "q999" && deaths.first?.queue == "q0")
  }
}
