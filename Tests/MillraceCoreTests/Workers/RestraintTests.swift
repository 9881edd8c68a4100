import Testing

@testable import MillraceCore

@Suite struct RestraintTests {
  /// A restraint after `jobs` that took `nanoseconds` together, found while the second level had some.
  static func after(_ jobs: Int, _ nanoseconds: UInt64, _ restraint: Restraint = Restraint()) -> Restraint {
    var restraint = restraint
    restraint.came(0b10, now: 1_000)
    restraint.wentDry(after: jobs, now: 1_000 + nanoseconds)
    return restraint
  }

  @Test("a worker that came for a few tiny jobs holds back, twice as long each time, up to a bound; longer jobs end that")
  func lengths() {
    var restraint = Restraint()
    var lengths: [UInt64] = []
    for _ in 0..<7 {
      restraint = Self.after(20, 400, restraint)
      var held: UInt64 = 0
      var asked = restraint
      while asked.holds(0b10, handed: false, now: 1_400 + held) { held += 500 }
      #expect(!asked.isOn)
      lengths.append(held)
    }
    #expect(lengths == [2_000, 4_000, 8_000, 16_000, 32_000, 32_000, 32_000])
    restraint = Self.after(20, 20 * Restraint.worthwhile, restraint)
    #expect(!restraint.isOn)
    restraint = Self.after(20, 400, restraint)
    let before = restraint.holds(0b10, handed: false, now: 1_400 + Restraint.shortest - 1)
    let after = restraint.holds(0b10, handed: false, now: 1_400 + Restraint.shortest)
    #expect(before && !after)
  }

  @Test(
    "longer jobs, many jobs, and one job of which no time is known hold nobody back", arguments: [(20, 2_000), (Restraint.few, 10), (0, 0)])
  func worthIt(jobs: Int, nanoseconds: Int) {
    #expect(!Self.after(jobs, UInt64(nanoseconds)).isOn)
  }

  @Test("what is more urgent, handed over, completed, or a stop ends the restraint; the same level and lower ones do not")
  func urgent() {
    for levels: UInt64 in [0b10, 0b11, 0b01, 0] {
      var restraint = Self.after(20, 400)
      let alone = restraint.holds(levels, handed: false, now: 1_500)
      let handed = restraint.holds(levels, handed: true, now: 1_500)
      #expect(alone && !handed && !restraint.isOn)
    }
    for levels: UInt64 in [0b110, 0b1000, ReadySet.completionsBit | 0b10, ReadySet.stopBit] {
      var restraint = Self.after(20, 400)
      let holds = restraint.holds(levels, handed: false, now: 1_500)
      #expect(!holds && !restraint.isOn)
    }
  }

  @Test("nothing is more urgent than the highest of 64 levels, and anything more than none")
  func bounds() {
    for (came, asked, held) in [(UInt64.max, UInt64.max, true), (0, 1, false)] as [(UInt64, UInt64, Bool)] {
      var restraint = Restraint()
      restraint.came(came, now: 0)
      restraint.wentDry(after: 2, now: 10)
      let holds = restraint.holds(asked, handed: false, now: 20)
      #expect(holds == held)
    }
  }
}
