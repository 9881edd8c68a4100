internal import MillraceCore

/// Workspaces that any thread borrows for a moment.
///
/// # Threads
/// Any.
/// # Progress
/// Lock-free: a thread that finds one taken takes another, or makes a new one.
@safe final class Workspaces: @unchecked Sendable {
  private static let count = 16

  private let pool: MessagePool
  /// A word for each, on a line of its own: 1 taken.
  private let words: Region
  // unsafe: `count` workspaces, each its borrower's.
  private let spaces: UnsafeMutablePointer<Workspace>

  init(_ pool: MessagePool) throws(MemoryError) {
    self.pool = pool
    words = try Region(bytes: Workspaces.count * padding)
    unsafe spaces = .allocate(capacity: Workspaces.count)
    for index in 0..<Workspaces.count { unsafe (spaces + index).initialize(to: Workspace(pool)) }
  }

  deinit {
    unsafe spaces.deinitialize(count: Workspaces.count)
    unsafe spaces.deallocate()
    words.free()
  }

  func with<Value>(_ body: (inout Workspace) -> Value) -> Value {
    // Threads have their stacks apart: their addresses spread them.
    var here: UInt8 = 0
    let address = unsafe withUnsafeMutablePointer(to: &here) { UInt(bitPattern: $0) }
    let start = Int(truncatingIfNeeded: ((address >> 16) &* 0x9E37_79B1) >> 8)
    for step in 0..<Workspaces.count {
      let index = (start &+ step) & (Workspaces.count - 1)
      let word = unsafe SharedHalf(words.base + index * padding)
      if word.loadRelaxed() != 0 { continue }
      // Order: sequentially consistent exchange. Pairs with the releasing store below: the last borrower's use happened before.
      if word.exchange(1) != 0 { continue }
      defer { word.storeReleasing(0) }
      return unsafe body(&spaces[index])
    }
    var own = Workspace(pool)
    return body(&own)
  }

  /// A holder lets go who has no cache of its own.
  func release(_ block: MessageBlock) {
    if block.release() { with { work in work.cache.free(block) } }
  }
}
