import Testing

@testable import Millrace
@testable import MillracePlugins

/// What the layouts of two builds say of each other. Their descriptions are compared as the command's tests show.
@Suite struct PluginComparisonTests {
  private typealias Entry = PluginManifest.Entry

  private func differences(_ change: (Entry) -> [Entry], abi: UInt32 = 1, backward: Bool = false) -> [PluginComparison.Difference] {
    let host = PluginManifest.host
    let other = PluginManifest(abiVersion: abi, entries: host.entries.flatMap(change))
    var comparison = PluginComparison()
    if backward { comparison.compare(other, host) } else { comparison.compare(host, other) }
    #expect(comparison.isBreaking == comparison.differences.contains { $0.isBreaking })
    return comparison.differences
  }

  @Test("a header that has grown breaks nothing, in either direction") func growth() {
    let grow: (Entry) -> [Entry] = {
      switch $0.name {
      case "host": [Entry(name: "host", offset: 0, size: 136)]
      case "host.extension": [$0, Entry(name: "host.added", offset: 128, size: 8)]
      default: [$0]
      }
    }
    #expect(differences { [$0] }.isEmpty)
    #expect(
      differences(grow) == [.init(isBreaking: false, subject: "field host.added", what: "is new: it is built against a newer header")])
    #expect(
      differences(grow, backward: true) == [
        .init(isBreaking: false, subject: "field host.added", what: "is gone: it is built against an older header")
      ])
  }

  @Test("a field of version 1 that moved, changed or is gone breaks, and so does another version") func breaks() {
    #expect(
      differences { $0.name == "call.deadline" ? [Entry(name: $0.name, offset: 48, size: 8)] : [$0] } == [
        .init(isBreaking: true, subject: "field call.deadline", what: "is at byte 48 with 8 bytes, it was at byte 40 with 8 bytes")
      ])
    #expect(
      differences { $0.name == "payload" ? [Entry(name: $0.name, offset: 0, size: 32)] : [$0] } == [
        .init(isBreaking: true, subject: "struct payload", what: "is of 32 bytes, it was of 24 bytes")
      ])
    #expect(differences { $0.name == "host.log" ? [] : [$0] } == [.init(isBreaking: true, subject: "field host.log", what: "is gone")])
    #expect(differences({ [$0] }, abi: 2) == [.init(isBreaking: true, subject: "interface", what: "is version 2, it was 1")])
  }
}
