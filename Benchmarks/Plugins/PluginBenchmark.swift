import CMillrace
import Glibc
import MillraceCore
import MillracePlugins

/// What a call of a plugin costs, in this process and in one of its own: each row beside its goal.
///
///     PluginBenchmark [SECONDS [ROW]]   SECONDS for each row, 0.1 to 60; the default is 1, and all rows
///
/// Both ends of an isolated call are this thread and the process: nobody else takes part. An engine adds its own costs.
@main struct PluginBenchmark {
  struct Row {
    let name: String
    let value: String
    let goal: String
    let isReached: Bool
    var remark = ""
  }

  static func main() throws {
    let arguments = CommandLine.arguments
    let all = [("call-in-process", inProcess), ("call-isolated-spin", spin), ("call-isolated-park", park), ("isolated-batch", batch)]
    let wanted = all.filter { arguments.count < 3 || $0.0 == arguments[2] }
    guard arguments.count <= 3, let seconds = arguments.count == 1 ? 1 : Double(arguments[1]), (0.1...60).contains(seconds), !wanted.isEmpty
    else {
      print("usage: PluginBenchmark [SECONDS [ROW]]   a number from 0.1 to 60, one of \(all.map(\.0).joined(separator: ", "))")
      exit(64)
    }
    let rows = try wanted.map { try $0.1(seconds) }
    print("| row | measured | goal | reached | |\n|---|---:|---:|---|---|")
    for row in rows { print("| \(row.name) | \(row.value) | \(row.goal) | \(row.isReached ? "yes" : "no") | \(row.remark) |") }
    if rows.contains(where: { !$0.isReached }) { print("not all goals are reached here; a busy machine is the first suspect") }
  }

  // MARK: Subjects

  /// The plugin `bench`, which lies beside this program, and its handler `empty`.
  private final class Subject {
    let host = BenchHost()
    let isolated: IsolatedPlugin?
    let call: BenchCall
    private var loader: PluginLoader

    init(_ isolation: PluginIsolation) throws {
      var choice = IsolationChoice()
      choice.standard = isolation
      loader = unsafe PluginLoader(host: UnsafePointer(host.table), isolation: choice)
      loader.driver = .caller
      let directory = String(
        CommandLine.arguments[0].prefix(upTo: CommandLine.arguments[0].lastIndex(of: "/") ?? CommandLine.arguments[0].startIndex))
      let plugin = try loader.load((directory.isEmpty ? "." : directory) + "/libmillrace-plugin-bench.so")
      isolated = plugin.isolated
      guard let empty = plugin.handlers.first(where: { $0.qualifiedName == "bench/empty" }) else {
        preconditionFailure("the plugin bench has `empty`")
      }
      call = unsafe BenchCall(empty.pointer, host)
    }

    deinit { loader.unloadAll() }

    /// One attempt, awaited.
    @inline(__always) func roundTrip(waits: Bool) {
      let target = host.ended + 1
      _ = call.run()
      while host.ended != target { isolated!.turn(waits: waits) }
    }

    func check() { precondition(host.done == host.ended, "an attempt was not done") }
  }

  private static func bounds(_ wait: IsolationBounds.Wait, slots: Int = 64) -> IsolationBounds {
    var bounds = IsolationBounds()
    (bounds.wait, bounds.slots, bounds.attemptBytes) = (wait, slots, 1 << 16)
    return bounds
  }

  /// Round trips for so long: nanoseconds of each.
  private static func roundTrips(_ seconds: Double, _ wait: IsolationBounds.Wait) throws -> [UInt64] {
    let subject = try Subject(.process(bounds(wait)))
    for _ in 0..<1_000 { subject.roundTrip(waits: wait == .park) }
    var times: [UInt64] = []
    times.reserveCapacity(1 << 22)
    let end = Clock.monotonic.now + UInt64(seconds * 1e9)
    var start = Clock.monotonic.now
    while start < end, times.count < 1 << 22 {
      subject.roundTrip(waits: wait == .park)
      let now = Clock.monotonic.now
      times.append(now - start)
      start = now
    }
    subject.check()
    return times.sorted()
  }

  // MARK: Rows

  private static func inProcess(_ seconds: Double) throws -> Row {
    let subject = try Subject(.inProcess)
    let count = 1_000_000
    let bare = UnsafeMutablePointer<millrace_handler>.allocate(capacity: 1)
    unsafe bare.initialize(to: millrace_handler())
    unsafe bare.pointee.run = { _, _, _ in UInt32(MILLRACE_DONE) }
    let pointer = unsafe BenchCall(UnsafePointer(bare), subject.host)
    var differences: [Double] = []
    var pairs: [(Double, Double)] = []
    let end = Clock.monotonic.now + UInt64(seconds * 1e9)
    while Clock.monotonic.now < end || differences.count < 5 {
      let (one, two) = (time(count, pointer), time(count, subject.call))
      pairs.append((one, two))
      differences.append(two - one)
    }
    differences.sort()
    let over = differences[differences.count / 2]
    let middle = pairs.map(\.1).sorted()[pairs.count / 2]
    return Row(
      name: "call-in-process", value: "\(tenths(over)) ns over a function pointer", goal: "at most 5 ns", isReached: over <= 5,
      remark: "\(tenths(middle)) ns a call, the outcome set anew for each")
  }

  private static func time(_ count: Int, _ call: BenchCall) -> Double {
    let start = Clock.monotonic.now
    var sum: UInt32 = 0
    for _ in 0..<count { sum &+= call.run() }
    precondition(sum == 0, "each is done")
    return Double(Clock.monotonic.now - start) / Double(count)
  }

  private static func spin(_ seconds: Double) throws -> Row {
    let times = try roundTrips(seconds, .spin)
    let p50 = times[times.count / 2]
    return Row(
      name: "call-isolated-spin", value: "p50 \(microseconds(p50)) us", goal: "p50 1.5 us", isReached: p50 <= 1_500,
      remark: "p99 \(microseconds(times[times.count * 99 / 100])) us, \(times.count) calls")
  }

  private static func park(_ seconds: Double) throws -> Row {
    let futex = FutexPair.measure(20_000).sorted()
    let times = try roundTrips(seconds, .park)
    let (p50, floor) = (times[times.count / 2], futex[futex.count / 2])
    let ratio = Double(p50) / Double(floor)
    return Row(
      name: "call-isolated-park", value: "\(hundredths(ratio)) futex round trips", goal: "at most 2", isReached: ratio <= 2,
      remark: "p50 \(microseconds(p50)) us, a futex \(microseconds(floor)) us")
  }

  private static func batch(_ seconds: Double) throws -> Row {
    let flying: UInt64 = 256
    let subject = try Subject(.process(bounds(.spin, slots: 512)))
    var sent: UInt64 = 0
    var rates: [Double] = []
    for _ in 0..<15 {
      let (start, before) = (Clock.monotonic.now, subject.host.ended)
      let end = start + UInt64(seconds * 1e9 / 15)
      while Clock.monotonic.now < end {
        while sent - subject.host.ended < flying {
          _ = subject.call.run()
          sent += 1
        }
        subject.isolated!.turn(waits: false)
      }
      rates.append(Double(subject.host.ended - before) * 1e9 / Double(Clock.monotonic.now - start))
    }
    while subject.host.ended < sent { subject.isolated!.turn(waits: false) }
    subject.check()
    rates.sort()
    return Row(
      name: "isolated-batch", value: "\(hundredths(rates[7] / 1e6)) M tasks/s", goal: "3 M tasks/s", isReached: rates[7] >= 3e6,
      remark: "one process, \(flying) in flight; the best of 15 rounds \(hundredths(rates[14] / 1e6))")
  }

  private static func tenths(_ value: Double) -> Double { (value * 10).rounded() / 10 }
  private static func hundredths(_ value: Double) -> Double { (value * 100).rounded() / 100 }
  private static func microseconds(_ nanoseconds: UInt64) -> Double { hundredths(Double(nanoseconds) / 1_000) }
}
