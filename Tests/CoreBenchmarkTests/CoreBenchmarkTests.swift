import Foundation
import Testing

/// The benchmark as a process, at tiny sizes: so that it cannot rot.
@Suite struct CoreBenchmarkTests {
  static let program = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "CoreBenchmark")
  /// Jobs of one repetition.
  static let tiny = "64"

  private func run(_ arguments: [String]) throws -> (exit: Int32, output: String, errors: String) {
    let process = Process()
    let (output, errors) = (Pipe(), Pipe())
    process.executableURL = Self.program
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    // Both are a few lines: neither fills its pipe while the other is read.
    let texts = try map((output, errors)) { try String(decoding: $0.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self) }
    process.waitUntilExit()
    return (process.terminationStatus, texts.0, texts.1)
  }

  @Test("every work prints its figures for each repetition, at a tiny size") func works() throws {
    let listed = try run(["list"])
    #expect(listed.exit == 0)
    let works = listed.output.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
    #expect(works.count >= 5)
    for work in works {
      try #require(work.count == 4)
      for workers in work[1].split(separator: ",") {
        let ending = try run([work[0], String(workers), Self.tiny, "2"])
        #expect(ending.exit == 0, "\(work[0]) \(workers): \(ending.errors)")
        let lines = ending.output.split(separator: "\n").map { $0.split(separator: " ").compactMap { Double($0) } }
        #expect(lines.count == 2 && lines.allSatisfy { $0.count == work[3].split(separator: ",").count }, "\(work[0]): \(ending.output)")
      }
    }
  }

  @Test("ten times the capacity: all beyond it is refused, and memory stays within the cap and a tenth, in ten rounds of full and empty")
  func overload() throws {
    let capacity = 200_000.0
    let ending = try run(["overload", "2", "200000", "10"])
    #expect(ending.exit == 0, "\(ending.errors)")
    let rounds = ending.output.split(separator: "\n").map { $0.split(separator: " ").compactMap { Double($0) } }
    #expect(rounds.count == 10)
    for round in rounds {
      try #require(round.count == 3)
      #expect(round[0] == capacity)
      #expect(round[1] == 9 * capacity)
      #expect(round[2] > 0.5 && round[2] <= 1.1, "\(round[2]) times the bytes of the cap")
    }
  }

  @Test("a stepped shape runs all its jobs", arguments: ["independent", "chain", "fan", "tree", "grid", "mixed", "timed", "timed-chain"])
  func stepped(shape: String) throws {
    let ending = try run(["stepped", shape, "1000", "3"])
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(Int(ending.output.trimmingCharacters(in: .whitespacesAndNewlines)).map { (500...1023).contains($0) } == true)
  }

  @Test("wrong use and unknown works are refused") func refusals() throws {
    #expect(try run(["chain"]).exit == 64)
    #expect(try run(["chain", "1", "0"]).exit == 64)
    #expect(try run(["stepped", "ring", "10"]).exit == 64)
    #expect(try run(["ring", "1", "10"]).exit == 69)
  }
}

private func map<T, U>(_ pair: (T, T), _ transform: (T) throws -> U) rethrows -> (U, U) { (try transform(pair.0), try transform(pair.1)) }
