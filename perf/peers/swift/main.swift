// Swift concurrency: a TaskGroup's child task, or a detached one, for each job. The pool has as many threads as the process may use processors when
// it starts: for one worker only one is granted until then.
import Dispatch
import Glibc
import Synchronization

func fail(_ code: Int32, _ text: String) -> Never {
  var line = "swift-tasks: \(text)\n"
  _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  exit(code)
}


func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A graph with a counter for each node; the shapes are those of the other peers.
final class Graph: @unchecked Sendable {
  static let wave = 101
  var successors: [[UInt32]]
  let before: [UInt32]
  let left: UnsafeMutablePointer<Atomic<UInt32>>

  init(_ shape: String, _ count: Int) {
    let side = Int(Double(count).squareRoot())
    let nodes = shape == "fan" ? max(count / Graph.wave, 1) * Graph.wave + 1 : shape == "grid" ? side * side : count
    var successors = [[UInt32]](repeating: [], count: nodes)
    var before = [UInt32](repeating: 0, count: nodes)
    for i in 0..<nodes {
      func visit(_ p: Int) {
        successors[p].append(UInt32(i))
        before[i] += 1
      }
      switch shape {
      case "fan": if i % Graph.wave != 0 { visit(i - i % Graph.wave) } else if i > 0 { for k in 1..<Graph.wave { visit(i - k) } }
      case "grid":
        if i % side > 0 { visit(i - 1) }
        if i >= side { visit(i - side) }
      default: if i > 0 { visit(i - 1) }
      }
    }
    (self.successors, self.before) = (successors, before)
    left = .allocate(capacity: nodes)
    for i in 0..<nodes { (left + i).initialize(to: Atomic(before[i])) }
  }

  func reset() { for i in before.indices { left[i].store(before[i], ordering: .relaxed) } }

  func run(_ node: UInt32, _ ended: DispatchSemaphore) {
    body_empty()
    for next in successors[Int(node)] where before[Int(next)] == 1 || left[Int(next)].subtract(1, ordering: .acquiringAndReleasing).oldValue == 1 {
      Task.detached { self.run(next, ended) }
    }
    if Int(node) == before.count - 1 { ended.signal() }
  }
}

/// Children of a group, 64 at a time as they are asked for; the group counts them.
func independent(_ count: Int, _ rounds: UInt64) async {
  await withDiscardingTaskGroup { group in
    for _ in 0..<count { group.addTask { if rounds > 0 { body_spin(rounds) } else { body_empty() } } }
  }
}

func grow(_ depth: Int) async {
  body_empty()
  if depth == 0 { return }
  await withDiscardingTaskGroup { group in
    group.addTask { await grow(depth - 1) }
    group.addTask { await grow(depth - 1) }
  }
}

/// Runs `work` in the pool while this thread sleeps.
func wait(_ work: @escaping @Sendable () async -> Void) {
  let ended = DispatchSemaphore(value: 0)
  Task.detached {
    await work()
    ended.signal()
  }
  ended.wait()
}

func each(_ count: Int, _ work: () -> Void) -> Double {
  let begin = now()
  work()
  return Double(now() - begin) / Double(count)
}

func calibrate() -> Double {
  Double(1 << 14) / (0..<20).map { _ in each(1) { body_spin(1 << 14) } }.min()!
}

func efficiency(_ workers: Int, _ count: Int, _ rounds: UInt64) -> Double {
  let serial = each(count) { for _ in 0..<count { body_spin(rounds) } }
  return serial / (each(count) { wait { await independent(count, rounds) } } * Double(workers))
}

func openLoop(_ count: Int, _ interval: UInt64) -> [Double] {
  let samples = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: count)
  nonisolated(unsafe) let places = samples
  let ended = DispatchGroup()
  let begin = now() + 1_000_000
  for i in 0..<count {
    let due = begin + UInt64(i) * interval
    while now() < due {}
    ended.enter()
    Task.detached {
      places[i] = now() - due
      body_empty()
      ended.leave()
    }
  }
  ended.wait()
  let sorted = samples.sorted()
  return [0.5, 0.99].map { Double(sorted[Int((Double(count) * $0).rounded(.up)) - 1]) }
}

func prepare(_ work: String, _ workers: Int, _ count: Int) -> (() -> [Double])? {
  switch work {
  case "independent": return { [each(count) { wait { await independent(count, 0) } }] }
  case "chain", "fan", "grid":
    let graph = Graph(work, count)
    let ended = DispatchSemaphore(value: 0)
    return {
      [
        each(graph.before.count) {
          graph.reset()
          Task.detached { graph.run(0, ended) }
          ended.wait()
        }
      ]
    }
  case "tree":
    let depth = Int.bitWidth - 1 - count.leadingZeroBitCount
    return { [each(1 << depth - 1) { wait { await grow(depth - 1) } }] }
  case "idle-park", "rate-100k": return { openLoop(count, work == "rate-100k" ? 10_000 : 1_000_000) }
  default:
    guard work.hasPrefix("granularity-"), work.hasSuffix("ns"), let nanoseconds = Double(work.dropFirst(12).dropLast(2)) else { return nil }
    let rounds = UInt64(nanoseconds * calibrate())
    return { [efficiency(workers, count, rounds)] }
  }
}

let arguments = CommandLine.arguments
guard (4...5).contains(arguments.count), let workers = Int(arguments[2]), let count = Int(arguments[3]), workers > 0, count > 0,
  let repetitions = arguments.count == 5 ? Int(arguments[4]) : 1
else { fail(64, "usage: swift-tasks WORK WORKERS COUNT [REPETITIONS]") }
let granted = processors()
if workers == 1 {
  use_processors(granted & (~granted &+ 1))
} else if workers != granted.nonzeroBitCount {
  fail(69, "the pool has a thread for each processor, not \(workers)")
}
wait {}
use_processors(granted)
guard let repetition = prepare(arguments[1], workers, count) else { fail(69, "has no \(arguments[1])") }
_ = repetition()
for _ in 0..<repetitions { print(repetition().map { "\($0)" }.joined(separator: " ")) }
exit(0)
