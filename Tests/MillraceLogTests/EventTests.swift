import MillraceLog
import Testing

@Suite struct EventTests {
  @Test("an event's id is written as a UUID, and read with or without its dashes")
  func idText() throws {
    let id = EventID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210)
    #expect(id.description == "01234567-89ab-cdef-fedc-ba9876543210")
    #expect(EventID(id.description) == id)
    #expect(EventID("0123456789ABCDEFfedcba9876543210") == id)
    let wide = String(repeating: "\u{ff11}", count: 12)
    for wrong in ["", "0123", "01234567-89ab-cdef-fedc-ba987654321g", "01234567089ab-cdef-fedc-ba9876543210", wide] {
      #expect(EventID(wrong) == nil, "\(wrong)")
    }
  }

  @Test("a stream's name is bounded, and its category ends at the first dash")
  func names() throws {
    #expect(try StreamName("order-17-b").category == "order")
    #expect(try StreamName("ledger").category == "ledger")
    #expect(throws: EventStoreError.self) { try StreamName("") }
    #expect(throws: EventStoreError.self) { try StreamName("a\nb") }
    #expect(throws: EventStoreError.self) { try StreamName(String(repeating: "x", count: 257)) }
    #expect(try StreamName(String(repeating: "x", count: 256)).category.count == 256)
  }
}
