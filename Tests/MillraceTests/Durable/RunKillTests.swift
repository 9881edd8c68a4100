import Foundation
import MillraceFaults
import MillraceLog
import MillraceSimulation
import MillraceWorkflow
import Testing

@testable import Millrace

/// A program that lives on what its runs have recorded, killed again and again. What its handlers did stands in a ledger of their own.
@Suite struct RunKillTests {
  private static let victim = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "RunVictim")
    .path
  private static let isFull = ProcessInfo.processInfo.environment["MILLRACE_FULL"] != nil

  /// Keys whose effects each kind of run has in the end, without the run's id.
  private static let effects: [String: Set<String>] = [
    "chain": ["a", "b", "c", "d", "tidy"], "items": Set((0..<6).map { "each[\($0)]" } + ["after"]), "waits": ["a", "b"],
    "parent": ["after"], "family": ["after"], "child": ["a", "b"], "undone": ["root", "left", "right", "root~c", "left~c", "right~c"],
    "done": ["root", "left", "right", "pivot", "after"], "ticks": ["a", "b"], "line": ["a", "b"], "latest": ["a", "b"],
  ]
  private static let statuses: [String: WorkflowStatus] = ["undone": .failed]

  /// What the directory of a log says of its runs, when nobody writes it any more.
  private func runs(in directory: String) throws -> [RunHistory] {
    let log = try LogReader(DirectoryStorage(directory, create: false, way: .sync))
    return try log.runs(all: true).map { try #require(try log.history(of: $0)) }
  }

  /// The keys of a run's effects, without its id.
  private func keys(_ ledger: String) throws -> [String: Set<String>] {
    var keys: [String: Set<String>] = [:]
    for file in try FileManager.default.contentsOfDirectory(atPath: ledger) {
      let parts = file.split(separator: "~", maxSplits: 1)
      keys[String(parts[0]), default: []].insert(String(parts[1]))
    }
    return keys
  }

  private func check(_ directory: String, _ ledger: String, created: [String: String], ended: [String: String], _ place: String) throws {
    let effects = try keys(ledger)
    let runs = try runs(in: directory)
    for history in runs {
      let name = history.creation.workflow
      let id = history.creation.run.description
      // Everything has ended, as it should, and each effect is there once: no key but those of its tasks.
      #expect(history.ended == Self.statuses[name] ?? .completed, "\(place): \(name) \(id) is \(String(describing: history.ended))")
      #expect(effects[id] == Self.effects[name], "\(place): \(name) \(id)")
    }
    // A task, or an item, has one run of its child, which no crash makes two; and each such run is of one of them.
    let parents = runs.filter { ["parent", "family"].contains($0.creation.workflow) }
    for history in parents {
      let places = history.creation.workflow == "parent" ? ["child"] : (0..<4).map { "each[\($0)]" }
      let counts = places.map { history.task(named: $0)?.children.count }
      #expect(counts == [Int?](repeating: 1, count: places.count), "\(place): \(history.creation.run)")
    }
    let children = runs.filter { $0.creation.workflow == "child" }.map(\.creation.run)
    #expect(Set(parents.flatMap(\.lastChildren)) == Set(children), "\(place)")
    // What was said to be recorded is there; what was said of its end is so.
    let known = Dictionary(uniqueKeysWithValues: runs.map { ($0.creation.run.description, $0) })
    for (id, kind) in created { #expect(known[id]?.creation.workflow == kind, "\(place): \(kind) \(id) is lost") }
    for (id, status) in ended { #expect(known[id]?.ended?.rawValue == status, "\(place): \(id) ended \(status)") }
    #expect(Set(effects.keys).isSubset(of: Set(known.keys)), "\(place)")
  }

  /// Attempts are numbered on from process to process.
  private func isCounted(_ task: RunHistory.Task) -> Bool {
    let numbers = task.failed.map(\.attempt) + (task.status == .completed ? [task.attempts] : [])
    return zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 }
  }

  /// Each fire of a schedule has one run, and each run one fire; none is lost where all are made up for; where they come one after the other, no run is created before the
  /// last one has ended.
  private func checkSchedules(_ directory: String, _ place: String) throws {
    let log = try LogReader(DirectoryStorage(directory, create: false, way: .sync))
    func events(_ category: String) throws -> [RecordedEvent] {
      var events: [RecordedEvent] = []
      var request = ReadRequest(.category(category), limit: EventLimits.eventsInPage)
      while true {
        let page = try log.page(request)
        events += page.events
        guard !page.isLast, let next = page.next else { return events }
        request.start = .at(next)
      }
    }
    var created: [String: UInt64] = [:]
    var ended: [String: UInt64] = [:]
    for event in try events("run") {
      let run = String(event.stream.description.dropFirst("run-".count))
      if event.type == "run-created", try JSON(parsing: event.payload)["schedule"] != nil { created[run] = event.position }
      if event.type == "run-ended" { ended[run] = event.position }
    }
    for (stream, events) in Dictionary(grouping: try events("schedule"), by: \.stream) {
      let records = try events.map { try JSON(parsing: $0.payload) }
      let name = "\(place): \(stream)"
      let fires = records.dropFirst().compactMap { $0["seconds"]?.integer }
      let runs = records.dropFirst().compactMap { $0["run"]?.string }
      #expect(fires.count == records.count - 1 && Set(fires).count == fires.count, "\(name): a fire came twice: \(fires)")
      #expect(Set(runs).count == runs.count, "\(name)")
      for run in runs { #expect(created.removeValue(forKey: run) != nil, "\(name): \(run) is none of its runs") }
      let isLine = stream.description != "schedule-ticks"
      if isLine { #expect(fires == fires.sorted(), "\(name): \(fires)") }
      if isLine {
        for (one, next) in zip(events.dropFirst(), events.dropFirst(2)) {
          let run = try #require(JSON(parsing: one.payload)["run"]?.string)
          #expect(ended[run].map { $0 < next.position } == true, "\(name): two runs at once")
        }
      }
      guard stream.description != "schedule-latest", let last = records.last?["followed"]?.integer,
        let first = records.first?["seconds"]?.integer
      else { continue }
      #expect(last > first || records.count < 2)
      #expect(Set(fires).isSuperset(of: (first + 1)..<(last + 1)), "\(name): fires are lost")
    }
    #expect(created.isEmpty, "\(place): runs without a fire: \(created.keys)")
  }

  /// What was recorded as completed was not done again, and no attempt was called twice.
  private func checkCalls(_ directory: String, _ ledger: String, _ place: String) throws {
    var calls: [String: [Int]] = [:]
    for line in try String(contentsOfFile: ledger + ".calls", encoding: .utf8).split(separator: "\n") {
      let words = line.split(separator: " ")
      calls[String(words[0]), default: []].append(Int(words[1]) ?? 0)
    }
    for history in try runs(in: directory) {
      let id = history.creation.run.description
      for (task, state) in history.tasks {
        #expect(isCounted(state) && state.byItem.values.allSatisfy(isCounted), "\(place): \(id)/\(task) \(state.failed.map(\.attempt))")
        for (item, one) in state.byItem where one.status == .completed && one.children.isEmpty {
          #expect((calls["\(id)/\(task)[\(item)]"] ?? []).max() == one.attempts, "\(place): \(id)/\(task)[\(item)]")
        }
        guard state.status == .completed, let numbers = calls["\(id)/\(task)"] else { continue }
        #expect(numbers.max() == state.attempts, "\(place): \(id)/\(task) \(numbers)")
      }
    }
  }

  @Test(
    "two hundred times killed: nothing acknowledged is lost, nothing recorded is done again, every run ends as it should, each effect has one key"
  )
  func killed() throws {
    var random = Seed(11)
    var kills = 0
    var rounds = 0
    while kills < (Self.isFull ? 2000 : 200) {
      rounds += 1
      let folder = try Folder()
      let (directory, ledger) = (folder.path + "/log", folder.path + "/ledger")
      for path in [directory, ledger] { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }
      var created: [String: String] = [:]
      var ended: [String: String] = [:]
      var lives = 0
      let epoch = Int64(Date().timeIntervalSince1970)
      while true {
        lives += 1
        // More runs with each life, so that there is always something to be killed in.
        let target = 12 + 6 * min(lives, 40)
        let program = FaultedProgram(
          Self.victim, ["live", directory, try FaultTools.ledger(), ledger, "\(target)", "\(epoch)"], directory: directory)
        let running = try program.start()
        let wanted = Int.random(in: 0...14, using: &random)
        var lines = 0
        while lines < wanted, try running.line() != nil { lines += 1 }
        let isLast = lives > 40
        if !isLast { running.kill() }
        let ending = try running.wait()
        for line in ending.lines {
          let words = line.split(separator: " ").map(String.init)
          if words.count == 3, words[0] == "created" { created[words[2]] = words[1] }
          if words.count == 3, words[0] == "ended" { ended[words[1]] = words[2] }
        }
        if ending.exit == -SIGKILL {
          kills += 1
        } else {
          #expect(ending.exit == 0, "life \(lives): \(ending.errors)")
          if isLast || ending.exit != 0 { break }
        }
      }
      // What schedules have started since goes on, and nothing else starts.
      let last = try FaultedProgram(Self.victim, ["live", directory, try FaultTools.ledger(), ledger, "0"], directory: directory).run()
      #expect(last.exit == 0, "\(last.errors)")
      try check(directory, ledger, created: created, ended: ended, "round \(rounds)")
      try checkSchedules(directory, "round \(rounds)")
      try checkCalls(directory, ledger, "round \(rounds)")
    }
    #expect(kills >= 200)
  }

  @Test("whatever a crash leaves of the files, another process goes on from it and ends all runs as they should")
  func images() throws {
    let folder = try Folder()
    let (directory, ledger) = (folder.path + "/log", folder.path + "/ledger")
    for path in [directory, ledger] { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }
    var program = FaultedProgram(
      Self.victim, ["live", directory, try FaultTools.ledger(), ledger, "18", "\(Int64(Date().timeIntervalSince1970))"],
      directory: directory)
    program.records = true
    let ending = try program.run()
    #expect(ending.exit == 0, "\(ending.errors)")
    let images = try CrashImages(try #require(ending.trace))
    for number in 0..<(Self.isFull ? 2000 : 200) {
      let image = images.image(seed: UInt64(number))
      let copy = try Folder()
      let log = copy.path + "/log"
      try image.directory.write(to: log)
      // The ledger is as it was at the end, as that of another system would be: what was done is not done again under another key.
      let after = try FaultedProgram(Self.victim, ["live", log, try FaultTools.ledger(), ledger, "0"], directory: log).run()
      #expect(after.exit == 0, "\(image): \(after.errors)")
      let effects = try keys(ledger)
      let runs = try runs(in: log)
      for history in runs {
        let name = history.creation.workflow
        #expect(history.ended == Self.statuses[name] ?? .completed, "\(image): \(name)")
        #expect(effects[history.creation.run.description] == Self.effects[name], "\(image): \(name)")
      }
      try checkSchedules(log, "\(image)")
      let known = Set(runs.map { $0.creation.run.description })
      for mark in image.marks {
        let words = mark.split(separator: " ").map(String.init)
        if words.first == "created" { #expect(known.contains(words[2]), "\(image): \(mark) is lost") }
      }
    }
  }
}
