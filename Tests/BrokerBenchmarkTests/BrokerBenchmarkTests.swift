import Foundation
import Testing

/// The benchmark as a process, for a moment: so that it cannot rot. And what routes allocate.
@Suite struct BrokerBenchmarkTests {
  static let folder = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent()
  static let counter = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../perf/allocations.c")

  private func run(_ program: String, _ arguments: [String], _ environment: [String: String] = [:]) throws -> (exit: Int32, output: String)
  {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardOutput = output
    try process.run()
    let text = try String(decoding: output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  private var program: String { Self.folder.appending(path: "BrokerBenchmark").path }

  @Test("each work prints its figures beside those of the scan") func works() throws {
    struct Line: Decodable {
      let program: String
      let work: String
      let perSecond: Double
      let scanPerSecond: Double
      let queuesOfAMessage: Double
    }
    let ending = try run(program, ["topic-cold,topic-warm", "0.001"])
    #expect(ending.exit == 0)
    let lines: [Line] = try ending.output.split(separator: "\n").map { try decode(String($0)) }
    #expect(lines.map(\.work) == ["topic-cold", "topic-warm"])
    #expect(lines.allSatisfy { $0.perSecond > 0 && $0.scanPerSecond > 0 && $0.queuesOfAMessage > 1 })
    #expect(try run(program, ["topic-hot", "1"]).exit == 64)
  }

  @Test("a route allocates nothing, found or remembered", arguments: ["cold", "warm"]) func allocations(kind: String) throws {
    // A round is all keys once.
    let counts = try allocations([1, 3].map { ["routes", kind, "\($0 * 65_536)"] })
    #expect(counts[1] == counts[0])
  }

  /// Of the program with each of these arguments.
  private func allocations(_ arguments: [[String]]) throws -> [Int] {
    let place = FileManager.default.temporaryDirectory.appending(path: "millrace-allocations-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: place) }
    let library = place.appending(path: "allocations.so").path
    #expect(try run("/usr/bin/env", ["cc", "-O1", "-shared", "-fPIC", "-o", library, Self.counter.path]).exit == 0)
    let counts = try arguments.map { arguments in
      let file = place.appending(path: "count").path
      let ending = try run(program, arguments, ["LD_PRELOAD": library, "ALLOCATIONS": file, "SWIFT_DETERMINISTIC_HASHING": "1"])
      #expect(ending.exit == 0)
      return try #require(Int(String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)))
    }
    #expect(counts.allSatisfy { $0 > 100 }, "the counter sees those of the start")
    return counts
  }

  /// What it gives is held to budgets where it is optimised: perf/budgets.
  @Test("what counts the costs of messages runs", arguments: ["single", "batch", "fan", "jobs", "refused"]) func costs(way: String) throws {
    let ending = try run(program, ["steady", way, "1000"])
    #expect(ending.exit == 0 && ending.output.contains(" messages, "))
  }

  @Test("a queued message has its footprint") func footprint() throws {
    struct Line: Decodable {
      let bytesAMessage: Double
    }
    let line: Line = try decode(run(program, ["footprint", "100000", "3600", "1"]).output)
    #expect(line.bytesAMessage > 128 && line.bytesAMessage < 256)
    #expect(try run(program, ["overload", "nothing", "1"]).exit == 64)
  }

  private func decode<Value: Decodable>(_ line: String) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Value.self, from: Data(line.utf8))
  }
}
