import Foundation
import MillraceBroker
import MillraceCore
import MillracePlugins
import MillraceWorkflow
import Testing

@testable import Millrace

/// A build of a plugin takes the place of another while runs go on.
@Suite(.timeLimit(.minutes(10))) struct SwapTests {
  @Test("new runs get the new build, also of a workflow that was prepared before; the old build goes at once when no run has it")
  func swapped() throws {
    let world = try SwapWorld()
    let prepared = try world.engine.prepare(SwapWorld.says)
    #expect(try world.word() == "one 1")
    let swap = world.engine.swap(plugin: try world.build("two"))
    #expect(swap.status == .promoted && swap.plugin == "swapped")
    #expect(world.ended == ["one"])
    #expect(try world.word() == "two 2")
    let run = try world.engine.start(prepared)
    #expect(run.wait() == .completed && run.payload(of: "word")?.text == "two 3")
    #expect(run.record().plugins.map(\.version) == ["two"] && run.record().plugins.map(\.sha256) == [swap.builds?.to])
    #expect(world.engine.plugins.map(\.version) == ["two"])
    #expect(world.roles() == ["two current 0"])
  }

  @Test("a run keeps the build that it began with to its end, with its retries, its items and its cleanup; then that build goes")
  func kept() async throws {
    let world = try SwapWorld()
    var workflow = Definition("long", result: "after")
    let before = workflow.task("before", handler: "swapped/say")
    let go = workflow.wait("go", for: .signal("go"), dependencies: [before])
    workflow.task("after", handler: "swapped/say", dependencies: [go])
    workflow.task("each", handler: "swapped/say", dependencies: [go], foreach: .range(from: 0, to: 2))
    let old = try world.engine.start(workflow)
    #expect(await eventually { !old.waits.isEmpty })
    #expect(world.engine.swap(plugin: try world.build("two")).status == .promoted)
    #expect(world.roles() == ["one draining 1", "two current 0"] && world.ended.isEmpty)
    #expect(try world.word().hasPrefix("two"))
    let drains = try #require(world.engine.pluginBuilds.first)
    #expect(drains.since >= world.engine.pluginBuilds[1].since)
    try old.signal("go")
    #expect(old.wait() == .completed)
    #expect(old.payload(of: "after")?.text.hasPrefix("one") == true)
    let items = try #require(old.record().tasks.first { $0.id == "each" }?.items)
    #expect(items.statuses == [.completed: 3])
    #expect(old.record().plugins.map(\.version) == ["one"])
    #expect(await eventually { world.ended == ["one"] })
    #expect(world.roles() == ["two current 0"])
  }

  @Test("a build stays while a late handler is inside, though its run has ended; a handler's limit and number are given back when it goes")
  func late() async throws {
    let world = try SwapWorld()
    let numbers = world.engine.runtime.scheduler.handlersInUse
    var workflow = Definition("late")
    workflow.task("stuck", handler: "swapped/slow", timeouts: Timeouts(startToClose: 1_000_000))
    let run = try world.engine.start(workflow)
    #expect(run.wait() == .failed)
    #expect(world.engine.swap(plugin: try world.build("two")).status == .promoted)
    #expect(world.roles() == ["one draining 1", "two current 0"])
    #expect(try world.word().hasPrefix("two"))
    #expect(world.ended.isEmpty)
    world.open("stuck")
    #expect(await eventually { world.ended == ["one"] })
    #expect(await eventually { world.engine.runtime.scheduler.handlersInUse == numbers })
  }

  @Test("a build stays while the token of an attempt is out that has been ended, and goes with the engine")
  func pending() async throws {
    let world = try SwapWorld()
    var workflow = Definition("pends")
    workflow.task("goes-on", handler: "swapped/pend", timeouts: Timeouts(startToClose: 1_000_000))
    let run = try world.engine.start(workflow)
    #expect(world.engine.swap(plugin: try world.build("two")).status == .promoted)
    #expect(run.wait() == .failed)
    #expect(world.roles() == ["one draining 1", "two current 0"])
    world.engine.shutdown()
    #expect(world.ended.sorted() == ["one", "two"])
  }

  @Test("what cannot take the place of a build is refused with the reason, and the old one goes on")
  func refused() throws {
    let world = try SwapWorld()
    func reason(_ path: String, _ options: SwapOptions = SwapOptions()) -> String {
      guard case .refused(let reason) = world.engine.swap(plugin: path, options).status else { return "not refused" }
      return reason
    }
    #expect(reason(world.folder.path + "/none.so").contains("there is no such file"))
    try Data("\u{7f}ELF and no more".utf8).write(to: URL(filePath: world.folder.path + "/half.so"))
    #expect(reason(world.folder.path + "/half.so").contains("half.so"))
    #expect(reason(world.first).contains("the build that is there already"))
    #expect(reason(try world.build("lacks", ["LACKS"])).contains("it lacks the handlers swapped/slow, swapped/pend"))
    #expect(reason(try world.build("other", ["NAME=\"other\""])).contains("no plugin called other is loaded"))
    let narrow = try world.build("narrow", [#"SCHEMA="{\"type\":\"string\"}""#])
    #expect(reason(narrow).contains("swapped/say its input: the type was any"))
    #expect(reason(narrow, SwapOptions(percent: 0)).contains("percent is 0"))
    var options = SwapOptions()
    options.latencyFactor = .nan
    #expect(reason(narrow, options).contains("latencyFactor"))
    #expect(try world.word().hasPrefix("one"))
    #expect(world.roles() == ["one current 0"] && !world.ended.contains("one"))
    options = SwapOptions()
    options.force = true
    #expect(world.engine.swap(plugin: narrow, options).status == .promoted)
    world.engine.shutdown()
    #expect(reason(world.first).contains("shut down"))
  }

  @Test("each refusal takes back what was loaded: builds, numbers of handlers, and nothing of them is called again")
  func undone() throws {
    let world = try SwapWorld()
    let numbers = world.engine.runtime.scheduler.handlersInUse
    let lacks = try world.build("lacks", ["LACKS"])
    let foreign = try world.build("foreign", ["FORMAT=2"])
    for _ in 0..<50 {
      _ = world.engine.swap(plugin: lacks)
      _ = world.engine.swap(plugin: foreign)
    }
    #expect(world.ended.filter { $0 == "lacks" }.count == 50 && world.ended.filter { $0 == "foreign" }.count == 50)
    #expect(world.engine.runtime.scheduler.handlersInUse == numbers)
  }

  @Test(
    "a build that is not on the list of those that may be loaded is not swapped in; one that was is gone back to, whatever lies at its path by then"
  )
  func trusted() throws {
    func sha256(_ path: String) throws -> String {
      let bytes = try Data(contentsOf: URL(filePath: path))
      guard var digest = Digest() else { return "" }
      unsafe bytes.withUnsafeBytes { unsafe digest.update($0) }
      return digest.finish()
    }
    let other = try SwapWorld()
    let (two, three) = (try other.build("two"), try other.build("three"))
    let world = try SwapWorld { configuration in
      do {
        let builds = try [other.first, two].map(sha256)
        configuration.pluginTrust = PluginTrust(builds: Set(builds))
      } catch { Issue.record("\(error)") }
      configuration.plugins = PluginSearch(paths: [other.first])
    }
    #expect(world.engine.swap(plugin: two).status == .promoted)
    guard case .refused(let reason) = world.engine.swap(plugin: three).status else {
      Issue.record("it was taken")
      return
    }
    #expect(reason.contains("not among those that may be loaded"), "\(reason)")
    try FileManager.default.removeItem(atPath: other.first)
    #expect(world.engine.rollback(plugin: "swapped").status == .promoted)
    #expect(try world.word() == "one 1")
  }

  // MARK: State

  @Test("the state of a plugin goes on in its next build; one that does not take it over is refused, and the old one goes on with it")
  func state() throws {
    let world = try SwapWorld()
    for number in 1...3 { #expect(try world.word() == "one \(number)") }
    let foreign = try world.build("foreign", ["FORMAT=2"])
    let swap = world.engine.swap(plugin: foreign)
    guard case .refused(let reason) = swap.status else {
      Issue.record("\(swap.status)")
      return
    }
    #expect(reason.contains("format 1 is not mine") && reason.contains("swapped foreign"), "\(reason)")
    #expect(try world.word() == "one 4")
    #expect(world.engine.swap(plugin: try world.build("two", ["STATE_BYTES=100000"])).status == .promoted)
    #expect(try world.word() == "two 5")
    let none = try world.build("none", ["STATELESS"])
    guard case .refused(let lost) = world.engine.swap(plugin: none).status else {
      Issue.record("a build without a state was taken")
      return
    }
    #expect(lost.contains("would be lost"), "\(lost)")
    var options = SwapOptions()
    options.force = true
    #expect(world.engine.swap(plugin: none, options).status == .promoted)
    #expect(try world.word() == "none 1")
    #expect(world.engine.swap(plugin: try world.build("three")).status == .promoted)
    #expect(try world.word() == "three 1")
  }

  @Test("a state of more than 16 MiB is not handed over")
  func largeState() throws {
    let world = try SwapWorld(["STATE_BYTES=((16u<<20)+1)"])
    guard case .refused(let reason) = world.engine.swap(plugin: try world.build("two")).status else {
      Issue.record("it was handed over")
      return
    }
    #expect(reason.contains("16777217 bytes"), "\(reason)")
    #expect(try world.word() == "one 1")
  }

  // MARK: Trials

  @Test("of new runs so many of 100 get the new build, by their ids; when it is no worse all do")
  func canary() async throws {
    let world = try SwapWorld()
    let prepared = try world.engine.prepare(SwapWorld.says)
    var options = SwapOptions(percent: 30)
    options.minimumRuns = 100
    options.window = .zero
    // What a busy machine does to single attempts is no matter here.
    options.latencyFloor = .seconds(60)
    let swap = world.engine.swap(plugin: try world.build("two"), options)
    #expect(swap.status == .canary(percent: 30))
    #expect(world.engine.pluginBuilds.map(\.role) == [.current, .canary(percent: 30)])
    guard case .refused(let busy) = world.engine.swap(plugin: try world.build("three")).status else {
      Issue.record("two at once")
      return
    }
    #expect(busy.contains("being judged"))
    var words: [String: Int] = [:]
    var runs = 0
    while !swap.status.isFinal, runs < 20_000 {
      let run = try world.engine.start(prepared)
      #expect(run.wait() == .completed)
      let word = String(run.payload(of: "word")?.text.split(separator: " ")[0] ?? "")
      if swap.status.isFinal { break }
      words[word, default: 0] += 1
      runs += 1
    }
    #expect(swap.status == .promoted)
    // 100 of the new build make 333 runs, give or take.
    let share = Double(words["two", default: 0]) / Double(runs)
    #expect(words["two", default: 0] >= 99 && share > 0.2 && share < 0.4, "\(words)")
    #expect(await eventually { world.roles() == ["two current 0"] })
    #expect(try world.word().hasPrefix("two"))
  }

  @Test("a build whose attempts fail more often is rolled back by itself, with the figures; so is one that is slower")
  func worse() async throws {
    let world = try SwapWorld()
    for (word, definitions, figure) in [
      ("fails", ["FAILS"], "100.00 % of its attempts failed, of the old build 0.00 %"),
      ("slow", ["MICROSECONDS=20000"], "the p99 of its attempts is"),
    ] {
      var options = SwapOptions(percent: 50)
      options.minimumRuns = 20
      options.latencyFactor = 2
      options.latencyFloor = .milliseconds(2)
      let swap = world.engine.swap(plugin: try world.build(word, definitions), options)
      #expect(swap.status == .canary(percent: 50))
      var runs = 0
      while !swap.status.isFinal, runs < 5_000 {
        _ = try world.engine.start(SwapWorld.says).wait()
        runs += 1
      }
      guard case .rolledBack(let reason) = await swap.finished() else {
        Issue.record("\(swap.status)")
        return
      }
      #expect(reason.contains(figure), "\(reason)")
      #expect(world.notes.all.contains { $0.contains("is rolled back") && $0.contains(figure) })
      #expect(await eventually { world.ended.contains(word) })
      #expect(try world.word().hasPrefix("one"))
    }
    #expect(world.roles() == ["one current 0"])
  }

  @Test("a trial is ended, and a swap is undone, by hand")
  func rollback() async throws {
    let world = try SwapWorld()
    guard case .refused(let reason) = world.engine.rollback(plugin: "swapped").status else {
      Issue.record("back to what?")
      return
    }
    #expect(reason.contains("no other build"))
    let trial = world.engine.swap(plugin: try world.build("two"), SwapOptions(percent: 10))
    #expect(world.engine.rollback(plugin: "swapped").status == .rolledBack("it was asked for"))
    #expect(trial.wait() == .rolledBack("it was asked for"))
    #expect(try world.word() == "one 1")
    #expect(world.engine.swap(plugin: try world.build("three")).status == .promoted)
    // The file may be another by then.
    try FileManager.default.removeItem(atPath: world.first)
    #expect(try world.word() == "three 2")
    #expect(world.engine.rollback(plugin: "swapped").status == .promoted)
    #expect(try world.word() == "one 3")
    #expect(world.engine.rollback(plugin: "swapped").status == .promoted)
    #expect(try world.word() == "three 4")
    #expect(await eventually { world.engine.pluginBuilds.count == 1 })
  }

  // MARK: Who names handlers

  @Test("messages that come after a swap are handled by the new build")
  func messages() async throws {
    let world = try SwapWorld()
    try queue("words", on: world.engine)
    try queue("answers", on: world.engine)
    try world.engine.consume("words", handler: "swapped/say")
    let answers = Notes()
    try world.engine.consume("answers") { message, _ in answers.add(message.text) }
    var envelope = Envelope(to: try BrokerName("words"))
    envelope.replyTo = "answers"
    for (index, word) in ["one", "two", "three"].enumerated() {
      if index > 0 { #expect(world.engine.swap(plugin: try world.build(word)).status == .promoted) }
      _ = try await world.engine.publish(.text("?"), envelope)
      #expect(await eventually { answers.all.count == index + 1 })
      #expect(answers.all.last == "\(word) \(index + 1)")
    }
    #expect(await eventually { world.roles() == ["three current 0"] })
  }

  // MARK: Files

  @Test("a file that changes is swapped in when it is whole; one that is broken is told of, and the old build goes on")
  func watched() async throws {
    let world = try SwapWorld([]) { $0.watchesPlugins = .milliseconds(5) }
    #expect(try world.word() == "one 1")
    let two = try world.build("two")
    try FileManager.default.removeItem(atPath: world.first)
    try FileManager.default.moveItem(atPath: two, toPath: world.first)
    #expect(await eventually { world.engine.plugins.map(\.version) == ["two"] })
    #expect(try world.word() == "two 2")
    // Half of a file, written in place.
    let three = try Data(contentsOf: URL(filePath: world.build("three")))
    let file = try FileHandle(forWritingTo: URL(filePath: world.first))
    try file.truncate(atOffset: 0)
    try file.write(contentsOf: three.prefix(three.count / 2))
    #expect(await eventually { world.notes.all.contains { $0.contains("not swapped") && $0.contains("truncated") } })
    #expect(try world.word() == "two 3")
    try file.write(contentsOf: three.dropFirst(three.count / 2))
    try file.close()
    #expect(await eventually { world.engine.plugins.map(\.version) == ["three"] })
    #expect(try world.word() == "three 4")
  }

  @Test("a file counts as changed when it was the same at two looks, once for each change")
  func looks() throws {
    let folder = try Folder()
    let path = folder.path + "/file"
    func write(_ text: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }
    try write("1")
    var watch = PluginWatch(interval: 10)
    #expect(watch.look([path], now: 0) == [] && watch.look([path], now: 10) == [])
    try write("12")
    #expect(watch.look([path], now: 15) == [], "not before it is due")
    #expect(watch.look([path], now: 20) == [])
    try write("123")
    #expect(watch.look([path], now: 30) == [], "it grows")
    try FileManager.default.removeItem(atPath: path)
    #expect(watch.look([path], now: 40) == [])
    try write("1234")
    #expect(watch.look([path], now: 50) == [] && watch.look([path], now: 60) == [path] && watch.look([path], now: 70) == [])
  }
}
