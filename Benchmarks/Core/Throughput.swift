import MillraceCore

extension Work {
  /// Empty jobs in every shape: what one job costs beside its body.
  static let throughput = Shape.allCases.map { shape in
    Work(name: shape.rawValue, figures: ["ns a job"], workers: [1, 2], small: 20_000) { workers, count in
      let bed = try Bed(workers: workers)
      let run = try bed.runs(shape, count)
      return { [Double(try run()) / Double(shape.jobs(count))] }
    }
  }
}
