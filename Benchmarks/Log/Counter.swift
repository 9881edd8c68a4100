import Glibc
import Synchronization

/// Counts on one thread, waits on another.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)

  func reset() { count.store(0, ordering: .sequentiallyConsistent) }
  // Order: sequentially consistent. Pairs with the load in `wait`.
  func add(_ some: Int) { count.add(some, ordering: .sequentiallyConsistent) }
  func wait(for some: Int) { while count.load(ordering: .sequentiallyConsistent) < some { sched_yield() } }
  var value: Int { count.load(ordering: .sequentiallyConsistent) }
}
