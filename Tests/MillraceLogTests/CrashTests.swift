import MillraceLog
import MillraceSimulation
import Testing

@Suite struct CrashTests {
  @Test("what was acknowledged survives a disk that is switched off at any step", arguments: SimulatedDisk.Fault.allCases)
  func crashes(_ fault: SimulatedDisk.Fault) throws {
    var images = 0
    var acknowledged = 0
    for seed in 0..<60 {
      var trial = CrashTrial(seed: UInt64(seed), fault: fault)
      let done = try trial.run(crashes: 6, images: 2)
      images += done.images
      acknowledged += done.acknowledged
    }
    #expect(images == 60 * 6 * 2)
    #expect(acknowledged > 1000)
  }
}
