import CMillrace
import Foundation
import Testing

@testable import MillracePlugins

/// Plugins and hosts of version 1 work together whichever of them is newer: structs grow at their end, and say how far.
@Suite(.enabled(if: Workshop.compiler != nil, Workshop.noCompiler)) struct PluginGrowthTests {
  /// Uses each function of the table, and each struct; in the words that C11 and C++17 have in common.
  static let source = #"""
    #include <millrace/plugin.h>
    #include <string.h>

    static const millrace_host *host;

    static int32_t init(const millrace_host *given, char *message, size_t capacity) {
      host = given;
      if (given->size < sizeof(millrace_host)) { strncpy(message, "the host is older", capacity); return 1; }
      host->log(host, MILLRACE_LOG_NOTICE, host->setting(host, "grow.word"));
      return 0;
    }
    static void deinit(void) { host->log(host, MILLRACE_LOG_NOTICE, "end"); }

    static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
      millrace_input input;
      uint64_t length;
      char *bytes;
      if (strcmp((const char *)context, "context") != 0 || call->size < sizeof(millrace_call)) return MILLRACE_FAILED;
      memset(&input, 0, sizeof input);
      input.size = sizeof input;
      if (call->host->input_count(call->attempt) != 2 || call->host->input(call->attempt, 1, &input) != 0) return MILLRACE_FAILED;
      call->host->heartbeat(call->attempt, 500);
      if (call->host->cancelled(call->attempt)) return MILLRACE_CANCELLED;
      if (call->host->extension(call->host, "nobody.has/1")) return MILLRACE_FAILED;
      length = input.payload.length;
      bytes = (char *)call->host->claim(call->attempt, length + 1, MILLRACE_TEXT, &outcome->output);
      if (!bytes) return MILLRACE_FAILED;
      memcpy(bytes, input.bytes, length);
      bytes[length] = (char)('0' + call->attempt_number);
      if (outcome->message_capacity != MILLRACE_MESSAGE_BYTES) return MILLRACE_FAILED;
      strcpy(outcome->message, input.name);
      outcome->message_length = (uint32_t)strlen(input.name);
      strcpy(outcome->error_type, call->task_id);
      outcome->status = MILLRACE_DONE;
      if (strcmp(input.name, "task-0") != 0) return MILLRACE_FAILED;
      if (call->host->now(call->host) == 0) return MILLRACE_FAILED;
      if (length == 4) { /* "late" */
        const millrace_token token = call->host->token(call->attempt);
        outcome->retry_after = 7;
        if (call->host->complete_after(call->host, token, 9, outcome) != 0) return MILLRACE_FAILED;
        if (call->host->complete(call->host, token, outcome) != -1) return MILLRACE_FAILED;
        return MILLRACE_PENDING;
      }
      return outcome->status;
    }

    static char context[] = "context";
    static millrace_handler handler;
    static const millrace_handler *const handlers[] = {&handler};
    static millrace_plugin plugin;

    #ifdef __cplusplus
    extern "C"
    #endif
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    MILLRACE_MANIFEST();
    const millrace_plugin *millrace_plugin_entry(uint32_t version) {
      handler.size = sizeof handler;
      handler.name = "do";
      handler.summary = "does";
      handler.output_schema = "{}";
      handler.context = context;
      handler.run = run;
      plugin.size = sizeof plugin;
      plugin.abi_version = version;
      plugin.name = "grow";
      plugin.version = "1";
      plugin.summary = "grows";
      plugin.init = init;
      plugin.deinit = deinit;
      plugin.handlers = handlers;
      plugin.handler_count = 1;
      return &plugin;
    }
    """#

  static let languages: [[String]] = [
    ["-std=c11", "-pedantic", "-Wall", "-Werror"], ["-x", "c++", "-std=c++17", "-pedantic", "-Wall", "-Werror"],
  ]

  private func check(_ path: String, growth: Int) throws {
    let host = TestHost(settings: ["grow.word": "begin"], growth: growth)
    var loader = unsafe PluginLoader(host: host.table)
    let plugin = try loader.load(path)
    let handler = try #require(plugin.handlers.first)
    #expect(handler.qualifiedName == "grow/do" && handler.outputSchema == "{}" && handler.inputSchema == nil)
    let attempt = TestAttempt(host, json: "{}", dependencies: ["[1]"])
    let outcome = unsafe host.run(handler.pointer, attempt)
    #expect(outcome.status == UInt32(MILLRACE_DONE) && outcome.text == "[1]1" && outcome.message == "task-0" && outcome.type == "a")
    #expect(attempt.progress == [500])
    let late = unsafe host.run(handler.pointer, TestAttempt(host, json: "{}", dependencies: ["late"]))
    #expect(late.status == UInt32(MILLRACE_PENDING))
    let ended = try #require(host.ended(1))
    #expect(ended.delay == 9 && ended.retryAfter == 7 && ended.text == "late1" && ended.message == "task-0")
    plugin.unload()
    #expect(host.lines == ["1 begin", "1 end"])
    host.end()
  }

  @Test("a plugin runs on a host whose table, calls and outcomes have grown, in C11 and in C++17", arguments: languages)
  func grownHost(_ flags: [String]) throws {
    let workshop = try Workshop()
    let path = try workshop.plugin("host-\(flags.count).so", source: Self.source, flags: flags)
    for growth in [0, 8, 4096] { try check(path, growth: growth) }
  }

  /// The header with a field more at the end of each struct that may grow, and what the manifest says of it.
  private static func grownHeader() throws -> String {
    var text = try String(contentsOf: Workshop.headers.appending(path: "millrace/plugin.h"), encoding: .utf8)
    let structs = ["outcome", "host", "call", "handler", "plugin"]
    for name in structs { text = text.replacing("} millrace_\(name);", with: "  uint64_t added;\n} millrace_\(name);") }
    let added = structs.map { "F(\($0), added)" }.joined(separator: " ")
    text = text.replacing(
      "#define MILLRACE_LAYOUT_1(S, F)",
      with: "#define MILLRACE_LAYOUT_1(S, F) MILLRACE_LAYOUT_0(S, F) \(added)\n#define MILLRACE_LAYOUT_0(S, F)")
    // Its own sizes, of course, are others.
    return text.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("MILLRACE_ASSERT(sizeof") }.joined(
      separator: "\n")
  }

  @Test(
    "a plugin built against a header that has grown is taken, and its description is read as far as this host knows it",
    arguments: languages)
  func grownPlugin(_ flags: [String]) throws {
    let workshop = try Workshop()
    try workshop.write("millrace/plugin.h", Self.grownHeader().utf8)
    let path = try workshop.plugin("grown.so", source: Self.source, flags: flags)
    try check(path, growth: 8)
    // On a host that has not grown it says itself that it needs more.
    let host = TestHost(settings: ["grow.word": "begin"])
    var loader = unsafe PluginLoader(host: host.table)
    #expect(throws: PluginError.failedInit(path: path, plugin: "grow 1", reason: "the host is older")) { try loader.load(path) }
    host.end()
  }

  @Test("layouts are compared field by field, and the first that differs is named") func layouts() throws {
    let host = PluginManifest.host
    let version1 = Set(host.entries.map(\.name))
    #expect(host.abiVersion == 1 && host.entries.count == Int(MILLRACE_MANIFEST_COUNT) && version1.count == host.entries.count)
    #expect(host.entries.first { $0.name == "host.extension" } == .init(name: "host.extension", offset: 120, size: 8))
    func changed(_ name: String, _ change: (PluginManifest.Entry) -> PluginManifest.Entry?) -> PluginManifest {
      PluginManifest(abiVersion: 1, entries: host.entries.compactMap { $0.name == name ? change($0) : $0 })
    }
    try host.check(path: "p")
    // A host that has grown takes a plugin of version 1; one of version 1 takes a grown plugin.
    let grown = PluginManifest(
      abiVersion: 1,
      entries: host.entries.map { $0.name == "host" ? .init(name: "host", offset: 0, size: 136) : $0 } + [
        .init(name: "host.added", offset: 128, size: 8)
      ])
    try host.check(against: grown, required: version1, path: "p")
    try grown.check(against: host, required: version1, path: "p")
    let cases: [(PluginManifest, PluginError)] = [
      (
        changed("host.log") { .init(name: $0.name, offset: $0.offset + 8, size: 8) },
        .foreignLayout(path: "p", field: "host.log", plugin: "at byte 56 with 8 bytes", host: "at byte 48 with 8 bytes")
      ),
      (
        changed("call.deadline") { .init(name: $0.name, offset: $0.offset, size: 4) },
        .foreignLayout(path: "p", field: "call.deadline", plugin: "at byte 40 with 4 bytes", host: "at byte 40 with 8 bytes")
      ),
      (
        changed("handler.run") { _ in nil },
        .foreignLayout(path: "p", field: "handler.run", plugin: "left out", host: "at byte 56 with 8 bytes")
      ),
      (
        changed("payload") { .init(name: $0.name, offset: 0, size: 32) },
        .foreignLayout(path: "p", field: "payload", plugin: "of 32 bytes", host: "of 24 bytes")
      ),
      (PluginManifest(abiVersion: 2, entries: host.entries), .wrongABI(path: "p", plugin: 2, host: 1)),
    ]
    for (manifest, error) in cases { #expect(throws: error) { try manifest.check(against: host, required: version1, path: "p") } }
  }

  @Test("a manifest with any bytes changed is read or refused, and never believed beyond its struct") func damaged() throws {
    let whole = unsafe Array(UnsafeRawBufferPointer(start: millrace_layout(), count: MemoryLayout<millrace_manifest>.size))
    var random = SplitMix(state: 7)
    var refused = 0
    for _ in 0..<3_000 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
      }
      if Int.random(in: 0..<4, using: &random) == 0 { bytes.removeLast(Int.random(in: 1...bytes.count, using: &random)) }
      do throws(PluginError) {
        let manifest = try PluginManifest(parsing: bytes, path: "p")
        let sizes = Dictionary(uniqueKeysWithValues: manifest.entries.filter(\.isStruct).map { ($0.name, $0.size) })
        for entry in manifest.entries where !entry.isStruct {
          let size = try! #require(sizes[String(entry.owner)])
          #expect(UInt64(entry.offset) + UInt64(entry.size) <= UInt64(size))
        }
      } catch {
        guard case .badManifest = error else {
          Issue.record("\(error)")
          continue
        }
        refused += 1
      }
    }
    #expect(refused > 2_000 && refused < 3_000)
  }

  @Test("a plugin in Swift has one manifest, and it is this host's") func swift() throws {
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: Workshop.filesPlugin)))
    let whole = unsafe Array(UnsafeRawBufferPointer(start: millrace_layout(), count: MemoryLayout<millrace_manifest>.size))
    let file = try ObjectFile(checking: ArrayBytes(bytes: bytes), path: "files")
    #expect(file.manifest == whole)
  }
}
