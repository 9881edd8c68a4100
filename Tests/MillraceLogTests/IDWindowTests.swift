import MillraceSimulation
import Testing

@testable import MillraceLog

@Suite struct IDWindowTests {
  @Test(
    "the last ids are found, older ones are not, whatever the order, also where the numbers overflow", arguments: [0, UInt32.max - 5000])
  func oracle(_ inserted: UInt32) throws {
    var random = Seed(17)
    let size = 256
    let window = try IDWindow(size: size, salt: 3, inserted: inserted)
    struct Key: Hashable {
      var stream: UInt32
      var low: UInt64
    }
    var order: [Key] = []
    var latest: [Key: Int] = [:]
    while order.count <= 1500 {
      let number = order.count
      let key = Key(stream: UInt32.random(in: 0..<3, using: &random), low: UInt64.random(in: 0..<600, using: &random))
      if latest[key].map({ number - $0 <= size }) ?? false { continue }
      let place = IDWindow.Place(version: UInt64(number), position: UInt64(number) + 7)
      // What the log does: looks first, then appends.
      #expect(window.find(key.stream, EventID(high: 1, low: key.low)) == nil)
      window.insert(key.stream, EventID(high: 1, low: key.low), place)
      order.append(key)
      latest[key] = number
      for (back, key) in order.suffix(300).reversed().enumerated() where back % 37 == 0 || back > 250 {
        let found = window.find(key.stream, EventID(high: 1, low: key.low))
        let isLast = order.lastIndex(of: key)! == order.count - 1 - back
        if back < size { #expect(found?.version == UInt64(latest[key]!)) } else if isLast { #expect(found == nil) }
      }
    }
    #expect(window.find(0, EventID(high: 2, low: 1)) == nil)
  }

  @Test("looking for an id that is not there stays short, however many have come and gone")
  func short() throws {
    let size = 1 << 12
    let window = try IDWindow(size: size, salt: 11)
    for number in 0..<UInt64(size * 200) {
      window.insert(1, EventID(high: 3, low: number), IDWindow.Place(version: number, position: number))
    }
    let lines = (0..<UInt64(10_000)).map { window.lines(of: 1, EventID(high: 4, low: $0)) }
    #expect(lines.reduce(0, +) < 15_000 && lines.max()! < 16)
  }
}
