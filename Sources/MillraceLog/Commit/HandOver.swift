internal import CMillrace
internal import MillraceCore

/// Hands requests from many threads to the one that commits, in one order, and says who that is.
///
/// A ring of slots, one for each request that may be under way: whoever got room takes the next places by one addition and never waits for a slot to become free.
/// Several requests are published last to first: who sees the first sees all.
///
/// The role of the committer is a word: `free` nobody commits, `held` somebody does, `granted` the committer's own thread is to. Whoever publishes and
/// finds it free takes it for itself or grants it; whoever gives it back looks at the ring once more.
///
/// # Threads
/// `reserve`, `publish`, `claim`: any. `take`, `peek`, `giveBack`: the holder of the role. `awaitGrant`: the committer's thread.
/// # Fields
/// `reserved`, `tail` and `role` lie on lines of their own. A slot's request belongs to its publisher until the sequence is stored, then to the
/// holder of the role. `head` is the holder's.
/// # Progress
/// `reserve` and `publish` are wait-free. A publisher that is stopped between its place and its sequence holds back those behind it.
/// # Source
/// The slot sequences are Dmitry Vyukov's bounded queue's, without the wait for a free slot, which `reserved` makes needless.
@safe final class HandOver: @unchecked Sendable {
  enum Role {
    static let free: UInt32 = 0
    static let held: UInt32 = 1
    static let granted: UInt32 = 2
  }

  static let mostCapacity = 1 << 20
  let capacity: Int
  private let mask: UInt64
  private let region: Region
  private let slots: UnsafeMutableRawPointer
  private var head: UInt64 = 0

  /// - Parameter capacity: requests under way at most, a power of two.
  init(capacity: Int) throws(MemoryError) {
    precondition(capacity.nonzeroBitCount == 1 && capacity <= Self.mostCapacity, "a power of two, \(Self.mostCapacity) at most")
    self.capacity = capacity
    mask = UInt64(capacity - 1)
    region = try Region(bytes: 3 * padding + capacity * 16)
    // Safe: the region is that long, and zeroed: no slot holds the sequence of its first round, 1 and more.
    unsafe slots = region.base + 3 * padding
  }

  deinit { region.free() }

  private var reserved: SharedWord { unsafe SharedWord(region.base) }
  private var tail: SharedWord { unsafe SharedWord(region.base + padding) }
  private var role: SharedHalf { unsafe SharedHalf(region.base + 2 * padding) }
  @inline(__always) private func sequence(_ place: UInt64) -> SharedWord { unsafe SharedWord(slots + Int(place & mask) &* 16) }
  @inline(__always) private func request(_ place: UInt64) -> UnsafeMutablePointer<UnsafeMutableRawPointer?> {
    unsafe (slots + Int(place & mask) &* 16 + 8).assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
  }

  /// Room for `count` requests. False: there is none.
  func reserve(_ count: Int) -> Bool {
    // Order: sequentially consistent, as every addition here; it orders nothing but the count itself.
    if reserved.add(UInt64(count)) &+ UInt64(count) <= UInt64(capacity) { return true }
    _ = reserved.subtract(UInt64(count))
    return false
  }

  /// Gives room back. The requests have been taken before.
  func release(_ count: Int) { _ = reserved.subtract(UInt64(count)) }

  /// Requests under way.
  var underWay: Int { Int(reserved.loadRelaxed()) }

  /// Puts requests into the order. Room for them is reserved.
  func publish(_ requests: UnsafeBufferPointer<UnsafeMutableRawPointer>) {
    let first = tail.add(UInt64(requests.count))
    for index in stride(from: requests.count - 1, through: 0, by: -1) {
      let place = first &+ UInt64(index)
      unsafe request(place).pointee = requests[index]
      // Order: releasing, sequentially consistent for the first. Pairs with the acquiring load in `peek`; the first one, before the look at the role in `claim`, with
      // the look at the ring after the store of the role in `giveBack`: one of the two sees the other.
      if index == 0 { _ = sequence(place).exchange(place &+ 1) } else { sequence(place).storeReleasing(place &+ 1) }
    }
  }

  /// After `publish`. True: nobody commits, and the caller does now. With `grant` the committer's thread is woken instead.
  func claim(grant: Bool) -> Bool {
    // Order: sequentially consistent. Pairs with `giveBack`.
    guard role.replace(Role.free, by: grant ? Role.granted : Role.held) else { return false }
    if grant { wake() }
    return !grant
  }

  private func wake() {
    // unsafe: the word lives as long as this object.
    _ = unsafe millrace_futex_wake(role.address, 1)
  }

  /// The next request, if it is published.
  @inline(__always) func peek() -> UnsafeMutableRawPointer? {
    // Order: acquiring. Pairs with the stores in `publish`.
    guard sequence(head).loadAcquiring() == head &+ 1 else { return nil }
    return unsafe request(head).pointee
  }

  /// As `peek`, of a later one: `distance` behind the next.
  @inline(__always) func peek(ahead distance: Int) -> UnsafeMutableRawPointer? {
    let place = head &+ UInt64(distance)
    // Order: as in `peek`.
    guard sequence(place).loadAcquiring() == place &+ 1 else { return nil }
    return unsafe request(place).pointee
  }

  /// What `peek` gave is the caller's.
  @inline(__always) func take() { head &+= 1 }

  /// The next one is published, seen in the order of `publish` and `claim`.
  private var isWaiting: Bool { sequence(head).loadSequential() == head &+ 1 }

  /// The holder does not commit any more. If there is something to commit, the committer's thread does. True: the caller is that thread, and holds the role still.
  func giveBack(isThread: Bool) -> Bool {
    while !isWaiting {
      // Not the holder any more from the exchange on: `head` is read before.
      let next = head
      // Order: sequentially consistent exchange. Pairs with `publish` and `claim`: either they find the role free, or this thread finds what they have published.
      _ = role.exchange(Role.free)
      // True also if a later holder has taken it: then there is a holder, or one more look does no harm.
      guard sequence(next).loadSequential() == next &+ 1, role.replace(Role.free, by: Role.held) else { return false }
    }
    if isThread { return true }
    handToThread()
    return false
  }

  /// Becomes the holder, once whoever holds has given back. Nothing is under way.
  func hold() {
    var backoff = Backoff()
    while !role.replace(Role.free, by: Role.held) { backoff.pause() }
  }

  /// The holder makes the committer's thread the holder.
  func handToThread() {
    // Order: sequentially consistent exchange by the holder. Pairs with the acquiring load in `awaitGrant`.
    _ = role.exchange(Role.granted)
    wake()
  }

  /// Sleeps until the role is granted, `nanoseconds` at most (< 0: without limit). True: the caller holds it.
  func awaitGrant(_ nanoseconds: Int64) -> Bool {
    // Order: acquiring. Pairs with the exchange in `grant` and the one in `claim`.
    var seen = role.loadAcquiring()
    if seen != Role.granted {
      // unsafe: the word lives as long as this object.
      if !ModelCheck.wait() { _ = unsafe millrace_futex_wait(role.address, seen, nanoseconds) }
      seen = role.loadAcquiring()
    }
    return seen == Role.granted && role.replace(Role.granted, by: Role.held)
  }
}
