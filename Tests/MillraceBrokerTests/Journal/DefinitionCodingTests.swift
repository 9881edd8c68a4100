import MillraceBroker
import Testing

@Suite struct DefinitionCodingTests {
  private static func changes() throws -> [JournalChange] {
    let (one, two) = (try BrokerName("one"), try BrokerName(system: "millrace.two"))
    var options = ExchangeOptions()
    options.isDurable = true
    options.autoDeletes = true
    options.isInternal = true
    options.alternate = two
    var configuration = QueueConfiguration()
    configuration.priorities = 32
    configuration.maxSize = 10
    configuration.maxBytes = 1 << 40
    configuration.overflow = .rejectPublishDeadLetter
    configuration.timeToLive = 0
    configuration.deliveryLimit = nil
    configuration.retryDelay = 5
    configuration.longestRetry = .max
    configuration.lease = 7
    configuration.isSingleActive = true
    configuration.isExclusive = true
    configuration.isDurable = true
    configuration.deadLetters = .exchange(one, key: "ä")
    var other = QueueConfiguration()
    other.deadLetters = .queue(two)
    let headers = try Headers([("a", .text("ä")), ("b", .real(1.5)), ("x-match", .text("any"))])
    return [
      .declare(.exchange(DurableExchange(one, .mqtt, options))), .declare(.exchange(DurableExchange(two, .direct, ExchangeOptions()))),
      .declare(.queue(DurableQueue(one, number: .max, configuration, attributes: [0, 255]))),
      .declare(.queue(DurableQueue(one, number: 0, other))),
      .declare(.binding(Binding(one, to: .queue(two), key: [0, 200], arguments: headers))),
      .declare(.binding(Binding(one, to: .exchange(two)))),
      .delete(.exchange(one)), .delete(.queue(two)), .delete(.binding(Binding(one, to: .queue(two), key: "k", arguments: headers))),
    ]
  }

  @Test("each definition and deletion comes back as it was encoded")
  func roundTrip() throws {
    for change in try Self.changes() { #expect(try JournalChange(encoded: change.encoded) == change) }
  }

  @Test("no member of a queue's configuration is left out")
  func members() throws {
    let changes = try Self.changes()
    guard case .declare(.queue(let queue)) = changes[2] else {
      Issue.record("the third is a queue")
      return
    }
    let defaults = Dictionary(
      uniqueKeysWithValues: Mirror(reflecting: QueueConfiguration()).children.map { ($0.label ?? "", "\($0.value)") })
    // Each differs from its default: one that is added later must be added above, and then is seen to come back.
    for member in Mirror(reflecting: queue.configuration).children {
      #expect(defaults[member.label ?? ""] != "\(member.value)", "\(member.label ?? "")")
    }
  }

  @Test("whatever is cut off, added or of another format is refused, and no byte that is changed stops the process")
  func damaged() throws {
    for change in try Self.changes() {
      let bytes = change.encoded
      for length in bytes.indices { #expect(throws: FieldFault.self) { try JournalChange(encoded: Array(bytes[..<length])) } }
      #expect(throws: FieldFault.self) { try JournalChange(encoded: bytes + [0]) }
      #expect(throws: FieldFault.format(9)) { try JournalChange(encoded: [9] + bytes.dropFirst()) }
      #expect(throws: FieldFault.kind(77)) { try JournalChange(encoded: [bytes[0], 77] + bytes.dropFirst(2)) }
      for index in bytes.indices {
        for bit in 0..<8 {
          var other = bytes
          other[index] ^= 1 << UInt8(bit)
          do throws(FieldFault) {
            #expect(try JournalChange(encoded: other) != change)
          } catch { #expect(!error.description.isEmpty) }
        }
      }
    }
  }
}
