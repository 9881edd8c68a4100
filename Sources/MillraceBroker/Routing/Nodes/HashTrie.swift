internal import CMillrace

/// What a leaf of a `HashTrie` is: a word with its lowest bit set.
protocol TrieLeaf {
  static func key(_ leaf: UInt) -> UInt64
}

/// The targets of a node: their codes themselves.
enum TargetLeaf: TrieLeaf {
  @inline(__always) static func key(_ leaf: UInt) -> UInt64 { UInt64(leaf >> 1) }
  @inline(__always) static func leaf(_ target: TargetCode) -> UInt { UInt(target.code) << 1 | 1 }
  @inline(__always) static func target(_ leaf: UInt) -> TargetCode { TargetCode(code: UInt32(truncatingIfNeeded: leaf >> 1)) }
}

/// Maps 64-bit keys to leaves; each change makes new branches on one way and shares the rest.
///
/// A slot is 0, a leaf, or the address of a branch: its block's word, a bitmap of 64, and the slots that are there. Level by level, 6 bits of the key
/// choose, the lowest first: after 11 levels keys that differ have parted.
///
/// # Source
/// P. Bagwell, "Ideal Hash Trees" (2001).
@safe enum HashTrie<Leaf: TrieLeaf> {
  private typealias Branch = UnsafeMutablePointer<UInt64>

  private static func branch(_ slot: UInt) -> Branch {
    // unsafe: a slot that is neither 0 nor a leaf is a branch.
    unsafe Branch(bitPattern: slot)!
  }

  /// The leaf, or 0. Complexity: O(log n).
  @inline(__always) static func find(_ root: UInt, _ key: UInt64) -> UInt {
    let leaf = candidate(root, key)
    return leaf != 0 && Leaf.key(leaf) == key ? leaf : 0
  }

  /// The only leaf that may have this key, or 0. It is not looked at.
  @inline(__always) static func candidate(_ root: UInt, _ key: UInt64) -> UInt {
    var slot = root
    var rest = key
    while slot & 1 == 0 {
      if slot == 0 { return 0 }
      let branch = unsafe Branch(bitPattern: slot)!
      let bitmap = unsafe branch[1]
      let bit: UInt64 = 1 &<< (rest & 63)
      if bitmap & bit == 0 { return 0 }
      slot = unsafe UInt(branch[2 &+ Int(millrace_bits(bitmap & (bit &- 1)))])
      rest &>>= 6
    }
    return slot
  }

  /// What a branch has: leaves and branches.
  @safe struct Slots {
    fileprivate let base: UnsafePointer<UInt>
    let count: Int

    @inline(__always) subscript(index: Int) -> UInt {
      // unsafe: below the count, as the caller sees to.
      unsafe base[index]
    }
  }

  @inline(__always) static func slots(_ slot: UInt) -> Slots {
    // unsafe: as many slots as bits.
    let branch = unsafe branch(slot)
    return unsafe Slots(base: UnsafeRawPointer(branch + 2).assumingMemoryBound(to: UInt.self), count: Int(millrace_bits(branch[1])))
  }

  /// All leaves. Complexity: O(n). Depth: 11.
  @inline(__always) static func forEach(_ slot: UInt, _ body: (UInt) -> Void) {
    if slot == 0 { return }
    if slot & 1 != 0 { return body(slot) }
    descend(slot, body)
  }

  private static func descend(_ slot: UInt, _ body: (UInt) -> Void) {
    let branch = unsafe branch(slot)
    // unsafe: as many slots as bits.
    for index in unsafe 0..<branch[1].nonzeroBitCount { forEach(unsafe UInt(branch[2 + index]), body) }
  }

  /// The trie with `leaf`, in place of one with the same key. Complexity: O(log n); 64 words are copied on each level at most.
  static func inserting(_ leaf: UInt, into slot: UInt, depth: UInt64 = 0, _ memory: NodeMemory) -> UInt {
    if slot == 0 { return leaf }
    let key = Leaf.key(leaf)
    if slot & 1 != 0 { return Leaf.key(slot) == key ? leaf : split(slot, leaf, depth, memory) }
    let branch = unsafe branch(slot)
    // unsafe: slots by the bits of the bitmap, as everywhere here.
    let bitmap = unsafe branch[1]
    let bit: UInt64 = 1 << ((key >> depth) & 63)
    let place = 2 + (bitmap & (bit - 1)).nonzeroBitCount
    if bitmap & bit != 0 {
      let below = unsafe inserting(leaf, into: UInt(branch[place]), depth: depth + 6, memory)
      return replacing(slot, place, below, memory)
    }
    let count = bitmap.nonzeroBitCount
    let new = unsafe make(bitmap | bit, memory)
    unsafe (new + 2).update(from: branch + 2, count: place - 2)
    unsafe new[place] = UInt64(leaf)
    unsafe (new + place + 1).update(from: branch + place, count: count + 2 - place)
    unsafe memory.retire(branch)
    return UInt(bitPattern: new)
  }

  /// The trie without this key; a branch with one leaf becomes that leaf. Complexity: as `inserting`.
  static func removing(_ key: UInt64, from slot: UInt, depth: UInt64 = 0, _ memory: NodeMemory) -> UInt {
    if slot == 0 { return 0 }
    if slot & 1 != 0 { return Leaf.key(slot) == key ? 0 : slot }
    let branch = unsafe branch(slot)
    // unsafe: as in `inserting`.
    let bitmap = unsafe branch[1]
    let bit: UInt64 = 1 << ((key >> depth) & 63)
    if bitmap & bit == 0 { return slot }
    let place = 2 + (bitmap & (bit - 1)).nonzeroBitCount
    let count = bitmap.nonzeroBitCount
    let old = unsafe UInt(branch[place])
    let below = removing(key, from: old, depth: depth + 6, memory)
    if below == old { return slot }
    if below != 0 {
      if count == 1, below & 1 != 0 {
        unsafe memory.retire(branch)
        return below
      }
      return replacing(slot, place, below, memory)
    }
    let other = count == 2 ? unsafe UInt(branch[place == 2 ? 3 : 2]) : 0
    if count == 1 || other & 1 != 0 {
      unsafe memory.retire(branch)
      return other
    }
    let new = unsafe make(bitmap & ~bit, memory)
    unsafe (new + 2).update(from: branch + 2, count: place - 2)
    unsafe (new + place).update(from: branch + place + 1, count: count + 1 - place)
    unsafe memory.retire(branch)
    return UInt(bitPattern: new)
  }

  /// Retires all branches. The leaves are the caller's.
  static func retire(_ slot: UInt, _ memory: NodeMemory) {
    if slot == 0 || slot & 1 != 0 { return }
    let branch = unsafe branch(slot)
    // unsafe: as many slots as bits.
    for index in unsafe 0..<branch[1].nonzeroBitCount { retire(unsafe UInt(branch[2 + index]), memory) }
    unsafe memory.retire(branch)
  }

  private static func replacing(_ slot: UInt, _ place: Int, _ below: UInt, _ memory: NodeMemory) -> UInt {
    let branch = unsafe branch(slot)
    // unsafe: a copy of the same length.
    let new = unsafe memory.copy(branch).assumingMemoryBound(to: UInt64.self)
    unsafe new[place] = UInt64(below)
    unsafe memory.retire(branch)
    return UInt(bitPattern: new)
  }

  /// Two leaves with different keys, of which those of the levels above are equal.
  private static func split(_ a: UInt, _ b: UInt, _ depth: UInt64, _ memory: NodeMemory) -> UInt {
    let first = (Leaf.key(a) >> depth) & 63
    let second = (Leaf.key(b) >> depth) & 63
    let new = unsafe make(1 << first | 1 << second, memory)
    // unsafe: one slot or two, as the bitmap says.
    if first == second {
      unsafe new[2] = UInt64(split(a, b, depth + 6, memory))
    } else {
      unsafe new[first < second ? 2 : 3] = UInt64(a)
      unsafe new[first < second ? 3 : 2] = UInt64(b)
    }
    return UInt(bitPattern: new)
  }

  private static func make(_ bitmap: UInt64, _ memory: NodeMemory) -> Branch {
    let block = unsafe memory.allocate((2 + bitmap.nonzeroBitCount) * 8).assumingMemoryBound(to: UInt64.self)
    unsafe block[1] = bitmap
    return unsafe block
  }
}
