/// What a group keeps in its stream: each event holds all of it, so that the last one is enough.
struct GroupRecord: Equatable {
  static let type = "group-state"
  static let format: UInt64 = 1

  /// Whose turn it is. Each instance that takes the group over raises it.
  var epoch: UInt64 = 0
  var source: SubscriptionSource
  var settings: GroupSettings
  /// Events from here on were not given to any consumer yet...
  var next: UInt64
  /// ... and these before it were not settled: place, and how often they were given. All others before it are done. In order.
  var outstanding: [Outstanding] = []
  /// Parked messages from this version of the parked stream on wait to be replayed.
  var parkedFrom: UInt64 = 0

  struct Outstanding: Equatable {
    var place: UInt64
    var attempts: Int
  }

  init(_ definition: GroupDefinition) {
    source = definition.source
    settings = definition.settings
    next = definition.start
  }

  // MARK: As JSON

  var bytes: [UInt8] {
    var members: [String: KeptJSON] = [
      "format": .number(Self.format), "epoch": .number(epoch), "source": source.kept, "settings": Self.json(settings),
      "next": .number(next), "parkedFrom": .number(parkedFrom),
    ]
    members["outstanding"] = .list(outstanding.map { .list([.number($0.place), .number(UInt64($0.attempts))]) })
    return KeptJSON.object(members).bytes
  }

  /// Throws what is wrong.
  init(_ bytes: [UInt8]) throws(KeptFault) {
    guard let members = KeptJSON(bytes)?.object else { throw KeptFault("it is no JSON object") }
    guard members["format"]?.number == Self.format else { throw KeptFault("its format is not \(Self.format)") }
    guard let epoch = members["epoch"]?.number, let next = members["next"]?.number, let parkedFrom = members["parkedFrom"]?.number,
      let source = members["source"]?.object.flatMap(SubscriptionSource.init(kept:)),
      let settings = members["settings"]?.object.flatMap(Self.settings),
      let outstanding = members["outstanding"]?.list
    else { throw KeptFault("a member is missing or of the wrong kind") }
    self.epoch = epoch
    self.source = source
    self.settings = settings
    self.next = next
    self.parkedFrom = parkedFrom
    for pair in outstanding {
      guard let pair = pair.list, pair.count == 2, let place = pair[0].number, let attempts = pair[1].number, attempts <= UInt64(Int32.max),
        place < next, place >= self.outstanding.last.map({ $0.place + 1 }) ?? 0
      else { throw KeptFault("an outstanding message is no pair of place and attempts, or out of order") }
      self.outstanding.append(Outstanding(place: place, attempts: Int(attempts)))
    }
    if let fault = settings.fault { throw KeptFault(fault) }
  }

  private static func json(_ settings: GroupSettings) -> KeptJSON {
    .object([
      "messageTimeout": .number(settings.messageTimeout), "maxRetries": .number(UInt64(settings.maxRetries)),
      "liveBuffer": .number(UInt64(settings.liveBuffer)), "historyBuffer": .number(UInt64(settings.historyBuffer)),
      "readBatch": .number(UInt64(settings.readBatch)), "checkpointAfter": .number(settings.checkpointAfter),
      "minCheckpoint": .number(UInt64(settings.minCheckpoint)), "maxCheckpoint": .number(UInt64(settings.maxCheckpoint)),
      "strategy": .text(settings.strategy.rawValue),
    ])
  }

  private static func settings(_ members: [String: KeptJSON]) -> GroupSettings? {
    func count(_ name: String) -> Int? { members[name]?.number.flatMap { Int(exactly: $0) } }
    guard let timeout = members["messageTimeout"]?.number, let after = members["checkpointAfter"]?.number,
      let retries = count("maxRetries"), let live = count("liveBuffer"), let history = count("historyBuffer"),
      let batch = count("readBatch"),
      let least = count("minCheckpoint"), let most = count("maxCheckpoint"), least <= most,
      let strategy = members["strategy"]?.text.flatMap(GroupStrategy.init)
    else { return nil }
    var settings = GroupSettings()
    settings.messageTimeout = timeout
    settings.checkpointAfter = after
    settings.maxRetries = retries
    settings.liveBuffer = live
    settings.historyBuffer = history
    settings.readBatch = batch
    settings.minCheckpoint = least
    settings.maxCheckpoint = most
    settings.strategy = strategy
    return settings
  }
}

/// What is kept of a parked message: where its event is, and why it was parked.
struct ParkedRecord {
  static let type = "message-parked"

  static func bytes(_ event: RecordedEvent, place: UInt64, attempts: Int, reason: String) -> [UInt8] {
    KeptJSON.object([
      "place": .number(place), "stream": .text(event.stream.description), "version": .number(event.version),
      "position": .number(event.position), "id": .text(event.id.description), "type": .text(event.type),
      "attempts": .number(UInt64(attempts)), "reason": .text(reason),
    ]).bytes
  }

  let place: UInt64
  let message: ParkedMessage

  init?(_ event: RecordedEvent) {
    guard let members = KeptJSON(event.payload)?.object, let place = members["place"]?.number,
      let stream = members["stream"]?.text, let name = try? StreamName(stream), let version = members["version"]?.number,
      let position = members["position"]?.number, let id = members["id"]?.text.flatMap({ EventID($0) }),
      let attempts = members["attempts"]?.number.flatMap({ Int(exactly: $0) }), let reason = members["reason"]?.text
    else { return nil }
    self.place = place
    message = ParkedMessage(
      version: event.version, stream: name, eventVersion: version, position: position, id: id, attempts: attempts, reason: reason)
  }
}
