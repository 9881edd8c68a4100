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
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let lines = try ending.output.split(separator: "\n").map { try decoder.decode(Line.self, from: Data($0.utf8)) }
    #expect(lines.map(\.work) == ["topic-cold", "topic-warm"])
    #expect(lines.allSatisfy { $0.perSecond > 0 && $0.scanPerSecond > 0 && $0.queuesOfAMessage > 1 })
    #expect(try run(program, ["topic-hot", "1"]).exit == 64)
  }

  @Test("a route allocates nothing, found or remembered", arguments: ["cold", "warm"]) func allocations(kind: String) throws {
    let place = FileManager.default.temporaryDirectory.appending(path: "millrace-allocations-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: place) }
    let library = place.appending(path: "allocations.so").path
    #expect(try run("/usr/bin/env", ["cc", "-O1", "-shared", "-fPIC", "-o", library, Self.counter.path]).exit == 0)
    let counts = try [1, 3].map { rounds in
      let file = place.appending(path: "count").path
      // A round is all keys once.
      let ending = try run(
        program, ["routes", kind, "\(rounds * 65_536)"], ["LD_PRELOAD": library, "ALLOCATIONS": file, "SWIFT_DETERMINISTIC_HASHING": "1"])
      #expect(ending.exit == 0)
      return try #require(Int(String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)))
    }
    #expect(counts[0] > 1_000, "the counter sees those of the start")
    #expect(counts[1] == counts[0])
  }
}
