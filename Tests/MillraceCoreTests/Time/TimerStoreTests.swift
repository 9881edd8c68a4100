import MillraceCore
import Testing

@Suite struct TimerStoreTests {
  @Test("a timer fires once, at its nanosecond and not before")
  func firesExactly() throws {
    let store = try HeldTimers(capacity: 8)
    let clock = VirtualClock(start: 5)
    for due: UInt64 in [6, 1 << 20, 1 << 20 + 1, 1 << 33, 315_360_000_000_000_000] {
      _ = try store.arm(due: due, value: due, kind: 7)
      clock.move(to: due - 1)
      #expect(store.nextDue == due)
      #expect(store.advance(to: clock.now) { _ in Issue.record("fired early") } == 0)
      clock.move(to: due)
      var fires: [TimerFire] = []
      #expect(store.advance(to: clock.now) { fires.append($0) } == 1)
      #expect(fires == [TimerFire(due: due, value: due, kind: 7)])
      #expect(store.nextDue == TimerStore.never)
    }
  }

  @Test("a moment that is past fires at the next advance")
  func past() throws {
    let store = try HeldTimers(capacity: 8)
    _ = store.advance(to: 1 << 40) { _ in }
    _ = try store.arm(due: 3, value: 1, kind: 0)
    #expect(store.nextDue == 3)
    #expect(store.advance(to: 1 << 40) { _ in } == 1)
  }

  @Test("timers of the same nanosecond fire in the order of arming, however far they were")
  func ties() throws {
    let store = try HeldTimers(capacity: 3_000)
    let due: UInt64 = 77 << 40
    var now: UInt64 = 0
    for value in 0..<3_000 {
      _ = try store.arm(due: due, value: UInt64(value), kind: 0)
      // The wheel comes nearer, so that the timers stand in different levels.
      now += due / 3_000
      _ = store.advance(to: now) { _ in Issue.record("fired early") }
    }
    var values: [UInt64] = []
    _ = store.advance(to: due) { values.append($0.value) }
    #expect(values == Array(0..<3_000))
  }

  @Test("a full store refuses and says how many it holds; room comes back by firing and by cancelling")
  func full() throws {
    let store = try HeldTimers(capacity: 2)
    let first = try store.arm(due: 10, value: 1, kind: 0)
    _ = try store.arm(due: 20 << 30, value: 2, kind: 0)
    let refusal = #expect(throws: TimerFull.self) { try store.arm(due: 30, value: 3, kind: 0) }
    #expect(refusal?.capacity == 2)
    #expect(store.cancel(first))
    _ = try store.arm(due: 10, value: 4, kind: 0)
    #expect(store.advance(to: 20 << 30) { _ in } == 2)
    #expect(store.count == 0)
    _ = try store.arm(due: 0, value: 5, kind: 0)
    #expect(store.count == 1)
  }

  @Test("every place that came free is used again, in a store of many levels, and no more than there are")
  func reuse() throws {
    let capacity = 300_000
    let store = try HeldTimers(capacity: capacity)
    var random = SeededRandom(state: 17)
    var live = try (0..<capacity).map { try store.arm(due: 1 << 50, value: UInt64($0), kind: 0) }
    for _ in 0..<3 {
      live.shuffle(using: &random)
      for handle in live.suffix(100_000) where !store.cancel(handle) { Issue.record("\(handle) was not armed") }
      live.removeLast(100_000)
      for value in 0..<100_000 { live.append(try store.arm(due: 1 << 51, value: UInt64(value), kind: 0)) }
      #expect(store.count == capacity)
      #expect(Set(live).count == capacity)
      #expect(throws: TimerFull.self) { try store.arm(due: 1, value: 0, kind: 0) }
    }
  }

  @Test("a handle names its timer only: not a later one in the same place, not none, not a made-up one")
  func handles() throws {
    let store = try HeldTimers(capacity: 1)
    let old = try store.arm(due: 1 << 30, value: 1, kind: 0)
    #expect(old != .none)
    #expect(store.cancel(old))
    #expect(!store.cancel(old))
    let new = try store.arm(due: 1 << 30, value: 2, kind: 0)
    #expect(new != old)
    #expect(!store.cancel(old))
    #expect(!store.cancel(.none))
    #expect(!store.cancel(TimerHandle(raw: .max)))
    var values: [UInt64] = []
    #expect(store.advance(to: 1 << 30) { values.append($0.value) } == 1)
    #expect(values == [2])
    #expect(!store.cancel(new))
  }

  @Test("due times up to the end of time are kept and fire in order")
  func endOfTime() throws {
    let store = try HeldTimers(capacity: 8)
    let end = UInt64.max
    _ = store.advance(to: end - 5_000_000) { _ in }
    let dues: [UInt64] = [end, end - 1, end - 2_000_000, end - 4_999_999, end]
    for due in dues { _ = try store.arm(due: due, value: due, kind: 0) }
    #expect(store.nextDue == dues[3])
    var fired: [UInt64] = []
    _ = store.advance(to: end - 1) { fired.append($0.due) }
    #expect(fired == [dues[3], dues[2], dues[1]])
    _ = store.advance(to: end) { fired.append($0.due) }
    #expect(fired.suffix(2) == [end, end])
    #expect(store.count == 0)
  }

  @Test("a limit bounds the work of one call; repeated calls do the rest in the same order")
  func limited() throws {
    let store = try HeldTimers(capacity: 10_000)
    var random = SeededRandom(state: 3)
    var oracle = TimerOracle()
    for value in 0..<10_000 {
      let due = UInt64.random(in: 0..<(1 << 36), using: &random)
      _ = try store.arm(due: due, value: UInt64(value), kind: 0)
      oracle.arm(due: due, value: UInt64(value))
    }
    var fired: [TimerOracle.Entry] = []
    var calls = 0
    while store.nextDue <= 1 << 36 {
      #expect(store.advance(to: 1 << 36, limit: 7) { fired.append(.init(due: $0.due, value: $0.value)) } <= 7)
      calls += 1
    }
    #expect(fired == oracle.advance(to: 1 << 36))
    #expect(calls >= 10_000 / 7)
  }

  @Test("without cancels, the next due moment is that of the first timer")
  func nextDueIsExact() throws {
    let store = try HeldTimers(capacity: 512)
    var random = SeededRandom(state: 11)
    var oracle = TimerOracle()
    var now: UInt64 = 0
    for step in 0..<20_000 {
      if oracle.entries.count < 500, Bool.random(using: &random) {
        let due = now + random.duration()
        _ = try store.arm(due: due, value: UInt64(step), kind: 0, now: step % 3 == 0 ? now : 0)
        oracle.arm(due: due, value: UInt64(step))
      } else {
        now += random.duration() >> 20
        _ = store.advance(to: now) { _ in }
        _ = oracle.advance(to: now)
      }
      #expect(store.nextDue == oracle.entries.first?.due ?? TimerStore.never)
    }
  }

  @Test(
    "a million random operations agree with a sorted array: each fires once, in order, never early; cancels are exact", arguments: 0..<4)
  func model(seed: UInt64) throws {
    let capacity = 400
    let store = try HeldTimers(capacity: capacity)
    var oracle = TimerOracle()
    var random = SeededRandom(state: seed)
    var handles: [(handle: TimerHandle, value: UInt64)] = []
    // The last seed runs up to the end of time.
    var now: UInt64 = seed == 3 ? .max - (1 << 60) : 0
    var limitedRest = false
    for operation in UInt64(0)..<250_000 {
      switch UInt64.random(in: 0..<16, using: &random) {
      case 0..<7:
        let due = operation % 50 == 0 ? now - now / 3 : now.plus(random.duration())
        do {
          let kind = UInt16(truncatingIfNeeded: operation)
          let handle = try store.arm(due: due, value: operation, kind: kind, now: operation % 2 == 0 ? now : 0)
          guard oracle.entries.count < capacity else { return fail("armed more than there is room for", seed, operation) }
          oracle.arm(due: due, value: operation)
          handles.append((handle, operation))
        } catch {
          guard oracle.entries.count == capacity else { return fail("refused with room left", seed, operation) }
        }
      case 7..<11:
        guard !handles.isEmpty else { continue }
        let pick = Int.random(in: 0..<handles.count, using: &random)
        let (handle, value) = handles.swapRemove(pick)
        guard store.cancel(handle) == oracle.cancel(value: value) else { return fail("cancel disagrees", seed, operation) }
        // Half of the handles are tried again: they must name nothing.
        if operation % 2 == 0, store.cancel(handle) { return fail("cancelled twice", seed, operation) }
      default:
        // Small steps, and now and then a jump over many levels.
        let step = random.duration() >> (operation % 1_000 == 0 ? 0 : 14)
        now = now.plus(step)
        let expected = oracle.advance(to: now)
        let limit = operation % 3 == 0 ? 5 : Int.max
        var fired: [TimerOracle.Entry] = []
        repeat {
          let before = fired.count
          let count = store.advance(to: now, limit: limit) { fire in
            if UInt16(truncatingIfNeeded: fire.value) != fire.kind { Issue.record("a fire has another's kind") }
            fired.append(.init(due: fire.due, value: fire.value))
          }
          if count != fired.count - before || count > limit { return fail("miscounted", seed, operation) }
          limitedRest = limitedRest || (limit == 5 && store.nextDue <= now)
        } while store.nextDue <= now && !expected.isEmpty && fired.count < expected.count
        if fired != expected { return fail("fired \(fired), expected \(expected) at \(now)", seed, operation) }
      }
      guard store.count == oracle.entries.count else {
        return fail("count \(store.count), expected \(oracle.entries.count)", seed, operation)
      }
      guard store.nextDue <= oracle.entries.first?.due ?? TimerStore.never else { return fail("next due is too late", seed, operation) }
    }
    #expect(limitedRest, "the limit never left work behind, so the case was not met")
    // What is left fires by the end of time.
    var rest: [TimerOracle.Entry] = []
    _ = store.advance(to: .max) { rest.append(.init(due: $0.due, value: $0.value)) }
    #expect(rest == oracle.advance(to: .max))
    #expect(store.nextDue == TimerStore.never)
  }

  private func fail(_ what: String, _ seed: UInt64, _ operation: UInt64) {
    Issue.record("seed \(seed), operation \(operation): \(what)")
  }
}

extension UInt64 {
  /// The sum, or the end of time.
  fileprivate func plus(_ duration: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(duration)
    return overflow ? .max : sum
  }
}

extension Array {
  /// Takes an element out in O(1), putting the last in its place.
  fileprivate mutating func swapRemove(_ index: Int) -> Element {
    swapAt(index, count - 1)
    return removeLast()
  }
}
