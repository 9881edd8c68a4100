import Testing

@testable import MillraceBench

@Suite struct RecorderTests {
  private static let open = Window(begin: 1_000, end: 2_000, isOpen: true)
  private static let closed = Window(begin: 1_000, end: 2_000, isOpen: false)

  @Test("an open round has the requests that should have been sent in it, however late they ended")
  func openRound() {
    var recorder = Recorder()
    recorder.record(Ticket(intended: 999, sent: 1_100), end: 1_200, isDone: true, Self.open)
    recorder.record(Ticket(intended: 1_000, sent: 1_100), end: 1_300, isDone: true, Self.open)
    recorder.record(Ticket(intended: 1_999, sent: 2_500), end: 9_000, isDone: true, Self.open)
    recorder.record(Ticket(intended: 2_000, sent: 2_000), end: 2_001, isDone: true, Self.open)
    let round = recorder.round(Self.open, cpuNanoseconds: 7, generatorNanoseconds: 3)
    #expect(round.completed == 2)
    #expect(round.response.count == 2)
    #expect(round.response.minimum == 300)
    #expect(round.response.maximum == 7_001)
    #expect(round.response.sum == 7_301)
    #expect(round.service.sum == 6_700)
    #expect(round.lag?.sum == 601)
    #expect(round.cpuNanoseconds == 7)
    #expect(round.generatorNanoseconds == 3)
  }

  @Test("a closed round has the requests that ended in it; its response time is the service time")
  func closedRound() {
    var recorder = Recorder()
    recorder.record(Ticket(intended: 100, sent: 100), end: 999, isDone: true, Self.closed)
    recorder.record(Ticket(intended: 100, sent: 100), end: 1_000, isDone: true, Self.closed)
    recorder.record(Ticket(intended: 1_500, sent: 1_500), end: 2_000, isDone: true, Self.closed)
    let round = recorder.round(Self.closed, cpuNanoseconds: 0)
    #expect(round.completed == 1)
    #expect(round.service.count == 1)
    #expect(round.service.maximum == 900)
    #expect(round.response.sum == round.service.sum)
    #expect(round.lag == nil)
    // One was under way at the begin, one at the end.
    #expect(round.backlogGrowth == 0)
  }

  @Test("what grows is what was sent before the end and not ended by then, less the same for the begin")
  func backlog() {
    var recorder = Recorder()
    for sent in [500, 1_200, 1_300, 1_400] as [UInt64] {
      recorder.record(Ticket(intended: sent, sent: sent), end: 5_000, isDone: true, Self.open)
    }
    recorder.record(Ticket(intended: 900, sent: 900), end: 1_100, isDone: true, Self.open)
    #expect(recorder.backlogGrowth == 4 - 2)
  }

  @Test("a request that failed is counted, and its latency is not")
  func failures() {
    var recorder = Recorder()
    recorder.record(Ticket(intended: 1_100, sent: 1_100), end: 1_200, isDone: false, Self.open)
    let round = recorder.round(Self.open, cpuNanoseconds: 0)
    #expect(round.failed == 1)
    #expect(round.completed == 0)
    #expect(round.response.count == 0)
    #expect(round.response.minimum == 0)
  }

  @Test("histograms of lanes add up to the one that a single lane would have made, to three digits")
  func merging() {
    var whole = Latencies()
    var parts = [Latencies(), Latencies()]
    for value in stride(from: 1 as UInt64, to: 3_000_000, by: 997) {
      whole.record(value)
      parts[Int(value % 2)].record(value)
    }
    parts[0].add(parts[1])
    let (one, sum) = (whole.result, parts[0].result)
    #expect(one.buckets == sum.buckets)
    #expect(one.count == sum.count)
    #expect(one.sum == sum.sum)
    #expect(one.minimum == 1 && sum.minimum == 1)
    #expect(one.maximum == sum.maximum)
    for (quantile, exact) in [(0.5, 1.5e6), (0.9, 2.7e6), (0.99, 2.97e6)] {
      #expect(abs(Double(one.value(at: quantile)!) / exact - 1) < 0.002)
    }
    parts[0].reset()
    #expect(parts[0].result.buckets.isEmpty)
    #expect(parts[0].result.count == 0)
  }

  @Test("longer than an hour counts as an hour, with the maximum as it was")
  func longest() {
    var latencies = Latencies()
    latencies.record(UInt64.max / 4)
    latencies.record(0)
    let result = latencies.result
    #expect(result.count == 2)
    #expect(result.maximum == UInt64.max / 4)
    #expect(result.minimum == 0)
    #expect(result.buckets.map { $0[1] } == [1, 1])
    #expect(result.buckets[0][0] == 0)
  }

  @Test("a percentile needs 10 / (1 - p) samples")
  func fewSamples() {
    var latencies = Latencies()
    for value in 1...999 as ClosedRange<UInt64> { latencies.record(value) }
    #expect(latencies.result.value(at: 0.99) == nil)
    latencies.record(1_000)
    #expect(latencies.result.value(at: 0.99) == 990)
  }
}
