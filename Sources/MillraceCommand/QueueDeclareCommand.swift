internal import ArgumentParser
internal import Millrace

struct QueueDeclareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "declare",
    abstract: "Makes a durable queue, exchanges and bindings, if they are not there.",
    discussion: """
      Examples:
        millrace queue declare dead
        millrace queue declare orders --dead-letter-queue dead --delivery-limit 5 --lease 30s
        millrace queue declare orders --exchange shop:topic --bind 'shop:order.#'

      A queue that is there with other settings is refused, and which one differs is told. The directory is made if it is not there.
      """)

  enum Overflow: String, ExpressibleByArgument, CaseIterable {
    case dropHead = "drop-head"
    case rejectPublish = "reject-publish"
    case rejectPublishDeadLetter = "reject-publish-dead-letter"
  }

  @Argument(help: "The queue.")
  var queue: String

  @OptionGroup var data: DataOptions

  @Option(help: "1 to 32 priorities. (default: 4)")
  var priorities: Int?
  @Option(help: ArgumentHelp("Messages that wait, at most.", valueName: "count"))
  var maxSize: Int?
  @Option(help: ArgumentHelp("Bytes of those, at most.", valueName: "count"))
  var maxBytes: Int?
  @Option(help: "What happens to a message that would be too much. (default: drop-head)")
  var overflow: Overflow?
  @Option(help: ArgumentHelp("How long a message waits at most.", valueName: "time"))
  var ttl: String?
  @Option(help: ArgumentHelp("Failures of a message before it is a dead letter; 0: any number. (default: 20)", valueName: "count"))
  var deliveryLimit: Int?
  @Option(help: ArgumentHelp("A message that failed waits so long for each of its failures.", valueName: "time"))
  var retryDelay: String?
  @Option(help: ArgumentHelp("And so long at most. (default: 60s)", valueName: "time"))
  var longestRetry: String?
  @Option(help: ArgumentHelp("How long a consumer may hold a message.", valueName: "time"))
  var lease: String?
  @Flag(help: "One consumer gets all, the oldest.")
  var singleActive = false
  @Flag(help: "One consumer at most.")
  var exclusive = false
  @Option(help: ArgumentHelp("Where dead letters go.", valueName: "queue"))
  var deadLetterQueue: String?
  @Option(help: ArgumentHelp("Or the exchange where they go.", valueName: "exchange"))
  var deadLetterExchange: String?
  @Option(help: ArgumentHelp("By this key; each by its own if it is left out.", valueName: "key"))
  var deadLetterKey: String?
  @Option(
    name: .customLong("exchange"),
    help: ArgumentHelp("A durable exchange: direct, fanout, topic, headers or mqtt. May be repeated.", valueName: "name:kind"))
  var exchanges: [String] = []
  @Option(
    name: .customLong("bind"), help: ArgumentHelp("What the exchange sends here, by its key. May be repeated.", valueName: "exchange:key"))
  var binds: [String] = []

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    if deadLetterQueue != nil, deadLetterExchange != nil {
      throw ValidationError("give --dead-letter-queue or --dead-letter-exchange, not both")
    }
    if deadLetterKey != nil, deadLetterExchange == nil { throw ValidationError("--dead-letter-key needs --dead-letter-exchange") }
    for exchange in exchanges {
      guard let (_, kind) = Self.pair(exchange), ExchangeKind(named: kind) != nil else {
        throw ValidationError("--exchange is '\(exchange)': give NAME:KIND, KIND direct, fanout, topic, headers or mqtt")
      }
    }
    for bind in binds where Self.pair(bind) == nil {
      throw ValidationError("--bind is '\(bind)': give EXCHANGE:KEY, or EXCHANGE: for no key")
    }
    _ = try settings()
  }

  private static func pair(_ text: String) -> (String, String)? {
    guard let colon = text.firstIndex(of: ":") else { return nil }
    return (String(text[..<colon]), String(text[text.index(after: colon)...]))
  }

  private func settings() throws -> JSON {
    var members: [JSON.Member] = [.init("singleActive", .bool(singleActive)), .init("exclusive", .bool(exclusive))]
    for (name, option, value) in [
      ("priorities", "--priorities", priorities), ("maxSize", "--max-size", maxSize), ("maxBytes", "--max-bytes", maxBytes),
      ("deliveryLimit", "--delivery-limit", deliveryLimit),
    ] {
      guard let value else { continue }
      if value < 0 { throw ValidationError("\(option) is \(value): give 0 or more") }
      members.append(.init(name, .integer(Int64(value))))
    }
    for (name, option, text) in [
      ("ttl", "--ttl", ttl), ("retryDelay", "--retry-delay", retryDelay), ("longestRetry", "--longest-retry", longestRetry),
      ("lease", "--lease", lease),
    ] { if let text { members.append(.init(name, .integer(Int64(clamping: try QueueGroup.nanoseconds(text, option))))) } }
    for (name, text) in [
      ("overflow", overflow?.rawValue), ("deadLetterQueue", deadLetterQueue), ("deadLetterExchange", deadLetterExchange),
      ("deadLetterKey", deadLetterKey),
    ] { if let text { members.append(.init(name, .string(text))) } }
    return .object(members)
  }

  func run() throws {
    let session = try QueueSession(data, makes: true)
    defer { session.close() }
    func objects(_ texts: [String], _ names: (String, String)) -> JSON {
      .array(texts.compactMap(Self.pair).map { .object([.init(names.0, .string($0.0)), .init(names.1, .string($0.1))]) })
    }
    let answer = try session.ask(
      "queue-declare",
      [
        .init("queue", .string(queue)), .init("settings", try settings()), .init("exchanges", objects(exchanges, ("name", "kind"))),
        .init("binds", objects(binds, ("exchange", "key"))),
      ])
    let isNew = answer["isNew"] == true
    switch format {
    case .json: try Output.result(.object([.init("queue", .string(queue)), .init("isNew", .bool(isNew))]))
    case .text: try Output.result("\(queue) \(isNew ? "is declared" : "was there already")\n")
    }
  }
}
