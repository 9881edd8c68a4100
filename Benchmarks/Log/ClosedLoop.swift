import CMillrace
import Glibc
import MillraceCore
import MillraceLog
import Synchronization

/// A fixed number of appends under way: what has ended begins anew.
@safe final class ClosedLoop: @unchecked Sendable {
  private let log: EventLog
  private let count: Int
  private var slots: Slots!
  private let acknowledged = Atomic<UInt64>(0)
  private let stopping = Atomic<Bool>(false)
  private let ended = Atomic<Int>(0)
  private var byThread = false
  /// What the thread may append again.
  private let returned: BoundedReturns
  private var again: ContiguousArray<UnsafeMutableRawPointer> = unsafe []
  /// Latencies, in memory of their own: one check for each would be a part of what is measured.
  private let times = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: 1 << 20)
  private var timed = 0

  init(_ log: EventLog, _ count: Int) {
    self.log = log
    self.count = count
    returned = BoundedReturns(count)
    unsafe again.reserveCapacity(count)
    // Touched once before, as all that is measured.
    unsafe times.initialize(repeating: 0)
    slots = unsafe Slots(log, count, Unmanaged.passUnretained(self).toOpaque()) { context, requests, count in
      // Safe: the loop outlives its log's work.
      unsafe Unmanaged<ClosedLoop>.fromOpaque(context!)._withUnsafeGuaranteedRef { loop in
        unsafe loop.told(AppendSink.requests(requests, count))
      }
    }
  }

  private func told(_ requests: UnsafeBufferPointer<UnsafeMutablePointer<AppendRequest>>) {
    let now = millrace_monotonic()
    unsafe again.removeAll(keepingCapacity: true)
    for at in requests.indices {
      let request = unsafe requests[at]
      guard unsafe request.pointee.outcome == .appended else {
        LogBenchmark.fail("an append ended as \(unsafe request.pointee.outcome)", 1)
      }
      let index = unsafe slots.index(request)
      if unsafe timed < times.count {
        unsafe times[timed] = now - slots.starts[index]
        timed += 1
      }
    }
    // Order: releasing. Pairs with the load in `run`.
    acknowledged.add(UInt64(requests.count), ordering: .releasing)
    if stopping.load(ordering: .relaxed) {
      ended.add(requests.count, ordering: .sequentiallyConsistent)
      return
    }
    if count == 1 { return }
    if byThread {
      for at in requests.indices { unsafe returned.put(slots.index(requests[at])) }
      return
    }
    for at in requests.indices {
      let request = unsafe requests[at]
      let index = unsafe slots.index(request)
      slots.fill(index)
      unsafe slots.starts[index] = now
      unsafe again.append(UnsafeMutableRawPointer(request))
    }
    unsafe again.withUnsafeBufferPointer { all in unsafe submit(all) }
  }

  private func submit(_ all: UnsafeBufferPointer<UnsafeMutableRawPointer>, mayLead: Bool = false) {
    do { try unsafe log.append(all, mayLead: mayLead) } catch {
      // What comes while the log closes is not counted any more.
      if error != .closed || !stopping.load(ordering: .sequentiallyConsistent) { LogBenchmark.fail("\(error)", 1) }
    }
  }

  private func submit(_ index: Int, mayLead: Bool) {
    slots.fill(index)
    unsafe slots.starts[index] = millrace_monotonic()
    do { try unsafe log.append(slots.request(index), mayLead: mayLead) } catch { LogBenchmark.fail("\(error)", 1) }
  }

  /// - Parameter before: commits of the log that are not of this loop.
  func run(seconds: Double, byThread: Bool, before: Int) -> String {
    self.byThread = byThread
    let begin = millrace_monotonic()
    let end = begin + UInt64(seconds * 1e9)
    if count == 1 {
      // One at a time, committed by this thread, unless another one commits just then.
      var appended: UInt64 = 0
      while millrace_monotonic() < end {
        submit(0, mayLead: true)
        appended += 1
        // Order: acquiring. Pairs with the addition in `told`.
        while acknowledged.load(ordering: .acquiring) < appended { millrace_yield() }
      }
    } else {
      for index in 0..<count { submit(index, mayLead: false) }
      while millrace_monotonic() < end {
        if byThread {
          while let index = returned.take() { submit(index, mayLead: false) }
        } else {
          usleep(10_000)
        }
      }
    }
    let total = acknowledged.load(ordering: .relaxed)
    let elapsed = Double(millrace_monotonic() - begin) / 1e9
    stopping.store(true, ordering: .sequentiallyConsistent)
    log.close()
    let sorted = unsafe times[..<timed].sorted()
    func quantile(_ part: Double) -> UInt64 { sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))] }
    return
      ",\"acknowledged\":\(total),\"seconds\":\(elapsed),\"per_second\":\(Int(Double(total) / elapsed)),\"syncs\":\(log.commits - UInt64(before)),"
      + "\"p50_ns\":\(quantile(0.5)),\"p99_ns\":\(quantile(0.99))"
  }
}

/// Numbers that one thread gives back and another takes: at most `count` at a time.
@safe final class BoundedReturns: @unchecked Sendable {
  private let ring: UnsafeMutablePointer<Int>
  private let mask: Int
  private let tail = Atomic<Int>(0)
  private let head = Atomic<Int>(0)

  init(_ count: Int) {
    var size = 1
    while size < count { size *= 2 }
    mask = size - 1
    unsafe ring = .allocate(capacity: size)
  }

  func put(_ value: Int) {
    let at = tail.load(ordering: .relaxed)
    unsafe ring[at & mask] = value
    // Order: releasing. Pairs with the load in `take`.
    tail.store(at + 1, ordering: .releasing)
  }

  func take() -> Int? {
    let at = head.load(ordering: .relaxed)
    guard at < tail.load(ordering: .acquiring) else { return nil }
    defer { head.store(at + 1, ordering: .relaxed) }
    return unsafe ring[at & mask]
  }
}
