import MillraceSimulation
import Testing

@testable import MillraceLog

@Suite struct PlacesTests {
  @Test("places keep their numbers while others come and go, in one memory that is used again")
  func oracle() {
    var random = Seed(5)
    let memory = PlaceMemory()
    var all: [Places] = Array(repeating: Places(), count: 5)
    var models: [(start: Int, words: [UInt64])] = Array(repeating: (0, []), count: 5)
    var word: UInt64 = 0
    for round in 0..<6000 {
      let at = Int.random(in: 0..<5, using: &random)
      for _ in 0..<Int.random(in: 0..<40, using: &random) {
        word += UInt64.random(in: 1..<5, using: &random)
        all[at].append(word, memory)
        models[at].words.append(word)
      }
      if round % 3 == 0 {
        let count = Int.random(in: 0...all[at].count, using: &random)
        all[at].drop(before: all[at].start + count, memory)
        models[at].start += count
      }
      let (start, words) = models[at]
      #expect(all[at].start == start && all[at].end == words.count && all[at].isEmpty == (start == words.count))
      for _ in 0..<3 where start < words.count {
        let number = Int.random(in: start..<words.count, using: &random)
        #expect(all[at][number] == words[number])
        let wanted = words[number] - UInt64.random(in: 0..<3, using: &random)
        #expect(all[at].first(from: wanted) == words.dropFirst(start).firstIndex { $0 >= wanted })
      }
      #expect(all[at].first(from: word + 1) == words.count)
    }
    for at in 0..<5 { #expect(all[at][all[at].start..<all[at].end] == Array(models[at].words[models[at].start...])) }
    for at in 0..<5 { all[at].drop(before: all[at].end, memory) }
    for number in 0..<100_000 {
      all[0].append(UInt64(number), memory)
      if number % 1000 == 999 { all[0].drop(before: all[0].end - 10, memory) }
    }
    // As much as lived at one time.
    #expect(memory.bytesTaken <= 64 << 10)
  }
}
