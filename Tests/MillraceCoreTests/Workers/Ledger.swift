import Synchronization

@testable import MillraceCore

/// Remembers which job started when: a handler writes a number of the global order into the place of its job.
@safe final class Ledger: @unchecked Sendable {
  let count: Int
  private let next = Atomic<Int>(0)
  // unsafe: `count` places, each written by the handler of one job.
  private let places: UnsafeMutablePointer<Atomic<Int>>

  init(_ count: Int) {
    self.count = count
    unsafe places = .allocate(capacity: count)
    for i in 0..<count { unsafe (places + i).initialize(to: Atomic(-1)) }
  }

  deinit { unsafe places.deallocate() }

  /// Number of starts so far.
  var starts: Int { next.load(ordering: .acquiring) }

  /// The place in the order of starts of job `i`; -1: never. Twice: a job started twice gives -2.
  func order(of i: Int) -> Int { unsafe places[i].load(ordering: .acquiring) }

  func record(_ i: Int) {
    let order = next.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
    let before = unsafe places[i].exchange(order, ordering: .acquiringAndReleasing)
    if before != -1 { unsafe places[i].store(-2, ordering: .releasing) }
  }

  /// A handler that records `first` as the job's number.
  var handler: Handler {
    unsafe Handler(
      run: { context, call in
        let ledger = unsafe Unmanaged<Ledger>.fromOpaque(context!).takeUnretainedValue()
        unsafe ledger.record(Int(call.assumingMemoryBound(to: JobContext.self).pointee.first))
        return Outcome.done.rawValue
      }, context: Unmanaged.passUnretained(self).toOpaque())
  }

  /// Every job started exactly once.
  var isComplete: Bool { starts == count && (0..<count).allSatisfy { order(of: $0) >= 0 } }
}
