internal import CMillrace

/// The variables of a task in a run: names and values as C texts, overwritten when the run is freed.
final class TaskEnvironment: Sendable {
  private let texts: KeptBytes
  /// Where name and value begin, by variable.
  private let places: [(name: Int, value: Int)]

  init(_ variables: [(name: String, value: [UInt8])]) {
    var text: [UInt8] = []
    text.reserveCapacity(variables.reduce(0) { $0 + $1.name.utf8.count + $1.value.count + 2 })
    var places: [(name: Int, value: Int)] = []
    for variable in variables {
      let name = text.count
      text += variable.name.utf8
      text.append(0)
      places.append((name, text.count))
      text += variable.value
      text.append(0)
    }
    texts = KeptBytes(text, isSecret: true)
    self.places = places
  }

  var count: Int { places.count }

  /// unsafe: valid for as long as this object is.
  @unsafe func variable(_ index: Int) -> (name: UnsafePointer<CChar>, value: UnsafePointer<CChar>)? {
    guard places.indices.contains(index) else { return nil }
    return unsafe (text(places[index].name), text(places[index].value))
  }

  /// unsafe: as `variable`.
  @unsafe func value(_ name: String) -> UnsafePointer<CChar>? {
    for place in places where String(texts.bytes[place.name..<place.value - 1]) == name { return unsafe text(place.value) }
    return nil
  }

  private func text(_ place: Int) -> UnsafePointer<CChar> {
    // unsafe: a text that ends in NUL begins at each place.
    unsafe UnsafeRawPointer(texts.address(of: place)).assumingMemoryBound(to: CChar.self)
  }
}
