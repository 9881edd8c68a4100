import Foundation
import Glibc
import Millrace
import MillraceFaults
import Testing

/// `millrace queue`, as processes over directories of their own.
@Suite("Queues by the command", .timeLimit(.minutes(5)))
struct CommandQueueTests {
  /// Queues `orders`, whose dead letters go to `dead`, and the exchange `shop`.
  private static func shop() throws -> Command {
    let command = try Command()
    #expect(try queue(command, "declare", "dead").exit == 0)
    #expect(
      try queue(command, "declare", "orders", "--dead-letter-queue", "dead", "--exchange", "shop:topic", "--bind", "shop:order.#").exit == 0
    )
    return command
  }

  private static func queue(_ command: Command, _ arguments: String...) throws -> Command.Ending {
    let (process, output, errors) = try command.process(["queue"] + arguments)
    try process.run()
    process.waitUntilExit()
    return Command.Ending(
      exit: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: output, encoding: .utf8), errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  /// With these lines as standard input.
  private static func publish(_ command: Command, _ lines: [String], to queue: String) throws -> Command.Ending {
    let (process, output, errors) = try command.process(["queue", "publish", queue, "-o", "json"])
    process.standardInput = try FileHandle(forReadingFrom: URL(filePath: command.write("lines", lines.joined(separator: "\n"))))
    try process.run()
    process.waitUntilExit()
    return Command.Ending(
      exit: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  private static func lines(_ text: String) -> [String] { text.split(separator: "\n").map(String.init) }

  /// One queue of `list`.
  private static func listed(_ command: Command, _ name: String) throws -> JSON {
    let list = try queue(command, "list", "-o", "json").object()
    return try #require((list["queues"]?.array ?? []).first { $0["queue"]?.string == name })
  }

  @Test("what is published by an argument, a file, lines and an exchange is listed and consumed with all that it says")
  func published() throws {
    let command = try Self.shop()
    let first = try Self.queue(
      command, "publish", "orders", "hello", "--id", "m1", "--header", "n=1", "--priority", "3", "--type", "greeting", "-o", "json")
    let told: JSON = ["accepted": 1, "confirmed": 1, "refusal": nil]
    #expect(try first.exit == 0 && first.object() == told)
    try Data([0xFF, 0x00]).write(to: URL(filePath: command.file("bytes")))
    #expect(try Self.queue(command, "publish", "orders", "--file", "bytes").output == "1 accepted, 1 on stable storage\n")
    #expect(try Self.queue(command, "publish", "--exchange", "shop", "--key", "order.made", "by exchange").exit == 0)
    #expect(try Self.publish(command, ["one", "two", ""], to: "orders").object()["accepted"] == 2)
    #expect(try Self.queue(command, "publish", "orders", "later", "--delay", "1h").exit == 0)
    let orders = try Self.listed(command, "orders")
    #expect(orders["ready"] == 5 && orders["delayed"] == 1 && orders["deadLetters"] == 0 && orders["deadLettersTo"] == "dead")
    #expect(orders["oldestSeconds"]?.integer != nil && orders["bytes"] == 29)
    #expect(try Self.queue(command, "list").output.contains("orders"))
    let taken = try Self.queue(command, "consume", "orders", "-o", "json")
    let messages = try Self.lines(taken.output).map { try JSON(parsing: $0) }
    #expect(taken.exit == 0 && messages.count == 5)
    #expect(messages[0]["payload"] == "hello" && messages[0]["id"] == "m1" && messages[0]["headers"] == ["n": 1])
    #expect(messages[0]["priority"] == 3 && messages[0]["type"] == "greeting" && messages[0]["redelivered"] == false)
    #expect(messages[1]["payloadBase64"] == "/wA=" && messages[2]["key"] == "order.made")
    #expect(messages[3...].map { $0["payload"]?.string } == ["one", "two"])
    #expect(try Self.listed(command, "orders")["ready"] == 0)
  }

  @Test("dead letters are shown, sent back, and say who did it; what is only looked at stays; what is purged is gone")
  func redriven() throws {
    let command = try Self.shop()
    #expect(try Self.publish(command, ["a", "b", "c"], to: "orders").exit == 0)
    #expect(try Self.lines(Self.queue(command, "consume", "orders", "--reject").output) == ["a", "b", "c"])
    #expect(try Self.listed(command, "dead")["deadLetters"] == 3)
    let dry = try Self.queue(command, "redrive", "dead", "--dry-run", "--matching", "#", "-o", "json").object()
    #expect(dry["matching"] == 3 && dry["targets"] == ["orders": 3] && dry["letters"]?[0]?["deaths"]?[0]?["reason"] == "rejected")
    let none = try Self.queue(command, "redrive", "dead", "--reason", "expired", "-o", "json").object()
    #expect(none["passed"] == 3 && none["moved"] == 0)
    let moved = try Self.queue(command, "redrive", "dead", "--limit", "2", "--by", "ann", "-o", "json").object()
    #expect(moved["moved"] == 2 && moved["confirmed"] == 2 && moved["stayed"] == 0)
    let peeked = try Self.queue(command, "consume", "orders", "--peek", "-o", "json")
    let message = try JSON(parsing: try #require(Self.lines(peeked.output).first))
    #expect(message["payload"] == "a" && message["redrives"]?["by"] == "ann" && message["redrives"]?["from"] == "dead")
    #expect(try Self.listed(command, "orders")["ready"] == 2)
    // Without a queue to go to.
    let stays = try Self.queue(command, "redrive", "dead", "--exchange", "shop", "--key", "bill", "-o", "json")
    #expect(stays.exit == 1)
    #expect(try stays.object()["reasons"]?[0]?["reason"]?.string?.contains("no queue is bound") == true)
    #expect(try Self.queue(command, "purge", "orders").exit == 64)
    #expect(try Self.queue(command, "purge", "orders", "--yes").output == "2 messages are gone from orders\n")
    #expect(try Self.listed(command, "orders")["ready"] == 0 && Self.listed(command, "dead")["ready"] == 1)
  }

  @Test("wrong use is told with the nearest name, and changes nothing")
  func refused() throws {
    let command = try Command()
    #expect(try Self.queue(command, "list").exit == 69)
    #expect(try Self.queue(command, "declare", "orders", "--max-size", "2", "--overflow", "reject-publish").exit == 0)
    let nearest = try Self.queue(command, "consume", "ordres")
    #expect(nearest.exit == 64 && nearest.errors.contains("did you mean 'orders'?"))
    let other = try Self.queue(command, "declare", "orders")
    #expect(other.exit == 64 && other.errors.contains("maxSize"))
    #expect(
      try Self.queue(command, "declare", "orders", "--max-size", "2", "--overflow", "reject-publish", "-o", "json").object()["isNew"]
        == false)
    for arguments in [
      ["declare", "a/b"], ["declare", "q", "--bind", "shop"], ["declare", "q", "--exchange", "shop:star"],
      ["declare", "q", "--ttl", "soon"],
      ["publish", "orders", "x", "--file", "y"], ["publish", "orders", "--id", "x"], ["publish", "nowhere", "x"],
      ["publish", "x", "--exchange", "none", "--key", "k"], ["consume", "orders", "--peek", "--reject"],
      ["consume", "orders", "--count", "0"],
      ["redrive", "orders", "--to", "orders"], ["redrive", "orders", "--rate", "0"],
    ] {
      let (process, _, errors) = try command.process(["queue"] + arguments)
      try process.run()
      process.waitUntilExit()
      let words = try String(contentsOfFile: errors, encoding: .utf8)
      #expect(process.terminationStatus == 64, "\(arguments): \(words)")
    }
    // What was taken before is, and is told.
    let full = try Self.publish(command, ["a", "b", "c"], to: "orders")
    #expect(full.exit == 1 && full.errors.contains("full"))
    #expect(try full.object()["accepted"] == 2 && full.object()["confirmed"] == 2)
    #expect(try Self.lines(Self.queue(command, "consume", "orders").output) == ["a", "b"])
  }

  @Test(
    "while one command follows a queue others list, declare, publish, consume, redrive and purge by it; Ctrl-C ends it and loses nothing")
  func others() throws {
    let command = try Self.shop()
    #expect(try Self.queue(command, "declare", "followed").exit == 0)
    let (process, output, errors) = try command.process(["queue", "consume", "followed", "--follow"])
    try process.run()
    // What it prints is what another one has published.
    #expect(try Self.queue(command, "publish", "followed", "go").exit == 0)
    try Self.until { try String(contentsOfFile: output, encoding: .utf8) == "go\n" }
    #expect(FileManager.default.fileExists(atPath: command.file(".millrace/queues/control")))
    #expect(try Self.publish(command, (0..<300).map { "\($0)" }, to: "orders").object()["confirmed"] == 300)
    #expect(try Self.listed(command, "followed")["consumers"] == 1)
    #expect(try Self.lines(Self.queue(command, "consume", "orders", "--count", "100", "--reject").output) == (0..<100).map { "\($0)" })
    #expect(try Self.queue(command, "redrive", "dead", "--limit", "30", "-o", "json").object()["moved"] == 30)
    #expect(try Self.queue(command, "declare", "more").exit == 0)
    #expect(try Self.queue(command, "purge", "dead", "--yes").output == "70 messages are gone from dead\n")
    // A caller that is killed with messages in its hands leaves them in their queue.
    let (other, _, _) = try command.process(["queue", "consume", "orders", "--count", "50"])
    let pipe = Pipe()
    other.standardOutput = pipe
    try other.run()
    kill(other.processIdentifier, SIGKILL)
    other.waitUntilExit()
    kill(process.processIdentifier, SIGINT)
    process.waitUntilExit()
    let words = try String(contentsOfFile: errors, encoding: .utf8)
    #expect(process.terminationStatus == 130, "\(words)")
    #expect(try Self.listed(command, "more")["ready"] == 0 && Self.listed(command, "dead")["ready"] == 0)
    let printed = Self.lines(String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self))
    let rest = try Self.lines(Self.queue(command, "consume", "orders").output)
    #expect(Set(rest + printed) == Set((0..<30).map { "\($0)" } + (100..<300).map { "\($0)" }))
  }

  @Test("a consumer that is killed has acknowledged only what it has printed")
  func killed() throws {
    let command = try Self.shop()
    let filling = String(repeating: "x", count: 1_000)
    #expect(try Self.publish(command, (0..<2_000).map { "\($0) \(filling)" }, to: "orders").object()["confirmed"] == 2_000)
    // Nobody reads more than the first line, so it stands in the midst of them.
    let (process, _, _) = try command.process(["queue", "consume", "orders"])
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    try pipe.fileHandleForWriting.close()
    var text = try #require(try pipe.fileHandleForReading.read(upToCount: 100_000))
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    while let more = try pipe.fileHandleForReading.read(upToCount: 1 << 20), !more.isEmpty { text += more }
    func numbers(_ text: String) -> [Int] { Self.lines(text).compactMap { line in line.split(separator: " ").first.flatMap { Int($0) } } }
    let printed = numbers(String(decoding: text, as: UTF8.self))
    let rest = try Self.queue(command, "consume", "orders")
    #expect(rest.exit == 0)
    #expect(Set(printed + numbers(rest.output)) == Set(0..<2_000))
    #expect(printed.count > 50 && printed.count < 2_000 && numbers(rest.output).count >= 2_000 - printed.count)
  }

  @Test("a reader that has seen enough ends it quietly, and what it was not given goes back")
  func closedOutput() throws {
    let command = try Self.shop()
    let filling = String(repeating: "x", count: 1_000)
    #expect(try Self.publish(command, (0..<500).map { "\($0) \(filling)" }, to: "orders").exit == 0)
    let (process, _, errors) = try command.process(["queue", "consume", "orders"])
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    try pipe.fileHandleForWriting.close()
    _ = try pipe.fileHandleForReading.read(upToCount: 10)
    try pipe.fileHandleForReading.close()
    process.waitUntilExit()
    let words = try String(contentsOfFile: errors, encoding: .utf8)
    #expect(process.terminationStatus == 0, "\(words)")
    let ready = try Self.listed(command, "orders")["ready"]?.integer ?? 0
    #expect(ready > 300 && ready < 500)
  }

  @Test("a redrive that is interrupted has moved some, and the others stay")
  func interrupted() throws {
    let command = try Self.shop()
    #expect(try Self.publish(command, (0..<100).map { "\($0)" }, to: "orders").exit == 0)
    #expect(try Self.queue(command, "consume", "orders", "--reject").exit == 0)
    let (process, output, errors) = try command.process(["queue", "redrive", "dead", "--rate", "1", "-o", "json"])
    try process.run()
    // It has the directory, and answers while it waits.
    try Self.until { FileManager.default.fileExists(atPath: command.file(".millrace/queues/control")) }
    try Self.until { try Self.listed(command, "orders")["ready"] != 0 }
    kill(process.processIdentifier, SIGINT)
    process.waitUntilExit()
    let words = try String(contentsOfFile: errors, encoding: .utf8)
    #expect(process.terminationStatus == 130, "\(words)")
    let moved = try #require(try JSON(parsing: String(contentsOfFile: output, encoding: .utf8))["moved"]?.integer)
    #expect(moved > 0 && moved < 100)
    let (orders, dead) = (try Self.listed(command, "orders"), try Self.listed(command, "dead"))
    #expect(orders["ready"]?.integer == moved && dead["ready"]?.integer == 100 - moved)
  }

  @Test(
    "on a full disk publishing says how many are on stable storage, with exit code 75; those are there, and the rest goes when there is room"
  )
  func fullDisk() throws {
    var (starved, unmet) = (0, 0)
    for call in 1...60 where unmet < 2 {
      let command = try Self.shop()
      let lines = (0..<400).map { "\($0) " + String(repeating: "x", count: 40_000) }
      let (process, output, errors) = try command.process(["queue", "publish", "orders", "-o", "json"])
      process.standardInput = try FileHandle(forReadingFrom: URL(filePath: command.write("lines", lines.joined(separator: "\n"))))
      process.environment?.merge([
        "LD_PRELOAD": try FaultTools.injector(), "MILLRACE_FAULT_DIR": command.file(".millrace"),
        "MILLRACE_FAULT": "allocate:\(call)+:ENOSPC",
        "MILLRACE_FAULT_UNTIL": command.file("room"), "MILLRACE_FAULT_REPORT": command.file("report"),
      ]) { $1 }
      try process.run()
      process.waitUntilExit()
      let words = try String(contentsOfFile: errors, encoding: .utf8)
      if process.terminationStatus == 0 {
        unmet += 1
        continue
      }
      #expect(process.terminationStatus == 75, "allocation \(call): \(words)")
      let told = try String(contentsOfFile: output, encoding: .utf8)
      let confirmed = told.isEmpty ? 0 : try #require(try JSON(parsing: told)["confirmed"]?.integer)
      starved += told.isEmpty ? 0 : 1
      let there = try Self.lines(Self.queue(command, "consume", "orders").output).map { $0.prefix { $0 != " " } }
      #expect(
        there.count >= confirmed && there == (0..<there.count).map { "\($0)"[...] }, "allocation \(call): \(there.count) of \(confirmed)")
      #expect(try Self.publish(command, ["again"], to: "orders").exit == 0)
    }
    #expect(unmet == 2 && starved > 0)
  }

  /// Looks again and again, for a minute at most.
  private static func until(_ condition: () throws -> Bool) throws {
    let end = ContinuousClock.now + .seconds(60)
    while try !condition() {
      try #require(ContinuousClock.now < end)
      sched_yield()
    }
  }
}
