/// Places of events, first in first out; some are taken from the middle.
struct PlaceQueue {
  private var places: [UInt64] = []
  private var head = 0

  var isEmpty: Bool { head == places.count }
  var count: Int { places.count - head }
  var first: UInt64? { head < places.count ? places[head] : nil }

  mutating func append(_ place: UInt64) { places.append(place) }

  /// The first of which `isWanted` is true, taken. Complexity: O(those before it), and O(count) from the middle.
  mutating func take(where isWanted: (UInt64) -> Bool) -> UInt64? {
    guard let index = places[head...].firstIndex(where: isWanted) else { return nil }
    let place = places[index]
    guard index == head else {
      places.remove(at: index)
      return place
    }
    head += 1
    if head * 2 > places.count {
      places.removeFirst(head)
      head = 0
    }
    return place
  }

  /// All, not taken.
  var all: ArraySlice<UInt64> { places[head...] }

  mutating func remove(_ set: Set<UInt64>) {
    if set.isEmpty { return }
    places = places[head...].filter { !set.contains($0) }
    head = 0
  }
}

/// Places by times. What is no longer meant is left in it until its time, but never makes up more than half of it.
struct TimeQueue {
  struct Element {
    var time: UInt64
    var place: UInt64
    /// Tells this one from an older one of the same place.
    var number: UInt64
  }

  private var elements: [Element] = []
  private var head = 0

  var first: UInt64? { head < elements.count ? elements[head].time : nil }

  /// Complexity: O(log n), and O(those that are later). `isMeant` is asked now and then for all.
  mutating func insert(_ element: Element, keeping isMeant: (Element) -> Bool, meant count: Int) {
    if elements.count - head > 2 * count + 64 || head > 1_024 {
      elements = elements[head...].filter(isMeant)
      head = 0
    }
    var low = head
    var high = elements.count
    // Most are the last.
    if low < high, elements[high - 1].time <= element.time { low = high }
    while low < high {
      let middle = (low + high) / 2
      if elements[middle].time <= element.time { low = middle + 1 } else { high = middle }
    }
    elements.insert(element, at: low)
  }

  /// The first one that is due.
  mutating func takeDue(_ now: UInt64) -> Element? {
    guard head < elements.count, elements[head].time <= now else { return nil }
    head += 1
    return elements[head - 1]
  }

  mutating func removeAll() { self = TimeQueue() }
}
