import Testing

@testable import MillraceCore

@Suite struct SlabTests {
  @Test("records made one after the other are neighbours, also after a whole block has come back")
  func neighbours() throws {
    let slab = try Slab(capacity: 64 * 4)
    defer { slab.deallocate() }
    var cache = SlabCache()
    for _ in 0..<10 {
      let records = (0..<64).compactMap { _ in cache.allocate(slab) }
      #expect(zip(records, records.dropFirst()).allSatisfy { $1 == $0 + 1 })
      for index in records { cache.free(index, slab) }
    }
    #expect(slab.touchedRecords == 64)
  }

  @Test("an exhausted slab gives nil, and a record as soon as one is free")
  func exhaustion() throws {
    let slab = try Slab(capacity: 128)
    defer { slab.deallocate() }
    var cache = SlabCache()
    let all = (0..<128).compactMap { _ in cache.allocate(slab) }
    #expect(Set(all).count == 128)
    #expect(cache.allocate(slab) == nil)
    cache.free(77, slab)
    #expect(cache.allocate(slab) == 77)
    #expect(cache.allocate(slab) == nil)
  }

  @Test("the free records of broken blocks are gathered: one that is kept in each block wastes nothing for good")
  func scavenging() throws {
    let slab = try Slab(capacity: 64 * 8)
    defer { slab.deallocate() }
    var cache = SlabCache()
    let all = (0..<512).compactMap { _ in cache.allocate(slab) }
    for index in all where index % 64 != 0 { cache.free(index, slab) }
    cache.flush(slab)
    var other = SlabCache()
    let again = (0..<512).compactMap { _ in other.allocate(slab) }
    #expect(again.count == 8 * 63)
    #expect(again.allSatisfy { $0 % 64 != 0 })
  }

  @Test("a flushed cache holds nothing back")
  func flush() throws {
    let slab = try Slab(capacity: 64)
    defer { slab.deallocate() }
    var first = SlabCache()
    let allocated = first.allocate(slab)
    let index = try #require(allocated)
    first.flush(slab)
    var second = SlabCache()
    #expect((0..<64).compactMap { _ in second.allocate(slab) }.count == 63)
    first.free(index, slab)
    first.flush(slab)
    #expect(second.allocate(slab) == index)
  }
}
