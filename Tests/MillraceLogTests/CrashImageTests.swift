import LogLoad
import MillraceFaults
import Testing

/// What a crash could leave of the program that users run, at each point of a recorded life of it.
@Suite struct CrashImageTests {
  struct Life: CustomTestStringConvertible, Sendable {
    let words: [String]
    var testDescription: String { words.joined(separator: " ") }
    var isWhole: Bool { !words.contains { $0.hasPrefix("retention") } }
  }
  static let lives = [
    Life(words: ["way=direct"]), Life(words: ["way=dataSync"]), Life(words: ["way=sync"]), Life(words: ["way=direct", "retention=150000"]),
  ]

  @Test("no crash at any point of a life loses or alters what was acknowledged", arguments: lives)
  func images(_ life: Life) throws {
    let victim = try Victim()
    var program = victim.program(life.words + ["count=\(life.isWhole ? 24 : 60)"])
    program.records = true
    let ending = try program.run()
    #expect(ending.exit == 0, "\(ending.errors)")
    let images = try CrashImages(try #require(ending.trace))
    var count = 0
    try images.forEach(perPoint: Victim.isFull ? 100 : 2, seed: 7) { image in
      count += 1
      let complaint = victim.complaint(about: image, isWhole: life.isWhole)
      try #require(complaint == nil, "\(image)")
    }
    #expect(count > 150)
  }
}
