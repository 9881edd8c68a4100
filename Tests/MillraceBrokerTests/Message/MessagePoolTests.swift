import MillraceCore
import Testing

@testable import MillraceBroker

/// Memory of messages: what is given out is nobody else's, and what comes back is given out again.
@Suite struct MessagePoolTests {
  @Test(
    "a block is of the smallest class that holds it, and is aligned to half a cache line",
    arguments: [0, 1, 64, 65, 192, 4_096, (1 << 20) - 64, 1 << 20])
  func sizes(bytes: Int) throws {
    let pool = try MessagePool(capacity: 64 << 20)
    var cache = MessageCache(pool)
    let claimed = cache.claim(bytes)
    let block = try #require(claimed)
    let size = bytes + MessageBlock.headerBytes
    if let kind = MessagePool.kind(of: size) {
      #expect(MessagePool.bytes(of: kind) >= size && (kind == 0 || MessagePool.bytes(of: kind - 1) < size))
      #expect(Int(block.kind) == kind)
    } else {
      #expect(block.kind == MessagePool.own && bytes == 1 << 20)
    }
    #expect(block.bytes == bytes && block.number % 32 == 0)
    // Its own, to the last byte.
    unsafe block.payload.initializeMemory(as: UInt8.self, repeating: 0xA5, count: bytes)
    let another = cache.claim(bytes)
    let other = try #require(another)
    unsafe other.payload.initializeMemory(as: UInt8.self, repeating: 0x5A, count: bytes)
    for index in 0..<bytes where unsafe block.payload.load(fromByteOffset: index, as: UInt8.self) != 0xA5 {
      Issue.record("byte \(index) was overwritten")
      break
    }
    cache.release(block)
    cache.release(other)
  }

  @Test("memory is used again: a stream of messages costs what is alive at a time")
  func reuse() throws {
    let pool = try MessagePool(capacity: 64 << 20)
    var cache = MessageCache(pool)
    for bytes in [64, 1_000, 2 << 20] {
      var before = 0
      for round in 0..<20 {
        var blocks: [MessageBlock] = []
        for _ in 0..<4 { if let block = cache.claim(bytes) { blocks.append(block) } }
        #expect(blocks.count == 4)
        for block in blocks { cache.release(block) }
        if round == 0 { before = pool.reservedBytes } else { #expect(pool.reservedBytes == before) }
      }
    }
  }

  @Test("who takes free blocks leaves others some")
  func shares() throws {
    let pool = try MessagePool(capacity: 64 << 20)
    for bytes in [64, 4_000] {
      var giver = MessageCache(pool)
      var blocks: [MessageBlock] = []
      for _ in 0..<2_000 { if let block = giver.claim(bytes) { blocks.append(block) } }
      let reserved = pool.reservedBytes
      for block in blocks { giver.release(block) }
      giver.flush()
      for _ in 0..<4 {
        var taker = MessageCache(pool)
        let block = taker.claim(bytes)
        let other = try #require(block)
        // Beside it, while it has its blocks.
        var another = MessageCache(pool)
        if let block = another.claim(bytes) { another.release(block) }
        taker.release(other)
      }
      #expect(pool.reservedBytes == reserved)
    }
  }

  @Test("blocks come and go in any numbers through one cache, and none is given out twice", arguments: [1, 63, 64, 65, 200, 1_000])
  func numbers(most: Int) throws {
    let pool = try MessagePool(capacity: 64 << 20)
    var cache = MessageCache(pool)
    var generator = SeededNumbers(UInt64(most))
    var held: [MessageBlock] = []
    var numbers: Set<UInt64> = []
    for round in 0..<2_000 {
      if generator.below(2) == 0 {
        for _ in 0..<generator.below(most + 1) where held.count < most {
          let claimed = cache.claim(600)
          let block = try #require(claimed)
          #expect(numbers.insert(block.number).inserted)
          held.append(block)
        }
      } else {
        for _ in 0..<generator.below(held.count + 1) {
          let block = held.removeLast()
          numbers.remove(block.number)
          cache.release(block)
        }
      }
      if round % 100 == 0 { cache.flush() }
    }
    for block in held { cache.release(block) }
  }

  @Test("beyond its bound a pool gives nothing, and what comes back is given again")
  func bound() throws {
    let pool = try MessagePool(capacity: 3 << 20)
    var cache = MessageCache(pool)
    var blocks: [MessageBlock] = []
    while let block = cache.claim(100_000) { blocks.append(block) }
    #expect(pool.reservedBytes <= 3 << 20 && blocks.count == 3 * ((1 << 20) / (1 << 17)))
    let large = cache.claim(2 << 20)
    #expect(large == nil)
    let back = blocks.removeLast()
    cache.release(back)
    let again = cache.claim(100_000)
    #expect(again?.number == back.number)
  }

  @Test("what a cache gives out before its thread waits, or when it goes, others may have")
  func flushed() throws {
    let pool = try MessagePool(capacity: 256 << 10)
    var other = MessageCache(pool)
    var blocks: [MessageBlock] = []
    while let block = other.claim(40) { blocks.append(block) }
    #expect(blocks.count == (256 << 10) / MessagePool.smallest)
    var cache = MessageCache(pool)
    for block in blocks.prefix(10) { other.release(block) }
    let before = cache.claim(40)
    #expect(before == nil)
    other.flush()
    var found = 0
    while cache.claim(40) != nil { found += 1 }
    #expect(found == 10)
    for block in blocks.suffix(10) { other.release(block) }
    _ = consume other
    while cache.claim(40) != nil { found += 1 }
    #expect(found == 20)
  }

  @Test("the last of several holders frees a block, whichever that is")
  func holders() throws {
    let pool = try MessagePool(capacity: 1 << 20)
    var cache = MessageCache(pool)
    let claimed = cache.claim(8)
    let block = try #require(claimed)
    block.retain(2)
    // What the pool still has, and what it has when all have let go.
    for isLast in [false, false, true] {
      cache.release(block)
      var numbers: [MessageBlock] = []
      let reserved = pool.reservedBytes
      while numbers.count < reserved / MessagePool.smallest, let other = cache.claim(8), pool.reservedBytes == reserved {
        numbers.append(other)
      }
      #expect(numbers.contains { $0.number == block.number } == isLast)
      for other in numbers where other.number != block.number { cache.release(other) }
    }
  }

  @Test("blocks that go from thread to thread are held by one at a time, and none is lost")
  func threads() throws {
    let pool = try MessagePool(capacity: 8 << 20)
    let exchange = try Exchange(pool)
    #expect(exchange.run(threads: 4, rounds: 50_000) == 0)
    // All that was cut is free: it can be claimed once, without new memory.
    var cache = MessageCache(pool)
    let reserved = pool.reservedBytes
    var numbers: Set<UInt64> = []
    // Pieces of 256 KiB, cut into as many blocks as fit.
    for _ in 0..<(reserved / (256 << 10) * ((256 << 10) / MessagePool.smallest)) {
      let claimed = cache.claim(40)
      let block = try #require(claimed)
      #expect(numbers.insert(block.number).inserted)
    }
    #expect(pool.reservedBytes == reserved)
  }
}

/// Places through which threads give each other blocks.
private final class Exchange: @unchecked Sendable {
  private static let places = 64

  private let pool: MessagePool
  private let region: Region
  private let monitor = Monitor()
  private var left = 0
  private var faults = 0

  init(_ pool: MessagePool) throws {
    self.pool = pool
    region = try Region(bytes: Exchange.places * padding)
  }

  deinit {
    region.free()
    monitor.deallocate()
  }

  private func place(_ index: Int) -> SharedWord { unsafe SharedWord(region.base + index * padding) }

  /// Whether a thread has the block: the first word of the payload.
  private func mark(_ block: MessageBlock) -> SharedWord { unsafe SharedWord(block.payload) }

  /// Blocks that two had, or that were no longer what was written.
  func run(threads: Int, rounds: Int) -> Int {
    left = threads
    for thread in 0..<threads {
      let isThere = OwnThread.run { [self] in
        let faults = work(thread, rounds)
        monitor.locked {
          self.faults += faults
          left -= 1
          monitor.broadcast(.ended)
        }
      }
      #expect(isThere)
    }
    monitor.locked { while left > 0 { monitor.wait(.ended) } }
    var cache = MessageCache(pool)
    for index in 0..<Exchange.places { faults += end(place(index).exchange(0), &cache) }
    return faults
  }

  private func work(_ thread: Int, _ rounds: Int) -> Int {
    var generator = SeededNumbers(UInt64(thread))
    var cache = MessageCache(pool)
    var faults = 0
    for round in 0..<rounds {
      guard let block = cache.claim(40) else { return faults + 1 }
      if mark(block).exchange(1) != 0 { faults += 1 }
      let stamp = UInt64(thread) << 32 | UInt64(round)
      for word in 1..<5 { unsafe block.payload.storeBytes(of: stamp, toByteOffset: word * 8, as: UInt64.self) }
      faults += end(place(generator.below(Exchange.places)).exchange(block.number), &cache)
    }
    return faults
  }

  /// Looks at a block that somebody gave, and lets go of it.
  private func end(_ number: UInt64, _ cache: inout MessageCache) -> Int {
    if number == 0 { return 0 }
    let block = unsafe MessageBlock(number)
    let words = (1..<5).map { unsafe block.payload.load(fromByteOffset: $0 * 8, as: UInt64.self) }
    let isWhole = Set(words).count == 1 && block.bytes == 40
    let wasHeld = mark(block).exchange(0) == 1
    cache.release(block)
    return isWhole && wasHeld ? 0 : 1
  }
}
