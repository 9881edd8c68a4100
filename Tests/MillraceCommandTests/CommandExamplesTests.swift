import Foundation
import Millrace
import Testing

/// The files of Examples/ do what they say.
@Suite("Examples", .timeLimit(.minutes(5)))
struct CommandExamplesTests {
  private static func example(_ name: String) -> String { Command.packageRoot.appending(path: "Examples/\(name).yaml").path }

  private static let all = [
    "approval", "archive", "children/fleet", "children/release", "children/roll-out", "package-census", "patterns/sequential",
    "patterns/event-driven",
    "patterns/fan-out-fan-in",
    "patterns/foreach", "patterns/rate-and-concurrency", "sagas/agent-provisioning", "sagas/task-workflow", "schedules/nightly",
    "templates/compare",
    "troubleshooting/contradicting-timeouts",
    "troubleshooting/messages",
    "troubleshooting/stuck",
    "troubleshooting/timeout",
  ]

  @Test("each but the broken ones is correct, and every file is tested here", arguments: all)
  func correct(_ name: String) throws {
    let ending = try Command().run("workflow", "check", Self.example(name))
    #expect(ending.exit == 0, "\(ending.errors)")
    let folder = Command.packageRoot.appending(path: "Examples").path
    let all = try #require(FileManager.default.enumerator(atPath: folder)).compactMap { $0 as? String }
    let files = all.filter { $0.hasSuffix(".yaml") && !$0.contains(".build") }
    let known = Self.all + ["templates/lib/hash-tree", "troubleshooting/cycle", "troubleshooting/missing-handler"]
    #expect(Set(files) == Set(known.map { $0 + ".yaml" }))
  }

  @Test("approval: what is given in advance lets it through, its signal's payload and its yes are in the record")
  func approval() throws {
    let command = try Command()
    let ending = try command.run(
      "run", Self.example("approval"), "--signal", "build={\"version\": \"1.2\"}", "--approve", "ok", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"] == "deployed 1.2\n")
    let record = try JSON(parsing: command.read("report/run.json"))
    #expect(record["tasks"]?[1]?["wait"]?["approved"] == true)
    #expect(record["signals"]?[0]?["task"] == "build")
  }

  @Test("children: a workflow runs another twice, and its record has their runs")
  func children() throws {
    let command = try Command()
    let ending = try command.run("run", Self.example("children/release"), "--param", "version=1.2", "--slots", "1", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"] == "1.2 is on staging\n1.2 is on production\n\n")
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    #expect(tasks.prefix(2).map { $0["runs"]?[0]?["workflow"] } == ["roll-out", "roll-out"])
  }

  @Test("children: a workflow runs another for each element of a list, and its report has their runs")
  func fleet() throws {
    let command = try Command()
    let places = #"places=["staging", "production", "staging"]"#
    let ending = try command.run("run", Self.example("children/fleet"), "--param", places, "--slots", "1", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"] == "3 places: 1.0 is on staging\n\n")
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    #expect(tasks.map { $0["id"] } == ["roll-out", "tell", "roll-out[0]", "roll-out[1]", "roll-out[2]"])
    #expect(tasks.suffix(3).map { $0["runs"]?[0]?["workflow"] } == ["roll-out", "roll-out", "roll-out"])
    let refused = try command.run("run", Self.example("children/fleet"), "--param", #"places=["nowhere"]"#)
    #expect(refused.exit == 1)
    #expect(refused.output.contains("roll-out[0]"), "\(refused.output)")
  }

  @Test("event-driven: by hand it runs once; its messages are tested with the engine")
  func eventDriven() throws {
    let command = try Command()
    let ending = try command.run("run", Self.example("patterns/event-driven"), "--param", "data=this", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"] == "processed this\n")
  }

  @Test("messages not processing: the run fails, and names the queue that is missing")
  func messages() throws {
    let ending = try Command().run("run", Self.example("troubleshooting/messages"))
    #expect(ending.exit == 1)
    #expect(ending.output.contains("no-queue: there is no queue 'orders'"), "\(ending.output)")
  }

  @Test("sequential: the second task starts when the first has completed")
  func sequential() throws {
    let command = try Command()
    let ending = try command.run("run", Self.example("patterns/sequential"), "--param", "name=Ada", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"] == "hello, Ada\n")
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    #expect(tasks.map { $0["status"] } == ["COMPLETED", "COMPLETED"])
  }

  @Test("fan-out and fan-in: the parts are put together, whatever their number")
  func fan() throws {
    let command = try Command()
    let status = (0..<50).map { "Package: p\($0)\nStatus: install ok installed\nArchitecture: all\nInstalled-Size: \($0)\nDepends: p0\n" }
    let file = try command.write("status", status.joined(separator: "\n"))
    let ending = try command.run("run", Self.example("patterns/fan-out-fan-in"), "--param", "status=\(file)", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    let result = try JSON(parsing: command.read("report/report.json"))
    #expect(result["packages"] == 50)
    #expect(result["installedSizeKiB"] == .integer(Int64((0..<50).reduce(0, +))))
  }

  @Test("foreach: each file by itself, and the condition of each item")
  func foreach() throws {
    let command = try Command()
    let folder = URL(filePath: command.file("files"))
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for i in 0..<30 { try Data(repeating: 10, count: i).write(to: folder.appending(path: "\(10 + i).txt")) }
    let ending = try command.run(
      "run", Self.example("patterns/foreach"), "--param", "folder=\(folder.path)", "--param", "pattern=*.txt", "--param", "large=10",
      "--report",
      "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    let result = try JSON(parsing: command.read("report/report.json"))
    #expect(result.array?.map { $0["files"]?[0]?["bytes"] } == (0..<30).map { $0 < 10 ? nil : .integer(Int64($0)) })
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    #expect(tasks.count == 62 && tasks[0]["items"]?["statuses"] == ["COMPLETED": 30])
    #expect(tasks[1]["items"]?["statuses"] == ["COMPLETED": 20, "SKIPPED": 10])
    #expect(tasks[2]["id"] == "count[0]" && tasks[61]["id"] == "hash[29]" && tasks[61]["attempts"]?.array?.count == 1)
  }

  @Test("a template: the same tasks for two folders, out of a file that is included; its condition leaves out a use as a whole")
  func template() throws {
    let command = try Command()
    for name in ["one/a", "one/b/c", "two/a", "two/b/c"] {
      try FileManager.default.createDirectory(atPath: command.file(name) + ".d", withIntermediateDirectories: true)
      try command.write(name, "text of \(name.dropFirst(3))")
    }
    let run = { (left: String, right: String) throws -> (ending: Command.Ending, tasks: [String: JSON]) in
      let ending = try command.run(
        "run", Self.example("templates/compare"), "--param", "left=\(command.file(left))", "--param", "right=\(command.file(right))",
        "--report", "report")
      let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
      return (ending, Dictionary(uniqueKeysWithValues: tasks.map { ($0["id"]?.string ?? "", $0["status"] ?? .null) }))
    }
    let (same, tasks) = try run("one", "two")
    #expect(same.exit == 0, "\(same.errors)")
    #expect(Set(tasks.keys) == ["left.list", "left.hash", "left.sum", "right.list", "right.hash", "right.sum", "report"])
    let report = try JSON(parsing: command.read("report/report.json"))["stdout"]?.string ?? ""
    #expect(report.contains("two: 2 files, ") && report.hasSuffix("the same: true\n"), "\(report)")
    try command.write("two/a", "other")
    _ = try run("one", "two")
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"]?.string?.hasSuffix("the same: false\n") == true)
    let (alone, skipped) = try run("one", "one")
    #expect(alone.exit == 0, "\(alone.errors)")
    #expect(skipped.filter { $0.value == "SKIPPED" }.keys.sorted() == ["right.hash", "right.list", "right.sum"])
    let record = try JSON(parsing: command.read("report/run.json"))
    #expect(record["workflowVersion"] == 1)
    #expect(record["definitionSHA256"]?.string?.utf8.count == 64)
    let listed = try command.run("plugin", "list", "-o", "json").object()["plugins"]?.array ?? []
    let builds = (record["plugins"]?.array ?? []).map { [$0["name"], $0["sha256"]] }
    #expect(Set(builds) == Set(listed.filter { ["files", "shell"].contains($0["name"]) }.map { [$0["name"], $0["sha256"]] }))
  }

  @Test("show tells what a definition says: parameters, templates, version, tasks, schedule, as text and as JSON")
  func show() throws {
    let text = try Command().run("workflow", "show", Self.example("templates/compare"))
    #expect(text.exit == 0, "\(text.errors)")
    for part in ["compare-folders", "Whether two folders hold the same files.", "One folder", "hash-tree", "folder [pattern]", "shell/run"]
    {
      #expect(text.output.contains(part), "\(text.output)")
    }
    let object = try Command().run("workflow", "show", Self.example("templates/compare"), "-o", "json").object()
    #expect(object["version"] == 1 && object["versionPolicy"] == "pinned" && object["tasks"] == 7 && object["schedule"] == .null)
    #expect(object["parameters"]?[0]?["default"] == "docs" && object["parameters"]?[0]?["description"] == "One folder")
    let template = try #require(object["templates"]?[0])
    #expect(template["tasks"] == 3 && template["uses"] == 2 && template["parameters"]?[0]?["required"] == true)
    #expect(template["file"]?.string?.hasSuffix("Examples/templates/lib/hash-tree.yaml") == true)
    let nightly = try Command().run("workflow", "show", Self.example("schedules/nightly"), "-o", "json").object()
    #expect(nightly["schedule"]?["zone"] == "Europe/Berlin" && nightly["schedule"]?["next"]?.string != nil)
    #expect(try Command().run("workflow", "show", Self.example("troubleshooting/cycle")).exit == 65)
  }

  @Test("saga: show and graph tell kinds, pivot and compensations")
  func saga() throws {
    let file = Self.example("sagas/agent-provisioning")
    let text = try Command().run("workflow", "show", file)
    #expect(text.exit == 0, "\(text.errors)")
    for part in ["Steps:", "compensatable", "pivot", "retriable", "none", "create-agent"] {
      #expect(text.output.contains(part), "\(text.output)")
    }
    let object = try Command().run("workflow", "show", file, "-o", "json").object()
    #expect(object["kind"] == "saga" && object["durability"] == "log")
    #expect(
      object["steps"]?.array?.map { $0["kind"] } == [
        "compensatable", "compensatable", "compensatable", "compensatable", "pivot", "retriable",
      ])
    #expect(object["steps"]?.array?.map { $0["compensation"] } == ["none", "shell/run", "shell/run", "shell/run", .null, .null])
    #expect(try Command().run("workflow", "graph", file).output.contains("shell/run, undone by shell/run"))
  }

  @Test("task-workflow: what is published is there, and a release that fails leaves nothing")
  func taskWorkflow() throws {
    let command = try Command()
    let site = command.file("site")
    try FileManager.default.createDirectory(atPath: command.file("pages"), withIntermediateDirectories: false)
    try command.write("pages/index", "hello")
    func publish(_ check: String) throws -> Command.Ending {
      try command.run(
        "run", Self.example("sagas/task-workflow"), "--param", "folder=\(command.file("pages"))", "--param", "site=\(site)",
        "--param", "check=\(check)", "--report", "report")
    }
    let failed = try publish("echo it is bad >&2; exit 9")
    #expect(failed.exit == 1 && failed.output.contains("it is bad"), "\(failed)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: site).isEmpty)
    let done = try publish("tar -tzf \"$archive\"")
    #expect(done.exit == 0, "\(done.errors)")
    let run = try FileManager.default.destinationOfSymbolicLink(atPath: site + "/current")
    #expect(try Set(FileManager.default.contentsOfDirectory(atPath: site)) == ["current", run])
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(site)/\(run)") == ["site.tar.gz"])
    #expect(try JSON(parsing: command.read("report/report.json"))["stdout"]?.string?.hasPrefix("published ") == true)
  }

  @Test("list names the definitions of a folder, whether they are correct, and leaves out what is none")
  func list() throws {
    let folder = Command.packageRoot.appending(path: "Examples").path
    let list = { (name: String) throws -> [JSON] in
      let ending = try Command().run("workflow", "list", folder + name, "-o", "json")
      #expect(ending.exit == 0, "\(ending.errors)")
      return try ending.object()["definitions"]?.array ?? []
    }
    #expect(try list("").map { $0["workflow"] } == ["approved-deployment", "archive", "package-census"])
    #expect(try list("/templates").map { $0["version"] } == [1])
    #expect(try list("/templates/lib").isEmpty)
    #expect(try list("/schedules").map { $0["scheduled"] } == [true])
    let broken = try list("/troubleshooting").filter { $0["correct"] == false }
    #expect(broken.map { $0["file"]?.string?.split(separator: "/").last } == ["cycle.yaml", "missing-handler.yaml"])
    let text = try Command().run("workflow", "list", folder + "/troubleshooting")
    #expect(text.output.contains("no: 2 faults") && text.output.contains("yes"), "\(text.output)")
    #expect(try Command().run("workflow", "list", folder + "/nowhere").exit == 64)
  }

  @Test("a misspelt member of an input is found before anything runs, by check and by run")
  func misspeltInput() throws {
    let command = try Command()
    let text = "format: 1\nworkflow: w\ntasks:\n  - { id: a, handler: files/hash, input: { fiels: [x] } }\n"
    let file = try command.write("w.yaml", text)
    for ending in [try command.run("workflow", "check", file), try command.run("run", file)] {
      #expect(ending.exit == 65)
      #expect(
        ending.errors.contains("w.yaml:4:44: error: unknown key 'fiels' in the input of task 'a'\n  fix: did you mean 'files'?"),
        "\(ending.errors)")
    }
    #expect(try command.run("workflow", "check", file, "-o", "json").object()["faults"]?[0]?["file"] == .string(file))
  }

  @Test("rate and concurrency: no call before its time, and the priority that an output said")
  func rate() throws {
    let command = try Command()
    let ending = try command.run("run", Self.example("patterns/rate-and-concurrency"), "--slots", "8", "--report", "report")
    #expect(ending.exit == 0, "\(ending.errors)")
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    let starts = tasks.prefix(5).compactMap { $0["attempts"]?.array?.first?["startNanoseconds"]?.integer }.sorted()
    #expect(starts.count == 5)
    for (number, start) in starts.enumerated() { #expect(start >= Int64(max(0, number - 1)) * 50_000_000) }
    #expect(tasks.map { $0["status"] } == Array(repeating: "COMPLETED", count: 7))
    #expect(tasks.suffix(2).map { $0["priority"] } == ["high", "low"])
  }

  @Test("a cycle: the check shows the whole circle, what waits for it, and the dependency to remove")
  func cycle() throws {
    let ending = try Command().run("workflow", "check", Self.example("troubleshooting/cycle"))
    #expect(ending.exit == 65)
    #expect(ending.errors.contains("a cycle of 3 tasks, each waiting for the next: load -> publish -> transform -> load"))
    #expect(ending.errors.contains("fix: remove one of these dependencies"))
    #expect(ending.errors.contains("task 'notify' can never start: it waits for 'publish', which is on a cycle"))
    #expect(try Command().run("run", Self.example("troubleshooting/cycle")).exit == 65)
  }

  @Test("missing handlers: the check names what was meant, plugin list what there is, doctor where it is looked for")
  func missingHandler() throws {
    let command = try Command()
    let ending = try command.run("workflow", "check", Self.example("troubleshooting/missing-handler"))
    #expect(ending.exit == 65)
    #expect(ending.errors.contains("task 'fetch' has the unknown handler 'shell/rnu'\n  fix: did you mean 'shell/run'?"))
    #expect(ending.errors.contains("task 'store' has the unknown handler 'warehouse/load'\n  fix: load its plugin; known are"))
    #expect(try command.run("plugin", "list").output.contains("shell/run"))
    let doctor = try command.run("doctor", Self.example("troubleshooting/missing-handler"))
    #expect(doctor.exit == 65)
    #expect(doctor.output.contains("beside the command"))
    #expect(doctor.errors.contains("did you mean 'shell/run'?"), "\(doctor.errors)")
    #expect(doctor.errors.contains("'warehouse/load'\n  fix: load its plugin"), "\(doctor.errors)")
    let timeouts = try command.run("doctor", Self.example("troubleshooting/contradicting-timeouts"))
    #expect(timeouts.exit == 0 && timeouts.errors.contains("'startToClose' (5m) never passes"), "\(timeouts.errors)")
  }

  @Test("a wrong timeout: the run says which one passed, after how many attempts, and what was left undone; a fitting one is kept")
  func timeout() throws {
    let command = try Command()
    let ending = try command.run("run", Self.example("troubleshooting/timeout"), "--report", "report")
    #expect(ending.exit == 2, "\(ending.errors)")
    #expect((ending.output + ending.errors).contains("start-to-close"), "\(ending.output)\(ending.errors)")
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    #expect(tasks.map { $0["status"] } == ["TIMED_OUT", "SKIPPED"])
    let why = try command.run("run", "explain", "report", "after")
    let words = "after SKIPPED: skipped, for work, which it depends on, timed out after 2 attempts: start-to-close"
    #expect(why.output.hasPrefix(words), "\(why.output)")
    #expect(why.output.contains("what to do: raise `startToClose`"))
    let json = try JSON(parsing: command.run("run", "explain", "report/run.json", "-o", "json").output)
    #expect(json[0]?["task"] == "work" && json[0]?["reason"] == "timed-out")
    let typo = try command.run("run", "explain", "report", "afer")
    #expect(typo.exit == 64 && typo.errors.contains("has no task 'afer'; did you mean 'after'?"), "\(typo.errors)")
    #expect(try command.run("run", "explain", "nowhere").exit == 65)
    // The cure: a timeout that the work fits into.
    let text = try String(contentsOfFile: Self.example("troubleshooting/timeout"), encoding: .utf8)
    let cured = try command.write("cured.yaml", text.replacing("startToClose: 100ms", with: "startToClose: 10m"))
    #expect(try command.run("run", cured, "--param", "seconds=0").exit == 0)
  }

  @Test("contradicting timeouts: the check warns of the one that never passes")
  func contradictingTimeouts() throws {
    let ending = try Command().run("workflow", "check", Self.example("troubleshooting/contradicting-timeouts"))
    #expect(ending.exit == 0 && ending.output.contains("1 warning"))
    #expect(
      ending.errors.contains(
        ":8:5: warning: task 'fetch': 'startToClose' (5m) never passes, for 'scheduleToClose' is 1m\n  fix: make 'startToClose' shorter"),
      "\(ending.errors)")
  }

  @Test("a stuck workflow: SIGUSR1 makes it say what it waits for, so does interrupting it, and the report explains the others")
  func stuck() throws {
    let command = try Command()
    let text = try String(contentsOfFile: Self.example("troubleshooting/stuck"), encoding: .utf8)
    var run = try CommandSignalTests.Going(command, text, ["--report", "report"])
    #expect(try run.see("1 of 3 tasks"), "\(run.lines)")
    run.send(SIGUSR1)
    #expect(try run.see("hangs RUNNING: has been running for "), "\(run.lines)")
    #expect(try run.see("no timeout: nothing ends it but its handler"), "\(run.lines)")
    #expect(try run.see("what to do: if it hangs, cancel the run, and give the task a `startToClose`"), "\(run.lines)")
    run.send(SIGINT)
    #expect(try run.end() == 130)
    #expect(run.lines.contains { $0.contains("interrupted: waiting for the running tasks (hangs)") }, "\(run.lines)")
    let why = try command.run("run", "explain", "report", "waits")
    #expect(why.exit == 0 && why.output.hasPrefix("waits CANCELLED: the run was cancelled after "), "\(why.output)\(why.errors)")
    let tasks = try JSON(parsing: command.read("report/run.json"))["tasks"]?.array ?? []
    #expect(tasks.map { $0["status"] } == ["COMPLETED", "CANCELLED", "CANCELLED"])
  }

  // MARK: Other commands on definitions

  @Test("schedule shows the fires, by local clocks and in UTC, and refuses what has none")
  func schedule() throws {
    let command = try Command()
    let ending = try command.run("workflow", "schedule", Self.example("schedules/nightly"), "--next", "3", "--from", "2026-03-28")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(
      ending.output == """
        Sat 2026-03-28T02:30:00+01:00  2026-03-28T01:30:00Z
        Sun 2026-03-29T03:00:00+02:00  2026-03-29T01:00:00Z
        Mon 2026-03-30T02:30:00+02:00  2026-03-30T00:30:00Z

        """)
    let json = try command.run("workflow", "schedule", Self.example("schedules/nightly"), "--next", "2", "-o", "json").object()
    #expect(json["fires"]?.array?.count == 2 && json["zone"] == "Europe/Berlin")
    #expect(try command.run("workflow", "schedule", Self.example("patterns/sequential")).exit == 65)
    #expect(try command.run("workflow", "schedule", Self.example("schedules/nightly"), "--from", "soon").exit == 64)
    #expect(try command.run("workflow", "schedule", Self.example("schedules/nightly"), "--next", "0").exit == 64)
  }

  @Test("import writes a definition that runs, and tells what is not as it was")
  func importArgo() throws {
    let command = try Command()
    let argo = """
      apiVersion: argoproj.io/v1alpha1
      kind: Workflow
      metadata: { name: hello }
      spec:
        entrypoint: main
        arguments: { parameters: [{ name: who, value: world }] }
        templates:
          - name: main
            dag: { tasks: [{ name: a, template: say }, { name: b, template: say, depends: a }] }
          - name: say
            script: { image: "debian:12", command: [sh], source: "echo hello {{workflow.parameters.who}}; test -n \\"${PATH}\\"" }
      """
    let file = try command.write("argo.yaml", argo)
    let ending = try command.run("workflow", "import", file, "--output", "mine.yaml")
    #expect(ending.exit == 0 && ending.output.isEmpty)
    #expect(ending.errors.contains("argo.yaml:11:24: warning: runs on this machine, not in the image 'debian:12'"), "\(ending.errors)")
    #expect(try command.run("run", "mine.yaml").exit == 0)
    #expect(try command.run("workflow", "import", file).output == command.read("mine.yaml"))
    #expect(try command.run("workflow", "import", file, "--strict").exit == 65)
    #expect(try command.run("workflow", "import", "mine.yaml").exit == 65)
    let led = try command.run("workflow", "check", file)
    #expect(led.exit == 65 && led.errors.contains("millrace workflow import"))
  }

  private static let dot = "/usr/bin/dot"

  @Test("Graphviz draws what graph writes", .enabled(if: FileManager.default.isExecutableFile(atPath: dot), "there is no /usr/bin/dot"))
  func graphviz() throws {
    let command = try Command()
    for name in ["package-census", "patterns/fan-out-fan-in"] {
      let written = try command.run("workflow", "graph", Self.example(name), "--format", "dot", "--output", "w.dot")
      #expect(written.exit == 0, "\(written.errors)")
      let (process, output, errors) = try command.process(["-Tsvg", "w.dot"])
      process.executableURL = URL(filePath: Self.dot)
      try process.run()
      process.waitUntilExit()
      let told = try String(contentsOfFile: errors, encoding: .utf8)
      #expect(process.terminationStatus == 0, "\(told)")
      let svg = try String(contentsOfFile: output, encoding: .utf8)
      #expect(svg.components(separatedBy: "class=\"node\"").count - 1 == (name == "package-census" ? 39 : 8))
    }
  }
}
