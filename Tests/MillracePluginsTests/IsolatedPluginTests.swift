import CMillrace
import Foundation
import Synchronization
import Testing

@testable import MillracePlugins

@Suite(.enabled(if: Workshop.compiler != nil, Workshop.noCompiler)) struct IsolatedPluginTests {
  static let hasLandlock = landlockVersion() > 0
  static let noLandlock: Comment = "this kernel has no landlock: an untrusted plugin is refused"

  private static func landlockVersion() -> Int { Int(millrace_landlock_version()) }

  @Test(
    "a plugin in a process of its own is described as in this one, runs with its inputs, settings and extensions, and ends with a deinit")
  func runs() throws {
    let world = try IsolatedWorld(settings: ["hostile.word": "hello", "other.word": "secret"])
    let attempt = TestAttempt(world.host, json: #"{"a":1}"#, dependencies: ["two", ""])
    let outcome = try world.run("say", attempt)
    #expect(outcome.status == UInt32(MILLRACE_DONE) && outcome.outputType == UInt32(MILLRACE_TEXT))
    #expect(outcome.text == #"run-1/a a 1 input={"a":1} task-0=two task-1="#)
    let wait = try #require(world.plugin.handlers.first { $0.qualifiedName == "hostile/wait" })
    #expect(wait.flags == UInt32(MILLRACE_BLOCKING) && (unsafe wait.pointer.pointee.flags) == 0, "no thread of the engine waits for it")
    #expect(unsafe wait.pointer.pointee.concurrency == 3)
    // Its own settings only; a clock that stands still, as the host's does; no extension that needs memory of the host.
    let asked = TestAttempt(world.host)
    #expect(try world.run("asks", asked).text == "hello - \(TestHost.clock) tests 1 1 0.1.0")
    #expect(asked.progress == [250] && world.host.lines.contains("2 asked"))
    let process = try #require(world.process)
    world.end()
    #expect(world.isolated.processes.map(\.state) == [.stopped])
    #expect(kill(process, 0) == -1 && errno == ESRCH, "no process is left, not even a dead one")
  }

  @Test("its deinit is called when it is unloaded, and what it logs then is heard")
  func deinitializes() throws {
    let world = try IsolatedWorld()
    let host = world.host
    world.plugin.unload()
    #expect(host.lines == ["1 deinit"])
    world.end()
  }

  @Test("attempts end as their handlers say: by a token on another thread, after a delay, with an error")
  func outcomes() throws {
    let world = try IsolatedWorld()
    #expect(try world.run("later").status == UInt32(MILLRACE_DONE))
    #expect(try world.run("delayed").delay == 12345)
    let failed = try world.run("fails")
    #expect(
      failed.status == UInt32(MILLRACE_RETRY) && failed.type == "no-luck" && failed.message == "it did not work" && failed.retryAfter == 77)
    world.end()
  }

  @Test("a payload of 16 MiB goes in and out; inputs that are more than an attempt may have fail it with both numbers, and nothing else")
  func large() throws {
    let bytes = [UInt8](repeating: 41, count: Int(MILLRACE_INLINE_BYTES))
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.attemptBytes = 17 << 20 }))
    // Twice: the memory of the first was given back.
    for _ in 0..<2 {
      let outcome = try world.run("large", TestAttempt(world.host, [.init(name: "input", bytes: bytes)]))
      #expect(outcome.output.count == bytes.count && outcome.output.allSatisfy { $0 == 42 })
    }
    let outcome = try world.run("large", TestAttempt(world.host, [.init(name: "input", bytes: bytes), .init(name: "b", bytes: bytes)]))
    #expect(outcome.status == UInt32(MILLRACE_FAILED) && outcome.type == "input-too-large")
    #expect(outcome.message.contains("has \(17 << 20): set attemptBytes"))
    #expect(try world.run("say").status == UInt32(MILLRACE_DONE))
    world.end()
  }

  @Test("more attempts than there are slots wait in order, and all end")
  func waits() throws {
    let world = try IsolatedWorld()
    let tokens = try (0..<100).map { _ in try world.begin("say").0 }
    for token in tokens { #expect(try world.end(of: token).text == "run-1/a a 1") }
    world.end()
  }

  @Test("whichever way both sides wait, nothing is lost", arguments: IsolationBounds.Wait.allCases)
  func waiting(_ wait: IsolationBounds.Wait) throws {
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.wait = wait }))
    for _ in 0..<200 { #expect(try world.run("say").status == UInt32(MILLRACE_DONE)) }
    world.end()
  }

  @Test("handlers that block keep the others from nothing, and are told to stop")
  func blocks() throws {
    let world = try IsolatedWorld()
    let attempt = TestAttempt(world.host)
    let (token, _) = try world.begin("wait", attempt)
    for _ in 0..<10 { #expect(try world.run("say").status == UInt32(MILLRACE_DONE)) }
    #expect(world.host.ended(token) == nil)
    attempt.cancel(afterChecks: 0)
    #expect(try world.end(of: token).status == UInt32(MILLRACE_CANCELLED))
    world.end()
  }

  struct Crime: Sendable, CustomTestStringConvertible {
    let handler: String
    /// How the attempt ends, and what its message has.
    let type: String
    let words: String
    /// The attempt is told to stop, for it does not end otherwise.
    var isEndless = false
    /// The process lives on.
    var isSurvived = false
    var testDescription: String { handler }
  }

  static let crimes = [
    Crime(handler: "crash", type: "plugin-crashed", words: "signal 11"),
    Crime(handler: "exit", type: "plugin-crashed", words: "exited with 7"),
    Crime(handler: "abort", type: "plugin-crashed", words: "signal 6"),
    Crime(handler: "overflow", type: "plugin-crashed", words: "signal 11"),
    Crime(handler: "inputs", type: "plugin-crashed", words: "signal 11"),
    Crime(handler: "hang", type: "plugin-crashed", words: "did not end within 1 ms of being told to", isEndless: true),
    Crime(handler: "stop", type: "plugin-crashed", words: "did not end within 1 ms of being told to", isEndless: true),
    Crime(handler: "scribble", type: "plugin-crashed", words: "killed", isEndless: true),
    Crime(handler: "garble", type: "plugin-crashed", words: "it wrote an answer that is none"),
    Crime(handler: "foreign", type: "plugin-crashed", words: "it ended an attempt that it did not have"),
    Crime(handler: "grow", type: "", words: "no memory", isSurvived: true),
    Crime(handler: "tokens", type: "", words: "none taken", isSurvived: true),
    Crime(handler: "shut", type: "", words: "", isSurvived: true),
    Crime(handler: "talk", type: "", words: "", isSurvived: true),
    Crime(handler: "beyond", type: "bad-outcome", words: "did not claim", isSurvived: true),
    Crime(handler: "others", type: "bad-outcome", words: "did not claim", isSurvived: true),
    Crime(handler: "huge", type: "bad-outcome", words: "did not claim", isSurvived: true),
    Crime(handler: "liar", type: String(repeating: "x", count: 63), words: "", isSurvived: true),
  ]
  /// What only an untrusted one is kept from.
  static let graveCrimes = [
    Crime(handler: "shoot", type: "", words: "Operation not permitted", isSurvived: true),
    Crime(handler: "breed", type: "", words: "Operation not permitted", isSurvived: true),
    Crime(handler: "escape", type: "", words: "17 of 17 denied", isSurvived: true),
  ]

  @Test("whatever a plugin does to its process costs the attempts in flight there, which say so; the next is served", arguments: crimes)
  func crime(_ crime: Crime) throws { try commit(crime, .process(IsolatedWorld.bounds { $0.grace = 1_000_000 })) }

  @Test(
    "an untrusted plugin gets no file, socket, process or thread, and can signal nobody; all else is as for any isolated one",
    .enabled(if: hasLandlock, noLandlock), arguments: crimes + graveCrimes)
  func untrusted(_ crime: Crime) throws { try commit(crime, .untrusted(IsolatedWorld.bounds { $0.grace = 1_000_000 })) }

  private func commit(_ crime: Crime, _ isolation: PluginIsolation) throws {
    let world = try IsolatedWorld(isolation)
    #expect(try world.run("say").text == "run-1/a a 1")
    let first = world.process
    let outcome = try world.run(crime.handler, crime.isEndless ? stopped(world.host) : nil)
    #expect(
      outcome.type == crime.type && (crime.words.isEmpty || (outcome.message + outcome.text).contains(crime.words)),
      "\(outcome.type): \(outcome.message)\(outcome.text)")
    if crime.type == "plugin-crashed" || crime.type == "bad-outcome" {
      #expect(outcome.status == UInt32(MILLRACE_RETRY), "another attempt may do better")
    }
    #expect(try world.run("say").text == "run-1/a a 1")
    let now = world.isolated.processes[0]
    #expect((now.process == first) == crime.isSurvived && now.crashes == (crime.isSurvived ? 0 : 1), "\(now)")
    world.end()
  }

  @Test("a log without end is cut: so many lines a second are heard, and how many were not is told")
  func log() throws {
    let clock = Mutex<UInt64>(1_000_000_000)
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.linesPerSecond = 10 }), clock: { clock.withLock { $0 } })
    #expect(try world.run("talk").status == UInt32(MILLRACE_DONE))
    #expect(world.host.lines.count { $0.contains("talk talk") } == 10)
    clock.withLock { $0 += 2_000_000_000 }
    try world.turn { world.host.lines.contains { $0.hasSuffix("lines of its log were too many, and are lost") } }
    let told = try #require(world.host.lines.last?.split(separator: " ").compactMap { Int($0) }.last)
    #expect(told == 199_990)
    world.end()
  }

  @Test("a crash in one of several processes leaves the attempts in the others alone")
  func several() throws {
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.processes = 2 }))
    let attempt = TestAttempt(world.host)
    let (waiting, _) = try world.begin("wait", attempt)
    #expect(try world.run("crash").type == "plugin-crashed")
    #expect(try world.run("say").status == UInt32(MILLRACE_DONE) && world.host.ended(waiting) == nil)
    attempt.cancel(afterChecks: 0)
    #expect(try world.end(of: waiting).status == UInt32(MILLRACE_CANCELLED))
    #expect(world.isolated.processes.map(\.crashes).sorted() == [0, 1])
    world.end()
  }

  @Test("a plugin that ends too often is parked: its handlers answer at once, and say how often and why")
  func parks() throws {
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.crashes = 3 }))
    for _ in 0..<3 { #expect(try world.run("crash").type == "plugin-crashed") }
    let (_, outcome) = try world.begin("say")
    #expect(outcome.status == UInt32(MILLRACE_FAILED) && outcome.type == "plugin-parked")
    #expect(outcome.message.contains("it ended 3 times within 60 s, the last time because its process was ended by signal 11"))
    let process = world.isolated.processes[0]
    #expect(process.state == .parked && process.crashes == 3 && process.process == nil && process.lastReason.contains("signal 11"))
    world.end()
  }

  @Test("what waits for a process that is parked ends, too")
  func parksLine() throws {
    let clock = Mutex<UInt64>(1)
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.crashes = 2 }), clock: { clock.withLock { $0 } })
    let (first, _) = try world.begin("crash")
    clock.withLock { $0 += 100_000_000 }
    _ = try world.end(of: first)
    // The clock stands: nothing is started again.
    let tokens = try ["crash", "say", "say", "say", "say"].map { try world.begin($0).0 }
    #expect(world.isolated.processes[0].state == .waiting)
    clock.withLock { $0 += 100_000_000 }
    try world.turn {
      clock.withLock { $0 += 10_000_000 }
      return tokens.allSatisfy { world.host.ended($0) != nil }
    }
    #expect(tokens.prefix(3).allSatisfy { world.host.ended($0)?.type == "plugin-crashed" })
    #expect(tokens.suffix(2).allSatisfy { world.host.ended($0)?.type == "plugin-parked" })
    world.end()
  }

  @Test("when the engine stops, what is in flight or waits ends as cancelled, and a plugin that does not go is killed")
  func stops() throws {
    let world = try IsolatedWorld(.process(IsolatedWorld.bounds { $0.stop = 1_000_000 }), ["DEINIT=for(;;)usleep(1000)"])
    let tokens = try (0..<5).map { _ in try world.begin("hang").0 }
    let process = try #require(world.process)
    world.plugin.unload()
    for token in tokens {
      let outcome = try #require(world.host.ended(token))
      #expect(outcome.status == UInt32(MILLRACE_CANCELLED) && outcome.type == "plugin-stopped")
    }
    #expect(kill(process, 0) == -1 && errno == ESRCH)
    let (_, outcome) = try world.begin("say")
    #expect(outcome.status == UInt32(MILLRACE_FAILED) && outcome.type == "plugin-stopped")
    world.end()
  }

  @Test("a plugin that cannot be loaded into its process is refused with the reason, and nothing is left of it")
  func refusals() throws {
    func refusal(_ definitions: [String] = [], file: String = HostilePlugin.file, _ change: (inout IsolationBounds) -> Void = { _ in })
      -> String
    {
      do {
        try IsolatedWorld(.process(IsolatedWorld.bounds(change)), definitions, file: file).end()
        return "loaded"
      } catch { return "\(error)" }
    }
    #expect(refusal([#"INIT=return snprintf(message,capacity,"no %s","way")"#]).contains("init of hostile failed: no way"))
    #expect(refusal(["INIT=abort()"]).contains("its process did not come up: its process was ended by signal 6"))
    #expect(refusal(["CONSTRUCTOR=_exit(3)"]).contains("its process did not come up: its process exited with 3"))
    #expect(refusal(["INIT=for(;;)usleep(1000)"]) { $0.start = 1_000_000 }.contains("it was not ready after 1 ms"))
    #expect(refusal([#"NAME="other""#]).contains("name is other, expected hostile, by which it was isolated"))
    #expect(refusal([#"NAME="Bad""#]).contains(#"name is "Bad", expected [a-z0-9-]{1,127}"#))
    #expect(
      refusal(["SAY_FLAGS=MILLRACE_EXCLUSIVE"]).contains("hostile/say says MILLRACE_EXCLUSIVE, which only the engine's own process keeps"))
    #expect(refusal { $0.slots = 0 }.contains("it cannot be isolated so: slots is 0, expected 1 to 1024"))
    #expect(
      refusal { $0.program = "/nowhere/host" }.contains(
        "millrace-plugin-host, in which it would run, is not at /nowhere/host; `make build` builds it"))
    #expect(refusal { $0.program = "/bin/true" }.contains("its process did not come up: its process exited with 0"))
    #expect(refusal(file: "free.so") == "loaded", "a file of another name takes what is the standard")
  }

  @Test("a name that no plugin has, and a plugin whose file hides its name, are refused: neither may run in this process by mistake")
  func mistakes() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var choice = IsolationChoice()
    choice.plugins["hostle"] = .untrusted()
    var loader = unsafe PluginLoader(host: host.table, isolation: choice)
    _ = try workshop.plugin(HostilePlugin.file, source: HostilePlugin.source)
    #expect { try loader.loadAll(PluginSearch(paths: [workshop.path])) } throws: {
      "\($0)".contains("plugin hostle: it cannot be isolated so: no file libmillrace-plugin-hostle.so was found")
    }
    choice.plugins = ["hostile": .untrusted()]
    loader = unsafe PluginLoader(host: host.table, isolation: choice)
    #expect { try loader.load(workshop.plugin("free.so", source: HostilePlugin.source)) } throws: {
      "\($0)".contains("it is plugin hostile, which is to be isolated, but its file is not called libmillrace-plugin-hostile.so")
    }
    host.end()
  }

  @Test("a thread of its own receives where nobody turns")
  func thread() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var choice = IsolationChoice()
    choice.standard = .process(IsolatedWorld.bounds())
    var loader = unsafe PluginLoader(host: host.table, isolation: choice)
    let plugin = try loader.load(workshop.plugin(HostilePlugin.file, source: HostilePlugin.source))
    let say = try #require(plugin.handlers.first { $0.qualifiedName == "hostile/say" })
    for _ in 0..<20 { #expect(unsafe host.run(say.pointer, TestAttempt(host)).status == UInt32(MILLRACE_PENDING)) }
    let deadline = millrace_monotonic() + 60_000_000_000
    while host.state.withLock({ $0.ended.count }) < 20, millrace_monotonic() < deadline { millrace_yield() }
    #expect(host.state.withLock { $0.ended.values.count { $0.text == "run-1/a a 1" } } == 20)
    loader.unloadAll()
    host.end()
  }
}
