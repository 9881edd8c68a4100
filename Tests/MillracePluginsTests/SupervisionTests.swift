import Testing

@testable import MillracePlugins

@Suite struct SupervisionTests {
  private static func supervision(crashes: Int) -> Supervision {
    var bounds = IsolationBounds()
    (bounds.firstWait, bounds.longestWait, bounds.window, bounds.crashes) = (100_000_000, 350_000_000, 10_000_000_000, crashes)
    return Supervision(bounds)
  }

  @Test("each crash doubles the wait, up to the longest")
  func backsOff() {
    var supervision = Self.supervision(crashes: 10)
    let waits = (0..<4).map { _ in supervision.ended(because: "x", at: 1_000) }
    #expect(waits == [100_000_000, 200_000_000, 350_000_000, 350_000_000].map { .restart(at: 1_000 + $0) })
    #expect(supervision.crashes == 4 && !supervision.isParked)
  }

  @Test("so many within the window park it, and not one fewer; those before the window are forgotten")
  func parks() {
    var supervision = Self.supervision(crashes: 3)
    #expect(supervision.ended(because: "a", at: 0) == .restart(at: 100_000_000))
    #expect(supervision.ended(because: "b", at: 9_000_000_000) == .restart(at: 9_200_000_000))
    // The first has left the window.
    #expect(supervision.ended(because: "c", at: 10_000_000_000) == .restart(at: 10_200_000_000))
    #expect(supervision.ended(because: "d", at: 11_000_000_000) == .park)
    #expect(supervision.isParked && supervision.parkedWords.hasPrefix("it ended 3 times within 10 s, the last time because d"))
  }
}
