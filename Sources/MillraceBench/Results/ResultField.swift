internal import MillraceWorkflow

/// A value inside a JSON document and the way to it, so that a refusal can say where: `levels[2].rounds[0].completed`.
struct ResultField {
  private let value: JSON
  private let path: String

  init(_ value: JSON, path: String = "") {
    self.value = value
    self.path = path
  }

  func fault(_ message: String) -> ResultFault { ResultFault(at: path, message) }

  /// The member with this name, which must be there; it may be null.
  func member(_ name: String) throws(ResultFault) -> ResultField {
    guard value.object != nil else { throw fault("must be an object") }
    let path = path.isEmpty ? name : path + "." + name
    guard let member = value[name] else { throw ResultFault(at: path, "is missing") }
    return ResultField(member, path: path)
  }

  /// The member with this name; nil if it is null or not there.
  func optional(_ name: String) throws(ResultFault) -> ResultField? {
    guard value.object != nil else { throw fault("must be an object") }
    guard let member = value[name], !member.isNull else { return nil }
    return ResultField(member, path: path.isEmpty ? name : path + "." + name)
  }

  func list(limit: Int) throws(ResultFault) -> [ResultField] {
    guard let elements = value.array else { throw fault("must be an array") }
    guard elements.count <= limit else { throw fault("has \(elements.count) elements, more than \(limit)") }
    return elements.enumerated().map { ResultField($1, path: path + "[\($0)]") }
  }

  func text() throws(ResultFault) -> String {
    guard let text = value.string else { throw fault("must be a string") }
    return text
  }

  func flag() throws(ResultFault) -> Bool {
    guard let flag = value.bool else { throw fault("must be true or false") }
    return flag
  }

  /// A finite number, not below 0.
  func number() throws(ResultFault) -> Double {
    guard let number = value.double, number.isFinite, number >= 0 else { throw fault("must be a number, not below 0") }
    return number
  }

  /// - Parameter least: smallest value that makes sense.
  func count(least: Int = 0) throws(ResultFault) -> Int {
    guard let count = value.integer.flatMap({ Int(exactly: $0) }), count >= least else {
      throw fault("must be a whole number, not below \(least)")
    }
    return count
  }

  func unsigned() throws(ResultFault) -> UInt64 {
    guard let number = value.integer.flatMap({ UInt64(exactly: $0) }) else { throw fault("must be a whole number, not below 0") }
    return number
  }

  func signed() throws(ResultFault) -> Int64 {
    guard let number = value.integer else { throw fault("must be a whole number") }
    return number
  }

  /// Pairs of whole numbers: the bulk of a file, read without a path for each.
  func pairs(limit: Int) throws(ResultFault) -> [[UInt64]] {
    guard let elements = value.array, elements.count <= limit else { throw fault("must be an array of at most \(limit) pairs") }
    var pairs: [[UInt64]] = []
    pairs.reserveCapacity(elements.count)
    for element in elements {
      guard let pair = element.array, pair.count == 2, let end = pair[0].integer.flatMap({ UInt64(exactly: $0) }),
        let count = pair[1].integer.flatMap({ UInt64(exactly: $0) })
      else { throw fault("element \(pairs.count) must be two whole numbers, as [1023, 17]") }
      pairs.append([end, count])
    }
    return pairs
  }
}
