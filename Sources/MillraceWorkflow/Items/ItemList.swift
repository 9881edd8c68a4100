/// The items of a task with `foreach`, as they were when it began: nothing is copied of them. 4 bytes an item of a list, none of a range.
@safe struct ItemList: @unchecked Sendable {
  private enum Source {
    case range(from: Int64, step: Int64)
    /// Elements of a JSON text that lies in the run's memory, or in `kept`, and where they begin.
    case text(Bytes, starts: [UInt32])
  }

  let count: Int
  private let source: Source
  private let kept: KeptBytes?

  private init(_ count: Int, _ source: Source, _ kept: KeptBytes?) {
    self.count = count
    self.source = source
    self.kept = kept
  }

  /// More items than a task may have.
  struct TooMany: Error {
    let count: UInt64
  }

  /// Whole numbers by a step that is not 0.
  static func range(from: Int64, to: Int64, step: Int64) throws(TooMany) -> ItemList {
    let count = Foreach.count(from: from, to: to, step: step)
    if count > UInt64(Foreach.maximumItems) { throw TooMany(count: count) }
    return ItemList(Int(count), .range(from: from, step: step), nil)
  }

  /// The elements of a JSON list, `text` from bracket to bracket: it has been looked at, and stays for as long as `kept`, or the run, does.
  ///
  /// Complexity: O(text).
  static func elements(of text: Bytes, kept: KeptBytes? = nil) throws -> ItemList {
    var starts: [UInt32] = []
    var count = 0
    var scanner = JSONScanner(text)
    if try scanner.enter(element: 0) {
      repeat {
        if count < Foreach.maximumItems { starts.append(UInt32(scanner.index)) }
        count += 1
        _ = try scanner.value(depth: 1)
      } while try scanner.goOn()
    }
    if count > Foreach.maximumItems { throw TooMany(count: UInt64(count)) }
    return ItemList(count, .text(text, starts: starts), kept)
  }

  /// Item `index`. Complexity: O(its text).
  func value(_ index: Int) throws(ExpressionError) -> ExpressionValue {
    precondition(index >= 0 && index < count)
    switch source {
    case .range(let from, let step): return .integer(from &+ Int64(index) &* step)
    case .text(let text, let starts):
      var scanner = JSONScanner(text, at: Int(starts[index]))
      return try scanner.value(depth: 1)
    }
  }

  /// Bytes that are kept for each item.
  var bytesPerItem: Int { if case .text = source { MemoryLayout<UInt32>.stride } else { 0 } }

  // MARK: Of durable runs

  /// As a durable run records it.
  var recorded: ItemsRecorded {
    switch source {
    case .range(let from, let step): .range(from: from, step: step, count: count)
    case .text(let text, _):
      // unsafe: the bytes lie there for as long as the list.
      unsafe .list(text.withBuffer { unsafe Array($0) })
    }
  }

  /// What `recorded` gave, its text read. Throws `RecordError`.
  init(recorded: ItemsRecorded) throws {
    switch recorded {
    case .range(let from, let step, let count):
      guard 0...Foreach.maximumItems ~= count, step != 0 else {
        throw RecordError("a record has a list of \(count) items by a step of \(step)")
      }
      self.init(count, .range(from: from, step: step), nil)
    case .list(let list):
      let kept = KeptBytes(list)
      self = try ItemList.elements(of: kept.bytes, kept: kept)
    case .spilled(let version): throw RecordError("the list of event \(version) is not read")
    }
  }
}
