import Testing

@testable import MillraceBench

@Suite struct ScheduleTests {
  private func moments(_ schedule: Schedule, _ count: Int) -> [UInt64] {
    var schedule = schedule
    return (0..<count).map { _ in
      defer { schedule.advance() }
      return schedule.next
    }
  }

  @Test("Poisson gaps have the mean that the rate asks for, and the spread of an exponential distribution")
  func poisson() {
    let moments = moments(Schedule(.poisson, rate: 10_000, connections: 8, start: 500, seed: 3), 200_000)
    let gaps = zip(moments.dropFirst(), moments).map { Double($0 - $1) }
    let mean = gaps.reduce(0, +) / Double(gaps.count)
    #expect(abs(mean / 100_000 - 1) < 0.01)
    let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
    #expect(abs(variance.squareRoot() / mean - 1) < 0.01)
    let longer = Double(gaps.count { $0 > mean }) / Double(gaps.count)
    #expect(abs(longer - 0.3679) < 0.005)
    #expect(moments[0] >= 500)
  }

  @Test("uniform connections each send at equal intervals, each from a moment of its own")
  func uniform() {
    let connections = 5
    let moments = moments(Schedule(.uniform, rate: 1_000, connections: connections, start: 0, seed: 9), 5_000)
    #expect(moments == moments.sorted())
    for (early, late) in zip(moments, moments.dropFirst(connections)) { #expect(late - early >= 4_999_999 && late - early <= 5_000_001) }
    let gaps = Set(zip(moments.dropFirst(), moments.prefix(connections)).map { $0 - $1 })
    #expect(gaps.count == connections)
    // No drift: the last moment is where it must be.
    #expect(abs(Double(moments[4_999]) - Double(moments[4]) - 999 * 5e6) <= 1)
  }

  @Test("the same seed gives the same moments, another seed others", arguments: Arrivals.allCases)
  func seeds(arrivals: Arrivals) {
    let make = { (seed: UInt64) in Schedule(arrivals, rate: 100, connections: 3, start: 7, seed: seed) }
    #expect(moments(make(1), 100) == moments(make(1), 100))
    #expect(moments(make(1), 100) != moments(make(2), 100))
  }

  @Test("the parts of several generators make the whole rate, and connections beyond the generators are shared out")
  func parts() {
    let load = Load.open(rate: 7_000, arrivals: .uniform, connections: 7, duration: 1)
    let ends: [UInt64] = [1_000_000_000, 1_000_000_000, 1_000_000_000]
    let counts = (0..<3).map { index in
      var schedule = load.schedule(index, of: 3, start: 0)!
      var count = 0
      while schedule.next < ends[index] {
        count += 1
        schedule.advance()
      }
      return count
    }
    #expect(counts == [3_000, 2_000, 2_000])
    #expect(Load.open(rate: 1, connections: 2, duration: 1).schedule(2, of: 3, start: 0) == nil)
    #expect(Load.closed(4, duration: 1).schedule(0, of: 1, start: 0) == nil)
  }
}
