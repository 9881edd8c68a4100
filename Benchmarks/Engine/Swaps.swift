import Glibc
import Millrace
import MillraceCore
import Synchronization

/// 100,000 tasks a second of a plugin: 10,000 runs of ten tasks, 1 -> 8 -> 1, at moments that are fixed before; first without a swap, then with one every 100 ms, between
/// two builds of the plugin `bench` beside this program. A run's latency counts from its moment, so that whoever holds up the starts is found out.
///
/// Lost are tasks of runs that were taken and did not complete, doubled those that had more than one attempt.
enum Swaps {
  private static let rate = 10_000
  private static let tasks = 10
  private static let interval: UInt64 = 100_000_000
  /// Runs that are taken while so many are under way would be measured against nothing but the queue.
  private static let capacity = 1 << 20

  /// What one run wrote down.
  private final class Ledger: Sendable {
    let latencies: Places
    let ended = Atomic<Int>(0)
    let completed = Atomic<Int>(0)
    let attempts = Atomic<Int>(0)

    init(runs: Int) { latencies = Places(count: runs) }
  }

  /// A place for each run, written once by who ends it.
  @safe final class Places: @unchecked Sendable {
    private let memory: UnsafeMutablePointer<UInt64>
    let count: Int

    init(count: Int) {
      unsafe memory = .allocate(capacity: count)
      unsafe memory.initialize(repeating: 0, count: count)
      self.count = count
    }

    deinit { unsafe memory.deallocate() }

    func put(_ value: UInt64, at index: Int) {
      precondition(index < count)
      unsafe memory[index] = value
    }

    /// After the last `put`.
    func sorted() -> [UInt64] { unsafe UnsafeBufferPointer(start: memory, count: count).sorted() }
  }

  private struct Figures {
    var latencies: [UInt64]
    var swaps: [UInt64]
    var lost: Int
    var doubled: Int

    func row(_ name: String) -> String {
      func percentile(_ percent: Double, _ times: [UInt64]) -> Double {
        times.isEmpty ? 0 : Double(times[min(times.count - 1, Int(Double(times.count) * percent / 100))] / 10) / 100
      }
      return
        "| \(name) | \(latencies.count * Swaps.tasks) | \(swaps.count) | \(lost) | \(doubled) | \(percentile(50, latencies)) | \(percentile(99, latencies)) | \(percentile(50, swaps)) | \(percentile(99, swaps)) |"
    }
  }

  static func measure(seconds: Int) throws {
    let place = CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let original = (place.isEmpty ? "." : place) + "/libmillrace-plugin-bench.so"
    let folder = "/tmp/millrace-swaps-\(getpid())"
    guard unsafe mkdir(folder, 0o700) == 0 else { throw Refusal(reason: "\(folder) cannot be made") }
    defer {
      for name in ["a.so", "b.so"] { _ = unsafe unlink(folder + "/" + name) }
      _ = unsafe rmdir(folder)
    }
    let builds = [folder + "/a.so", folder + "/b.so"]
    // What follows the last part of a shared object nobody reads: two builds of the same code.
    for (i, build) in builds.enumerated() { try copy(original, to: build, more: UInt8(i)) }

    print(
      "| 100,000 tasks a second, us | tasks | swaps | lost | doubled | p50 | p99 | swap p50 | swap p99 |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    var p99: [UInt64] = []
    for isSwapping in [false, true] {
      let figures = try one(builds, seconds: seconds, isSwapping: isSwapping)
      print(figures.row(isSwapping ? "a swap every 100 ms" : "no swaps"))
      p99.append(figures.latencies[figures.latencies.count * 99 / 100])
    }
    print("\np99 with swaps: \((Double(p99[1]) / Double(max(1, p99[0])) * 100).rounded() / 100) times that without")
    fflush(nil)
  }

  struct Refusal: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
  }

  private static func copy(_ source: String, to target: String, more byte: UInt8) throws {
    guard let from = unsafe fopen(source, "r"), let to = unsafe fopen(target, "w") else {
      throw Refusal(reason: "\(source) cannot be copied to \(target): build the plugin `bench` first")
    }
    defer {
      unsafe fclose(from)
      unsafe fclose(to)
    }
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while case let got = unsafe fread(&block, 1, block.count, from), got > 0 { _ = unsafe fwrite(block, 1, got, to) }
    var last = byte
    guard unsafe fwrite(&last, 1, 1, to) == 1 else { throw Refusal(reason: "\(target) cannot be written") }
  }

  private static func one(_ builds: [String], seconds: Int, isSwapping: Bool) throws -> Figures {
    var configuration = Engine.Configuration()
    configuration.plugins = PluginSearch(paths: [builds[0]])
    configuration.capacity = capacity
    let engine = try Engine(configuration)
    defer { engine.shutdown() }
    if let problem = engine.pluginProblems.first { throw problem }
    var definition = Definition("swapped")
    let first = definition.task("first", handler: "bench/empty")
    let middle = (0..<tasks - 2).map { definition.task("t\($0)", handler: "bench/empty", dependencies: [first]) }
    definition.task("last", handler: "bench/empty", dependencies: middle)
    let workflow = try engine.prepare(definition)
    for _ in 0..<1_000 { _ = try engine.start(workflow).wait() }

    let runs = seconds * rate
    let ledger = Ledger(runs: runs)
    let begin = Clock.monotonic.now + 1_000_000
    let swapper = Swapper(engine, builds, begin: begin)
    if isSwapping, !OwnThread.run({ swapper.run() }) { throw Refusal(reason: "no thread to be had") }
    for index in 0..<runs {
      let intended = begin + UInt64(index) * 1_000_000_000 / UInt64(rate)
      while Clock.monotonic.now < intended {}
      let run = try engine.start(workflow)
      run.whenFinished { status in
        ledger.latencies.put(Clock.monotonic.now - intended, at: index)
        let progress = run.progress()
        ledger.attempts.add(progress.attempts, ordering: .relaxed)
        ledger.completed.add(progress.completed, ordering: .relaxed)
        ledger.ended.add(1, ordering: .releasing)
      }
    }
    let deadline = Clock.monotonic.now + 60_000_000_000
    while ledger.ended.load(ordering: .acquiring) < runs, Clock.monotonic.now < deadline { sched_yield() }
    let swaps = isSwapping ? swapper.stop() : []
    let completed = ledger.completed.load(ordering: .relaxed)
    return Figures(
      latencies: ledger.latencies.sorted(), swaps: swaps.sorted(), lost: runs * tasks - completed,
      doubled: max(0, ledger.attempts.load(ordering: .relaxed) - runs * tasks))
  }

  /// Swaps the one build for the other and back, on a thread of its own.
  private final class Swapper: Sendable {
    private let engine: Engine
    private let builds: [String]
    private let begin: UInt64
    private let isStopped = Atomic<Bool>(false)
    private let isDone = Atomic<Bool>(false)
    private let times = Times()

    /// One thread writes, and then another reads.
    private final class Times: @unchecked Sendable { var all: [UInt64] = [] }

    init(_ engine: Engine, _ builds: [String], begin: UInt64) { (self.engine, self.builds, self.begin) = (engine, builds, begin) }

    func run() {
      var number: UInt64 = 0
      while !isStopped.load(ordering: .relaxed) {
        number += 1
        let due = begin + number * Swaps.interval
        while Clock.monotonic.now < due, !isStopped.load(ordering: .relaxed) { usleep(500) }
        if isStopped.load(ordering: .relaxed) { break }
        let before = Clock.monotonic.now
        let swap = engine.swap(plugin: builds[Int(number % 2)])
        guard swap.status == .promoted else {
          print("swap \(number): \(swap.status)")
          break
        }
        times.all.append(Clock.monotonic.now - before)
      }
      isDone.store(true, ordering: .releasing)
    }

    func stop() -> [UInt64] {
      isStopped.store(true, ordering: .relaxed)
      while !isDone.load(ordering: .acquiring) { sched_yield() }
      return times.all
    }
  }
}
