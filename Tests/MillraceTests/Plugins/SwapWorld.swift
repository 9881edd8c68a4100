import CMillrace
import Foundation
import MillraceCore
import Synchronization
import Testing

@testable import Millrace

/// A plugin in C that is compiled in several builds, and an engine that has the first one.
///
/// Each build knows of its own life: a call before `init`, or after `deinit`, or a `deinit` while a call is inside, ends the process.
final class SwapWorld: Sendable {
  /// `swapped/say` says WORD, and counts. `swapped/slow` waits for a file that is called as its task; `swapped/pend` never ends by itself. FAILS: `say` fails; BATCH: it takes several.
  static let source = #"""
    #define _DEFAULT_SOURCE
    #include <millrace/plugin.h>
    #include <stdatomic.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    #ifndef FORMAT
    #define FORMAT 1
    #endif
    #ifndef SCHEMA
    #define SCHEMA NULL
    #endif
    #ifndef NAME
    #define NAME "swapped"
    #endif
    #ifndef STATE_BYTES
    #define STATE_BYTES sizeof(uint64_t)
    #endif

    static const millrace_host *host;
    static atomic_int alive, inside;
    static _Atomic uint64_t calls;

    static void enter(void) {
      atomic_fetch_add(&inside, 1);
      if (atomic_load(&alive) != 1) abort();
    }
    static uint32_t leave(millrace_outcome *outcome, uint32_t status) {
      if (atomic_load(&alive) != 1) abort();
      atomic_fetch_sub(&inside, 1);
      return outcome->status = status;
    }

    static uint32_t say(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      enter();
    #ifdef MICROSECONDS
      usleep(MICROSECONDS);
    #endif
    #ifdef FAILS
      (void)call;
      strcpy(outcome->error_type, "fails");
      return leave(outcome, MILLRACE_FAILED);
    #else
      char text[64];
      const int length = snprintf(text, sizeof text, "%s %llu", WORD, (unsigned long long)atomic_fetch_add(&calls, 1) + 1);
      char *bytes = call->host->claim(call->attempt, (uint64_t)length, MILLRACE_TEXT, &outcome->output);
      if (!bytes) return leave(outcome, MILLRACE_FAILED);
      memcpy(bytes, text, (size_t)length);
      return leave(outcome, MILLRACE_DONE);
    #endif
    }

    static uint32_t slow(void *context, const millrace_call *call, millrace_outcome *outcome) {
      char path[512];
      (void)context;
      enter();
      snprintf(path, sizeof path, "%s/%s", call->host->setting(call->host, "swapped.folder"), call->task_id);
      while (access(path, F_OK) != 0) usleep(100);
      return leave(outcome, MILLRACE_DONE);
    }

    static uint32_t pend(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      enter();
      (void)call->host->token(call->attempt);
      return leave(outcome, MILLRACE_PENDING);
    }

    static const millrace_handler say_handler = {.size = sizeof say_handler, .name = "say", .summary = "says its word", .input_schema = SCHEMA, .run = say};
    static const millrace_handler slow_handler = {.size = sizeof slow_handler, .name = "slow", .summary = "waits", .flags = MILLRACE_BLOCKING, .run = slow};
    static const millrace_handler pend_handler = {.size = sizeof pend_handler, .name = "pend", .summary = "goes on", .concurrency = 8, .run = pend};
    static const millrace_handler *const handlers[] = {&say_handler, &slow_handler, &pend_handler};

    static int32_t init(const millrace_host *given, char *message, size_t capacity) {
      (void)message, (void)capacity;
      host = given;
      atomic_store(&alive, 1);
      host->log(host, MILLRACE_LOG_DEBUG, "init " WORD);
      return 0;
    }
    static void deinit(void) {
      if (atomic_load(&inside) != 0 || atomic_exchange(&alive, 2) != 1) abort();
      host->log(host, MILLRACE_LOG_DEBUG, "deinit " WORD);
    }

    #ifndef STATELESS
    static int64_t save(void *bytes, size_t capacity) {
      const uint64_t count = atomic_load(&calls);
      if (capacity >= STATE_BYTES) {
        memset(bytes, 0, STATE_BYTES);
        memcpy(bytes, &count, sizeof count);
      }
      return STATE_BYTES;
    }
    static int32_t load(uint32_t format, const void *bytes, size_t length, char *message, size_t capacity) {
      uint64_t count;
      if (format != FORMAT || length < sizeof count) {
        snprintf(message, capacity, "format %u is not mine", (unsigned)format);
        return 1;
      }
      memcpy(&count, bytes, sizeof count);
      atomic_store(&calls, count);
      return 0;
    }
    static const millrace_state state = {.size = sizeof state, .format = FORMAT, .save = save, .load = load};
    #ifdef BATCH
    static void several(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      (void)context;
      enter();
      for (uint32_t i = 0; i < count; i++) {
        /* The run may end by this, and the call goes on. */
        const millrace_token token = i % 2 == 0 ? calls[i]->host->token(calls[i]->attempt) : 0;
        outcomes[i]->status = say(NULL, calls[i], outcomes[i]);
        if (token) host->complete(host, token, outcomes[i]);
      }
      usleep(100);
      if (atomic_load(&alive) != 1) abort();
      atomic_fetch_sub(&inside, 1);
    }
    static const millrace_batch_handler say_batch = {.size = sizeof say_batch, .most = 8, .name = "say", .run = several};
    static const millrace_batch_handler *const batches[] = {&say_batch};
    static const millrace_batch batch = {.size = sizeof batch, .handler_count = 1, .handlers = batches};
    #endif
    static const void *extension(const char *id) {
    #ifdef BATCH
      if (strcmp(id, MILLRACE_BATCH) == 0) return &batch;
    #endif
      return strcmp(id, MILLRACE_STATE) == 0 ? &state : NULL;
    }
    #endif

    static const millrace_plugin plugin = {
        .size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = NAME, .version = WORD, .summary = "is swapped", .init = init,
        .deinit = deinit, .handlers = handlers, .handler_count =
    #ifdef LACKS
        1
    #else
        3
    #endif
    #ifndef STATELESS
        , .extension = extension
    #endif
    };
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#
  private static let headers = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Sources/CMillrace/include").path

  let folder: Folder
  let engine: Engine
  let notes = Notes()
  let first: String

  init(_ definitions: [String] = [], _ change: (inout Engine.Configuration) -> Void = { _ in }) throws {
    let folder = try Folder()
    self.folder = folder
    try Data(SwapWorld.source.utf8).write(to: URL(filePath: folder.path + "/plugin.c"))
    first = try SwapWorld.build("one", definitions, in: folder)
    var configuration = Engine.Configuration()
    configuration.slots = 4
    configuration.threads = 2
    configuration.capacity = 10_000
    configuration.plugins = PluginSearch(paths: [first])
    configuration.settings["swapped.folder"] = folder.path
    let notes = notes
    configuration.log = { _, line in notes.add(line) }
    change(&configuration)
    engine = try Engine(configuration)
    #expect(engine.pluginProblems.isEmpty, "\(engine.pluginProblems)")
  }

  deinit { engine.shutdown() }

  /// A file with a build that says `word`.
  func build(_ word: String, _ definitions: [String] = [], file: String? = nil) throws -> String {
    try SwapWorld.build(word, definitions, in: folder, file: file)
  }

  private static func build(_ word: String, _ definitions: [String], in folder: Folder, file: String? = nil) throws -> String {
    let output = folder.path + "/" + (file ?? "build-\(word).so")
    let process = Process()
    process.executableURL = URL(filePath: try #require(BuiltPlugin.compiler, "no C compiler in /usr/bin: apt-get install gcc"))
    process.arguments =
      ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", headers, "-DWORD=\"\(word)\""]
      + definitions.map { "-D" + $0 } + ["-o", output, folder.path + "/plugin.c"]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return output
  }

  /// A workflow of one task of `swapped/say`.
  static var says: Definition {
    var workflow = Definition("says", result: "word")
    workflow.task("word", handler: "swapped/say")
    return workflow
  }

  /// What a new run says.
  func word() throws -> String {
    let run = try engine.start(SwapWorld.says)
    #expect(run.wait() == .completed)
    return run.payload(of: "word")?.text ?? ""
  }

  /// The file that a task of `swapped/slow` waits for.
  func open(_ task: String) { #expect(FileManager.default.createFile(atPath: folder.path + "/" + task, contents: Data())) }

  /// The words of the builds that were ended, in that order.
  var ended: [String] { notes.all.compactMap { $0.hasPrefix("deinit ") ? String($0.dropFirst(7)) : nil } }

  func roles() -> [String] { engine.pluginBuilds.map { "\($0.version) \($0.role) \($0.pins)" } }
}

/// What became of runs, and threads that start them until they are told to stop.
final class SwapLoad: Sendable {
  let started = Atomic<Int>(0)
  let completed = Atomic<Int>(0)
  let other = Atomic<Int>(0)
  let isOver = Atomic<Bool>(false)
  private let threads = Atomic<Int>(0)

  func count(_ status: WorkflowStatus) {
    if status == .completed { completed.add(1, ordering: .relaxed) } else { other.add(1, ordering: .relaxed) }
  }

  private var ended: Int { completed.load(ordering: .relaxed) + other.load(ordering: .relaxed) }

  /// Keeps some 200 runs under way.
  func begin(_ start: @escaping @Sendable () throws -> WorkflowHandle) {
    threads.add(1, ordering: .relaxed)
    let began = OwnThread.run { [self] in
      while !isOver.load(ordering: .relaxed) {
        if started.load(ordering: .relaxed) - ended > 200 {
          millrace_yield()
          continue
        }
        do {
          let run = try start()
          started.add(1, ordering: .relaxed)
          run.whenFinished { [self] in count($0) }
        } catch { Issue.record("\(error)") }
      }
      threads.subtract(1, ordering: .releasing)
    }
    #expect(began)
  }

  /// True: all that were started have ended, each once.
  func end() async -> Bool {
    isOver.store(true, ordering: .relaxed)
    guard await eventually({ threads.load(ordering: .acquiring) == 0 }) else { return false }
    return await eventually { ended == started.load(ordering: .relaxed) }
  }
}
