import Glibc
import MillraceCore

extension Work {
  /// Bodies of a known size: how much of two workers' time goes into them.
  static let granularity =
    [100.0, 1000, 10_000, 100_000].map { nanoseconds in
      Work(name: "granularity-\(Int(nanoseconds))ns", figures: ["efficiency"], workers: [2], small: max(64, Int(1e7 / nanoseconds))) {
        workers, count in
        let bed = try Bed(workers: workers, body: .spin(nanoseconds: nanoseconds))
        return { [try bed.efficiency(count)] }
      }
    } + [
      Work(name: "granularity-half", figures: ["ns of body"], workers: [2], small: 2_000) { workers, count in
        { [try smallestBody(workers, count)] }
      }
    ]

  /// The smallest body, nanoseconds, of which half of the workers' time is left: ten halvings between 2^2 and 2^16.
  private static func smallestBody(_ workers: Int, _ count: Int) throws -> Double {
    var (low, high) = (2.0, 16.0)
    for _ in 0..<10 {
      let middle = (low + high) / 2
      let body = exp2(middle)
      let jobs = max(1000, min(count, Int(2e7 / body)))
      let bed = try Bed(workers: workers, body: .spin(nanoseconds: body))
      _ = try bed.efficiency(jobs)
      if try bed.efficiency(jobs) >= 0.5 { high = middle } else { low = middle }
    }
    return exp2(high)
  }

  /// Bodies of 1 and 10 us, in each shape in which workers can share: how many times faster than with one worker.
  static let sharing = [1000.0, 10_000].map { nanoseconds in
    Work(
      name: "body-\(Int(nanoseconds / 1000))us", figures: Shape.parallel.map { "times faster: \($0.rawValue)" }, workers: [2], small: 1_000
    ) { workers, count in
      let runs = try Shape.parallel.map { shape in
        // Two beds: the one that is not measured sleeps.
        (
          try Bed(workers: 1, body: .spin(nanoseconds: nanoseconds)).runs(shape, count),
          try Bed(workers: workers, body: .spin(nanoseconds: nanoseconds)).runs(shape, count)
        )
      }
      return { try runs.map { alone, shared in Double(try alone()) / Double(try shared()) } }
    }
  }
}

extension Bed {
  /// The share of the workers' time that goes into the bodies of `count` jobs from outside.
  func efficiency(_ count: Int) throws -> Double {
    let jobs = Shape.independent.jobs(count)
    let alone = serial(jobs)
    return Double(alone) / Double(workers) / Double(try runs(.independent, jobs)())
  }
}
