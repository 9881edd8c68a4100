/// A first-in first-out queue of job indices that travel in batches: a producer publishes any number of jobs by one CAS, a consumer takes up to
/// a dozen by one.
///
/// A node holds up to 12 indices and a cursor over them. Consumers move the cursor of the first node; the node that was emptied stays as the
/// queue's dummy until the next one is emptied. All references carry the generation of the node, so that a late CAS on a recycled node fails.
///
/// There is no private drain: what has been published can be taken by anybody at once, which a list that one worker takes whole and
/// sorts into queues cannot promise while that worker is off the processor.
///
/// # Threads
/// `append` and `take`: any, each with its own `SlabCache` of the node slab.
/// # Progress
/// Lock-free: whoever finds the tail behind moves it on.
/// # Source
/// Michael and Scott, "Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue Algorithms" (PODC 1996), with counted references.
/// Model: Tests/Models/batch-queue.pml.
@safe struct BatchQueue {
  /// Indices in one node: what is left of 64 bytes after `next` and `cursor`.
  static let nodeJobs = 12
  /// Shared memory of one queue: head and tail on their own cache lines.
  static let bytes = 2 * padding

  private let memory: UnsafeMutableRawPointer
  private let nodes: Slab

  /// unsafe: `memory` is zeroed, `bytes` long, and was prepared by `prepare` or will be before use.
  @unsafe @inline(__always) init(_ memory: UnsafeMutableRawPointer, nodes: Slab) {
    unsafe self.memory = memory
    self.nodes = nodes
  }

  @inline(__always) private var head: SharedWord { unsafe SharedWord(memory) }
  @inline(__always) private var tail: SharedWord { unsafe SharedWord(memory + padding) }

  /// Gives the queue its first dummy. Before any other use, by one thread. False: the slab is exhausted.
  func prepare(_ cache: inout SlabCache) -> Bool {
    guard let index = cache.allocate(nodes) else { return false }
    let dummy = Node(nodes, index)
    let reference = dummy.renew(count: 0)
    head.storeReleasing(reference)
    tail.storeReleasing(reference)
    return true
  }

  /// One node of the slab: next (8), cursor (8), 12 indices of 4 bytes.
  @safe private struct Node {
    let next: SharedWord
    let cursor: SharedWord
    private let jobs: UnsafeMutableRawPointer
    private let index: UInt32

    @inline(__always) init(_ slab: Slab, _ index: UInt32) {
      // unsafe: a record is 64 bytes; every access to it is atomic, so that late readers of a recycled node read, at worst, a wrong value.
      let record = unsafe slab.record(index)
      unsafe next = SharedWord(record)
      unsafe cursor = SharedWord(record + 8)
      unsafe jobs = record + 16
      self.index = index
    }

    @inline(__always) func job(_ i: Int) -> SharedHalf { unsafe SharedHalf(jobs + i &* 4) }

    /// Begins the next life of the node, which the caller owns: generation + 1, no successor, `count` indices to take. The reference.
    @inline(__always) func renew(count: Int) -> UInt64 {
      let generation = ((cursor.loadRelaxed() >> 32) &+ 1) & 0xFFFF_FFFF
      cursor.storeRelaxed(generation << 32 | UInt64(count))
      next.storeRelaxed(generation << 32 | UInt64(Slab.none))
      return generation << 32 | UInt64(index)
    }
  }

  @inline(__always) private static func index(_ reference: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: reference) }

  /// Jobs on their way into a queue: nodes linked privately, published by `BatchQueue.append`.
  struct Chain {
    fileprivate var first: UInt64 = 0
    fileprivate var last: UInt64 = 0
    fileprivate var lastCount = 0
    fileprivate(set) var isEmpty = true

    /// Complexity: O(1). False: the slab is exhausted; the chain is as before.
    @inline(__always) mutating func append(_ job: UInt32, _ nodes: Slab, _ cache: inout SlabCache) -> Bool {
      if isEmpty || lastCount == BatchQueue.nodeJobs {
        guard let index = cache.allocate(nodes) else { return false }
        let reference = Node(nodes, index).renew(count: 0)
        // Nothing here is published yet: the CAS in `BatchQueue.append` releases it all.
        if isEmpty { first = reference } else { Node(nodes, BatchQueue.index(last)).next.storeRelaxed(reference) }
        last = reference
        lastCount = 0
        isEmpty = false
      }
      let node = Node(nodes, BatchQueue.index(last))
      node.job(lastCount).storeRelaxed(job)
      lastCount &+= 1
      node.cursor.storeRelaxed((last >> 32) << 32 | UInt64(lastCount))
      return true
    }
  }

  /// Publishes the chain behind all that is in the queue. Complexity: two CAS, whatever the number of jobs.
  @inline(__always) func append(_ chain: Chain) {
    if chain.isEmpty { return }
    while true {
      let end = tail.loadAcquiring()
      let next = Node(nodes, BatchQueue.index(end)).next
      let successor = next.loadAcquiring()
      if BatchQueue.index(successor) == Slab.none {
        // Order: sequentially consistent. Pairs with the load of `next` in `take` (the jobs' fields happened before), and comes before the
        // caller's look at the bitmap and the idle word. A node in a later life has another generation, and the CAS fails.
        if successor >> 32 == end >> 32, next.replace(successor, by: chain.first) {
          _ = tail.replace(end, by: chain.last)
          return
        }
      } else if tail.loadAcquiring() == end {
        _ = tail.replace(end, by: successor)
      }
    }
  }

  /// True if there was nothing to take at some moment during the call.
  func isEmpty() -> Bool {
    while true {
      let dummy = head.loadSequential()
      let successor = Node(nodes, BatchQueue.index(dummy)).next.loadSequential()
      if head.loadAcquiring() != dummy { continue }
      if BatchQueue.index(successor) == Slab.none { return true }
      let cursor = Node(nodes, BatchQueue.index(successor)).cursor.loadSequential()
      if cursor >> 32 != successor >> 32 { continue }
      if cursor & 0xFFFF != cursor >> 16 & 0xFFFF { return false }
      // The first node is used up: look behind it.
      if BatchQueue.index(Node(nodes, BatchQueue.index(successor)).next.loadSequential()) != Slab.none {
        if head.loadAcquiring() == dummy { return false }
      } else if head.loadAcquiring() == dummy {
        return true
      }
    }
  }

  /// Takes up to `limit` of the oldest jobs, from one node. 0: the queue was empty at some moment during the call.
  ///
  /// unsafe: `target` has room for `limit` indices.
  /// Complexity: one CAS, and one more for each node that is used up.
  @unsafe @inline(__always) func take(upTo limit: Int, into target: UnsafeMutablePointer<UInt32>, _ cache: inout SlabCache) -> Int {
    while true {
      let dummy = head.loadAcquiring()
      let successor = Node(nodes, BatchQueue.index(dummy)).next.loadAcquiring()
      if head.loadAcquiring() != dummy { continue }  // the dummy may have been recycled under us
      if BatchQueue.index(successor) == Slab.none { return 0 }
      if tail.loadAcquiring() == dummy { _ = tail.replace(dummy, by: successor) }

      let node = Node(nodes, BatchQueue.index(successor))
      let cursor = node.cursor.loadAcquiring()
      if cursor >> 32 != successor >> 32 { continue }
      let end = Int(cursor & 0xFFFF)
      let begin = Int(cursor >> 16 & 0xFFFF)
      if begin == end {
        if head.replace(dummy, by: successor) { cache.free(BatchQueue.index(dummy), nodes) }
        continue
      }
      let count = min(limit, end - begin)
      for i in 0..<count { unsafe target[i] = node.job(begin &+ i).loadRelaxed() }
      // Order: sequentially consistent. Success means that the indices read above were the node's: they do not change within a generation.
      guard node.cursor.replace(cursor, by: cursor &+ UInt64(count) << 16) else { continue }
      if begin + count == end, head.replace(dummy, by: successor) { cache.free(BatchQueue.index(dummy), nodes) }
      return count
    }
  }
}
