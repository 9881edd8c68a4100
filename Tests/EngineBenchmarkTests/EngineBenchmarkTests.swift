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

  @Test("wrong use is refused") func refusals() throws {
    #expect(try run(["0"]).exit == 64)
    #expect(try run(["1", "2"]).exit == 64)
  }
}
