import Testing

@testable import Millrace

@Suite struct ReportTextTests {
  @Test(
    "numbers are grouped, rounded and given units as people read them",
    arguments: [
      (Quantity.integer(0), "0"), (Quantity.integer(-1_234_567), "-1,234,567"), (Quantity.integer(Int64.min), "-9,223,372,036,854,775,808"),
      (Quantity.fixed(1234.5678, decimals: 2), "1,234.57"), (Quantity.fixed(0.999, decimals: 2), "1.00"),
      (Quantity.fixed(-0.001, decimals: 2), "0.00"),
      (Quantity.fixed(1.05, decimals: 3), "1.050"), (Quantity.number(2.5), "2.5"), (Quantity.number(1e300), "1e+300"),
      (Quantity.number(.nan), "nan"),
      (Quantity.number(0.00001234), "0.000012"), (Quantity.number(3), "3"),
      (Quantity.bytes(0), "0 B"), (Quantity.bytes(1023), "1,023 B"), (Quantity.bytes(1024), "1.0 KiB"),
      (Quantity.bytes(1_048_575), "1.0 MiB"),
      (Quantity.bytes(7_654_321 * 1024), "7.3 GiB"), (Quantity.bytes(512 * 1024), "512 KiB"),
      (Quantity.seconds(0), "0 s"), (Quantity.seconds(850e-9), "850 ns"), (Quantity.seconds(12.34e-6), "12.3 µs"),
      (Quantity.seconds(0.9999), "1.00 s"),
      (Quantity.seconds(99.99), "1 min 40 s"), (Quantity.seconds(125), "2 min 05 s"), (Quantity.seconds(11_220), "3 h 07 min"),
      (Quantity.seconds(-2), "-2.00 s"),
      (Quantity.percent(0), "0 %"), (Quantity.percent(0.0001), "<0.1 %"), (Quantity.percent(0.004), "0.4 %"),
      (Quantity.percent(0.654), "65 %"),
      (Quantity.percent(0.9999), ">99.9 %"), (Quantity.percent(1), "100 %"),
    ])
  func quantities(shown: String, expected: String) {
    #expect(shown == expected)
  }

  @Test(
    "a terminal's columns are counted, not characters",
    arguments: [
      ("abc", 3), ("日本語", 6), ("e\u{301}", 1), ("한국", 4), ("\u{1112}\u{1161}", 2), ("👍", 2), ("", 0), ("ａ", 2), ("é", 1), ("─█", 2),
    ])
  func widths(text: String, columns: Int) {
    #expect(TerminalText.width(text) == columns)
  }

  @Test("what would move the cursor or turn the text around is escaped")
  func hostile() {
    #expect(TerminalText.escaped("a\u{1B}[2Jb\r\n\t\u{7F}\u{9B}c") == "a\\u{1B}[2Jb\\r\\n\\t\\u{7F}\\u{9B}c")
    #expect(TerminalText.escaped("gpj.\u{202E}exe\u{2028}\u{200B}") == "gpj.\\u{202E}exe\\u{2028}\\u{200B}")
    #expect(TerminalText.escaped("größe 日本 ✓") == "größe 日本 ✓")
    for value in (0..<0x20 as Range<UInt32>) {
      let scalar = Unicode.Scalar(value).map { String(Character($0)) } ?? ""
      #expect(TerminalText.escaped(scalar).utf8.allSatisfy { $0 >= 0x20 })
    }
  }

  @Test("texts are cut and padded by columns")
  func cuts() {
    #expect(TerminalText.cut("abcdef", to: 4) == "abc…")
    #expect(TerminalText.cut("日本語", to: 4) == "日…")
    #expect(TerminalText.cut("日本", to: 4) == "日本")
    #expect(TerminalText.cut("abc", to: 0) == "")
    #expect(TerminalText.padded("日", to: 4) == "日  ")
    #expect(TerminalText.padded("7", to: 3, right: true) == "  7")
    #expect(TerminalText.wrapped("one two three", width: 7) == ["one two", "three"])
    #expect(TerminalText.wrapped("abcdefghij k", width: 4) == ["abc", "def", "ghij", "k"])
  }

  @Test("a bar is as long as its share, in eighths, and something is never nothing")
  func bars() {
    #expect(TerminalText.bar(0, width: 4) == "")
    #expect(TerminalText.bar(1e-9, width: 4) == "▏")
    #expect(TerminalText.bar(0.5, width: 4) == "██")
    #expect(TerminalText.bar(0.53, width: 4) == "██▏")
    #expect(TerminalText.bar(7, width: 4) == "████")
    #expect(TerminalText.bar(.nan, width: 4) == "")
  }
}
