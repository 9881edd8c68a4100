import Millrace
import MillraceCore
import Testing

@testable import MillraceBench

@Suite struct SettingsTests {
  private func settings() -> BenchSettings {
    BenchSettings(
      suite: .scheduler, levels: [1], mode: .closed, rate: nil, duration: 1_000_000_000, warmUp: 0, rounds: 1,
      subject: SuiteSettings(threads: 1, slots: 1, wait: .park, plugins: PluginSearch()))
  }

  private func refusal(_ change: (inout BenchSettings) -> Void) -> String? {
    var settings = settings()
    change(&settings)
    do throws(BenchError) {
      try settings.check()
      return nil
    } catch {
      guard case .wrongUse(let text) = error else { return "not wrong use: \(error)" }
      return text
    }
  }

  @Test("levels are read in their order")
  func levels() throws { #expect(try BenchSettings.levels("4,1,4096") == [4, 1, 4096]) }

  @Test("levels that cannot be are refused by name", arguments: ["", "1,", "0", "4097", "1,-2", "1,1", "a", "1 2", "1.5"])
  func badLevels(text: String) {
    #expect {
      try BenchSettings.levels(text)
    } throws: {
      "\($0)".contains("--levels \(text)")
    }
  }

  @Test("an unknown suite is told with the nearest name, or all of them")
  func suites() {
    #expect { try Suite(named: "plugin_call") } throws: { "\($0)".contains("did you mean plugin-call?") }
    #expect { try Suite(named: "zzz") } throws: { "\($0)".contains("there are scheduler, dag") }
  }

  @Test("what is right passes")
  func right() {
    #expect(refusal { _ in } == nil)
    #expect(refusal { ($0.mode, $0.rate) = (.open, 10) } == nil)
    #expect(refusal { ($0.suite, $0.subject.plugin, $0.subject.handler) = (.handler, "a", "b") } == nil)
  }

  @Test("every bound is kept, and the message names the option")
  func bounds() throws {
    #expect(refusal { $0.duration = 999_999 }?.contains("--duration is 999us999ns: give 1ms to 1h") == true)
    #expect(refusal { $0.duration = 3_600_000_000_001 }?.contains("--duration") == true)
    #expect(refusal { $0.warmUp = 601_000_000_000 }?.contains("--warm-up") == true)
    #expect(refusal { $0.seed = 1 << 63 }?.contains("--seed") == true)
    #expect(refusal { $0.rounds = 0 }?.contains("--rounds is 0") == true)
    #expect(refusal { $0.rounds = 1_001 }?.contains("--rounds") == true)
    #expect(refusal { $0.subject.serviceTime = 10 }?.contains("--service-time") == true)
    #expect(refusal { $0.mode = .open }?.contains("needs --rate") == true)
    #expect(refusal { $0.rate = 5 }?.contains("--mode open") == true)
    #expect(refusal { ($0.mode, $0.rate) = (.open, 0) }?.contains("--rate is 0") == true)
    #expect(refusal { ($0.mode, $0.rate) = (.open, .nan) }?.contains("--rate") == true)
    #expect(refusal { ($0.mode, $0.rate) = (.open, 1e9) }?.contains("--rate") == true)
    let objective = try Objective("p99<1ms")
    #expect(refusal { $0.objective = objective }?.contains("--mode open") == true)
    #expect(refusal { ($0.mode, $0.objective, $0.levels) = (.open, objective, [1, 2]) }?.contains("one level") == true)
    #expect(refusal { $0.subject.plugin = "a" }?.contains("suite handler") == true)
    #expect(refusal { $0.subject.workflow = "a" }?.contains("suite workflow") == true)
    #expect(refusal { $0.subject.parameters = ["a": 1] }?.contains("--param") == true)
  }

  @Test("generators take the processors that the workers leave, one at least, and no more than there are connections")
  func generators() {
    var settings = settings()
    #expect(settings.generators(granted: 8) == 0)
    settings.mode = .open
    settings.subject.threads = 4
    settings.levels = [1, 16]
    #expect(settings.generators(granted: 8) == 4)
    #expect(settings.generators(granted: 2) == 1)
    settings.levels = [2]
    #expect(settings.generators(granted: 8) == 2)
  }
}
