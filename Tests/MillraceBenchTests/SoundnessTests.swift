import Testing

@testable import MillraceBench

@Suite struct SoundnessTests {
  private func figures(
    lag: UInt64 = 10, response: UInt64 = 1_000, count: Int = 2_000, asked: UInt64 = 2_000, inTime: UInt64 = 2_000, growth: Int64 = 0
  )
    -> RoundFigures
  {
    var recorder = Recorder()
    let window = Window(begin: 0, end: 1_000_000, isOpen: true)
    for _ in 0..<count { recorder.record(Ticket(intended: 100, sent: 100 + lag), end: 100 + response, isDone: true, window) }
    var round = recorder.round(window, cpuNanoseconds: 0)
    round.backlogGrowth = growth
    return RoundFigures(round: round, tally: GeneratorTally(asked: asked, sentInTime: inTime))
  }

  @Test("a generator that is in time is sound")
  func sound() { #expect(Soundness.refusal([figures(), figures()]) == nil) }

  @Test("a lag of more than half the response time is refused, by percentile or, with few samples, by mean")
  func lag() {
    #expect(Soundness.refusal([figures(lag: 490)]) == nil)
    #expect(Soundness.refusal([figures(lag: 510)])?.contains("lag p99 is 510 ns, the response time's 1.00 µs") == true)
    #expect(Soundness.refusal([figures(lag: 490, count: 20)]) == nil)
    #expect(Soundness.refusal([figures(lag: 510, count: 20)])?.contains("mean lag is 510 ns") == true)
  }

  @Test("fewer than 99 in 100 sent in time is refused, unless the subject did not keep up")
  func sent() {
    #expect(Soundness.refusal([figures(inTime: 1_980)]) == nil)
    #expect(Soundness.refusal([figures(inTime: 1_979)])?.contains("1,979 of 2,000") == true)
    #expect(Soundness.refusal([figures(inTime: 1_000, growth: 500)]) == nil)
  }

  @Test("a queue grows by more than a hundredth of the requests and ten")
  func queue() {
    #expect(!Soundness.isQueueGrowing(figures(growth: 30).round))
    #expect(Soundness.isQueueGrowing(figures(growth: 31).round))
    #expect(!Soundness.isQueueGrowing(figures(growth: -500).round))
  }

  @Test("a level without an end, or with failures alone, has no figure")
  func nothing() {
    #expect(Soundness.refusal([figures(count: 0)])?.contains("no request ended") == true)
    var failed = figures(count: 0)
    failed.round.failed = 7
    #expect(Soundness.refusal([failed]) == "all 7 requests failed")
  }

  @Test("the table shows a gap with its reason, and a refused level without figures")
  func table() {
    let configuration = BenchConfiguration(
      mode: .open, rate: 2_000, arrivals: "poisson", durationNanoseconds: 1_000_000, warmUpNanoseconds: 0, rounds: 1, threads: 1, slots: 1,
      wait: "park", isPinned: false)
    let result = BenchResult(
      schema: BenchResult.currentSchema, suite: "scheduler", date: "", host: Sample.host, configuration: configuration,
      levels: [
        BenchLevel(level: 1, refusal: nil, rounds: [figures().round]), BenchLevel(level: 8, refusal: "no", rounds: [figures().round]),
      ])
    let lines = BenchTable.text(result, name: "a").split(separator: "\n").map(String.init)
    #expect(lines[0] == "a: scheduler, open, 2,000 a second, poisson, 1 round of 1.00 ms after 0 s, 1 thread, 1 slot, park")
    #expect(lines[3].contains("service p99") && lines[3].contains("lag p99"))
    #expect(lines[4].contains("1.00 µs") && lines[4].contains(" \(BenchTable.gap) "))
    #expect(lines[5] == "level 8 refused: no")
    #expect(lines.contains { $0.hasPrefix("\(BenchTable.gap) too few samples") })
  }
}
