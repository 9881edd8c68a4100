import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

@Suite struct RunEnvironmentTests {
  private static let token = "s3cr3t-\"quoted\"-tok\u{e9}n"

  /// A world whose handler `vars` gives the variables of its task, and `leak` says the value of TOKEN wherever it can.
  private func world() throws -> SteppedWorld {
    let world = try RunExpressionTests.world()
    world.handler("vars") { call in
      let variables = call.environment
      return call.done(
        (0..<10).compactMap { variables.at($0) }.joined(separator: "|") + " \(variables.count) \(variables.get("TOKEN") ?? "-")")
    }
    world.handler("leak") { call in
      let token = call.environment.get("TOKEN") ?? "-"
      call.log("the token is \(token)!")
      call.fill(type: token, message: "no access with \(token), nor with \(JSON.quoted(token))", details: "[\(JSON.quoted(token))]")
      return call.number < 2 ? UInt32(MILLRACE_RETRY) : UInt32(MILLRACE_FAILED)
    }
    return world
  }

  private func start(_ world: SteppedWorld, _ definition: Definition, _ secrets: [String: String] = [:]) throws -> WorkflowRun {
    try DefinitionChecker().check(definition)
    let run = try world.start(definition.resolve(), secrets: secrets.mapValues { Array($0.utf8) })
    world.drain()
    while world.passToNextTimer() != nil {}
    return run
  }

  @Test("a handler is given the variables of its task in their order: texts, parameters, outputs, secrets; the same in each attempt")
  func variables() throws {
    let world = try world()
    var workflow = Definition("w", parameters: [.init("port", fallback: 8080)])
    let first = workflow.task("first", handler: "json", input: ["host": "a\nb"])
    workflow.task(
      "second", handler: "vars", dependencies: [first],
      environment: [
        "PLAIN": "x $5 $${y}", "URL": "http://${tasks.first.output.host}:${params.port}/", "TOKEN": "${secrets.TOKEN}",
        "RUN": "${run.workflow}",
      ])
    workflow.task("none", handler: "vars")
    let run = try start(world, workflow, ["TOKEN": Self.token])
    #expect(
      run.text("second") == "PLAIN=x $5 ${y}|URL=http://a\nb:8080/|TOKEN=\(Self.token)|RUN=w 4 \(Self.token)")
    #expect(run.text("none") == " 0 -")
  }

  @Test("the value of a secret is replaced in types, messages, details and log lines before they are kept")
  func redaction() throws {
    let world = try world()
    var workflow = Definition("w")
    workflow.task(
      "leak", handler: "leak", environment: ["TOKEN": "${secrets.TOKEN}"], retry: RetryPolicy(attempts: 2, initial: 1))
    let run = try start(world, workflow, ["TOKEN": Self.token])
    #expect(run.status == .failed)
    #expect(run.attempts().map(\.message) == Array(repeating: "no access with ***, nor with \"***\"", count: 2))
    #expect(run.attempts().map(\.errorType) == ["***", "***"])
    #expect(run.log.map { String(decoding: $0.error?.details ?? [], as: UTF8.self) } == ["[\"***\"]", "[\"***\"]"])
    #expect(world.logged == ["the token is ***!", "the token is ***!"])
  }

  @Test("variables of cleanup tasks know the secrets too")
  func cleanup() throws {
    let world = try world()
    var workflow = Definition("w")
    workflow.task("a", handler: "json", input: 1)
    workflow.cleanup("b", handler: "vars", environment: ["TOKEN": "Bearer ${secrets.TOKEN} ${tasks.a.output}"])
    let run = try start(world, workflow, ["TOKEN": Self.token])
    #expect(run.text("b") == "TOKEN=Bearer \(Self.token) 1 1 Bearer \(Self.token) 1")
  }

  @Test("a variable that is too long, or holds a NUL, fails the task; the message names it, not its value")
  func unfit() throws {
    let world = try world()
    var workflow = Definition("w", onFailure: .continue, tasks: [])
    workflow.parameters = [.init("nul", fallback: "a\u{0}b"), .init("long", fallback: .string(String(repeating: "x", count: 128 << 10)))]
    workflow.task("nul", handler: "vars", environment: ["V": "${params.nul}"])
    workflow.task("long", handler: "vars", environment: ["V": "x${params.long}"])
    workflow.task("gone", handler: "vars", environment: ["V": "${secrets.GONE}"])
    let run = try start(world, workflow)
    #expect(run.attempts(0).last?.message == "the variable 'V' holds a NUL: leave it out")
    #expect(run.attempts(1).last?.message.hasPrefix("${params.long}: more than 131072 bytes") == true)
    #expect(run.attempts(2).last?.message.hasPrefix("${secrets.GONE}: it is not there") == true)
    #expect((0..<3).allSatisfy { run.attempts($0).last?.errorType == "expression" })
  }

  @Test("the secrets of a definition are found in all environments, each once")
  func secrets() {
    var workflow = Definition("w")
    workflow.task("a", handler: "h", environment: ["A": "${secrets.X} ${secrets.Y}", "B": "${secrets.X}"])
    workflow.cleanup("b", handler: "h", environment: ["A": "${secrets.Z}"])
    #expect(workflow.secrets.map(\.name) == ["X", "Y", "Z"])
    #expect(workflow.secrets.map(\.task) == ["a", "a", "b"])
  }

  // MARK: Redactor

  @Test("a redactor finds whole values, the longest first, their JSON form, their lines, and a beginning at the end of a text")
  func redactor() {
    let redactor = Redactor()
    #expect(redactor.redact("abcdef") == "abcdef")
    for secret in ["abcdef", "abcdefghij", "tab\there", "-----BEGIN KEY-----\nMIIEvQIBADAN\nab\n-----END KEY-----\n", "abc"] {
      redactor.add(Array(secret.utf8))
    }
    for (text, expected) in [
      ("abcdef", "***"), ("xabcdefghijx", "x***x"), ("abcdefabcdef.", "******."), ("tab\\there", "***"), ("tab\there", "***"),
      ("line MIIEvQIBADAN.", "line ***."), ("abc ab cdef", "abc ab cdef"), ("cut off abcde", "cut off ***"), ("cut off abc", "cut off abc"),
      ("", ""), ("né abcdef é", "né *** é"), ("MIIEvQIBAD", "***"),
    ] {
      #expect(redactor.redact(text) == expected)
    }
  }
}

/// The extension of a test's call.
@safe struct RawEnvironment {
  let call: RawCall

  private var table: UnsafePointer<millrace_environment> {
    unsafe call.host.pointee.extension(call.host, MILLRACE_ENVIRONMENT)!.assumingMemoryBound(to: millrace_environment.self)
  }

  var count: Int { unsafe Int(table.pointee.count(call.attempt)) }
  func get(_ name: String) -> String? { unsafe table.pointee.get(call.attempt, name).map { unsafe String(cString: $0) } }
  func at(_ index: Int) -> String? {
    var name: UnsafePointer<CChar>?
    var value: UnsafePointer<CChar>?
    guard unsafe table.pointee.at(call.attempt, UInt32(index), &name, &value) == 0 else { return nil }
    return unsafe String(cString: name!) + "=" + String(cString: value!)
  }
}

extension RawCall {
  var environment: RawEnvironment { RawEnvironment(call: self) }

  func log(_ line: String) { unsafe host.pointee.log(host, UInt32(MILLRACE_LOG_NOTICE), line) }

  func fill(type: String, message: String, details: String) {
    _ = end(MILLRACE_FAILED, String(decoding: type.utf8.prefix(63), as: UTF8.self))
    let text = Array(message.utf8)
    for (index, byte) in text.enumerated() { unsafe outcome.pointee.message[index] = CChar(bitPattern: byte) }
    unsafe outcome.pointee.message_length = UInt32(text.count)
    let bytes = Array(details.utf8)
    guard let target = unsafe host.pointee.claim(attempt, UInt64(bytes.count), UInt32(MILLRACE_JSON), &outcome.pointee.details) else {
      return
    }
    unsafe target.copyMemory(from: bytes, byteCount: bytes.count)
  }
}
