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

  @Test(
    "messages through a broker, in memory and durable, closed and open, each end once; a durable one leaves nothing behind",
    arguments: [(1, false), (2, true)], [BenchConfiguration.Mode.closed, .open])
  func broker(queue: (consumers: Int, isDurable: Bool), mode: BenchConfiguration.Mode) throws {
    let left = Self.folders()
    var settings = settings(.broker, mode, rate: mode == .open ? 2_000 : nil)
    settings.subject.messageBytes = 1_000
    (settings.subject.consumers, settings.subject.isDurable) = (queue.consumers, queue.isDurable)
    settings.duration = 50_000_000
    let session = try BenchSession(settings)
    let result = try #require(try session.run(tell: { _ in }, isInterrupted: { false }).result)
    session.close()
    #expect(
      result.suite == "broker 1000 B, \(queue.consumers) consumer\(queue.consumers == 1 ? "" : "s")\(queue.isDurable ? ", durable" : "")")
    let rounds = result.levels.flatMap(\.rounds)
    #expect(rounds.allSatisfy { $0.failed == 0 && $0.response.sum >= $0.service.sum })
    #expect(rounds.reduce(0) { $0 + $1.service.count } > 0)
    #expect(Self.folders() == left)
  }

  private static func folders() -> Set<String> {
    guard let directory = unsafe opendir(".") else { return [] }
    defer { unsafe closedir(directory) }
    var names: Set<String> = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name.hasPrefix("millrace-bench-") { names.insert(name) }
    }
    return names
  }

  @Test(
    "what a message and its consumers cannot be is refused before anything is measured",
    arguments: [(15, 1), (1 << 20 + 1, 1), (64, 0), (64, 65)])
  func brokerRefused(bytes: Int, consumers: Int) {
    var settings = settings(.broker)
    (settings.subject.messageBytes, settings.subject.consumers) = (bytes, consumers)
    #expect(throws: BenchError.self) { _ = try BenchSession(settings) }
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

  /// Measures for real, but one round of it hangs.
  private struct Hanging: LoadDriver {
    var runs: Int
    let figures: RoundFigures

    mutating func run(_ load: Load) throws(BenchError) -> RoundFigures? {
      if runs == 0 { throw .hung("3 requests had not ended") }
      runs -= 1
      return figures
    }
  }

  private func hanging(after runs: Int) throws -> Hanging {
    Hanging(runs: runs, figures: RoundFigures(round: try #require(Sample.open.levels.first?.rounds.first)))
  }

  @Test("requests that hang end the measurement; the rounds before them are kept, in ascending levels, and it is said where it was")
  func hang() throws {
    let session = try BenchSession(settings(.scheduler, levels: [3, 1]))
    defer { session.close() }
    var driver = try hanging(after: 3)
    let outcome = try session.run(&driver, tell: { _ in })
    let result = try #require(outcome.result)
    #expect(outcome.hang == "level 1, round 2: 3 requests had not ended")
    #expect(!outcome.wasInterrupted)
    #expect(result.configuration.rounds == 1)
    #expect(result.levels.map(\.level) == [1, 3])
    #expect(result.levels.allSatisfy { $0.rounds.count == 1 })
    let file = try BenchResultFile.read(BenchResultFile.bytes(result), name: "r.json")
    #expect(file.json == result.json)
    var first = try hanging(after: 1)
    #expect(throws: BenchError.hung("3 requests had not ended")) { try session.run(&first, tell: { _ in }) }
  }

  @Test("a search in which requests hang keeps its trials, and a file of it can be read")
  func hangingSearch() throws {
    var settings = settings(.scheduler, .open, rate: 1_000, levels: [1])
    settings.objective = try Objective("p50<1ms")
    let session = try BenchSession(settings)
    defer { session.close() }
    var driver = try hanging(after: 2)
    let outcome = try session.run(&driver, tell: { _ in })
    let result = try #require(outcome.result)
    #expect(outcome.hang?.contains("3 requests had not ended") == true)
    #expect(result.search?.trials.count == 2)
    #expect(try BenchResultFile.read(BenchResultFile.bytes(result), name: "r.json").search?.refusal == outcome.hang)
  }

  @Test("requests that never end are told after the driver's patience, not waited for")
  func patience() throws {
    let meter = Meter(clock: .monotonic, reserved: 2, others: 1)
    meter.adopt(lane: 0)
    // unsafe: the context is never followed.
    let deaf = unsafe Subject(context: UnsafeMutableRawPointer(bitPattern: 8)!) { _, _, _ in true }
    let driver = ThreadDriver(
      subject: deaf, meter: meter, generators: 1, pinning: nil, pacer: .real, isInterrupted: { false }, patience: 1_000_000)
    #expect {
      try driver.run(Load(kind: .closed(inFlight: 3), warmUp: 0, duration: 1_000_000, seed: 1))
    } throws: {
      guard case BenchError.hung(let text) = $0 else { return false }
      return text.contains("3 requests had not ended")
    }
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
