import CMillrace
import MillraceSimulation
import Testing

@Suite struct ChecksumTests {
  @Test("by whatever instructions, the checksum is the table's, for every length and place")
  func table() {
    #expect(~checksum(~0, Array("123456789".utf8)[...]) == 0xe306_9283)
    var random = Seed(41)
    let bytes = (0..<5000).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    for count in 0..<4500 {
      let start = Int.random(in: 0..<64, using: &random)
      let state = UInt32.random(in: .min ... .max, using: &random)
      let part = bytes[start..<start + count]
      let expected = unsafe part.withUnsafeBytes { unsafe millrace_crc32c_table(state, $0.baseAddress, $0.count) }
      #expect(checksum(state, part) == expected, "\(count) bytes")
    }
  }

  private func checksum(_ state: UInt32, _ bytes: ArraySlice<UInt8>) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe millrace_crc32c(state, $0.baseAddress, $0.count) }
  }
}
