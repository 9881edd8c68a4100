import Foundation
import Millrace
import Testing

/// Runs that wait for somebody.
@Suite("Waits", .timeLimit(.minutes(5)))
struct CommandWaitTests {
  private static let asks = """
    format: 1
    workflow: asks
    tasks:
      - { id: go, wait: { signal: release } }
      - { id: ok, wait: { approval: "Deploy?" }, dependencies: [go] }
    """

  @Test("without a terminal each wait is told on standard error, with what would answer it, and a signal ends the run")
  func told() throws {
    let command = try Command()
    var run = try CommandSignalTests.Going(command, Self.asks, ["--signal", "release"])
    let line =
      "task ok waits for an approval: Deploy? There is no terminal to ask at: start with --approve ok, or end it with Ctrl-C"
    #expect(try run.see(line), "\(run.lines)")
    run.send(SIGINT)
    #expect(try run.end() == 130)
    #expect(run.lines.count { $0.contains(line) } == 1, "\(run.lines)")
  }

  @Test("what no task could take is wrong use, before anything runs")
  func unknown() throws {
    let command = try Command()
    let file = try command.write("asks.yaml", Self.asks)
    for (option, value, line) in [
      ("--signal", "relase=1", "--signal relase: no task waits for it; they wait for release"),
      ("--approve", "go", "--approve go: no task of that id asks for an approval; those that do are ok"),
    ] {
      let ending = try command.run("run", file, option, value)
      #expect(ending.exit == 64)
      #expect(ending.errors.contains(line), "\(ending.errors)")
    }
  }
}
