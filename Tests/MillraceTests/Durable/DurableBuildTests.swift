import Foundation
import MillraceCore
import MillraceWorkflow
import Testing

@testable import Millrace

/// Runs that are pinned to a build of a plugin, when the plugin is built anew.
@Suite struct DurableBuildTests {
  private static let compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"].first { FileManager.default.isExecutableFile(atPath: $0) }
  private static let headers = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Sources/CMillrace/include").path

  /// A handler, `built/say`, that says WORD.
  private static let source = #"""
    #include <millrace/plugin.h>
    #include <string.h>

    static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      void *bytes = call->host->claim(call->attempt, sizeof WORD - 1, MILLRACE_TEXT, &outcome->output);
      if (!bytes) return outcome->status = MILLRACE_FAILED;
      memcpy(bytes, WORD, sizeof WORD - 1);
      return outcome->status = MILLRACE_DONE;
    }

    static const millrace_handler say = {.size = sizeof say, .name = "say", .summary = "says its word", .run = run};
    static const millrace_handler *const handlers[] = {&say};
    static const millrace_plugin plugin = {
        .size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = "built", .version = WORD,
        .summary = "is built again", .handlers = handlers, .handler_count = 1};
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#

  /// A directory with plugins, and one for the engine's data.
  private struct Place {
    let folder: Folder
    var plugins: String { folder.path + "/plugins" }
    var data: String { folder.path + "/data" }

    init() throws {
      folder = try Folder()
      try FileManager.default.createDirectory(atPath: plugins, withIntermediateDirectories: false)
    }

    /// The plugin's file is that of this build from now on.
    func build(_ word: String) throws {
      let source = folder.path + "/plugin.c"
      try Data(DurableBuildTests.source.utf8).write(to: URL(filePath: source))
      let process = Process()
      process.executableURL = URL(filePath: try #require(DurableBuildTests.compiler, "no C compiler in /usr/bin: apt-get install gcc"))
      let new = folder.path + "/new.so"
      process.arguments = ["-shared", "-fPIC", "-I", DurableBuildTests.headers, "-DWORD=\"\(word)\"", "-o", new, source]
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
      let file = plugins + "/libmillrace-plugin-built.so"
      if FileManager.default.fileExists(atPath: file) { try FileManager.default.removeItem(atPath: file) }
      try FileManager.default.moveItem(atPath: new, toPath: file)
    }

    func engine() throws -> Engine {
      var configuration = Engine.Configuration()
      configuration.slots = 2
      configuration.threads = 2
      configuration.capacity = 10_000
      configuration.data = data
      configuration.plugins = PluginSearch(paths: [plugins])
      return try Engine(configuration)
    }

    var builds: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: data + "/builds").sorted() } }
  }

  private func workflow(_ version: Int? = nil, _ policy: VersionPolicy = .pinned) -> Definition {
    var workflow = Definition("says", result: "after", version: version, versionPolicy: policy)
    workflow.durability = .log
    let before = workflow.task("before", handler: "built/say")
    let go = workflow.wait("go", for: .signal("go"), dependencies: [before])
    workflow.task("after", handler: "built/say", dependencies: [go])
    return workflow
  }

  /// Starts a run and leaves it where it waits.
  private func left(_ place: Place, _ definition: Definition) throws -> String {
    let engine = try place.engine()
    #expect(engine.pluginProblems.isEmpty)
    let run = try engine.start(definition)
    leave(run, engine)
    return run.id
  }

  private func leave(_ run: WorkflowHandle, _ engine: Engine) {
    while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
    engine.shutdown()
  }

  /// What the last task of a run says.
  private func end(_ run: WorkflowHandle) throws -> String? {
    while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
    try run.signal("go")
    #expect(run.wait() == .completed)
    return run.payload(of: "after")?.text
  }

  @Test("a run that goes on is done by the build it began with, and a new one by the one that is there")
  func rebuilt() throws {
    let place = try Place()
    try place.build("one")
    let id = try left(place, workflow())
    try place.build("two")
    let engine = try place.engine()
    let run = try engine.resume(id)
    let new = try engine.start(workflow())
    #expect(try end(run) == "one" && end(new) == "two")
    #expect(try place.builds.count == 2)
    #expect(run.record().plugins.map(\.version) == ["one"] && new.record().plugins.map(\.version) == ["two"])
    engine.shutdown()
  }

  @Test("a build that was loaded for a run goes with it, and its file once no run needs it; that of a run that failed stays")
  func swept() async throws {
    let place = try Place()
    try place.build("one")
    let id = try left(place, workflow())
    try place.build("two")
    var engine = try place.engine()
    // It is cancelled, and so may be made to go on.
    let other = try engine.start(workflow())
    other.cancel()
    #expect(other.wait() == .cancelled)
    let run = try engine.resume(id)
    #expect(engine.pluginBuilds.map { "\($0.version) \($0.role) \($0.pins)" } == ["two current 0", "one draining 1"])
    #expect(try end(run) == "one")
    #expect(await eventually { engine.pluginBuilds.map(\.version) == ["two"] })
    #expect(try place.builds.count == 2)
    engine.shutdown()
    let foreign = place.data + "/builds/README.so"
    #expect(FileManager.default.createFile(atPath: foreign, contents: nil))
    try place.build("three")
    engine = try place.engine()
    #expect(try engine.resume().problems.isEmpty)
    let two = try #require(try place.builds.first { $0 != "README.so" })
    #expect(try place.builds.count == 2, "README.so, and the build of the run that was cancelled")
    let again = try engine.retry(other.id)
    #expect(try end(again) == "two" && again.record().plugins.map { $0.sha256 + ".so" } == [two])
    engine.shutdown()
    engine = try place.engine()
    try engine.resume()
    #expect(try place.builds == ["README.so"])
    engine.shutdown()
  }

  @Test("a run whose build is missing, or is another file, is refused by name and SHA-256, and goes on once it is back")
  func missing() throws {
    let place = try Place()
    try place.build("one")
    let id = try left(place, workflow())
    try place.build("two")
    let shelf = place.data + "/builds/"
    let build = try #require(try place.builds.first)
    try FileManager.default.moveItem(atPath: shelf + build, toPath: place.folder.path + "/kept")
    let engine = try place.engine()
    for isOther in [false, true] {
      if isOther { try FileManager.default.copyItem(atPath: place.plugins + "/libmillrace-plugin-built.so", toPath: shelf + build) }
      let resumed = try engine.resume()
      #expect(resumed.handles.isEmpty && resumed.problems.map(\.run) == [id])
      let reason = try #require(resumed.problems.first?.reason)
      #expect(reason.contains("plugin built") && reason.contains(build.dropLast(3)), "\(reason)")
      if isOther { #expect(reason.contains("another build"), "\(reason)") }
      #expect(throws: ResumptionError.self) { try engine.resume(id) }
    }
    try FileManager.default.removeItem(atPath: shelf + build)
    try FileManager.default.moveItem(atPath: place.folder.path + "/kept", toPath: shelf + build)
    #expect(try end(engine.resume(id)) == "one")
    engine.shutdown()
  }

  @Test("a run that goes over to a new version takes the builds of that moment, and keeps them; one that does not keeps its own")
  func upgraded() throws {
    let place = try Place()
    try place.build("one")
    let upgrading = try left(place, workflow(1, .upgradeAtStepBoundary))
    let unchanged = try left(place, workflow(1, .upgradeAtStepBoundary))
    try place.build("two")
    // Without a new version there is nothing to go over to.
    let second = try place.engine()
    #expect(try end(second.resume(unchanged)) == "one")
    second.shutdown()
    let third = try place.engine()
    try third.deploy(workflow(2, .upgradeAtStepBoundary))
    leave(try third.resume(upgrading), third)
    try place.build("three")
    let fourth = try place.engine()
    let run = try fourth.resume(upgrading)
    #expect(try end(run) == "two")
    #expect(run.record().workflowVersion == 2)
    fourth.shutdown()
  }
}
