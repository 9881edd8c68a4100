import LogLoad
import MillraceLog
import MillraceSimulation
import Testing

/// The checker of `HistoryKillTests` sees what it is there for.
@Suite struct KilledHistoryTests {
  /// Of a log in which append 1 has two events of stream 0, append 2 one of stream 1, append 3 one of stream 0.
  private func complaints(_ lives: [String]...) async throws -> [String] {
    var configuration = EventLog.Configuration()
    configuration.hasThreads = false
    let log = try EventLog(SimulatedDisk(), configuration)
    defer { log.close() }
    for (number, stream, events) in [(1, 0, 2), (2, 1, 1), (3, 0, 1)] as [(UInt64, Int, UInt64)] {
      let drafts = (0..<events).map { EventDraft(id: EventID(high: number, low: $0), type: "counted", payload: []) }
      _ = try await log.append([StreamAppend(stream: LoadAppend.stream(stream), events: drafts)])
    }
    var history = KilledHistory()
    for life in lives { history.add(life) }
    return try history.complaints(about: log, streams: 2)
  }

  private let first = ["call 1 0 none 2", "done 1 0 0"]
  private let second = ["call 2 1 any 1", "done 2 0 2"]
  private let third = ["call 3 0 1 1", "done 3 2 3"]

  @Test("what can have happened is believed: with every answer, without an answer, and refused at what was there")
  func good() async throws {
    #expect(try await complaints(first + second + third).isEmpty)
    #expect(try await complaints(first + ["call 2 1 any 1", "call 3 0 1 1", "call 9 0 7 1"]).isEmpty)
    #expect(try await complaints(first + ["call 4 0 none 1", "wrong 4 1"], second + third + ["call 5 0 1 3", "wrong 5 2"]).isEmpty)
  }

  @Test("an acknowledged append that is not there, stands elsewhere, is not whole or was refused")
  func places() async throws {
    let lost = third + ["call 4 1 any 1", "done 4 1 4"]
    #expect(try await complaints(first + second + lost).contains { $0.contains("append 4 was acknowledged") })
    #expect(try await complaints(first + ["call 2 1 any 1", "done 2 0 1"] + third).contains { $0.contains("append 2 was acknowledged") })
    #expect(try await complaints(["call 1 0 none 3", "done 1 0 0"] + second + third).contains { $0.contains("append 1 is not") })
    #expect(try await complaints(first + second + ["call 3 0 none 1", "wrong 3 1"]).contains { $0.contains("append 3 was refused") })
    #expect(try await complaints(first + second).contains { $0.contains("append 3") })
  }

  @Test("an append without an answer that comes to be after its life, and one that took place against what it expected")
  func order() async throws {
    // It has ended with its life, before the one that stands before it began.
    #expect(try await complaints(second + ["call 3 0 any 1"], first).contains { $0.contains("ended before") })
    #expect(try await complaints(first + second + ["call 3 0 5 1"]).contains { $0.contains("was appended at 2") })
    #expect(try await complaints(first + second + third, ["call 4 0 9 1", "wrong 4 1"]).contains { $0.contains("which was past") })
  }

  @Test("a mark that is none, an answer without a call, a number twice")
  func marks() async throws {
    for line in ["failed 2", "done 7 0 0", "call 1 0 any 1", "call 2"] {
      #expect(try await complaints(first + second + third + [line]).contains(line))
    }
  }
}
