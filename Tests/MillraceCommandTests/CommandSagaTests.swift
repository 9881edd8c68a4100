import Foundation
import Glibc
import Millrace
import Testing

/// Durable sagas: shown, and told how they go on, while a process has them and when none has.
@Suite("Sagas by the command", .timeLimit(.minutes(4)))
struct CommandSagaTests {
  private typealias Going = CommandSignalTests.Going

  /// What undoes `reserve` fails until `ok` is there.
  private static func saga(_ command: Command) -> String {
    """
    format: 1
    kind: saga
    workflow: order
    durability: log
    steps:
      - id: reserve
        handler: shell/run
        input: { command: "true" }
        compensation: { handler: shell/run, input: { command: "test -e \(command.folder)/ok" }, retry: { attempts: 1 } }
      - { id: charge, handler: shell/run, dependencies: [reserve], input: { command: "false" }, pivot: true }
    """
  }

  private static func shown(_ command: Command, _ id: String) throws -> JSON {
    try JSON(parsing: command.run("saga", "show", id, "-o", "json").output)
  }

  /// A saga that is parked, and its process.
  private static func parked(_ command: Command) throws -> (Going, String) {
    var run = try Going(command, saga(command), [])
    #expect(try run.see("the saga is COMPENSATION_PARKED at reserve"), "\(run.lines)")
    let list = try JSON(parsing: command.run("saga", "list", "-o", "json").output)
    #expect(list["sagas"]?[0]?["status"] == "COMPENSATION_PARKED" && list["sagas"]?[0]?["parked"] == ["reserve"])
    return (run, try #require(list["sagas"]?[0]?["run"]?.string))
  }

  @Test("a saga that is parked says so, is shown step by step, and goes on as an operator says to its process")
  func attended() throws {
    let command = try Command()
    var (run, id) = try Self.parked(command)
    let steps = try Self.shown(command, id)["steps"]
    #expect(steps?[0]?["state"] == "compensationFailed" && steps?[1]?["state"] == "failed" && steps?[1]?["kind"] == "pivot")
    let wrong = try command.run("saga", "skip", id, "charge", "--by", "ann", "--reason", "why")
    #expect(wrong.exit == 64 && wrong.errors.contains("nothing is parked at the step 'charge'"), "\(wrong.errors)")
    let none = try command.run("saga", "skip", id, "nothing", "--by", "ann", "--reason", "why")
    #expect(none.exit == 64 && none.errors.contains("nothing"), "\(none.errors)")
    _ = try command.write("ok", "")
    let resumed = try command.run("saga", "resume", String(id.prefix(14)), "--by", "ann")
    #expect(resumed.exit == 0, "\(resumed.errors)")
    #expect(try run.end() == 1, "\(run.lines)")
    #expect(try Self.shown(command, id)["status"] == "COMPENSATED")
    #expect(try command.run("saga", "list").errors.contains("no saga in .millrace is open"))
    let over = try command.run("saga", "force", id, "--by", "ann", "--reason", "why")
    #expect(over.exit == 64 && over.errors.contains("has ended"), "\(over.errors)")
  }

  @Test("what an operator says where no process has the saga is recorded, with who and why, and counts when it goes on")
  func unattended() throws {
    let command = try Command()
    var (run, id) = try Self.parked(command)
    kill(run.process.processIdentifier, SIGKILL)
    #expect(try run.end() == -SIGKILL)
    let skipped = try command.run("saga", "skip", id, "reserve", "--by", "ann", "--reason", "released by hand")
    #expect(skipped.exit == 0 && skipped.errors.contains("counts when it goes on"), "\(skipped.errors)")
    let again = try command.run("saga", "skip", id, "reserve", "--by", "ann", "--reason", "released by hand")
    #expect(again.exit == 64, "\(again.errors)")
    let resumed = try command.run("run", "resume")
    #expect(resumed.exit == 1, "\(resumed.errors)")
    #expect(try Self.shown(command, id)["status"] == "COMPENSATED_WITH_SKIPS")
    let events = try command.run("stream", "read", ".millrace/log", "run-" + id, "-o", "json").output
    #expect(events.contains(#""by":"ann","reason":"released by hand""#), "\(events)")
  }
}
