import Foundation
import Testing

@testable import Millrace

/// Which threads a plugin may call an attempt's functions from, and who tells of others.
@Suite(.timeLimit(.minutes(5))) struct ThreadCheckTests {
  /// `mine/helped`: another thread claims the output while the worker waits. `mine/asked`: the same after a token. `mine/alone`: nobody else.
  private static let source = #"""
    #define _GNU_SOURCE
    #include <millrace/plugin.h>
    #include <pthread.h>
    #include <string.h>

    typedef struct both {
      const millrace_call *call;
      millrace_outcome *outcome;
    } both;
    static void *help(void *context) {
      both *own = context;
      millrace_input input = {.size = sizeof input};
      const millrace_trace *trace = own->call->host->extension(own->call->host, MILLRACE_TRACE);
      char text[MILLRACE_TRACEPARENT_BYTES];
      trace->traceparent(own->call->attempt, text);
      own->call->host->cancelled(own->call->attempt); /* any thread's */
      own->call->host->input(own->call->attempt, 0, &input);
      void *bytes = own->call->host->claim(own->call->attempt, 4, MILLRACE_JSON, &own->outcome->output);
      if (bytes) memcpy(bytes, "true", 4);
      return NULL;
    }
    static uint32_t helped(void *context, const millrace_call *call, millrace_outcome *outcome) {
      both own = {call, outcome};
      pthread_t thread;
      if (context) call->host->token(call->attempt);
      if (pthread_create(&thread, NULL, help, &own) != 0) return MILLRACE_FAILED;
      pthread_join(thread, NULL);
      return MILLRACE_DONE;
    }
    static uint32_t alone(void *context, const millrace_call *call, millrace_outcome *outcome) {
      both own = {call, outcome};
      (void)context;
      help(&own);
      return MILLRACE_DONE;
    }
    static const millrace_handler first = {.size = sizeof first, .name = "helped", .summary = "s", .run = helped};
    static const millrace_handler second = {.size = sizeof second, .name = "asked", .summary = "s", .run = helped, .context = (void *)&first};
    static const millrace_handler third = {.size = sizeof third, .name = "alone", .summary = "s", .run = alone};
    static const millrace_handler fourth = {.size = sizeof fourth, .flags = MILLRACE_BLOCKING, .name = "blocking", .summary = "s", .run = alone};
    static const millrace_handler *const handlers[] = {&first, &second, &third, &fourth};
    static const millrace_plugin plugin = {.size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = "mine", .version = "1", .summary = "s",
                                           .handlers = handlers, .handler_count = 4};
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#

  private func lines(_ handlers: [String], checks: Bool) async throws -> [String] {
    let built = try BuiltPlugin(Self.source) { $0.checksThreads = checks }
    defer { built.engine.shutdown() }
    var workflow = Definition("threads")
    for (index, handler) in handlers.enumerated() { workflow.task("t\(index)", handler: handler, input: ["a": 1]) }
    let result = try await built.engine.run(workflow)
    #expect(result.status == .completed)
    return built.notes.all.filter { $0.contains("from a thread that does not run its attempt") }
  }

  @Test("a wrong thread is told with the function's and the handler's name, once, and its call is done") func told() async throws {
    let lines = try await lines(["mine/helped", "mine/helped", "mine/helped"], checks: true)
    #expect(Set(lines.map { $0.prefix { $0 != ":" } }).count == 3 && lines.count == 3, "\(lines)")
    for function in ["trace.traceparent", "input", "claim"] {
      #expect(lines.contains { $0.hasPrefix("handler mine/helped called `\(function)` from a thread") }, "\(lines)")
    }
  }

  @Test("the worker itself, a thread that may wait, and whoever has a token are not told of; nor is anybody where threads are not checked")
  func quiet() async throws {
    #expect(try await lines(["mine/alone", "mine/asked", "mine/blocking", "mine/alone"], checks: true) == [])
    #expect(try await lines(["mine/helped"], checks: false) == [])
  }
}
