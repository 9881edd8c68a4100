import MillraceBroker
import MillraceSimulation
import Testing

@testable import Millrace

@Suite struct LiveMessagesTests {
  @Test("the table holds what a dictionary holds, through growing and shrinking")
  func random() {
    struct Key: Hashable {
      var message: UInt64
      var queue: UInt32
    }
    var random = Seed(3)
    var table = LiveMessages()
    var model: [Key: UInt32] = [:]
    var next: UInt64 = 1 << 40
    for phase in 0..<6 {
      for _ in 0..<20_000 {
        if Int.random(in: 0..<10, using: &random) < (phase % 2 == 0 ? 7 : 3) {
          let key = Key(message: next, queue: UInt32.random(in: 0..<3, using: &random))
          let bytes = UInt32.random(in: 0..<1_000, using: &random)
          if Bool.random(using: &random) { next += 1 }
          if model[key] != nil { continue }
          table.insert(LiveMessages.Entry(message: key.message, version: 5, queue: key.queue, bytes: bytes))
          model[key] = bytes
        } else {
          let key = Key(message: next - UInt64.random(in: 0..<20_000, using: &random), queue: UInt32.random(in: 0..<3, using: &random))
          #expect(table.remove(key.message, key.queue) == (model.removeValue(forKey: key) != nil))
        }
      }
      #expect(table.count == model.count)
      #expect(table.bytes == model.values.reduce(0) { $0 + Int($1) })
      for (key, bytes) in model { #expect(table[key.message, key.queue]?.bytes == bytes) }
      var visited = 0
      table.visit { entry in if model[Key(message: entry.message, queue: entry.queue)] == entry.bytes { visited += 1 } }
      #expect(visited == model.count)
    }
    table.removeAll { _ in true }
    #expect(table.count == 0 && table.bytes == 0)
  }
}
