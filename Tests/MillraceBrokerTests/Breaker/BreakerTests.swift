import Testing

@testable import MillraceBroker

/// The breaker and the budget, step by step.
@Suite struct BreakerTests {
  private func breaker(window: Int = 4, rate: Double = 0.5, canaries: Int = 2) -> BreakerMachine {
    var configuration = BreakerMachine.Configuration()
    (configuration.window, configuration.failureRate, configuration.canaries) = (window, rate, canaries)
    (configuration.openFor, configuration.longestOpen) = (100, 350)
    return BreakerMachine(configuration)
  }

  private func ticket(_ breaker: inout BreakerMachine, _ now: UInt64) throws -> BreakerMachine.Ticket {
    guard case .go(let ticket) = breaker.ask(now) else { throw Parked() }
    return ticket
  }

  private struct Parked: Error {}

  /// Calls once, with an outcome.
  private func call(_ breaker: inout BreakerMachine, _ isFailure: Bool, _ now: UInt64) throws -> Bool {
    let ticket = try ticket(&breaker, now)
    return breaker.tell(ticket, isFailure: isFailure, now)
  }

  // Calls that change what they look at, for expectations.
  private func ask(_ breaker: inout BreakerMachine, _ now: UInt64) -> BreakerMachine.Answer { breaker.ask(now) }
  private func tell(_ breaker: inout BreakerMachine, _ ticket: BreakerMachine.Ticket, _ isFailure: Bool, _ now: UInt64) -> Bool {
    breaker.tell(ticket, isFailure: isFailure, now)
  }
  private func withdraw(_ breaker: inout BreakerMachine, _ ticket: BreakerMachine.Ticket) -> Bool { breaker.withdraw(ticket) }

  @Test("it opens when enough of the last outcomes are failures, and not before it has seen as many")
  func opens() throws {
    var breaker = breaker()
    for isFailure in [true, true, true] { #expect(try !call(&breaker, isFailure, 0)) }
    #expect(breaker.state == .closed)
    #expect(try call(&breaker, false, 0))
    #expect(breaker.state == .open && ask(&breaker, 99) == .park(until: 100))
    var healthy = self.breaker()
    for index in 0..<100 { #expect(try !call(&healthy, index % 4 == 0, 0)) }
    #expect(healthy.state == .closed)
  }

  @Test("when its time is over canaries go first, no more of them at a time than need to succeed, and close it together")
  func canaries() throws {
    var breaker = breaker()
    for _ in 0..<4 { _ = try call(&breaker, true, 0) }
    let (first, second) = (try ticket(&breaker, 100), try ticket(&breaker, 100))
    #expect(breaker.state == .halfOpen && ask(&breaker, 100) == .park(until: .max))
    #expect(!tell(&breaker, first, false, 101))
    // One that came back well still counts: there is no third.
    #expect(ask(&breaker, 101) == .park(until: .max))
    #expect(tell(&breaker, second, false, 102))
    #expect(breaker.state == .closed && breaker.openings == 0)
  }

  @Test("a canary that fails opens it for twice as long, up to the longest; what comes back from before says nothing")
  func again() throws {
    var breaker = breaker()
    let early = try ticket(&breaker, 0)
    for _ in 0..<4 { _ = try call(&breaker, true, 0) }
    var now: UInt64 = 100
    for long: UInt64 in [200, 350, 350] {
      let (bad, late) = (try ticket(&breaker, now), try ticket(&breaker, now))
      #expect(tell(&breaker, bad, true, now))
      #expect(breaker.state == .open && breaker.opensUntil == now + long)
      #expect(!tell(&breaker, late, false, now) && !tell(&breaker, early, false, now))
      now += long
    }
    #expect(breaker.openings == 4)
  }

  @Test("a canary that was not sent makes room for another one")
  func withdrawn() throws {
    var breaker = breaker(canaries: 1)
    for _ in 0..<4 { _ = try call(&breaker, true, 0) }
    let canary = try ticket(&breaker, 100)
    #expect(ask(&breaker, 100) == .park(until: .max))
    #expect(withdraw(&breaker, canary))
    #expect(try call(&breaker, false, 101) && breaker.state == .closed)
  }

  @Test("whatever happens, no more calls than canaries are out while it is half open, and it never stays shut for ever")
  func random() throws {
    for seed in 0..<200 {
      var generator = SeededNumbers(UInt64(seed))
      var breaker = breaker(window: 1 + generator.below(6), rate: 0.4, canaries: 1 + generator.below(3))
      var out: [(ticket: BreakerMachine.Ticket, state: BreakerMachine.State)] = []
      var now: UInt64 = 0
      var canaries = 0
      for _ in 0..<500 {
        now += UInt64(generator.below(60))
        if generator.below(2) == 0 {
          let before = breaker.state
          if case .go(let ticket) = breaker.ask(now) {
            if breaker.state == .halfOpen {
              canaries = before == .halfOpen ? canaries + 1 : 1
              #expect(canaries <= breaker.configuration.canaries)
            }
            #expect(breaker.state != .open)
            out.append((ticket, breaker.state))
          }
        } else if !out.isEmpty {
          let call = out.remove(at: generator.below(out.count))
          if generator.below(6) == 0 {
            if breaker.withdraw(call.ticket) { canaries -= 1 }
          } else {
            breaker.tell(call.ticket, isFailure: generator.below(2) == 0, now)
          }
        }
      }
      // All come back, well: it closes.
      for call in out { breaker.tell(call.ticket, isFailure: false, now) }
      now += 1_000
      var calls = 0
      while breaker.state != .closed, calls < 10 {
        _ = try call(&breaker, false, now)
        calls += 1
      }
      #expect(breaker.state == .closed, "seed \(seed)")
    }
  }

  @Test("retries are a share of first attempts, with a few for who has none; they come back with time")
  func budget() {
    var budget = RetryBudget(ratio: 0.1, least: 2, window: 100)
    func retries(_ count: Int, _ now: UInt64) -> Int {
      var allowed = 0
      for _ in 0..<count where budget.mayRetry(now) { allowed += 1 }
      return allowed
    }
    #expect(retries(5, 0) == 2)
    for _ in 0..<50 { budget.attempt(10) }
    #expect(retries(5, 10) == 3)
    // The half window before still counts; the one before that does not.
    #expect(retries(1, 60) == 0)
    #expect(retries(3, 110) == 2)
  }

  @Test("configurations out of bounds are told by name")
  func faults() {
    var configuration = BreakerMachine.Configuration()
    #expect(configuration.fault == nil)
    configuration.window = 65
    #expect(configuration.fault?.contains("window is 65") == true)
    configuration.window = 1
    configuration.failureRate = .nan
    #expect(configuration.fault?.contains("failureRate") == true)
    configuration.failureRate = 1
    configuration.openFor = 0
    #expect(configuration.fault?.contains("openFor") == true)
    var queue = QueueConfiguration()
    #expect(queue.fault == nil)
    queue.priorities = 33
    #expect(queue.fault?.contains("priorities is 33") == true)
    queue.priorities = 32
    queue.lease = 0
    #expect(queue.fault?.contains("lease") == true)
  }
}
