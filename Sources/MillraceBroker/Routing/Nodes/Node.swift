internal import Glibc

typealias NodePointer = UnsafeMutablePointer<Node>

/// A place in an exchange's tree: what leads there, what lies there, what goes on from there. Its bytes stand behind it.
///
/// The root is the exchange itself, found by its number. A fanout exchange has only that; direct ones have a child for each key, headers ones for each filter, topic ones a
/// tree of words. The queues' names, for the default exchange, are such nodes too.
@safe struct Node {
  /// The block's word: see `NodeMemory`.
  private var block: UInt64 = 0
  /// Of the bytes; of a root: its number.
  var hash: UInt64 = 0
  /// Another child of the same parent whose bytes have the same hash.
  var next: NodePointer?
  /// Targets: a `HashTrie` of `TargetLeaf`.
  var targets: UInt = 0
  /// Children by their words: a `HashTrie` of `NodeLeaf`.
  var words: UInt = 0
  var one: NodePointer?
  var many: NodePointer?
  /// Of a node that stands for many words: its place among them. Of a root, and of a queue's name: its number.
  var number: UInt32 = 0
  /// Bytes behind the node.
  var length: UInt32 = 0
  /// Of roots only, as the next two.
  var generation: UInt32 = 0
  /// The number of the alternate exchange, or `none`.
  var alternate: UInt32 = 0
  var kind: UInt32 = 0
  var isInternal: UInt32 = 0

  static let none: UInt32 = .max

  var isEmpty: Bool { unsafe targets == 0 && words == 0 && one == nil && many == nil }
  /// Something goes on from there by a word.
  var hasSteps: Bool { unsafe words != 0 || one != nil }
}

/// A leaf is a node's address, or the first of several whose bytes have the same hash.
enum NodeLeaf: TrieLeaf {
  @inline(__always) static func key(_ leaf: UInt) -> UInt64 { unsafe node(leaf).pointee.hash }
  // unsafe: leaves of these tries are addresses of nodes.
  @inline(__always) static func node(_ leaf: UInt) -> NodePointer { unsafe NodePointer(bitPattern: leaf & ~1)! }
  @inline(__always) static func leaf(_ node: NodePointer) -> UInt { UInt(bitPattern: node) | 1 }
}

extension UnsafeMutablePointer<Node> {
  @inline(__always) var bytes: UnsafePointer<UInt8> { unsafe UnsafePointer(UnsafeRawPointer(self + 1).assumingMemoryBound(to: UInt8.self)) }

  var content: UnsafeBufferPointer<UInt8> { unsafe UnsafeBufferPointer(start: bytes, count: Int(pointee.length)) }

  @inline(__always) func has(_ word: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    if unsafe Int(pointee.length) != count { return false }
    if count >= 8 { return unsafe memcmp(bytes, word, count) == 0 }
    // unsafe: blocks end at a multiple of 8, with zeroes.
    return unsafe count == 0 || UnsafeRawPointer(bytes).load(as: UInt64.self).littleEndian == KeyHash.short(word, count)
  }

  /// The child with these bytes.
  @inline(__always) static func child(in words: UInt, _ hash: UInt64, _ word: UnsafePointer<UInt8>, _ count: Int) -> NodePointer? {
    let leaf = HashTrie<NodeLeaf>.candidate(words, hash)
    return leaf == 0 ? nil : unsafe first(of: leaf, hash, word, count)
  }

  /// The node with these bytes, at a leaf that may be another's.
  @inline(__always) static func first(of leaf: UInt, _ hash: UInt64, _ word: UnsafePointer<UInt8>, _ count: Int) -> NodePointer? {
    var node = unsafe Optional(NodeLeaf.node(leaf))
    while let candidate = unsafe node {
      if unsafe candidate.pointee.hash == hash && candidate.has(word, count) { return unsafe candidate }
      unsafe node = candidate.pointee.next
    }
    return nil
  }
}
