#if MODEL_CHECK
  import Testing

  @testable import MillraceCore

  /// The real queues under every schedule with two preemptions.
  @Suite struct QueueModelTests {
    /// A queue over a slab of its own whose records have been in use before.
    @safe final class SmallQueue: @unchecked Sendable {
      let words = Words()
      let slab: Slab
      let queue: BatchQueue
      init(blocks: Int = 1) {
        do { slab = try Slab(capacity: 64 * blocks) } catch { preconditionFailure("\(error)") }
        queue = unsafe BatchQueue(words.base, nodes: slab)
        var cache = SlabCache()
        _ = queue.prepare(&cache)
        cache.flush(slab)
      }
      deinit { slab.deallocate() }

      func append(_ jobs: some Sequence<UInt32>, _ cache: inout SlabCache) {
        var chain = BatchQueue.Chain()
        for job in jobs { _ = chain.append(job, slab, &cache) }
        queue.append(chain)
      }
      func take(_ limit: Int, _ cache: inout SlabCache) -> [UInt32] {
        var buffer = [UInt32](repeating: 0, count: limit)
        let taken = unsafe buffer.withUnsafeMutableBufferPointer { unsafe queue.take(upTo: limit, into: $0.baseAddress!, &cache) }
        return Array(buffer[..<taken])
      }
      func drain() -> [UInt32] {
        var cache = SlabCache()
        var all: [UInt32] = []
        while true {
          let some = take(16, &cache)
          if some.isEmpty { return all }
          all += some
        }
      }
    }

    /// The word of the levels.
    private final class LevelWord: @unchecked Sendable {
      private let words = Words()
      let levels: Levels

      init() { levels = unsafe Levels(words.base) }

      func take() -> [UInt32] { levels.takeHanded(priority: 1, seen: { _ in }).map { [$0] } ?? [] }
    }

    @Test("two producers and a consumer: each job once, each producer's in its order")
    func producers() {
      let report = Explorer.explore {
        let queue = SmallQueue(blocks: 8)
        let notes = Notes(4)
        return Scenario(bodies: [
          {
            var cache = SlabCache()
            queue.append([0, 1], &cache)
            queue.append([2], &cache)
          },
          {
            var cache = SlabCache()
            queue.append([10], &cache)
          },
          {
            var cache = SlabCache()
            for _ in 0..<3 { notes.lists[2] += queue.take(2, &cache) }
          },
        ]) {
          notes.lists[3] = queue.drain()
          let mine = notes.lists.flatMap { $0 }.filter { $0 < 10 }
          return notes.exactlyOnce([0, 1, 2, 10]) ?? (mine == [0, 1, 2] ? nil : "out of order: \(notes.lists)")
        }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 1000)
    }

    @Test("a job handed over directly beside a level that is announced and taken out: taken once, or refused to its producer")
    func handedOver() {
      let report = Explorer.explore {
        let word = LevelWord()
        let notes = Notes(4)
        return Scenario(bodies: [
          { if !word.levels.hand(70_000, priority: 1) { notes.lists[0].append(70_000) } },
          {
            word.levels.insert(1)
            _ = word.levels.remove(1) { false }
            notes.lists[1] += word.take()
          },
          {
            notes.lists[2] += word.take()
            if !word.levels.hand(7, priority: 1) { notes.lists[2].append(7) }
          },
        ]) {
          let listed = word.levels.load()
          notes.lists[3] = word.take()
          if !notes.lists[3].isEmpty && listed & 2 == 0 { return "a job that no level shows" }
          // An announcement may outlive a look that found a job handed over, never a job.
          let left = word.levels.load()
          return notes.exactlyOnce([7, 70_000]) ?? (left & ~2 == 0 ? nil : "the word holds more than the level: \(left)")
        }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 100)
    }

    @Test("two consumers and a producer over three recycled nodes: each job once, none from a node in a later life")
    func recycling() {
      let report = Explorer.explore {
        let queue = SmallQueue()
        let notes = Notes(4)
        var cache = SlabCache()
        queue.append([0, 1], &cache)
        queue.append([2], &cache)
        cache.flush(queue.slab)
        return Scenario(bodies: [
          {
            var cache = SlabCache()
            notes.lists[0] += queue.take(1, &cache)
            notes.lists[0] += queue.take(1, &cache)
          },
          {
            // Takes, and appends with the node that it has just emptied.
            var cache = SlabCache()
            notes.lists[1] += queue.take(2, &cache)
            notes.lists[1] += queue.take(2, &cache)
            cache.flush(queue.slab)
            queue.append([3], &cache)
            notes.lists[1] += queue.take(2, &cache)
          },
        ]) {
          notes.lists[3] = queue.drain()
          return notes.exactlyOnce([0, 1, 2, 3])
        }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 500)
    }

    @Test("`isEmpty` is true only if the queue was empty for a moment")
    func emptiness() {
      let report = Explorer.explore {
        let queue = SmallQueue()
        let notes = Notes(3)
        var cache = SlabCache()
        queue.append([0], &cache)
        let producerCache = cache
        return Scenario(bodies: [
          {
            // Never empty: the next job comes before the last one is taken.
            var cache = producerCache
            for job in 1...2 {
              queue.append([UInt32(job)], &cache)
              notes.lists[0] += queue.take(1, &cache)
            }
          },
          { if queue.queue.isEmpty() { notes.lists[1].append(99) } },
        ]) { notes.lists[1].isEmpty ? nil : "said empty" }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 50)
    }

    /// A cache and the level's bit.
    @safe final class SmallCache: @unchecked Sendable {
      let words = Words()
      let cache: WorkerCache
      let level: SharedWord
      init() {
        unsafe cache = WorkerCache(words.base)
        level = words.word(200)
      }
      func steal(_ sequence: UInt32, patience: Int) -> [UInt32] {
        var buffer = [UInt32](repeating: 0, count: WorkerCache.capacity)
        let count = unsafe buffer.withUnsafeMutableBufferPointer {
          unsafe cache.steal(into: $0.baseAddress!, sequence: sequence, patience: patience, barrier: false)
        }
        return Array(buffer[..<count])
      }
    }

    @Test("owner against thief: each job once, whether the owner answers or the thief takes by force")
    func stealing() {
      for patience in [0, 2] {
        let report = Explorer.explore { Self.cacheScenario(jobs: 3, ownerPops: 3, pushes: 2, thieves: 1, patience: patience) }
        #expect(report.failure == nil)
        #expect(report.schedules > 500)
      }
    }

    @Test("owner against two thieves: each job once")
    func twoThieves() {
      let report = Explorer.explore { Self.cacheScenario(jobs: 4, ownerPops: 2, pushes: 1, thieves: 2, patience: 1) }
      #expect(report.failure == nil)
      #expect(report.schedules > 1000)
    }

    @Test("three preemptions: an offer is out only when the head is, so that a third thief cannot take what the second was offered")
    func offerThenSteal() {
      let report = Explorer.explore(preemptions: 3) { Self.cacheScenario(jobs: 3, ownerPops: 1, pushes: 0, thieves: 2, patience: 0) }
      #expect(report.failure == nil)
    }

    @Test("an owner that goes depth first against thieves: each job once", arguments: [1, 2])
    func depthFirst(thieves: Int) {
      for patience in [0, 2] {
        let report = Explorer.explore {
          Self.cacheScenario(jobs: 3, ownerPops: 3, pushes: 2, thieves: thieves, patience: patience, youngest: true)
        }
        #expect(report.failure == nil)
        #expect(report.schedules > 500)
      }
    }

    private static func cacheScenario(jobs: UInt32, ownerPops: Int, pushes: Int, thieves: Int, patience: Int, youngest: Bool = false)
      -> Scenario
    {
      let small = SmallCache()
      let notes = Notes(4)
      for job in 0..<jobs { _ = small.cache.push(job, fenced: false) }
      var bodies: [@Sendable () -> Void] = [
        {
          for i in 0..<ownerPops {
            if i < pushes, small.cache.room > 0 { _ = small.cache.push(jobs + UInt32(i), fenced: false) }
            // Depth first as a worker does it: the youngest after a push, the oldest otherwise.
            let job = youngest && i % 2 == 0 ? small.cache.popYoungest(fenced: false) : small.cache.pop(fenced: false)
            if let job { notes.lists[0].append(job & ~WorkerCache.announce) }
          }
        }
      ]
      for thief in 1...thieves {
        bodies.append { for turn in 1...2 { notes.lists[thief] += small.steal(UInt32(thief << 8 + turn), patience: patience) } }
      }
      return Scenario(bodies: bodies) {
        while !small.cache.isEmptyForOwner {
          if let job = small.cache.pop(fenced: false) { notes.lists[3].append(job & ~WorkerCache.announce) }
        }
        return notes.exactlyOnce(0..<(jobs + UInt32(min(pushes, ownerPops))))
      }
    }

    @Test("no job waits behind a cleared bit: a push into a cache that others may have seen empty says so")
    func cacheEmptiness() {
      let report = Explorer.explore {
        let small = SmallCache()
        _ = small.cache.push(0, fenced: false)
        small.level.storeRelaxed(1)
        return Scenario(bodies: [
          {
            // As a worker: announce what others cannot know of.
            for job in 1...2 {
              if small.cache.push(UInt32(job), fenced: false), small.level.loadSequential() == 0 { _ = small.level.insert(bits: 1) }
              if job == 1 { _ = small.cache.pop(fenced: false) }
            }
          },
          {
            // As a worker that found nothing: clear, then look again.
            _ = small.level.remove(bits: 1)
            if !small.cache.isEmpty() { _ = small.level.insert(bits: 1) }
          },
          { _ = small.steal(1, patience: 0) },
        ]) {
          if small.level.loadRelaxed() == 1 { return nil }
          while !small.cache.isEmptyForOwner { if small.cache.pop(fenced: false) != nil { return "jobs behind a cleared bit" } }
          return nil
        }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 1000)
    }
  }
#endif
