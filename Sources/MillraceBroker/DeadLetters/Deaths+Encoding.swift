/// How deaths stand in a message's properties: a count, the first one if there is any, then all, newest first; behind that, if it was redriven, how often (8 bytes), when (8), from which queue, by whom, and how many
/// of all have been there since (2). Numbers are little-endian, texts have their length before them.
extension Deaths {
  /// Read by `init(encoded:)`.
  var encoded: [UInt8] {
    if isEmpty { return [] }
    var bytes: [UInt8] = []
    put(UInt16(all.count), &bytes)
    for death in (first.map { [$0] } ?? []) + all {
      put(death.reason.rawValue, &bytes)
      put(death.count, &bytes)
      put(death.time, &bytes)
      put(death.originalExpiration ?? .max, &bytes)
      put(death.queue, &bytes)
      put(death.exchange, &bytes)
      put(UInt16(death.routingKeys.count), &bytes)
      for key in death.routingKeys { put(key, &bytes) }
    }
    guard let redrives else { return bytes }
    put(redrives.count, &bytes)
    put(redrives.time, &bytes)
    put(redrives.queue, &bytes)
    put(redrives.by, &bytes)
    put(UInt16(sinceRedrive), &bytes)
    return bytes
  }

  /// nil: it is no such encoding.
  init?(encoded bytes: some Collection<UInt8>) {
    var reader = Reader(bytes: Array(bytes)[...])
    guard let count: UInt16 = reader.number() else { return nil }
    var deaths: [Death] = []
    for _ in 0..<(count == 0 ? 0 : Int(count) + 1) {
      guard let death = reader.death() else { return nil }
      deaths.append(death)
    }
    var redrives: Redrives?
    var since = count
    if !reader.bytes.isEmpty {
      guard let times: UInt64 = reader.number(), let time: Int64 = reader.number(), let queue = reader.text(), let by = reader.text(),
        let own: UInt16 = reader.number(), own <= count, reader.bytes.isEmpty
      else { return nil }
      (redrives, since) = (Redrives(count: times, time: time, queue: queue, by: by), own)
    }
    self.init(first: deaths.first, all: Array(deaths.dropFirst()), redrives: redrives, sinceRedrive: Int(since))
  }

  private func put(_ number: some FixedWidthInteger, _ bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: number.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
  }

  private func put(_ text: String, _ bytes: inout [UInt8]) {
    let content = text.utf8.prefix(Int(UInt16.max))
    put(UInt16(content.count), &bytes)
    bytes.append(contentsOf: content)
  }

  private struct Reader {
    var bytes: ArraySlice<UInt8>

    mutating func number<Number: FixedWidthInteger>() -> Number? {
      let size = Number.bitWidth / 8
      guard bytes.count >= size else { return nil }
      let number = bytes.prefix(size).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
      bytes = bytes.dropFirst(size)
      return Number(truncatingIfNeeded: number)
    }

    mutating func text() -> String? {
      guard let count: UInt16 = number(), bytes.count >= count else { return nil }
      let text = String(decoding: bytes.prefix(Int(count)), as: UTF8.self)
      bytes = bytes.dropFirst(Int(count))
      return text
    }

    mutating func death() -> Death? {
      guard let reason: UInt8 = number(), let reason = QueueExit(rawValue: reason), let count: UInt64 = number(),
        let time: Int64 = number(), let expiration: UInt64 = number(), let queue = text(), let exchange = text(),
        let keys: UInt16 = number()
      else { return nil }
      var routingKeys: [String] = []
      for _ in 0..<keys {
        guard let key = text() else { return nil }
        routingKeys.append(key)
      }
      return Death(
        queue: queue, reason: reason, count: count, time: time, exchange: exchange, routingKeys: routingKeys,
        originalExpiration: expiration == .max ? nil : expiration)
    }
  }
}
