internal import MillraceCore

/// What a handle names. The number is its highest byte.
enum HandleKind: UInt64 {
  case engine = 1
  case workflow, run, subscription, schedule
}

/// Something that a handle names.
protocol Held: AnyObject, Sendable {
  static var kind: HandleKind { get }
  /// With whose engine it goes; nil: it stays until it is given back.
  var goesWith: EmbeddedEngine? { get }
}

/// Handles of this process: numbers that a program in another language may copy, keep too long or make up, and that harm nothing.
///
/// A handle is kind (8 bits), generation (24) and place (32). A place is used anew under the next generation, and no more after the last one: a handle that was
/// given back never names another thing.
///
/// # Threads
/// Any; one lock for as long as a look takes.
@safe final class HandleTable: @unchecked Sendable {
  static let shared = HandleTable()
  /// Handles at once.
  static let maximum = 1 << 24
  private static let generations: UInt64 = 1 << 24

  private struct Place {
    var generation: UInt64 = 1
    var value: (any Held)?
  }

  private let monitor = Monitor()
  private var places: [Place] = []
  private var free: [Int] = []

  deinit { monitor.deallocate() }

  /// Complexity: O(1) amortised. Throws `Failure`.
  func add(_ value: some Held) throws(Failure) -> UInt64 {
    try monitor.locked { () throws(Failure) in
      let index: Int
      if let last = free.popLast() {
        index = last
      } else {
        if places.count >= HandleTable.maximum {
          throw Failure(.full, "\(places.count) handles are in use: release those of runs that are over")
        }
        index = places.count
        places.append(Place())
      }
      places[index].value = value
      return id(type(of: value).kind, index)
    }
  }

  /// What the handle names. Throws `Failure`. Complexity: O(1).
  func find<Value: Held>(_ id: UInt64, _: Value.Type = Value.self) throws(Failure) -> Value {
    try monitor.locked { () throws(Failure) in try look(id).value }
  }

  /// As `find`; the handle names nothing from here on.
  @discardableResult func remove<Value: Held>(_ id: UInt64, _: Value.Type = Value.self) throws(Failure) -> Value {
    try monitor.locked { () throws(Failure) in
      let (index, value): (Int, Value) = try look(id)
      vacate(index)
      return value
    }
  }

  /// What goes with an engine; its handles name nothing from here on. Complexity: O(handles).
  func removeAll(with engine: EmbeddedEngine) -> [any Held] {
    monitor.locked {
      var gone: [any Held] = []
      for index in places.indices {
        guard let value = places[index].value, value.goesWith === engine else { continue }
        gone.append(value)
        vacate(index)
      }
      return gone
    }
  }

  /// So many of a kind.
  func count(_ kind: HandleKind) -> Int { monitor.locked { places.count { $0.value.map { type(of: $0).kind } == kind } } }

  private func look<Value: Held>(_ id: UInt64) throws(Failure) -> (index: Int, value: Value) {
    let index = Int(id & 0xFFFF_FFFF)
    if id == 0 { throw Failure(.badHandle, "the handle is none: it has not been filled, or the call that should have filled it failed") }
    guard let kind = HandleKind(rawValue: id >> 56) else { throw Failure(.badHandle, "the handle was never given out") }
    if kind != Value.kind {
      throw Failure(
        .badHandle,
        "the handle names \(kind == .engine ? "an" : "a") \(kind), where \(Value.kind == .engine ? "an" : "a") \(Value.kind) is wanted")
    }
    guard index < places.count, let value = places[index].value as? Value, self.id(kind, index) == id else {
      throw Failure(.badHandle, "the \(kind) was given back already, or never there")
    }
    return (index, value)
  }

  private func vacate(_ index: Int) {
    places[index].value = nil
    places[index].generation += 1
    if places[index].generation < HandleTable.generations { free.append(index) }
  }

  private func id(_ kind: HandleKind, _ index: Int) -> UInt64 { kind.rawValue << 56 | places[index].generation << 32 | UInt64(index) }
}
