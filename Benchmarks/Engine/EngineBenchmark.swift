import Glibc
import Millrace
import MillraceCore

/// What a program pays for a workflow of one task, awaited, beside a bare Swift task; and what an asynchronous handler costs beside a synchronous one.
///
///     EngineBenchmark [COUNT]      COUNT round trips of each kind in each of five rounds, by turns; the default is small
///     EngineBenchmark swap [SECONDS]   tasks of a plugin at a fixed rate, without swaps and with one every 100 ms: see `Swaps`
///     EngineBenchmark runs COUNT   COUNT awaited runs of a prepared workflow and nothing else: for who counts allocations or instructions
@main struct EngineBenchmark {
  static func main() async throws {
    let arguments = CommandLine.arguments
    if arguments.dropFirst().first == "swap" {
      guard arguments.count <= 3, let seconds = arguments.count == 2 ? 1 : Int(arguments[2]), (1...3_600).contains(seconds) else {
        print("usage: EngineBenchmark swap [SECONDS]   a number from 1 to 3,600")
        exit(64)
      }
      return try Swaps.measure(seconds: seconds)
    }
    let isCounted = arguments.count == 3 && arguments[1] == "runs"
    guard isCounted || arguments.count <= 2, let count = arguments.count == 1 ? 500 : Int(arguments.last!), (1...10_000_000).contains(count)
    else {
      print("usage: EngineBenchmark [runs] [COUNT]   a number from 1 to 10,000,000")
      exit(64)
    }
    let engine = try Engine()
    try engine.register("bytes") { _ in .empty }
    try engine.register("typed") { (input: Int, _) in input + 1 }
    try engine.register("typed-async") { (input: Int, _) async in input + 1 }
    try engine.register("async") { (_: TaskContext) async in .empty }
    try engine.register("async-yield") { (_: TaskContext) async in
      await Task.yield()
      return .empty
    }
    if isCounted {
      try await runs(engine, count)
    } else {
      try await roundTrips(engine, count)
      try await handlers(engine, count)
    }
    engine.shutdown()
  }

  /// Not on the main actor, whose thread each run would leave and come back to.
  private static func runs(_ engine: Engine, _ count: Int) async throws {
    let prepared = try engine.prepare(one("bytes"))
    for _ in 0..<count { _ = try await engine.run(prepared) }
  }

  private static func one(_ handler: String) -> Definition { Definition("one", tasks: [TaskDefinition("task", handler: handler)]) }

  // MARK: Round trips

  /// What is awaited. The bare task as well is a call of a stored closure.
  private struct Trip: Sendable {
    var name: String
    var make: @Sendable () async throws -> Void
  }

  private static func roundTrips(_ engine: Engine, _ count: Int) async throws {
    let workflow = one("bytes")
    let prepared = try engine.prepare(workflow)
    let asynchronous = try engine.prepare(one("async"))
    let trips = [
      Trip(name: "Task.detached") { await Task.detached {}.value },
      Trip(name: "Engine.run") { _ = try await engine.run(workflow) },
      Trip(name: "Engine.run, prepared") { _ = try await engine.run(prepared) },
      Trip(name: "Engine.run, prepared, async handler") { _ = try await engine.run(asynchronous) },
    ]
    print("| round trip, us | p50 | p99 | p50 of the first |\n|---|---:|---:|---:|")
    try await rows(trips, "from Swift's threads") { trip in
      var times: [UInt64] = []
      for _ in 0..<count {
        let start = Clock.monotonic.now
        try await trip.make()
        times.append(Clock.monotonic.now - start)
      }
      return times
    }
    try await rows(trips, "from the main actor") { trip in try await onMainActor(trip, count) }
  }

  /// The main actor has a thread of its own: every trip leaves it and comes back.
  @MainActor private static func onMainActor(_ trip: Trip, _ count: Int) async throws -> [UInt64] {
    var times: [UInt64] = []
    for _ in 0..<count {
      let start = Clock.monotonic.now
      try await trip.make()
      times.append(Clock.monotonic.now - start)
    }
    return times
  }

  /// Five rounds of each trip, by turns.
  private static func rows(_ trips: [Trip], _ place: String, _ measure: (Trip) async throws -> [UInt64]) async throws {
    var times = [[UInt64]](repeating: [], count: trips.count)
    for _ in 0..<5 { for (i, trip) in trips.enumerated() { times[i] += try await measure(trip) } }
    let first = percentile(&times[0], 50)
    for (i, trip) in trips.enumerated() {
      let (p50, p99) = (percentile(&times[i], 50), percentile(&times[i], 99))
      print("| \(trip.name), \(place) | \(p50) | \(p99) | \(text(p50 / first)) |")
    }
    fflush(nil)
  }

  /// Microseconds.
  private static func percentile(_ times: inout [UInt64], _ percent: Int) -> Double {
    times.sort()
    return Double(times[min(times.count - 1, times.count * percent / 100)] / 10) / 100
  }

  private static func text(_ value: Double) -> Double { (value * 100).rounded() / 100 }

  // MARK: Handlers

  /// A chain of tasks: the next begins when the last has ended, so that what a task takes is what its handler costs, and what the engine does between two.
  private static func handlers(_ engine: Engine, _ count: Int) async throws {
    print("\n| handler, us a task of a chain | median of 5 | least |\n|---|---:|---:|")
    let names = ["bytes", "async", "typed", "typed-async", "async-yield"]
    var times = [[Double]](repeating: [], count: names.count)
    for round in 0...5 {
      for (i, name) in names.enumerated() {
        var chain = Definition("chain")
        var before: [TaskReference] = []
        for j in 0..<max(count, 2) { before = [chain.task("t\(j)", handler: name, dependencies: before, input: 1)] }
        let result = try await engine.run(chain)
        // The first round warms up.
        if round > 0 { times[i].append(Double(result.record().elapsed) / Double(max(count, 2)) / 1000) }
      }
    }
    for (i, name) in names.enumerated() {
      times[i].sort()
      print("| \(name) | \(text(times[i][2])) | \(text(times[i][0])) |")
    }
  }
}
