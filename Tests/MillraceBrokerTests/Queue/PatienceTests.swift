import MillraceCore
import Testing

@testable import MillraceBroker

@Suite struct PatienceTests {
  @Test("who waits looks until what it waits for is there")
  func comes() {
    let clock = VirtualClock(start: 1)
    var patience = Patience()
    var looks = 0
    let isThere = patience.wait(clock.clock, yields: true) {
      looks += 1
      return looks == 10
    }
    #expect(isThere && looks == 10)
    let atOnce = patience.wait(clock.clock, yields: false) { true }
    #expect(atOnce)
  }

  @Test("it gives up after its time, and after many looks where the clock stands still", arguments: [0, 100] as [UInt64])
  func givesUp(step: UInt64) {
    let clock = VirtualClock(start: 1)
    var patience = Patience()
    var looks = 0
    let isThere = patience.wait(clock.clock, yields: true) {
      looks += 1
      clock.move(by: step)
      return false
    }
    #expect(!isThere && looks <= 2_000 && (step == 0 || looks <= 1 + 2 * Int(Patience.nanoseconds / step)))
    #expect(patience.refrain == 0)
  }

  @Test("who gave its processor to strangers for long keeps it for the next waits")
  func strangers() {
    let clock = VirtualClock(start: 1)
    var patience = Patience()
    func wait(taking time: UInt64, yields: Bool = true) -> Bool {
      var looks = 0
      return patience.wait(clock.clock, yields: yields) {
        looks += 1
        if looks > 1 { clock.move(by: time) }
        return looks > 1 && time == 0
      }
    }
    // What was waited for came meanwhile: that was no stranger.
    #expect(wait(taking: 0) && patience.refrain == 0)
    #expect(!wait(taking: 1_000_000))
    #expect(patience.refrain == Patience.refrains)
    for left in (0..<Patience.refrains).reversed() {
      #expect(!wait(taking: 1_000_000))
      #expect(patience.refrain == left)
    }
    #expect(!wait(taking: 1_000_000, yields: false) && patience.refrain == 0)
  }
}
