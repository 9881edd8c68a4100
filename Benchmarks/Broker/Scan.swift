import Glibc

/// What a broker without an index does: the key against each pattern, one after the other. The patterns are split beforehand and lie in one piece, the key is split
/// once, words are compared by 8 bytes at once, and nothing is allocated.
@safe final class Scan {
  private enum Kind: UInt8 {
    case word, one, many
  }

  private struct Word {
    /// The first 8 bytes, or all of them and zeroes.
    let prefix: UInt64
    let start: UInt32
    let length: UInt16
    let kind: Kind
  }

  private struct Pattern {
    let start: UInt32
    let end: UInt32
    let queue: UInt32
  }

  private var bytes: [UInt8] = []
  private var words: [Word] = []
  private var patterns: [Pattern] = []
  private let key = UnsafeMutablePointer<Word>.allocate(capacity: 256)
  private let seen: UnsafeMutablePointer<UInt64>
  private var stamp: UInt64 = 0

  init(queues: Int) {
    unsafe seen = .allocate(capacity: queues)
    unsafe seen.initialize(repeating: 0, count: queues)
  }

  deinit {
    unsafe seen.deallocate()
    unsafe key.deallocate()
  }

  func add(_ pattern: String, _ queue: UInt32) {
    let start = words.count
    for word in pattern.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      let kind: Kind = word.elementsEqual("*".utf8) ? .one : word.elementsEqual("#".utf8) ? .many : .word
      let prefix = word.prefix(8).enumerated().reduce(0 as UInt64) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
      words.append(Word(prefix: prefix, start: UInt32(bytes.count), length: UInt16(word.count), kind: kind))
      bytes += word
    }
    patterns.append(Pattern(start: UInt32(start), end: UInt32(words.count), queue: queue))
  }

  /// The sum of the numbers of the queues that the key goes to, each once. unsafe: the key's bytes are read.
  @unsafe func sum(_ all: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Int {
    // unsafe: indices stay within the arrays that they were made for.
    unsafe words.withUnsafeBufferPointer { words in
      unsafe patterns.withUnsafeBufferPointer { patterns in
        unsafe bytes.withUnsafeBufferPointer { bytes in
          let count = unsafe split(all, range)
          stamp += 1
          var sum = 0
          for index in 0..<patterns.count {
            let pattern = unsafe patterns[index]
            if unsafe seen[Int(pattern.queue)] != stamp && matches(words.baseAddress!, bytes.baseAddress!, pattern, all.baseAddress!, count)
            {
              unsafe seen[Int(pattern.queue)] = stamp
              sum &+= Int(pattern.queue)
            }
          }
          return sum
        }
      }
    }
  }

  private func split(_ all: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Int {
    if range.isEmpty { return 0 }
    var count = 0
    var start = range.lowerBound
    for at in range.lowerBound...range.upperBound {
      if unsafe at < range.upperBound && all[at] != UInt8(ascii: ".") { continue }
      var prefix: UInt64 = 0
      for index in 0..<min(8, at - start) { prefix |= unsafe UInt64(all[start + index]) << (8 * UInt64(index)) }
      unsafe key[count] = Word(prefix: prefix, start: UInt32(start), length: UInt16(at - start), kind: .word)
      count += 1
      start = at + 1
    }
    return count
  }

  /// Goes back to the last `#` when a word does not fit.
  @inline(__always) private func matches(
    _ words: UnsafePointer<Word>, _ bytes: UnsafePointer<UInt8>, _ pattern: Pattern, _ all: UnsafePointer<UInt8>, _ count: Int
  ) -> Bool {
    var (at, word) = (Int(pattern.start), 0)
    let end = Int(pattern.end)
    var (afterMany, retry) = (-1, 0)
    while true {
      if at < end {
        let wanted = unsafe words[at]
        if wanted.kind == .many {
          at &+= 1
          if at == end { return true }
          (afterMany, retry) = (at, word)
          continue
        }
        if word < count {
          let given = unsafe key[word]
          let isEqual =
            unsafe wanted.kind == .one
            || wanted.prefix == given.prefix && wanted.length == given.length
              && (given.length <= 8 || memcmp(bytes + Int(wanted.start), all + Int(given.start), Int(given.length)) == 0)
          if isEqual {
            at &+= 1
            word &+= 1
            continue
          }
        }
      } else if word == count {
        return true
      }
      if afterMany < 0 || retry >= count { return false }
      retry &+= 1
      (at, word) = (afterMany, retry)
    }
  }
}
