#if Postgres
  /// First in, first out; and back to the front. Complexity: O(1) each, amortised, but `putBack`, which is O(n).
  struct FIFO<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var count: Int { elements.count - head }
    var isEmpty: Bool { head == elements.count }
    var first: Element? { isEmpty ? nil : elements[head] }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func take() -> Element? {
      guard let element = first else { return nil }
      elements[head] = nil
      head += 1
      if head == elements.count {
        elements.removeAll(keepingCapacity: true)
        head = 0
      } else if head > 1024, head * 2 > elements.count {
        elements.removeFirst(head)
        head = 0
      }
      return element
    }

    /// They are the next to be taken, in their order.
    mutating func putBack(_ more: [Element]) {
      elements.replaceSubrange(0..<head, with: more.map(Optional.some))
      head = 0
    }

    /// Takes out all that `isTaken` holds for.
    mutating func takeAll(where isTaken: (Element) -> Bool) -> [Element] {
      let all = elements[head...].compactMap { $0 }
      let taken = all.filter(isTaken)
      if taken.isEmpty { return [] }
      elements = all.filter { !isTaken($0) }
      head = 0
      return taken
    }

    /// O(n).
    func least<Value: Comparable>(_ value: (Element) -> Value) -> Value? { elements[head...].compactMap { $0.map(value) }.min() }
  }
#endif
