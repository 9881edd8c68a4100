import Glibc
import Millrace
import MillraceCore
import Testing

@testable import MillraceBench

@Suite("A session on real threads", .serialized) struct SessionTests {
  private func settings(_ suite: Suite, _ mode: BenchConfiguration.Mode = .closed, rate: Double? = nil, levels: [Int] = [1, 3])
    -> BenchSettings
  {
    var subject = SuiteSettings(threads: 1, slots: 2, wait: .park, plugins: PluginSearch())
    subject.serviceTime = 2_000
    return BenchSettings(
      suite: suite, levels: levels, mode: mode, rate: rate, duration: 10_000_000, warmUp: 1_000_000, rounds: 2, subject: subject)
  }

  @Test("every round of every level has figures that agree with each other", arguments: [Suite.scheduler, .dag, .timers, .fixed])
  func closed(suite: Suite) throws {
    let session = try BenchSession(settings(suite))
    defer { session.close() }
    let outcome = try session.run(tell: { _ in }, isInterrupted: { false })
    let result = try #require(outcome.result)
    #expect(!outcome.wasInterrupted)
    #expect(result.suite == suite.rawValue)
    #expect(result.levels.map(\.level) == [1, 3])
    for level in result.levels {
      #expect(level.rounds.count == 2)
      for round in level.rounds {
        #expect(round.nanoseconds == 10_000_000)
        #expect(round.failed == 0)
        #expect(round.service.count == round.completed)
        #expect(round.service.buckets.reduce(0) { $0 + $1[1] } == round.service.count)
        #expect(round.lag == nil)
      }
    }
    #expect(result.configuration.rate == nil)
    #expect(result.configuration.slots == 2)
  }

  @Test("an open load has what its schedule asks for, with the lag of its generator", arguments: [Suite.scheduler, .dag, .timers])
  func open(suite: Suite) throws {
    let session = try BenchSession(settings(suite, .open, rate: 5_000))
    defer { session.close() }
    let result = try #require(try session.run(tell: { _ in }, isInterrupted: { false }).result)
    for round in result.levels.flatMap(\.rounds) {
      #expect(round.failed == 0)
      #expect(round.response.count == round.service.count)
      #expect(round.lag?.count == round.response.count)
      #expect(round.response.sum >= round.service.sum)
      #expect(round.generatorNanoseconds != nil)
    }
    #expect(result.levels.flatMap(\.rounds).reduce(0) { $0 + $1.response.count } > 0)
    #expect(result.configuration.arrivals == "poisson")
  }

  @Test("an interruption keeps the rounds that were complete")
  func interrupted() throws {
    let session = try BenchSession(settings(.scheduler))
    defer { session.close() }
    var hasBegun = 0
    let outcome = try session.run(tell: { _ in hasBegun += 1 }, isInterrupted: { hasBegun == 2 })
    let result = try #require(outcome.result)
    #expect(outcome.wasInterrupted)
    #expect(result.configuration.rounds == 1)
    #expect(result.levels.allSatisfy { $0.rounds.count == 1 })
  }

  @Test("an interruption in the first round leaves no result")
  func interruptedAtOnce() throws {
    let session = try BenchSession(settings(.scheduler))
    defer { session.close() }
    let outcome = try session.run(tell: { _ in }, isInterrupted: { true })
    #expect(outcome.wasInterrupted)
    #expect(outcome.result == nil)
  }

  @Test("more threads than processors cannot be pinned, and it is said how many can")
  func pinning() {
    #expect {
      try Pinning(threads: 2, generators: 1, allowed: [0, 3])
    } throws: {
      "\($0)".contains("use --threads 1")
    }
    #expect {
      try Pinning(threads: 2, generators: 0, allowed: [5])
    } throws: {
      "\($0)".contains("leave --pin out") || "\($0)".contains("--threads 1")
    }
  }

  @Test("pinned workers and generators have processors of their own")
  func pinned() throws {
    let pinning = try Pinning(threads: 2, generators: 1, allowed: [1, 4, 6, 9])
    #expect(pinning.workers == [1, 4])
    #expect(pinning.generators == [6])
  }

  @Test("the calling thread keeps its processors when the subject was started pinned")
  func pinnedStart() throws {
    let before = Processors.allowed
    var settings = settings(.scheduler, levels: [1])
    settings.isPinned = true
    let session = try BenchSession(settings)
    #expect(Processors.allowed == before)
    let result = try session.run(tell: { _ in }, isInterrupted: { false }).result
    session.close()
    #expect(result?.configuration.isPinned == true)
  }

  @Test("a plugin that is not there is told with the way to get it", arguments: [Suite.pluginCall, .endToEnd])
  func noPlugin(suite: Suite) {
    #expect {
      try BenchSession(settings(suite))
    } throws: {
      "\($0)".contains("make build")
    }
  }
}
