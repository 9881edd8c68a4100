import Foundation
import Testing

/// The benchmark as a process, at a tiny size: so that it cannot rot.
@Suite struct EngineBenchmarkTests {
  private func run(_ arguments: [String]) throws -> (exit: Int32, output: String) {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(
      path: "EngineBenchmark")
    process.arguments = arguments
    process.standardOutput = output
    try process.run()
    let text = try String(decoding: output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  @Test("every kind of round trip and of handler has its row") func rows() throws {
    let ending = try run(["3"])
    #expect(ending.exit == 0)
    let rows = ending.output.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.contains("p50") && !$0.contains("median") }
    #expect(rows.count == 13, "\(ending.output)")
    #expect(
      rows.allSatisfy { $0.split(separator: "|").dropFirst().compactMap { Double($0.trimmingCharacters(in: .whitespaces)) }.count >= 2 })
  }

  @Test("swaps have a row without and one with them, and lose and double nothing") func swaps() throws {
    let ending = try run(["swap", "1"])
    #expect(ending.exit == 0)
    let rows = ending.output.split(separator: "\n").filter { $0.hasPrefix("| no swaps") || $0.hasPrefix("| a swap") }
      .map { $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) } }
    try #require(rows.count == 2, "\(ending.output)")
    for row in rows { #expect(row[1] == "100000" && row[3] == "0" && row[4] == "0", "\(ending.output)") }
    #expect(rows[0][2] == "0" && rows[1][2] != "0", "\(ending.output)")
  }

  @Test("wrong use is refused") func refusals() throws {
    #expect(try run(["swap", "0"]).exit == 64)
    #expect(try run(["0"]).exit == 64)
    #expect(try run(["1", "2"]).exit == 64)
  }
}
