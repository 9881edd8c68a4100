import MillraceBroker
import MillraceSimulation
import Testing

@testable import Millrace

@Suite struct JournalCrashTests {
  @Test(
    "a disk that is switched off at any moment keeps all that was written, and nothing that was settled",
    arguments: SimulatedDisk.Fault.allCases)
  func crashes(_ fault: SimulatedDisk.Fault) throws {
    for seed in 0..<12 {
      let history = JournalHistory(seed: UInt64(seed))
      var random = Seed(UInt64(seed) ^ 0x5eed)
      for _ in 0..<8 {
        history.disk.setOff(after: Int.random(in: 0...300, using: &random))
        if try history.open() { _ = try history.run(Int.random(in: 20...400, using: &random)) }
        history.close()
        history.go(on: history.disk.isOff ? history.disk.afterCrash(fault, &random) : history.disk.copy())
      }
      history.disk.setOff(after: nil)
      #expect(try history.open())
      history.close()
    }
  }

  @Test("a history is cut off at each of its writes, those of passes too")
  func everyWrite() throws {
    let whole = JournalHistory(seed: 7)
    #expect(try whole.open() && whole.run(120))
    let steps = whole.disk.steps
    whole.close()
    #expect(steps > 100)
    for step in 0..<steps {
      let history = JournalHistory(seed: 7, SimulatedDisk(offAfter: step))
      if try history.open() { _ = try history.run(120) }
      history.close()
      #expect(history.disk.isOff)
      for fault in SimulatedDisk.Fault.allCases {
        var random = Seed(UInt64(step))
        let image = history.disk.afterCrash(fault, &random)
        let survivor = JournalHistory(seed: 9, image, after: history)
        #expect(try survivor.open() && survivor.run(10), "\(fault) at \(step)")
        survivor.close()
      }
    }
  }
}
