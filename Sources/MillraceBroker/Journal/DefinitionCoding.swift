/// Definitions as bytes: a version, a kind, then the fields in their order. Numbers are little-endian, texts and byte strings have their length (4 bytes) before them, what may be missing
/// has 0 or 1 before it.
///
/// A field that is added later makes a new version; what an old one has not gets its default.
extension JournalChange {
  /// The version that is written.
  static let format: UInt8 = 1

  private enum Kind {
    static let exchange: UInt8 = 1
    static let queue: UInt8 = 2
    static let binding: UInt8 = 3
    /// Added to the kind.
    static let deleted: UInt8 = 0x80
  }

  /// Complexity: O(bytes).
  package var encoded: [UInt8] {
    var out = FieldWriter()
    out.put(JournalChange.format)
    switch self {
    case .declare(.exchange(let exchange)):
      out.put(Kind.exchange)
      out.put(exchange)
    case .declare(.queue(let queue)):
      out.put(Kind.queue)
      out.put(queue)
    case .declare(.binding(let binding)):
      out.put(Kind.binding)
      out.put(binding)
    case .delete(.exchange(let name)):
      out.put(Kind.exchange | Kind.deleted)
      out.put(name)
    case .delete(.queue(let name)):
      out.put(Kind.queue | Kind.deleted)
      out.put(name)
    case .delete(.binding(let binding)):
      out.put(Kind.binding | Kind.deleted)
      out.put(binding)
    }
    return out.bytes
  }

  /// Throws `FieldFault`.
  package init(encoded bytes: [UInt8]) throws(FieldFault) {
    var fields = FieldReader(bytes)
    let format: UInt8 = try fields.number()
    guard format == JournalChange.format else { throw .format(format) }
    let kind: UInt8 = try fields.number()
    self =
      switch kind {
      case Kind.exchange: .declare(.exchange(try fields.exchange()))
      case Kind.queue: .declare(.queue(try fields.queue()))
      case Kind.binding: .declare(.binding(try fields.binding()))
      case Kind.exchange | Kind.deleted: .delete(.exchange(try fields.name()))
      case Kind.queue | Kind.deleted: .delete(.queue(try fields.name()))
      case Kind.binding | Kind.deleted: .delete(.binding(try fields.binding()))
      default: throw .kind(kind)
      }
    guard fields.isAtEnd else { throw .value("something follows the last field") }
  }
}

/// Why bytes are no definition.
package enum FieldFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// Of a later version.
  case format(UInt8)
  case kind(UInt8)
  /// What is wrong.
  case value(String)

  package var description: String {
    switch self {
    case .format(let format): "a definition of format \(format)"
    case .kind(let kind): "a definition of kind \(kind)"
    case .value(let text): "a definition that is none: \(text)"
    }
  }
}

private struct FieldWriter {
  var bytes: [UInt8] = []

  mutating func put(_ value: some FixedWidthInteger) {
    for index in 0..<value.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
  }

  mutating func put(_ value: Bool) { put(value ? 1 as UInt8 : 0) }

  mutating func put(_ value: (some FixedWidthInteger)?) {
    put(value != nil)
    if let value { put(value) }
  }

  mutating func put(_ value: [UInt8]) {
    put(UInt32(value.count))
    bytes += value
  }

  mutating func put(_ name: BrokerName) { put(Array(name.description.utf8)) }

  mutating func put(_ exchange: DurableExchange) {
    put(exchange.name)
    put(exchange.kind.rawValue)
    put(exchange.options.isDurable)
    put(exchange.options.autoDeletes)
    put(exchange.options.isInternal)
    put(exchange.options.alternate != nil)
    if let alternate = exchange.options.alternate { put(alternate) }
  }

  mutating func put(_ queue: DurableQueue) {
    put(queue.name)
    put(queue.number)
    put(queue.configuration)
    put(queue.attributes)
  }

  mutating func put(_ configuration: QueueConfiguration) {
    put(Int64(configuration.priorities))
    put(Int64(configuration.maxSize))
    put(Int64(configuration.maxBytes))
    switch configuration.overflow {
    case .dropHead: put(0 as UInt8)
    case .rejectPublish: put(1 as UInt8)
    case .rejectPublishDeadLetter: put(2 as UInt8)
    }
    put(configuration.timeToLive)
    put(configuration.deliveryLimit.map { Int64($0) })
    put(configuration.retryDelay)
    put(configuration.longestRetry)
    put(configuration.lease)
    put(configuration.isSingleActive)
    put(configuration.isExclusive)
    put(configuration.isDurable)
    switch configuration.deadLetters {
    case nil: put(0 as UInt8)
    case .queue(let name)?:
      put(1 as UInt8)
      put(name)
    case .exchange(let name, let key)?:
      put(2 as UInt8)
      put(name)
      put(key != nil)
      if let key { put(Array(key.utf8)) }
    }
  }

  mutating func put(_ binding: Binding) {
    put(binding.source)
    switch binding.target {
    case .queue(let name):
      put(0 as UInt8)
      put(name)
    case .exchange(let name):
      put(1 as UInt8)
      put(name)
    }
    put(binding.key)
    put(binding.arguments.encoded)
  }
}

private struct FieldReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isAtEnd: Bool { rest.isEmpty }

  private mutating func take(_ count: Int) throws(FieldFault) -> ArraySlice<UInt8> {
    guard count <= rest.count else { throw .value("it ends before its last field") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  mutating func number<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(FieldFault) -> Value {
    try take(Value.bitWidth / 8).reversed().reduce(0 as Value) { $0 << 8 | Value(truncatingIfNeeded: $1) }
  }

  mutating func flag() throws(FieldFault) -> Bool {
    switch try number(UInt8.self) {
    case 0: return false
    case 1: return true
    default: throw .value("a flag that is neither 0 nor 1")
    }
  }

  mutating func optional<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(FieldFault) -> Value? {
    try flag() ? try number() : nil
  }

  mutating func bytes() throws(FieldFault) -> [UInt8] { Array(try take(Int(try number(UInt32.self)))) }

  private mutating func text() throws(FieldFault) -> String {
    guard let text = String(validating: try bytes(), as: UTF8.self) else { throw .value("a text that is no UTF-8") }
    return text
  }

  mutating func name() throws(FieldFault) -> BrokerName {
    let text = try text()
    do { return try BrokerName(system: text) } catch { throw .value(error.description) }
  }

  private mutating func int() throws(FieldFault) -> Int { Int(try number(Int64.self)) }

  mutating func exchange() throws(FieldFault) -> DurableExchange {
    let name = try name()
    guard let kind = ExchangeKind(rawValue: try number()) else { throw .value("an exchange of no kind") }
    var options = ExchangeOptions()
    options.isDurable = try flag()
    options.autoDeletes = try flag()
    options.isInternal = try flag()
    if try flag() { options.alternate = try self.name() }
    return DurableExchange(name, kind, options)
  }

  mutating func queue() throws(FieldFault) -> DurableQueue {
    let (name, number) = (try name(), try number(UInt32.self))
    let configuration = try configuration()
    return DurableQueue(name, number: number, configuration, attributes: try bytes())
  }

  private mutating func configuration() throws(FieldFault) -> QueueConfiguration {
    var configuration = QueueConfiguration()
    configuration.priorities = try int()
    configuration.maxSize = try int()
    configuration.maxBytes = try int()
    switch try number(UInt8.self) {
    case 0: configuration.overflow = .dropHead
    case 1: configuration.overflow = .rejectPublish
    case 2: configuration.overflow = .rejectPublishDeadLetter
    default: throw .value("an overflow that there is not")
    }
    configuration.timeToLive = try optional()
    configuration.deliveryLimit = try optional(Int64.self).map { Int($0) }
    configuration.retryDelay = try number()
    configuration.longestRetry = try number()
    configuration.lease = try optional()
    configuration.isSingleActive = try flag()
    configuration.isExclusive = try flag()
    configuration.isDurable = try flag()
    switch try number(UInt8.self) {
    case 0: configuration.deadLetters = nil
    case 1: configuration.deadLetters = .queue(try name())
    case 2: configuration.deadLetters = .exchange(try name(), key: try flag() ? try text() : nil)
    default: throw .value("a target of dead letters that there is not")
    }
    if let fault = configuration.fault { throw .value(fault) }
    return configuration
  }

  mutating func binding() throws(FieldFault) -> Binding {
    let source = try name()
    let isExchange = try flag()
    let target = try name()
    let key = try bytes()
    guard let arguments = Headers(checking: try bytes()) else { throw .value("arguments that are no headers") }
    return Binding(source, to: isExchange ? .exchange(target) : .queue(target), key: key, arguments: arguments)
  }
}
