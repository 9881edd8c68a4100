import Testing

@testable import MillraceCore

@Suite struct ReadySetTests {
  private static func take(_ set: ReadySet, _ limit: Int) -> [UInt32] {
    var cache = SlabCache()
    var buffer = [UInt32](repeating: 0, count: limit)
    let count = unsafe buffer.withUnsafeMutableBufferPointer {
      unsafe set.take(priority: 1, upTo: limit, into: $0.baseAddress!, &cache)
    }
    cache.flush(set.nodes)
    return Array(buffer[..<count])
  }

  private static func put(_ set: ReadySet, _ job: UInt32, tenant: Int) {
    var cache = SlabCache()
    var chain = BatchQueue.Chain()
    #expect(chain.append(job, set.nodes, &cache))
    set.append(chain, priority: 1, tenant: tenant)
    cache.flush(set.nodes)
  }

  @Test("every tenant's jobs are found, on both sides of a word's end and at the limit", arguments: [1, 32, 33, 64, 65, 1024])
  func wrapAround(tenants: Int) throws {
    let set = try ReadySet(tenants: tenants, capacity: 10_000, ordered: false)
    defer { set.deallocate() }
    let some = Set([0, 1, 31, 32, 62, 63, 64, 65, tenants - 2, tenants - 1].filter { $0 >= 0 && $0 < tenants })
    for tenant in some { for i in 0..<20 { Self.put(set, UInt32(tenant * 100 + i), tenant: tenant) } }
    var taken: [UInt32] = []
    while true {
      let some = Self.take(set, 7)
      if some.isEmpty { break }
      taken += some
    }
    #expect(taken.count == 20 * some.count)
    #expect(Set(taken).count == taken.count)
    for tenant in some {
      let mine = taken.filter { Int($0) / 100 == tenant }
      #expect(mine == mine.sorted())
    }
  }

  @Test("tenants with jobs take turns of eight times their weight")
  func turns() throws {
    let set = try ReadySet(tenants: 3, capacity: 10_000, ordered: false)
    defer { set.deallocate() }
    set.setWeight(2, tenant: 2)
    for tenant in 0..<3 { for i in 0..<100 { Self.put(set, UInt32(tenant * 1000 + i), tenant: tenant) } }
    let tenants = (0..<64).flatMap { _ in Self.take(set, 1) }.map { Int($0) / 1000 }
    var turns: [(tenant: Int, length: Int)] = []
    for tenant in tenants {
      if turns.last?.tenant == tenant { turns[turns.count - 1].length += 1 } else { turns.append((tenant, 1)) }
    }
    #expect(turns.dropLast().allSatisfy { $0.length == ($0.tenant == 2 ? 16 : 8) })
    #expect(Set(turns.map(\.tenant)).count == 3)
  }

  @Test("a turn is charged for what a worker keeps, and only the tenant whose turn it is")
  func charge() throws {
    let set = try ReadySet(tenants: 2, capacity: 1000, ordered: false)
    defer { set.deallocate() }
    for i in 0..<20 {
      Self.put(set, UInt32(i), tenant: 0)
      Self.put(set, UInt32(100 + i), tenant: 1)
    }
    let mine = Int(Self.take(set, 1)[0]) / 100
    #expect(set.charge(priority: 1, tenant: 1 - mine, upTo: 3) == 0)
    #expect(set.charge(priority: 1, tenant: mine, upTo: 3) == 3)
    #expect(set.charge(priority: 1, tenant: mine, upTo: 100) == 4)
    #expect(set.charge(priority: 1, tenant: mine, upTo: 1) == 0)
    #expect(Int(Self.take(set, 1)[0]) / 100 == 1 - mine)
  }

  @Test("a level's bit is cleared when nothing is left, and stays while a cache has jobs")
  func retire() throws {
    let set = try ReadySet(tenants: 1, capacity: 100, ordered: false)
    defer { set.deallocate() }
    Self.put(set, 1, tenant: 0)
    #expect(set.occupied() == 2)
    set.retire(priority: 1, cached: { false })
    #expect(set.occupied() == 2)
    #expect(Self.take(set, 4) == [1])
    #expect(Self.take(set, 4).isEmpty)
    set.retire(priority: 1, cached: { true })
    #expect(set.occupied() == 2)
    set.retire(priority: 1, cached: { false })
    #expect(set.occupied() == 0)
  }

  @Test("a queue that a thread looks at once more is overlooked by nobody, and looked at by one thread only")
  func removal() throws {
    let region = try Region(bytes: 8)
    defer { region.free() }
    let set = unsafe Occupancy(region.base)
    set.insert(3)
    set.insert(5)
    // A second worker comes in the middle of the first one's second look.
    let removed = set.remove(3) {
      #expect(set.load() == 0b10_1000)
      let second = set.remove(3) {
        Issue.record("a second look at the same time")
        return true
      }
      #expect(!second)
      set.insert(3)
      return false
    }
    #expect(removed && set.load() == 0b10_1000)
    #expect(!set.remove(3) { true } && set.load() == 0b10_1000)
    #expect(set.remove(3) { false } && set.load() == 0b10_0000)
  }

  @Test(
    "a job is handed over directly only while no level has jobs, and stands for its level until it is taken",
    arguments: [0, 77, UInt32(1) << 30 + 0x1_FFFF])
  func handedOver(job: UInt32) throws {
    let region = try Region(bytes: 8)
    defer { region.free() }
    let levels = unsafe Levels(region.base)
    for priority in 0..<ReadySet.priorities {
      #expect(levels.hand(job, priority: priority) && levels.load() == 1 << UInt64(priority))
      #expect(!levels.hand(5, priority: priority))
      // Other levels come and go beside it; its own stays listed.
      for other in 0..<6 {
        levels.insert(other)
        #expect(levels.remove(other) { false } == (other != priority))
      }
      #expect(levels.load() == 1 << UInt64(priority))
      for other in 0..<ReadySet.priorities where other != priority { #expect(levels.takeHanded(priority: other) { _ in } == nil) }
      var seen: UInt32?
      #expect(levels.takeHanded(priority: priority) { seen = $0 } == job && seen == job)
      // The queue of the level had been announced meanwhile.
      #expect(levels.load() == 1 << UInt64(priority) && levels.remove(priority) { false } && levels.load() == 0)
      #expect(levels.takeHanded(priority: priority) { _ in } == nil)
    }
    levels.insert(2)
    #expect(!levels.hand(job, priority: 2))
  }

  @Test("a heap gives the smallest key first, equal keys in order of arrival, and refuses when full")
  func heap() throws {
    let region = try Region(bytes: PriorityHeap.bytes)
    defer { region.free() }
    let heap = unsafe try PriorityHeap(region.base, capacity: 1000)
    defer { heap.deallocate() }
    var random = Seed(3)
    var expected: [(key: UInt64, job: UInt32)] = []
    for job in 0..<1000 {
      let key = UInt64.random(in: 0..<50, using: &random)
      expected.append((key, UInt32(job)))
      #expect(heap.insert(UInt32(job), key: key))
    }
    #expect(!heap.insert(1000, key: 0))
    let sorted = expected.sorted { $0.key != $1.key ? $0.key < $1.key : $0.job < $1.job }.map(\.job)
    #expect(sorted == (0..<1000).compactMap { _ in heap.remove() })
    #expect(heap.remove() == nil && heap.isEmpty())
  }
}
