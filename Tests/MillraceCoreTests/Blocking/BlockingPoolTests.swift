import Glibc
import MillraceCore
import Synchronization
import Testing

/// What a pool ran; values above 1,000 wait inside until the test opens the barrier.
@safe
private final class PoolProbe: @unchecked Sendable {
  private struct State {
    var order: [UInt64] = []
    var lanes: Set<Int> = []
    var names: Set<String> = []
    var inside = 0
    var mostInside = 0
    var isOpen = false
  }

  // A condition of the test's own: the pool's threads really block.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var state = State()

  init() {
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
  }

  deinit {
    unsafe mutex.deallocate()
    unsafe condition.deallocate()
  }

  func pool(limit: Int, capacity: Int, idleNanoseconds: UInt64 = 1 << 50) -> BlockingPool {
    unsafe BlockingPool(
      limit: limit, capacity: capacity, idleNanoseconds: idleNanoseconds, stackBytes: 128 << 10,
      context: Unmanaged.passUnretained(self).toOpaque()
    ) { context, value, lane in
      guard let context = unsafe context else { return }
      unsafe Unmanaged<PoolProbe>.fromOpaque(context).takeUnretainedValue().run(value, lane)
    }
  }

  private func run(_ value: UInt64, _ lane: Int) {
    let name = SmallFile.text("/proc/thread-self/comm")?.split(separator: "\n").first.map(String.init)
    locked {
      state.order.append(value)
      state.lanes.insert(lane)
      state.names.insert(name ?? "")
      state.inside += 1
      state.mostInside = max(state.mostInside, state.inside)
      unsafe _ = pthread_cond_broadcast(condition)
      while value > 1_000, !state.isOpen { unsafe _ = pthread_cond_wait(condition, mutex) }
      state.inside -= 1
      unsafe _ = pthread_cond_broadcast(condition)
    }
  }

  func open() {
    locked {
      state.isOpen = true
      unsafe _ = pthread_cond_broadcast(condition)
    }
  }

  func waitUntil(inside: Int) {
    locked { while state.inside != inside { unsafe _ = pthread_cond_wait(condition, mutex) } }
  }

  func waitUntil(ran: Int) {
    locked { while state.order.count < ran { unsafe _ = pthread_cond_wait(condition, mutex) } }
  }

  var order: [UInt64] { locked { state.order } }
  var lanes: Set<Int> { locked { state.lanes } }
  var names: Set<String> { locked { state.names } }
  var mostInside: Int { locked { state.mostInside } }

  private func locked<Value>(_ body: () -> Value) -> Value {
    unsafe _ = pthread_mutex_lock(mutex)
    defer { unsafe _ = pthread_mutex_unlock(mutex) }
    return body()
  }
}

@Suite struct BlockingPoolTests {
  @Test("no thread is started before it is needed, and never more than the limit")
  func bounded() throws {
    let probe = PoolProbe()
    let pool = probe.pool(limit: 3, capacity: 10)
    #expect(pool.threads == 0)
    for value in UInt64(1_001)...1_005 { try pool.submit(value) }
    probe.waitUntil(inside: 3)
    #expect(pool.threads == 3)
    #expect(pool.queued == 2)
    #expect(pool.running == 3)
    probe.open()
    pool.stop(.drain)
    #expect(probe.order.sorted() == Array(1_001...1_005))
    #expect(probe.mostInside == 3)
    #expect(probe.lanes.isSubset(of: [0, 1, 2]))
    #expect(probe.names.isSubset(of: ["millrace-b-0", "millrace-b-1", "millrace-b-2"]))
    #expect(pool.threads == 0)
  }

  @Test("one thread runs the values first in, first out")
  func order() throws {
    let probe = PoolProbe()
    let pool = probe.pool(limit: 1, capacity: 7)
    for round in UInt64(0)..<20 {
      for value in 0..<7 { try pool.submit(round * 7 + UInt64(value)) }
      probe.waitUntil(ran: Int(round + 1) * 7)
    }
    pool.stop(.drain)
    #expect(probe.order == Array(0..<140))
    #expect(probe.lanes == [0])
  }

  @Test("a full pool refuses, and takes again when there is room; a stopped one refuses for good")
  func refusals() throws {
    let probe = PoolProbe()
    let pool = probe.pool(limit: 1, capacity: 2)
    try pool.submit(1_001)
    probe.waitUntil(inside: 1)
    try pool.submit(2)
    try pool.submit(3)
    #expect(throws: BlockingPoolError.full(capacity: 2)) { try pool.submit(4) }
    probe.open()
    probe.waitUntil(ran: 3)
    try pool.submit(5)
    pool.stop(.drain)
    #expect(throws: BlockingPoolError.stopped) { try pool.submit(6) }
    #expect(probe.order == [1_001, 2, 3, 5])
    pool.stop(.drain)
  }

  @Test("abandoning hands back what waits, in order, and lets what runs end")
  func abandon() throws {
    let probe = PoolProbe()
    let pool = probe.pool(limit: 1, capacity: 10)
    try pool.submit(1_001)
    probe.waitUntil(inside: 1)
    for value in UInt64(2)...5 { try pool.submit(value) }
    var abandoned: [UInt64] = []
    pool.stop(.abandon) { value in
      abandoned.append(value)
      if value == 5 { probe.open() }
    }
    #expect(abandoned == [2, 3, 4, 5])
    #expect(probe.order == [1_001])
  }

  @Test("a thread without work leaves, and its lane is used again")
  func leaves() throws {
    let probe = PoolProbe()
    let pool = probe.pool(limit: 2, capacity: 4, idleNanoseconds: 0)
    for value in UInt64(0)..<50 {
      try pool.submit(value)
      // Ends when the thread has left, however long that takes.
      while pool.threads > 0 { sched_yield() }
    }
    #expect(probe.order == Array(0..<50))
    #expect(probe.lanes == [0])
    pool.stop(.drain)
  }

  @Test("many submitters at once: each value taken runs exactly once")
  func conservation() throws {
    let probe = PoolProbe()
    let pool = probe.pool(limit: 4, capacity: 64, idleNanoseconds: 1_000)
    let threads = (0..<3).map { (thread: Int) in
      TestThread {
        for index in 0..<300 {
          while true {
            do throws(BlockingPoolError) {
              try pool.submit(UInt64(thread * 300 + index))
              break
            } catch {
              guard case .full = error else {
                Issue.record("\(error)")
                return
              }
              sched_yield()
            }
          }
        }
      }
    }
    for thread in threads { thread.join() }
    pool.stop(.drain)
    #expect(probe.order.sorted() == Array(0..<900))
  }
}
