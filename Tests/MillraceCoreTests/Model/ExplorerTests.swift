#if MODEL_CHECK
  import Testing

  @testable import MillraceCore

  /// Zeroed shared memory for one scenario.
  @safe final class Words: @unchecked Sendable {
    private let region: Region
    init(bytes: Int = 4096) {
      do { region = try Region(bytes: bytes) } catch { preconditionFailure("\(error)") }
    }
    deinit { region.free() }
    var base: UnsafeMutableRawPointer { unsafe region.base }
    func word(_ i: Int) -> SharedWord { unsafe SharedWord(region.base + i * 8) }
  }

  /// What threads of a scenario have to say: one list each, so that they do not meet here.
  final class Notes: @unchecked Sendable {
    var lists: [[UInt32]]
    init(_ count: Int) { lists = Array(repeating: [], count: count) }
    /// Each of `jobs` is in the lists exactly once.
    func exactlyOnce(_ jobs: some Sequence<UInt32>) -> String? {
      let all = lists.flatMap { $0 }.sorted()
      return all == Array(jobs) ? nil : "expected each job once, got \(lists)"
    }
  }

  @Suite struct ExplorerTests {
    @Test("the explorer finds an increment that is lost between load and store")
    func lostIncrement() {
      let report = Explorer.explore {
        let words = Words()
        let body: @Sendable () -> Void = { words.word(0).storeRelaxed(words.word(0).loadRelaxed() + 1) }
        return Scenario(bodies: [body, body]) { words.word(0).loadRelaxed() == 2 ? nil : "lost" }
      }
      #expect(report.failure != nil)
    }

    @Test("the explorer sees every schedule of two threads with three steps each: 20 with enough preemptions")
    func counts() {
      let report = Explorer.explore(preemptions: 6) {
        let words = Words()
        let body: @Sendable () -> Void = { for _ in 0..<3 { _ = words.word(0).add(1) } }
        return Scenario(bodies: [body, body]) { words.word(0).loadRelaxed() == 6 ? nil : "lost" }
      }
      #expect(report.failure == nil)
      #expect(report.schedules >= 20)
    }

    @Test("the explorer finds the element that a queue without a compare-and-swap hands out twice")
    func wrongQueue() {
      let report = Explorer.explore {
        let words = Words()
        let notes = Notes(3)
        // Word 0: head, word 1: tail, words 8...: elements. Takes by load and store.
        let take: @Sendable (Int) -> Void = { who in
          let head = words.word(0).loadAcquiring()
          if head == words.word(1).loadAcquiring() { return }
          notes.lists[who].append(UInt32(words.word(8 + Int(head)).loadRelaxed()))
          words.word(0).storeReleasing(head + 1)
        }
        let produce: @Sendable () -> Void = {
          for i in 0..<2 {
            words.word(8 + i).storeRelaxed(UInt64(i))
            words.word(1).storeReleasing(UInt64(i + 1))
          }
        }
        return Scenario(bodies: [produce, { take(1) }, { take(2) }]) {
          let all = notes.lists.flatMap { $0 }
          return Set(all).count == all.count ? nil : "twice: \(all)"
        }
      }
      #expect(report.failure != nil)
    }

    @Test("the explorer finds the wake-up that is lost between a look and a sleep")
    func lostWakeUp() {
      let report = Explorer.explore {
        let words = Words()
        // Word 0: work, word 1: asleep, word 2: woken.
        let sleeper: @Sendable () -> Void = {
          if words.word(0).loadSequential() != 0 { return }
          words.word(1).storeReleasing(1)  // must come before the look
          while words.word(2).loadAcquiring() == 0 { _ = ModelCheck.wait() }
        }
        let producer: @Sendable () -> Void = {
          _ = words.word(0).exchange(1)
          if words.word(1).loadSequential() != 0 { words.word(2).storeReleasing(1) }
        }
        return Scenario(bodies: [sleeper, producer]) { nil }
      }
      #expect(report.failure?.hasPrefix("no thread can go on") == true)
    }
  }
#endif
