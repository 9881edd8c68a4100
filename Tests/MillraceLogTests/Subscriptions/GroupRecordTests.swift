import MillraceSimulation
import Testing

@testable import MillraceLog

@Suite struct GroupRecordTests {
  private func record(_ random: inout MillraceSimulation.Seed) throws -> GroupRecord {
    func number(_ limit: UInt64) -> UInt64 { random.next() % limit }
    var settings = GroupSettings()
    settings.messageTimeout = 1 + random.next() / 2
    settings.maxRetries = Int(number(100))
    settings.strategy = GroupStrategy.allCases[Int(number(3))]
    let scopes: [ReadRequest.Scope] = [.all, .category("a\"b\\\u{1}ü"), .stream(try StreamName("s-\u{1F600}"))]
    let source = SubscriptionSource(scopes[Int(number(3))], tenant: number(2) == 0 ? nil : "t")
    var record = GroupRecord(GroupDefinition("g", source, from: random.next() | 1 << 40, settings: settings))
    record.epoch = random.next()
    record.parkedFrom = number(1_000)
    var place: UInt64 = 0
    for _ in 0..<number(20) {
      place += 1 + number(1_000)
      record.outstanding.append(.init(place: place, attempts: Int(number(50))))
    }
    return record
  }

  @Test("what a group keeps is read as it was written")
  func roundTrip() throws {
    var random = MillraceSimulation.Seed(1)
    for _ in 0..<500 {
      let record = try record(&random)
      #expect(try GroupRecord(record.bytes) == record)
    }
  }

  @Test("damaged text is refused or is another good record: no bytes trap, and none makes a record that breaks its rules")
  func damage() throws {
    var random = MillraceSimulation.Seed(2)
    var refused = 0
    for _ in 0..<20_000 {
      var bytes = try record(&random).bytes
      for _ in 0...random.next() % 3 {
        let index = Int(random.next() % UInt64(bytes.count))
        switch random.next() % 4 {
        case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.remove(at: index)
        case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: index)
        default: bytes.removeLast(min(bytes.count - 1, Int(random.next() % 9)))
        }
      }
      do {
        let read = try GroupRecord(bytes)
        #expect(read.settings.fault == nil && zip(read.outstanding, read.outstanding.dropFirst()).allSatisfy { $0.place < $1.place })
        #expect(read.outstanding.last.map { $0.place < read.next } ?? true)
      } catch { refused += 1 }
    }
    #expect(refused > 10_000)
    for text in [
      "", "[", "{\"a\"", "[[[[[[[[[[1]]]]]]]]]]", "\"\\u0", "18446744073709551616", "{\"a\":1,\"a\":2}", "1 2", "\"\\ud800\"", "-1",
    ] {
      #expect(KeptJSON(Array(text.utf8)) == nil, "\(text)")
    }
    #expect(KeptJSON(Array(" { \"a\" : [ 1 , \"\\u0041\\/\" ] } ".utf8)) == .object(["a": .list([.number(1), .text("A/")])]))
  }
}
