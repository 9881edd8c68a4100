import CMillrace
import Foundation
import MillraceCore
import MillraceWorkflow
import Synchronization
import Testing

@testable import Millrace

/// Swaps beside starts and ends of runs: none is lost, none is done twice, and no code is called that has been ended, by which the plugin itself would end the process.
@Suite(.timeLimit(.minutes(10))) struct SwapStressTests {
  private static var descriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1 }
  /// Mappings of copies of plugins.
  private static var mapped: Int {
    let maps = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
    return maps.split(separator: "\n").count { $0.contains("memfd:millrace-plugin") && $0.contains("r-xp") }
  }

  @Test("1,000 swaps under load lose no task and do none twice; numbers, descriptors and mappings are as few at the end as at the start")
  func thousand() async throws {
    let world = try SwapWorld(["STATE_BYTES=64"]) { $0.capacity = 100_000 }
    let engine = world.engine
    let files = try ["two", "three"].map { try world.build($0, ["STATE_BYTES=64"]) }
    var workflow = Definition("several", result: "last")
    let first = workflow.task("first", handler: "swapped/say")
    let middle = ["a", "b", "c"].map { workflow.task($0, handler: "swapped/say", dependencies: [first]) }
    workflow.task("last", handler: "swapped/say", dependencies: middle, timeouts: Timeouts(scheduleToStart: 60_000_000_000))
    let several = workflow
    let prepared = try engine.prepare(several)
    let single = try engine.prepare(SwapWorld.says)
    let numbers = engine.runtime.scheduler.handlersInUse
    let load = SwapLoad()
    load.begin { try engine.start(prepared) }
    load.begin { try engine.start(single) }
    load.begin { try engine.start(several) }
    var (descriptors, mapped, most) = (0, 0, 0)
    for number in 0..<1_000 {
      let swap = engine.swap(plugin: files[number % 2])
      #expect(swap.status == .promoted)
      if case .refused = swap.status { break }
      most = max(most, engine.pluginBuilds.count)
      if number == 100 { (descriptors, mapped) = (SwapStressTests.descriptors, SwapStressTests.mapped) }
    }
    #expect(await load.end())
    #expect(load.other.load(ordering: .relaxed) == 0)
    #expect(await eventually { engine.pluginBuilds.count == 1 && engine.pluginBuilds[0].pins == 0 })
    #expect(await eventually { engine.runtime.scheduler.handlersInUse <= numbers + 3 * 16 })
    // Other tests of the process have builds and files, too: what is looked for is a leak for each swap.
    #expect(SwapStressTests.descriptors < descriptors + 200 && SwapStressTests.mapped < mapped + 100)
    #expect(most < EngineState.mostBuilds)
    // Each build was ended once; one is left.
    #expect(world.ended.count == 1_000)
    #expect(world.notes.all.filter { $0.hasPrefix("init ") }.count == 1_001)
  }

  @Test("trials that are promoted and rolled back under load, beside runs that are cancelled and time out, leave nothing behind")
  func trials() async throws {
    let world = try SwapWorld { $0.capacity = 100_000 }
    let engine = world.engine
    let files = try ["two", "three"].map { try world.build($0) }
    var workflow = Definition("limited")
    workflow.task("say", handler: "swapped/say", timeouts: Timeouts(scheduleToStart: 20_000, startToClose: 1_000_000))
    let go = workflow.task("pend", handler: "swapped/pend", timeouts: Timeouts(startToClose: 200_000_000))
    workflow.task("after", handler: "swapped/say", dependencies: [go])
    let limited = try engine.prepare(workflow)
    let single = try engine.prepare(SwapWorld.says)
    let load = SwapLoad()
    load.begin { try engine.start(single) }
    load.begin {
      let run = try engine.start(limited)
      run.cancel()
      return run
    }
    var options = SwapOptions(percent: 50)
    options.minimumRuns = 5
    options.window = .zero
    options.errorMargin = 1
    options.latencyFloor = .seconds(600)
    for number in 0..<100 {
      let swap = engine.swap(plugin: files[number % 2], options)
      switch swap.status {
      case .canary where number % 3 == 0:
        _ = engine.rollback(plugin: "swapped")
        #expect(await swap.finished().isFinal)
      case .canary, .promoted: #expect(await swap.finished() == .promoted)
      // It is the one that is there: the last trial of the other was rolled back. Or tokens that are out keep too many.
      case .refused(let reason): #expect(reason.contains("already") || reason.contains("builds are loaded"), "\(reason)")
      case .rolledBack(let reason): Issue.record("\(reason)")
      }
    }
    #expect(await load.end())
    engine.shutdown()
    let (begun, ended) = (world.notes.all.count { $0.hasPrefix("init ") }, world.ended.count)
    #expect(begun == ended && begun > 30, "\(begun) \(ended)")
  }
}
