import CMillrace
import Foundation
import MillraceCore
import MillraceWorkflow
import Synchronization
import Testing

@testable import Millrace

/// Handlers of plugins that run several attempts in one call.
@Suite(.timeLimit(.minutes(5))) struct PluginBatchTests {
  private static let source = #"""
    #define _GNU_SOURCE
    #include <millrace/plugin.h>
    #include <stdatomic.h>
    #include <stdio.h>
    #include <string.h>
    #include <unistd.h>

    static const millrace_host *host;

    static uint32_t text(const millrace_call *call, millrace_outcome *outcome, const char *words) {
      const size_t length = strlen(words);
      char *bytes = call->host->claim(call->attempt, length, MILLRACE_TEXT, &outcome->output);
      if (!bytes) return MILLRACE_FAILED;
      memcpy(bytes, words, length);
      return MILLRACE_DONE;
    }
    static uint32_t failed(millrace_outcome *outcome, const char *type, const char *message) {
      snprintf(outcome->error_type, sizeof outcome->error_type, "%s", type);
      outcome->message_length = (uint32_t)snprintf(outcome->message, outcome->message_capacity, "%s", message);
      return MILLRACE_FAILED;
    }
    static const char *input(const millrace_call *call) {
      static _Thread_local char words[64];
      millrace_input found = {.size = sizeof found};
      words[0] = 0;
      if (call->host->input(call->attempt, 0, &found) == 0 && found.payload.length < sizeof words) {
        memcpy(words, found.bytes, (size_t)found.payload.length);
        words[found.payload.length] = 0;
      }
      return words;
    }

    /* One line for each call: how many, and each answers with its task and input. */
    static void each(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      char line[128];
      (void)context;
      snprintf(line, sizeof line, "batch %u", count);
      host->log(host, MILLRACE_LOG_NOTICE, line);
      for (uint32_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "%s %s %u", calls[i]->task_id, input(calls[i]), calls[i]->attempt_number);
        outcomes[i]->status = text(calls[i], outcomes[i], line);
      }
    }

    /* Ends each as its task is called. */
    static void words(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      (void)context;
      for (uint32_t i = 0; i < count; i++) {
        const char *task = calls[i]->task_id;
        millrace_outcome *outcome = outcomes[i];
        if (outcome->size != sizeof *outcome || outcome->message_capacity != MILLRACE_MESSAGE_BYTES || outcome->output.length) continue;
        if (!strcmp(task, "done")) outcome->status = text(calls[i], outcome, "done");
        if (!strcmp(task, "fails")) outcome->status = failed(outcome, "odd", "it is odd");
        if (!strcmp(task, "again")) outcome->status = calls[i]->attempt_number < 3 ? MILLRACE_RETRY : MILLRACE_DONE;
        if (!strcmp(task, "cancelled")) outcome->status = MILLRACE_CANCELLED;
        if (!strcmp(task, "strange")) outcome->status = 17;
        if (!strcmp(task, "forgets")) outcome->status = MILLRACE_PENDING;
        if (!strcmp(task, "alien")) {
          outcome->output = (millrace_payload){.offset = 64, .length = 1, .arena = 7};
          outcome->status = MILLRACE_DONE;
        }
        if (!strcmp(task, "later") || !strcmp(task, "early")) {
          const millrace_token token = host->token(calls[i]->attempt);
          if (token != host->token(calls[i]->attempt) || !token) continue;
          millrace_outcome other = {.size = sizeof other};
          other.status = text(calls[i], &other, task);
          if (!strcmp(task, "later")) outcome->status = host->complete_after(host, token, 1000000, &other) ? 17 : MILLRACE_PENDING;
          /* Ended before the others; what is said of it after that is too late. */
          if (!strcmp(task, "early")) outcome->status = host->complete(host, token, &other) ? 17 : MILLRACE_FAILED;
        }
      }
    }

    static atomic_int held;
    /* Until all of them should stop. */
    static void hold(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      (void)context;
      host->log(host, MILLRACE_LOG_NOTICE, "held");
      for (uint32_t i = 0; i < count; i++) {
        for (int left = 600000; !host->cancelled(calls[i]->attempt); left--) {
          if (!left) host->log(host, MILLRACE_LOG_NOTICE, "17: it was never told to stop");
          if (!left) break;
          usleep(100);
        }
        millrace_payload payload;
        /* It may still be read, and given nothing. */
        outcomes[i]->status = strcmp(input(calls[i]), "7") ? 17 : MILLRACE_CANCELLED;
        if (host->claim(calls[i]->attempt, 1, MILLRACE_TEXT, &payload)) outcomes[i]->status = MILLRACE_CANCELLED;
      }
      host->log(host, MILLRACE_LOG_NOTICE, "let go");
    }

    /* Until `open` was run by somebody else. */
    static void wait(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      (void)context, (void)calls;
      for (int left = 600000; left && !atomic_load(&held); left--) usleep(100);
      for (uint32_t i = 0; i < count; i++) outcomes[i]->status = atomic_load(&held) ? MILLRACE_DONE : MILLRACE_FAILED;
    }

    /* Ends all by their tokens, and goes on until `open` was run. */
    static void early(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      (void)context;
      for (uint32_t i = 0; i < count; i++) {
        millrace_outcome outcome = {.size = sizeof outcome, .status = MILLRACE_DONE};
        host->complete(host, host->token(calls[i]->attempt), &outcome);
      }
      for (int left = 600000; !atomic_load(&held); left--) {
        if (!left) host->log(host, MILLRACE_LOG_NOTICE, "17: what comes next was not run");
        if (!left) break;
        usleep(100);
      }
      for (uint32_t i = 0; i < count; i++) outcomes[i]->status = MILLRACE_FAILED; /* too late */
    }

    static uint32_t alone(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context, (void)call;
      return failed(outcome, "alone", "`run` of the handler was called");
    }
    static uint32_t open(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      atomic_store(&held, 1);
      return text(call, outcome, "open");
    }

    #define HANDLER(id, handler, bits) static const millrace_handler id##_handler = {.size = sizeof id##_handler, .name = #id, .summary = "s", .run = handler, .flags = bits}
    HANDLER(each, alone, 0);
    HANDLER(words, alone, 0);
    HANDLER(hold, alone, MILLRACE_BLOCKING);
    HANDLER(stuck, alone, 0);
    HANDLER(wait, alone, MILLRACE_BLOCKING);
    HANDLER(open, open, 0);
    HANDLER(block, alone, 0);
    HANDLER(early, alone, 0);
    static const millrace_handler *const handlers[] = {&each_handler, &words_handler, &hold_handler, &stuck_handler, &wait_handler, &open_handler, &block_handler, &early_handler};
    #define BATCH(id, function, count) static const millrace_batch_handler id##_batch = {.size = sizeof id##_batch, .most = count, .name = #id, .run = function}
    BATCH(each, each, 8);
    BATCH(words, words, 256);
    BATCH(hold, hold, 4);
    BATCH(stuck, hold, 4);
    BATCH(wait, wait, 16);
    BATCH(block, wait, 16);
    BATCH(early, early, 2);
    static const millrace_batch_handler *const batches[] = {&each_batch, &words_batch, &hold_batch, &stuck_batch, &wait_batch, &block_batch, &early_batch};
    static const millrace_batch batch = {.size = sizeof batch, .handler_count = 7, .handlers = batches};
    static const void *extension(const char *id) { return strcmp(id, MILLRACE_BATCH) ? NULL : &batch; }
    static int32_t init(const millrace_host *given, char *message, size_t capacity) {
      (void)message, (void)capacity;
      host = given;
      return 0;
    }
    static const millrace_plugin plugin = {.size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = "built", .version = "1", .summary = "runs several",
                                           .init = init, .extension = extension, .handlers = handlers, .handler_count = 8};
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#

  private func world(slots: Int, threads: Int = 2, _ change: (inout Engine.Configuration) -> Void = { _ in }) throws -> BuiltPlugin {
    try BuiltPlugin(Self.source) {
      ($0.slots, $0.threads) = (slots, threads)
      change(&$0)
    }
  }

  /// The sizes of the batches so far.
  private func batches(_ built: BuiltPlugin) -> [Int] { built.notes.all.compactMap { $0.hasPrefix("batch ") ? Int($0.dropFirst(6)) : nil } }

  /// `count` tasks that are ready at once, when another has ended.
  private func fan(_ count: Int, _ handler: String = "built/each") -> Definition {
    var definition = Definition("fan")
    let root = definition.task("root", handler: "built/open")
    for number in 0..<count { definition.task("t\(number)", handler: handler, dependencies: [root], input: .integer(Int64(number))) }
    return definition
  }

  @Test("tasks that are ready together are run together, as many as the handler takes, each with its own input and answer") func together()
    async throws
  {
    let built = try world(slots: 64, threads: 1)
    let result = try await built.engine.run(fan(64))
    for number in 0..<64 { #expect(result.payload(of: "t\(number)")?.text == "t\(number) \(number) 1") }
    let sizes = batches(built)
    #expect(sizes.reduce(0, +) == 64 && sizes.allSatisfy { (1...8).contains($0) } && sizes.count <= 16, "\(sizes)")
    built.engine.shutdown()
  }

  @Test("a batch is no larger than there are slots, and attempts that wait for their call hold no other up", arguments: [1, 2, 3, 7])
  func slots(_ slots: Int) async throws {
    let built = try world(slots: slots)
    var definition = fan(40)
    for number in 0..<40 { definition.task("o\(number)", handler: "built/open") }
    let result = try await built.engine.run(definition)
    #expect(result.status == .completed)
    let sizes = batches(built)
    #expect(sizes.reduce(0, +) == 40 && sizes.max()! <= slots, "\(sizes)")
    built.engine.shutdown()
    #expect(built.engine.runtime.scheduler.freeSlots == slots)
  }

  @Test("the attempts of one batch end each as the plugin says, and those of which it says nothing fail by name") func verdicts()
    async throws
  {
    let built = try world(slots: 64, threads: 1)
    var definition = Definition("words", onFailure: .continue)
    let root = definition.task("root", handler: "built/open")
    for name in ["done", "fails", "cancelled", "strange", "forgets", "alien", "later", "early", "silent"] {
      definition.task(name, handler: "built/words", dependencies: [root])
    }
    definition.task("again", handler: "built/words", dependencies: [root], retry: RetryPolicy(attempts: 3, initial: 1_000_000))
    let run = try built.engine.start(definition)
    #expect(run.wait() == .failed)
    func error(_ task: String) -> String {
      run.record().tasks.first { $0.id == task }?.attempts.last.map { "\($0.errorType): \($0.message)" } ?? ""
    }
    #expect(["done", "later", "early"].allSatisfy { run.payload(of: $0)?.text == $0 })
    #expect(run.record().tasks.first { $0.id == "again" }.map { $0.status == .completed && $0.attempts.count == 3 } == true)
    #expect(error("fails") == "odd: it is odd")
    #expect(error("strange").hasPrefix("bad-outcome: the handler ended with status 17"))
    #expect(error("forgets").hasPrefix("bad-outcome: the batch left the attempt pending and did not ask for its token"))
    #expect(error("silent").hasPrefix("bad-outcome: the batch said nothing of this attempt"))
    #expect(error("alien").hasPrefix("bad-outcome: the handler's output is not memory that it claimed"))
    #expect(run.isAccounted())
    built.engine.shutdown()
    #expect(built.engine.host.abandonedAttempts == 0)
  }

  @Test(
    "attempts that time out in a batch are over at once, may be read until it returns, and leave nothing behind",
    arguments: ["hold", "stuck"])
  func timeouts(_ handler: String) async throws {
    let built = try world(slots: 8)
    var definition = Definition("late", onFailure: .continue)
    for number in 0..<4 {
      definition.task("t\(number)", handler: "built/\(handler)", input: 7, timeouts: Timeouts(startToClose: 30_000_000))
    }
    let run = try built.engine.start(definition)
    #expect(run.wait() == .failed)
    #expect(run.record().tasks.allSatisfy { $0.status == .timedOut && $0.attempts.last?.errorType == "start-to-close" })
    #expect(await eventually { built.engine.host.abandonedAttempts == 0 && built.engine.runtime.scheduler.freeSlots == 8 })
    #expect(!built.notes.all.contains { $0.contains("17") })
    built.engine.shutdown()
  }

  @Test("a run that is cancelled asks its attempts in a batch to stop", arguments: ["hold", "stuck"]) func cancels(_ handler: String)
    async throws
  {
    let built = try world(slots: 8)
    var definition = Definition("cancelled")
    for number in 0..<3 { definition.task("t\(number)", handler: "built/\(handler)", input: 7) }
    let run = try built.engine.start(definition)
    #expect(await eventually { built.notes.all.contains("held") })
    run.cancel()
    #expect(run.wait() == .cancelled)
    #expect(await eventually { built.engine.host.abandonedAttempts == 0 && built.engine.runtime.scheduler.freeSlots == 8 })
    built.engine.shutdown()
  }

  @Test("a batch that blocks holds no worker: the only one runs what the batch waits for") func blocks() async throws {
    let built = try world(slots: 32, threads: 1)
    var definition = Definition("waits")
    for number in 0..<20 { definition.task("t\(number)", handler: "built/wait") }
    definition.task("open", handler: "built/open", priority: .low)
    #expect(try await built.engine.run(definition).status == .completed)
    built.engine.shutdown()
  }

  @Test("attempts that a batch ends by their tokens are over while it goes on, the last of a full row too") func early() async throws {
    let built = try world(slots: 4, threads: 3)
    var definition = Definition("early")
    let pair = (0..<2).map { definition.task("t\($0)", handler: "built/early") }
    definition.task("open", handler: "built/open", dependencies: pair)
    #expect(try await built.engine.run(definition).status == .completed)
    #expect(!built.notes.all.contains { $0.contains("17") })
    built.engine.shutdown()
  }

  @Test("an engine that is shut down by a thread of a batch ends when that has returned") func ownThread() async throws {
    let stop = Mutex<(@Sendable () -> Void)?>(nil)
    let built = try world(slots: 4) {
      $0.log = { _, line in if line == "held" { stop.withLock { $0 }?() } }
    }
    let engine = built.engine
    stop.withLock { $0 = { engine.shutdown() } }
    var definition = Definition("stops")
    definition.task("t", handler: "built/hold", input: 7)
    let run = try engine.start(definition)
    #expect(run.wait() == .cancelled)
    stop.withLock { $0 = nil }
  }

  @Test("the job that ends a row is another worker's while the batch goes on, and so is the slot that it was begun with") func passes()
    async throws
  {
    let built = try world(slots: 3)
    var definition = Definition("passes")
    for number in 0..<2 { definition.task("t\(number)", handler: "built/block") }
    definition.task("open", handler: "built/open")
    #expect(try await built.engine.run(definition).status == .completed)
    built.engine.shutdown()
  }

  @Test("items, other handlers and other priorities between them: all are done, each once") func mixed() async throws {
    let built = try world(slots: 16) { $0.capacity = 20_000 }
    var definition = Definition("mixed")
    let list = definition.task("list", handler: "built/open")
    let numbers = Foreach.range(from: 1, to: 2_000)
    definition.task("items", handler: "built/each", dependencies: [list], input: "${item}", foreach: numbers, parallelism: 50)
    for number in 0..<300 {
      let priority: Priority = [.low, .normal, .high, .critical][number % 4]
      definition.task("o\(number)", handler: number % 3 == 0 ? "built/each" : "built/open", dependencies: [list], priority: priority)
    }
    let run = try built.engine.start(definition)
    #expect(run.wait() == .completed)
    #expect(batches(built).reduce(0, +) == 2_100)
    built.engine.shutdown()
    #expect(built.engine.runtime.scheduler.freeSlots == 16 && built.engine.host.abandonedAttempts == 0)
  }

  @Test("in a process of its own a plugin has no batches: its handlers are called one by one") func isolated() async throws {
    let built = try world(slots: 4) { $0.isolation["built"] = .process() }
    let run = try built.engine.start(fan(3))
    #expect(run.wait() == .failed)
    #expect(run.record().tasks.contains { $0.attempts.last?.errorType == "alone" })
    built.engine.shutdown()
  }

  @Test("swaps under load lose no attempt of a batch and run none twice, and builds go") func swaps() async throws {
    let world = try SwapWorld(["BATCH"]) { ($0.capacity, $0.slots) = (100_000, 16) }
    let engine = world.engine
    let files = try ["two", "three"].map { try world.build($0, ["BATCH"]) }
    var definition = Definition("several")
    for number in 0..<20 { definition.task("t\(number)", handler: "swapped/say") }
    let prepared = try engine.prepare(definition)
    let load = SwapLoad()
    load.begin { try engine.start(prepared) }
    #expect(await eventually { load.completed.load(ordering: .relaxed) > 0 })
    for number in 0..<200 { #expect(engine.swap(plugin: files[number % 2]).status == .promoted) }
    #expect(await load.end())
    #expect(load.other.load(ordering: .relaxed) == 0)
    #expect(await eventually { engine.pluginBuilds.count == 1 && engine.pluginBuilds[0].pins == 0 })
    #expect(world.ended.count == 200)
  }
}
