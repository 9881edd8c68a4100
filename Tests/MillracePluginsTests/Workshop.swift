import Foundation
import Testing

/// A directory of its own for one test, in which files are written and plugins compiled. Removed with it.
final class Workshop {
  static let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  static let compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"].first { FileManager.default.isExecutableFile(atPath: $0) }
  static let headers = packageRoot.appending(path: "Sources/CMillrace/include")
  static let noCompiler: Comment = "no C compiler in /usr/bin: apt-get install gcc"

  /// Where the shared objects of this build are: beside the test program.
  static let filesPlugin = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent()
    .appending(path: "libmillrace-plugin-files.so").path

  let path: String

  init() throws {
    var template = Array((NSTemporaryDirectory() + "/millrace-XXXXXX").utf8CString)
    // NUL-terminated and writable.
    guard unsafe mkdtemp(&template) != nil else { throw CocoaError(.fileWriteUnknown) }
    // The real path, so that messages can be compared.
    path = URL(filePath: String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)).resolvingSymlinksInPath().path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  @discardableResult
  func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
    let file = file(name)
    try FileManager.default.createDirectory(atPath: URL(filePath: file).deletingLastPathComponent().path, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(filePath: file))
    return file
  }

  /// A plugin in C. `definitions` are those of the template below, as `NAME="x"`.
  func plugin(
    _ name: String = "libmillrace-plugin-test.so", source: String = Workshop.template, _ definitions: [String] = [], flags: [String] = []
  ) throws -> String {
    let sourceFile = try write(name + (flags.contains("c++") ? ".cpp" : ".c"), source.utf8)
    let output = file(name)
    // A header of the test's own comes first.
    let headers = [path, Self.headers.path].flatMap { ["-I", $0] }
    let arguments = ["-shared", "-fPIC", "-o", output] + headers
    // A language stands before the source, libraries behind it.
    let libraries = flags.filter { $0.hasPrefix("-l") }
    let options = flags.filter { !$0.hasPrefix("-l") } + definitions.map { "-D" + $0 }
    let errors = try run(try #require(Self.compiler, Self.noCompiler), arguments + options + [sourceFile] + libraries)
    guard errors.isEmpty, FileManager.default.fileExists(atPath: output) else { throw CompileError(words: errors) }
    return output
  }

  struct CompileError: Error { let words: String }

  /// Standard output and standard error of a program.
  @discardableResult
  func run(_ program: String, _ arguments: [String]) throws -> String {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.environment = ["LC_ALL": "C", "PATH": "/usr/bin:/bin"]
    process.currentDirectoryURL = URL(filePath: path)
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return String(decoding: output, as: UTF8.self)
  }

  /// A plugin with one handler, `test/say`, each part of which a definition can break.
  static let template = #"""
    #include <millrace/plugin.h>
    #include <stdio.h>
    #include <string.h>
    #ifndef SAYS
    #define SAYS "one"
    #endif
    #ifndef PLUGIN_SIZE
    #define PLUGIN_SIZE sizeof(millrace_plugin)
    #endif
    #ifndef ABI
    #define ABI MILLRACE_ABI_VERSION
    #endif
    #ifndef NAME
    #define NAME "test"
    #endif
    #ifndef VERSION
    #define VERSION "1.2.3"
    #endif
    #ifndef SUMMARY
    #define SUMMARY "says a word"
    #endif
    #ifndef FLAGS
    #define FLAGS 0
    #endif
    #ifndef HANDLER_SIZE
    #define HANDLER_SIZE sizeof(millrace_handler)
    #endif
    #ifndef HANDLER
    #define HANDLER "say"
    #endif
    #ifndef SECOND
    #define SECOND "ask"
    #endif
    #ifndef HANDLER_FLAGS
    #define HANDLER_FLAGS MILLRACE_BLOCKING
    #endif
    #ifndef SCHEMA
    #define SCHEMA "{\"type\":\"null\"}"
    #endif
    #ifndef OUTPUT_SCHEMA
    #define OUTPUT_SCHEMA "{\"type\":\"string\"}"
    #endif
    #ifndef CONFIGURATION
    #define CONFIGURATION "{\"type\":\"object\"}"
    #endif
    #ifndef RUN
    #define RUN run
    #endif
    #ifndef HANDLERS
    #define HANDLERS handlers
    #endif
    #ifndef COUNT
    #define COUNT 2
    #endif
    #ifndef INIT_RESULT
    #define INIT_RESULT 0
    #endif
    #ifndef INIT_REASON
    #define INIT_REASON ""
    #endif
    #ifndef ENTRY
    #define ENTRY millrace_plugin_entry
    #endif

    static const millrace_host *host;

    static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      void *bytes = call->host->claim(call->attempt, sizeof SAYS - 1, MILLRACE_TEXT, &outcome->output);
      if (!bytes) return outcome->status = MILLRACE_FAILED;
      memcpy(bytes, SAYS, sizeof SAYS - 1);
      return outcome->status = MILLRACE_DONE;
    }

    static const millrace_handler say = {.size = HANDLER_SIZE, .flags = HANDLER_FLAGS, .name = HANDLER, .summary = "says it",
                                         .input_schema = SCHEMA, .output_schema = OUTPUT_SCHEMA, .concurrency = 3, .run = RUN};
    static const millrace_handler ask = {.size = sizeof(millrace_handler), .name = SECOND, .summary = "asks", .run = run};
    static const millrace_handler *const handlers[] = {&say, &ask, NULL};

    static int32_t init(const millrace_host *given, char *message, size_t capacity) {
      host = given;
      host->log(host, MILLRACE_LOG_NOTICE, "init " SAYS);
      snprintf(message, capacity, "%s", INIT_REASON);
      return INIT_RESULT;
    }

    #ifdef BATCHES
    #ifndef BATCH_SIZE
    #define BATCH_SIZE sizeof(millrace_batch)
    #endif
    #ifndef BATCH_COUNT
    #define BATCH_COUNT 1
    #endif
    #ifndef BATCH_NAME
    #define BATCH_NAME "ask"
    #endif
    #ifndef BATCH_MOST
    #define BATCH_MOST 256
    #endif
    #ifndef BATCH_RUN
    #define BATCH_RUN several
    #endif
    static void several(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
      for (uint32_t i = 0; i < count; i++) outcomes[i]->status = run(context, calls[i], outcomes[i]);
    }
    static void (*volatile keeps)(void *, const millrace_call *const *, millrace_outcome *const *, uint32_t) = several;
    static const millrace_batch_handler one = {.size = sizeof one, .most = BATCH_MOST, .name = BATCH_NAME, .run = BATCH_RUN};
    static const millrace_batch_handler two = {.size = sizeof two - 1, .most = 2, .name = "say", .run = several};
    static const millrace_batch_handler *const batched[] = {&one, BATCHES};
    static const millrace_batch batch = {.size = BATCH_SIZE, .handler_count = BATCH_COUNT, .handlers = batched};
    static const void *extension(const char *id) { return strcmp(id, MILLRACE_BATCH) == 0 && two.most && keeps ? &batch : NULL; }
    #define EXTENSION extension
    #else
    #define EXTENSION NULL
    #endif

    static void deinit(void) { host->log(host, MILLRACE_LOG_NOTICE, "deinit " SAYS); }

    static const millrace_plugin plugin = {.size = PLUGIN_SIZE, .abi_version = ABI, .name = NAME, .version = VERSION, .summary = SUMMARY,
                                           .configuration_schema = CONFIGURATION, .init = init, .deinit = deinit, .extension = EXTENSION, .handlers = HANDLERS, .handler_count = COUNT, .flags = FLAGS};

    #ifndef RETURNS
    #define RETURNS &plugin
    #endif
    #ifndef MANIFEST
    #define MANIFEST MILLRACE_MANIFEST();
    #endif
    MANIFEST
    MILLRACE_EXPORT const millrace_plugin *ENTRY(uint32_t version);
    const millrace_plugin *ENTRY(uint32_t version) {
      (void)version;
      return RETURNS;
    }
    """#
}
