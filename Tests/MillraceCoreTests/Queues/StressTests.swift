internal import CMillrace
import Glibc
import Synchronization
import Testing

@testable import MillraceCore

/// How much larger than by default stress tests are: `MILLRACE_STRESS=n`.
let stressFactor = max(1, unsafe getenv("MILLRACE_STRESS").flatMap { unsafe Int(String(cString: $0)) } ?? 1)

/// What each thread of a test collected, one list a thread.
final class Lists: @unchecked Sendable {
  final class One: @unchecked Sendable {
    var jobs: [UInt32] = []
  }
  let lists: [One]
  init(_ count: Int) { lists = (0..<count).map { _ in One() } }

  /// Every one of 0 ..< count exactly once.
  func isPermutation(of count: Int) -> Bool {
    var seen = [Bool](repeating: false, count: count)
    var total = 0
    for list in lists {
      for job in list.jobs {
        if Int(job) >= count || seen[Int(job)] { return false }
        seen[Int(job)] = true
        total += 1
      }
    }
    return total == count
  }
}

@Suite struct StressTests {
  @Test("producers and consumers of one queue of batches: every job once, each consumer sees each producer's jobs in their order")
  func batchQueue() throws {
    let producers = 3
    let consumers = 3
    let each = 20_000 * stressFactor
    // Small: nodes are recycled all the time.
    let slab = try Slab(capacity: producers * each / 4 + 4096)
    let region = try Region(bytes: BatchQueue.bytes)
    defer {
      region.free()
      slab.deallocate()
    }
    let queue = QueueBox(unsafe BatchQueue(region.base, nodes: slab), slab)
    var cache = SlabCache()
    #expect(queue.queue.prepare(&cache))
    cache.flush(slab)
    let collected = Lists(consumers)
    let taken = Counter()
    var threads: [TestThread] = []
    for p in 0..<producers {
      threads.append(
        TestThread {
          var cache = SlabCache()
          var random = Seed(UInt64(p))
          var next = 0
          while next < each {
            var chain = BatchQueue.Chain()
            let end = min(each, next + Int.random(in: 1...40, using: &random))
            while next < end {
              // The slab is small: wait until consumers have given nodes back.
              if chain.append(UInt32(p * each + next), queue.slab, &cache) { next += 1 } else { break }
            }
            if chain.isEmpty { sched_yield() } else { queue.queue.append(chain) }
          }
          cache.flush(queue.slab)
        })
    }
    for c in 0..<consumers {
      threads.append(
        TestThread {
          var cache = SlabCache()
          var random = Seed(UInt64(100 + c))
          var buffer = [UInt32](repeating: 0, count: 16)
          while taken.value < producers * each {
            let limit = Int.random(in: 1...16, using: &random)
            let count = unsafe buffer.withUnsafeMutableBufferPointer { unsafe queue.queue.take(upTo: limit, into: $0.baseAddress!, &cache) }
            if count == 0 { sched_yield() }
            collected.lists[c].jobs += buffer[..<count]
            taken.add(count)
            // So that no consumer sits on the last free nodes.
            if count == 0 { cache.flush(queue.slab) }
          }
          cache.flush(queue.slab)
        })
    }
    for thread in threads { thread.join() }
    #expect(collected.isPermutation(of: producers * each))
    for list in collected.lists {
      for p in 0..<producers {
        let mine = list.jobs.filter { Int($0) / each == p }
        #expect(zip(mine, mine.dropFirst()).allSatisfy { $0 < $1 })
      }
    }
    #expect(queue.queue.isEmpty())
  }

  @Test("jobs that are handed over directly, beside levels that come and go: every job once, with what its producer wrote")
  func handedOver() throws {
    let producers = 2
    let each = 5_000 * stressFactor
    let region = try Region(bytes: 8 + producers * each * 8)
    defer { region.free() }
    let box = unsafe LevelsBox(region.base)
    let collected = Lists(2)
    let taken = Counter()
    let wrong = Counter()
    var threads = (0..<producers).map { p in
      TestThread {
        for job in p * each..<(p + 1) * each {
          unsafe box.note(job).pointee = UInt64(job) &* 3
          while !box.levels.hand(UInt32(job), priority: job % ReadySet.priorities) { sched_yield() }
        }
      }
    }
    threads += (0..<2).map { c in
      TestThread {
        while taken.value < producers * each {
          for priority in 0..<ReadySet.priorities {
            guard let job = box.levels.takeHanded(priority: priority, seen: { _ in }) else { continue }
            if unsafe Int(job) % ReadySet.priorities != priority || box.note(Int(job)).pointee != UInt64(job) &* 3 { wrong.add(1) }
            collected.lists[c].jobs.append(job)
            taken.add(1)
          }
          // A level that is announced and found empty.
          box.levels.insert(c)
          _ = box.levels.remove(c) { false }
          sched_yield()
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(collected.isPermutation(of: producers * each) && wrong.value == 0)
    for level in 0..<2 { _ = box.levels.remove(level) { false } }
    #expect(box.levels.load() == 0)
  }

  @Test("an owner and three thieves: every job once", arguments: [true, false], [0, 50])
  func workerCache(asymmetric: Bool, patience: Int) throws {
    let barrier = asymmetric && millrace_membarrier_register() == 1
    let count = 30_000 * stressFactor
    let region = try Region(bytes: WorkerCache.bytes)
    defer { region.free() }
    let cache = CacheBox(unsafe WorkerCache(region.base))
    let collected = Lists(4)
    let done = Counter()
    var threads = [
      TestThread {
        var random = Seed(7)
        var next = 0
        while next < count || !cache.cache.isEmptyForOwner {
          for _ in 0..<Int.random(in: 1...8, using: &random) where next < count && cache.cache.room > 0 {
            _ = cache.cache.push(UInt32(next), fenced: !barrier)
            next += 1
          }
          for _ in 0..<Int.random(in: 0...6, using: &random) {
            let youngest = Bool.random(using: &random)
            let job = youngest ? cache.cache.popYoungest(fenced: !barrier) : cache.cache.pop(fenced: !barrier)
            if let job { collected.lists[0].jobs.append(job & ~WorkerCache.announce) }
          }
        }
        done.add(1)
      }
    ]
    for thief in 1...3 {
      threads.append(
        TestThread {
          var buffer = [UInt32](repeating: 0, count: WorkerCache.capacity)
          var sequence = UInt32(thief) << 24
          while done.value == 0 {
            sequence += 1
            let count = unsafe buffer.withUnsafeMutableBufferPointer {
              unsafe cache.cache.steal(into: $0.baseAddress!, sequence: sequence, patience: patience, barrier: barrier)
            }
            collected.lists[thief].jobs += buffer[..<count]
            if count == 0 { sched_yield() }
          }
        })
    }
    for thread in threads { thread.join() }
    #expect(collected.isPermutation(of: count))
  }

  @Test("threads that allocate and free through caches never hold a record twice, and in the end all records are free")
  func slab() throws {
    let records = 64 * 40
    let slab = try Slab(capacity: records)
    defer { slab.deallocate() }
    let box = QueueBox(nil, slab)
    let clashes = Counter()
    let threads = (0..<4).map { t in
      TestThread {
        var cache = SlabCache()
        var random = Seed(UInt64(t))
        var held: [UInt32] = []
        for _ in 0..<20_000 * stressFactor {
          if held.count < 500, Bool.random(using: &random), let index = cache.allocate(box.slab) {
            let owner = unsafe SharedWord(box.slab.record(index))
            if owner.exchange(UInt64(t + 1)) != 0 { clashes.add(1) }
            held.append(index)
          } else if !held.isEmpty {
            let index = held.remove(at: Int.random(in: 0..<held.count, using: &random))
            unsafe SharedWord(box.slab.record(index)).storeReleasing(0)
            cache.free(index, box.slab)
          }
        }
        for index in held {
          unsafe SharedWord(box.slab.record(index)).storeReleasing(0)
          cache.free(index, box.slab)
        }
        cache.flush(box.slab)
      }
    }
    for thread in threads { thread.join() }
    #expect(clashes.value == 0)
    var cache = SlabCache()
    var all = Set<UInt32>()
    while let index = cache.allocate(slab) { all.insert(index) }
    #expect(all.count == records)
  }

  @Test(
    "a scheduler driven by four threads: every job once, each producer's in order where one worker runs them, nothing kept",
    arguments: 0..<3)
  func scheduler(round: Int) throws {
    let producers = 2
    let workers = round == 2 ? 1 : 4
    let each = 20_000 * stressFactor
    let scheduler = try Scheduler(
      SchedulerConfiguration(slots: 3, workers: workers, capacity: 4096, tenants: 3, stealPatience: round * 20, asymmetric: round != 1))
    let ledger = Ledger(producers * each)
    let handler = try #require(scheduler.register(ledger.handler))
    var threads: [TestThread] = []
    for p in 0..<producers {
      threads.append(
        TestThread {
          var next = 0
          while next < each {
            let request = JobRequest(handler: handler, priority: UInt8(p), tenant: UInt16(p), first: UInt64(p * each + next))
            do {
              try scheduler.submit(request)
              next += 1
            } catch { sched_yield() }
          }
        })
    }
    for w in 0..<workers {
      threads.append(
        TestThread {
          let worker = scheduler.makeWorker(w)
          while ledger.starts < ledger.count {
            if let begun = worker.begin() {
              worker.finish(begun, worker.run(begun))
            } else {
              worker.settleCounts()
              sched_yield()
            }
          }
          worker.retire()
        })
    }
    for thread in threads { thread.join() }
    #expect(ledger.isComplete)
    #expect(scheduler.admittedJobs == 0)
    #expect(scheduler.freeSlots == 3)
    if workers == 1 {
      for p in 0..<producers {
        let orders = (p * each..<(p + 1) * each).map(ledger.order(of:))
        #expect(zip(orders, orders.dropFirst()).allSatisfy { $0 < $1 })
      }
    }
  }
}

/// Pointers to shared memory, for the threads of a test.
@safe final class QueueBox: @unchecked Sendable {
  private let held: BatchQueue?
  let slab: Slab
  var queue: BatchQueue { held! }
  init(_ queue: BatchQueue?, _ slab: Slab) {
    held = queue
    self.slab = slab
  }
}

/// A word of levels, and a plain word for each job.
@safe final class LevelsBox: @unchecked Sendable {
  let levels: Levels
  private let notes: UnsafeMutableRawPointer
  init(_ memory: UnsafeMutableRawPointer) {
    levels = unsafe Levels(memory)
    unsafe notes = memory + 8
  }
  func note(_ job: Int) -> UnsafeMutablePointer<UInt64> { unsafe (notes + job * 8).assumingMemoryBound(to: UInt64.self) }
}

@safe final class CacheBox: @unchecked Sendable {
  let cache: WorkerCache
  init(_ cache: WorkerCache) { self.cache = cache }
}

final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .acquiring) }
  func add(_ n: Int) { count.wrappingAdd(n, ordering: .acquiringAndReleasing) }
}
