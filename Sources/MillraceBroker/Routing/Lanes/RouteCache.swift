internal import Glibc
internal import MillraceCore

/// Routes that a lane found lately, by table version, exchange and key. A route that depends on headers is not kept.
///
/// Routes are written one behind the other into a ring, each over what is oldest there; an index of buckets of four finds them by their hash. Both are of a fixed size: keys that
/// never come again cost one write each.
///
/// A route in the ring: version, exchange, the key's length and the queues' count (32 bits each), the queues, the key; each part is padded to 8 bytes.
///
/// # Threads
/// One.
/// # Complexity
/// O(key + queues).
@safe struct RouteCache: ~Copyable {
  private static let ways = 4
  /// A bucket: four hashes, four places.
  private static let bucketBytes = ways * 16
  private static let headBytes = 24
  /// A route takes this part of the ring at most.
  private static let share = 8

  private let region: Region?
  private let buckets: UInt64
  private let size: Int
  private let index: UnsafeMutablePointer<UInt64>
  private let ring: UnsafeMutableRawPointer
  /// Bytes that were ever written. What lies more than `size` behind has been written over.
  private var head = 0

  /// Throws `MemoryError`.
  init(routes: Int, bytes: Int) throws(MemoryError) {
    buckets = routes < RouteCache.ways ? 0 : UInt64(1) << UInt64(Int.bitWidth - 1 - (routes / RouteCache.ways).leadingZeroBitCount)
    size = bytes & ~7
    if buckets == 0 || size < RouteCache.share * RouteCache.headBytes {
      region = nil
      // unsafe: never used without a region.
      unsafe ring = UnsafeMutableRawPointer(mutating: KeyHash.none)
      unsafe index = ring.assumingMemoryBound(to: UInt64.self)
      return
    }
    let region = try Region(bytes: Int(buckets) * RouteCache.bucketBytes + size)
    self.region = region
    // unsafe: the region's, whose length is the sum.
    unsafe index = region.base.assumingMemoryBound(to: UInt64.self)
    unsafe ring = region.base + Int(buckets) * RouteCache.bucketBytes
  }

  deinit { region?.free() }

  var isEnabled: Bool { region != nil }

  /// A route, until the next `insert`.
  @safe struct Route {
    let queues: UnsafePointer<UInt32>
    let count: Int
  }

  /// unsafe: the key's bytes are read.
  @unsafe @inline(__always) func find(_ hash: UInt64, _ version: UInt64, _ exchange: ExchangeID, _ key: UnsafeBufferPointer<UInt8>)
    -> Route?
  {
    // unsafe: buckets by number, and places that have not been written over.
    let bucket = unsafe index + Int(hash & (buckets &- 1)) &* 8
    for way in 0..<RouteCache.ways where unsafe bucket[way] == hash {
      let place = unsafe Int(truncatingIfNeeded: bucket[RouteCache.ways &+ way])
      if place == 0 || head &- (place &- 1) > size { return nil }
      let route = unsafe ring + (place &- 1) % size
      let lengths = unsafe route.load(fromByteOffset: 16, as: UInt64.self)
      let count = Int(lengths >> 32)
      guard unsafe route.load(as: UInt64.self) == version, unsafe route.load(fromByteOffset: 8, as: UInt64.self) == exchange.bits,
        Int(lengths & 0xFFFF_FFFF) == key.count
      else { return nil }
      let queues = unsafe route + RouteCache.headBytes
      if unsafe !key.isEmpty && memcmp(queues + RouteCache.padded(count &* 4), key.baseAddress!, key.count) != 0 { return nil }
      return unsafe Route(queues: UnsafePointer(queues.assumingMemoryBound(to: UInt32.self)), count: count)
    }
    return nil
  }

  /// unsafe: the key's bytes, and `count` queues, are read.
  @unsafe mutating func insert(
    _ hash: UInt64, _ version: UInt64, _ exchange: ExchangeID, _ key: UnsafeBufferPointer<UInt8>, _ queues: UnsafePointer<UInt32>,
    _ count: Int
  ) {
    let keyStart = RouteCache.headBytes + RouteCache.padded(count * 4)
    let bytes = keyStart + RouteCache.padded(key.count)
    if !isEnabled || bytes > size / RouteCache.share { return }
    if head % size + bytes > size { head += size - head % size }
    // unsafe: the bytes fit behind the place in the ring.
    let route = unsafe ring + head % size
    unsafe route.storeBytes(of: version, as: UInt64.self)
    unsafe route.storeBytes(of: exchange.bits, toByteOffset: 8, as: UInt64.self)
    unsafe route.storeBytes(of: UInt64(count) << 32 | UInt64(key.count), toByteOffset: 16, as: UInt64.self)
    unsafe (route + RouteCache.headBytes).copyMemory(from: queues, byteCount: count * 4)
    if let start = key.baseAddress { unsafe (route + keyStart).copyMemory(from: start, byteCount: key.count) }
    enter(hash, UInt64(head + 1))
    head += bytes
  }

  /// In place of the same hash, or of the oldest in its bucket.
  private func enter(_ hash: UInt64, _ place: UInt64) {
    // unsafe: a bucket by number.
    let bucket = unsafe index + Int(hash & (buckets &- 1)) &* 8
    var oldest = 0
    for way in 0..<RouteCache.ways {
      if unsafe bucket[way] == hash {
        oldest = way
        break
      }
      if unsafe bucket[RouteCache.ways + way] < bucket[RouteCache.ways + oldest] { oldest = way }
    }
    unsafe bucket[oldest] = hash
    unsafe bucket[RouteCache.ways + oldest] = place
  }

  @inline(__always) private static func padded(_ bytes: Int) -> Int { (bytes &+ 7) & ~7 }
}
