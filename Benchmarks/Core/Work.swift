/// One row: what is measured, in which unit, and how.
struct Work: Sendable {
  let name: String
  /// Of its figures, in their order.
  let figures: [String]
  let workers: [Int]
  /// A count with which one repetition takes some milliseconds.
  let small: Int
  /// Prepares what is not measured. What it returns measures one repetition.
  let prepare: @Sendable (_ workers: Int, _ count: Int) throws -> () throws -> [Double]

  /// All of them, in the order of the table.
  static let all: [Work] = throughput + plans + granularity + sharing + latency + timers + costs + idle + overload
}

/// What the measuring asks for cannot be measured.
struct BenchmarkError: Error, CustomStringConvertible {
  let description: String
}
