internal import CJemalloc
internal import Glibc
internal import MillracePluginCheck

/// What jemalloc says about itself, and whether Swift's allocations go through it.
enum Allocator {
  /// As `5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c`; nil if it does not answer.
  static var version: String? {
    var text: UnsafePointer<CChar>?
    var size = MemoryLayout<Int>.size
    // jemalloc writes one pointer, as long as an Int, to a constant of its own.
    guard unsafe mallctl("version", &text, &size, nil, 0) == 0, let text = unsafe text else { return nil }
    return unsafe String(cString: text)
  }

  /// Bytes allocated by the whole process, as jemalloc counts them; nil if it does not answer.
  static var allocated: UInt64? {
    // Counters are as of the last epoch: begin a new one.
    var epoch: UInt64 = 1
    guard unsafe mallctl("epoch", nil, nil, &epoch, MemoryLayout.size(ofValue: epoch)) == 0 else { return nil }
    var bytes = 0
    var size = MemoryLayout.size(ofValue: bytes)
    // jemalloc writes one size_t.
    return unsafe mallctl("stats.allocated", &bytes, &size, nil, 0) == 0 ? UInt64(bytes) : nil
  }

  /// `allocated` before and after a Swift array of `bytes`; nil if jemalloc does not answer.
  static func probe(bytes: Int) -> (before: UInt64, after: UInt64)? {
    guard let before = allocated else { return nil }
    let array = [UInt8](repeating: 0, count: bytes)
    let after = withExtendedLifetime(array) { allocated }
    return after.map { (before, $0) }
  }

  /// Counts for `plugin check`; nil if jemalloc does not answer.
  static var check: AllocationProbe? {
    guard allocated != nil else { return nil }
    return AllocationProbe {
      // What this thread keeps for itself is counted as allocated, and its requests are not yet.
      unsafe _ = mallctl("thread.tcache.flush", nil, nil, nil, 0)
      let live = allocated ?? 0
      return .init(live: live, requests: counter("stats.arenas.4096.small.nrequests") + counter("stats.arenas.4096.large.nrequests"))
    }
  }

  /// As of the last epoch. 4096 is MALLCTL_ARENAS_ALL: all of them.
  private static func counter(_ name: String) -> UInt64 {
    var value: UInt64 = 0
    var size = MemoryLayout<UInt64>.size
    // jemalloc writes one uint64_t.
    return unsafe mallctl(name, &value, &size, nil, 0) == 0 ? value : 0
  }
}
