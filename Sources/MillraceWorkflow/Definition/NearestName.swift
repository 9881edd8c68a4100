/// Finds the known name nearest to one that is not known, for "did you mean".
package struct NearestName {
  /// Comparisons in all, so that a hundred typing errors in a huge definition stay cheap.
  private var budget = 2_000_000

  package init() {}

  /// The candidate with the smallest edit distance (insert, delete, replace, swap neighbours), the first of equals; nil if none is near enough to be
  /// a typing error: one edit in three characters, none in a single one.
  package mutating func nearest(to name: String, among candidates: some Sequence<String>) -> String? {
    let wanted = Array(name.utf8)
    guard wanted.count <= 128 else { return nil }
    var limit = wanted.count < 2 ? 0 : max(1, wanted.count / 3)
    var best: String?
    for candidate in candidates {
      guard budget > 0 else { break }
      budget -= 1
      let length = candidate.utf8.count
      guard abs(length - wanted.count) <= limit else { continue }
      guard let distance = Self.distance(wanted, Array(candidate.utf8), limit: limit) else { continue }
      if distance == 0 { return candidate }
      best = candidate
      limit = distance - 1
    }
    return best
  }

  /// Optimal string alignment by three rows; nil above the limit. Lower and upper case of a letter are the same.
  private static func distance(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int? {
    var older = [Int](repeating: 0, count: b.count + 1)
    var above = Array(0...b.count)
    var row = older
    for i in 1..<max(a.count + 1, 1) {
      row[0] = i
      var smallest = i
      for j in 1..<max(b.count + 1, 1) {
        let same = folded(a[i - 1]) == folded(b[j - 1])
        var cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = min(cost, older[j - 2] + 1) }
        row[j] = cost
        smallest = min(smallest, cost)
      }
      if smallest > limit { return nil }
      (older, above, row) = (above, row, older)
    }
    return above[b.count] <= limit ? above[b.count] : nil
  }

  private static func folded(_ byte: UInt8) -> UInt8 { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte ? byte | 0x20 : byte }
}
