/// How an exchange chooses.
public enum ExchangeKind: UInt32, Sendable, Hashable, CustomStringConvertible {
  /// By equal keys.
  case direct
  /// All.
  case fanout
  /// By patterns of words: `*` is one word, `#` any number.
  case topic
  /// By headers instead of the key.
  case headers
  /// By MQTT topic filters: `+` is one level, a last `#` any number.
  case mqtt

  public var description: String {
    switch self {
    case .direct: "direct"
    case .fanout: "fanout"
    case .topic: "topic"
    case .headers: "headers"
    case .mqtt: "mqtt"
    }
  }
}

/// What an exchange is declared with. A second declaration must say the same.
public struct ExchangeOptions: Sendable, Hashable {
  /// It outlives the broker's process; routing does not depend on it.
  public var isDurable = false
  /// It goes with the last of its bindings.
  public var autoDeletes = false
  /// Messages come to it from other exchanges only.
  public var isInternal = false
  /// Where messages go that none of its bindings matches. It need not exist: then it takes nothing.
  public var alternate: BrokerName?

  /// Neither durable, nor internal, nor deleting itself; no alternate exchange.
  public init() {}
}

/// An exchange that was declared. It names no other one later.
public struct ExchangeID: Sendable, Hashable {
  /// Reaches every queue by its name.
  public static let `default` = ExchangeID(number: 0, generation: 0)

  let bits: UInt64

  init(bits: UInt64) { self.bits = bits }
  init(number: UInt32, generation: UInt32) { bits = UInt64(generation) << 32 | UInt64(number) }

  var number: UInt32 { UInt32(truncatingIfNeeded: bits) }
}

/// Where a binding leads.
public enum BindingTarget: Sendable, Hashable {
  /// Into a queue.
  case queue(BrokerName)
  /// To another exchange, which chooses in its turn.
  case exchange(BrokerName)
}

/// One rule of an exchange.
public struct Binding: Sendable, Hashable {
  /// The exchange whose rule it is.
  public var source: BrokerName
  /// Where what matches goes.
  public var target: BindingTarget
  /// Bytes of a key, a pattern or an MQTT filter, by the exchange's kind; a fanout or headers exchange only tells bindings apart by it.
  public var key: [UInt8]
  /// What a headers exchange asks of messages. Others only tell bindings apart by them.
  public var arguments: Headers

  /// With a key of any bytes. It is checked when it is bound.
  public init(_ source: BrokerName, to target: BindingTarget, key: [UInt8], arguments: Headers = Headers()) {
    self.source = source
    self.target = target
    self.key = key
    self.arguments = arguments
  }

  /// With a key as text.
  public init(_ source: BrokerName, to target: BindingTarget, key: String = "", arguments: Headers = Headers()) {
    self.init(source, to: target, key: Array(key.utf8), arguments: arguments)
  }
}

/// A queue or an exchange in one number, as tables hold them.
struct TargetCode: Hashable {
  let code: UInt32

  init(code: UInt32) { self.code = code }
  init(queue: UInt32) { code = queue << 1 }
  init(exchange: UInt32) { code = exchange << 1 | 1 }

  @inline(__always) var isExchange: Bool { code & 1 != 0 }
  @inline(__always) var number: UInt32 { code >> 1 }
}
