import MillraceCore
import MillraceTesting
import Testing

@testable import MillraceLog

/// A consumer of a group, and what it was told.
final class TestConsumer: @unchecked Sendable {
  let name: String
  private(set) var consumer: GroupConsumer?
  private(set) var notices: [GroupNotice] = []
  /// Messages that it has not answered.
  private(set) var open: [GroupMessage] = []
  var answer: ((TestConsumer, GroupMessage) -> Void)?

  init(_ name: String, _ group: PersistentGroup, credit: Int = 10, answer: ((TestConsumer, GroupMessage) -> Void)? = nil) {
    self.name = name
    self.answer = answer
    consumer = group.connect(name, credit: credit) { [self] notice in
      notices.append(notice)
      switch notice {
      case .message(let message):
        open.append(message)
        self.answer?(self, message)
      case .reconnected, .ended: open = []
      }
    }
  }

  var messages: [GroupMessage] { notices.compactMap { if case .message(let message) = $0 { message } else { nil } } }
  /// Text and attempt of each message.
  var told: [String] { messages.map { "\($0.event.text)#\($0.attempt)" } }
  var end: GroupEnd? { if case .ended(let end) = notices.last { end } else { nil } }

  func acknowledge(_ message: GroupMessage) {
    open.removeAll { $0 == message }
    consumer?.acknowledge(message)
  }

  func refuse(_ message: GroupMessage, _ refusal: GroupRefusal) {
    open.removeAll { $0 == message }
    consumer?.refuse(message, refusal)
  }

  func acknowledgeAll() { for message in open { acknowledge(message) } }

  func disconnect() { consumer?.disconnect() }
}

extension SubscriptionWorld {
  func group(
    _ source: SubscriptionSource = SubscriptionSource(.all), store: FaultyStore? = nil, owner: UInt64 = 1,
    backoff: StoreBackoff = StoreBackoff(),
    _ change: (inout GroupSettings) -> Void = { _ in }
  ) throws -> PersistentGroup {
    var settings = GroupSettings()
    change(&settings)
    return try PersistentGroup(
      GroupDefinition("g", source, settings: settings), store: store ?? process(), host: host, owner: EventID(high: owner, low: 0),
      backoff: backoff)
  }

  /// Starts a group, which must begin.
  func begin(_ group: PersistentGroup) throws {
    let told = Told<Result<Void, GroupEnd>>()
    group.start { told.tell($0) }
    settle()
    try #require(told.last).get()
  }

  func parked(_ group: PersistentGroup) throws -> [ParkedMessage] {
    let told = Told<Result<[ParkedMessage], GroupRequestError>>()
    group.parked { told.tell($0) }
    settle()
    return try #require(told.last).get()
  }

  func stop(_ group: PersistentGroup) {
    group.stop()
    settle()
  }

  /// What the group has kept last.
  func record() throws -> GroupRecord {
    let last = try #require(memory.all.last { $0.stream.description == "$group-g" })
    return try GroupRecord(last.payload)
  }
}
