import Foundation
import Millrace
import Testing

/// `plugin abi-diff`: two builds of a plugin, and what of their differences breaks.
@Suite(.timeLimit(.minutes(5))) struct CommandPluginDiffTests {
  private static let compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"].first { FileManager.default.isExecutableFile(atPath: $0) }
  private static let source = #"""
    #include <millrace/plugin.h>
    #ifndef NAME
    #define NAME "mine"
    #endif
    #ifndef FIRST
    #define FIRST "first"
    #endif
    #ifndef FLAGS
    #define FLAGS MILLRACE_EXCLUSIVE
    #endif
    #ifndef INPUT
    #define INPUT "{\"type\":\"object\",\"required\":[\"a\"]}"
    #endif
    #ifndef OUTPUT
    #define OUTPUT "{\"type\":\"object\",\"required\":[\"b\"]}"
    #endif
    #ifndef COUNT
    #define COUNT 2
    #endif
    static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context, (void)call, (void)outcome;
      return MILLRACE_DONE;
    }
    static const millrace_handler first = {
        .size = sizeof first, .name = FIRST, .summary = "one", .flags = FLAGS, .input_schema = INPUT, .output_schema = OUTPUT, .run = run};
    static const millrace_handler second = {.size = sizeof second, .name = "second", .summary = "two", .run = run};
    static const millrace_handler third = {.size = sizeof third, .name = "third", .summary = "three", .run = run};
    static const millrace_handler *const handlers[] = {&first, &second, &third};
    static const millrace_plugin plugin = {.size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = NAME, .version = "1", .summary = "s",
                                           .handlers = handlers, .handler_count = COUNT};
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#

  private func build(_ command: Command, _ name: String, _ definitions: [String] = []) throws -> String {
    try command.write("plugin.c", Self.source)
    let process = Process()
    process.executableURL = URL(filePath: try #require(Self.compiler, "no C compiler in /usr/bin: apt-get install gcc"))
    let headers = Command.packageRoot.appending(path: "Sources/CMillrace/include").path
    process.arguments =
      ["-shared", "-fPIC", "-I", headers, "-o", command.file(name), command.file("plugin.c")] + definitions.map { "-D" + $0 }
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return command.file(name)
  }

  @Test("a build that differs in nothing, or in what breaks nobody, ends with 0, and tells each difference") func compatible() throws {
    let command = try Command()
    let old = try build(command, "old.so")
    let same = try command.run("plugin", "abi-diff", old, old)
    #expect(same.exit == 0 && same.output == "0 differences, 0 of them breaking\n" && same.errors.isEmpty)
    let new = try build(
      command, "new.so",
      [
        "COUNT=3", "FLAGS=MILLRACE_EXCLUSIVE|MILLRACE_BLOCKING", #"INPUT="{\"type\":\"object\"}""#,
        #"OUTPUT="{\"type\":\"object\",\"required\":[\"b\",\"c\"]}""#,
      ])
    let ending = try command.run("plugin", "abi-diff", old, new)
    #expect(ending.exit == 0)
    #expect(
      ending.output == """
        compatible  handler mine/first: is blocking: it runs in the pool for that
        compatible  handler mine/first: takes all that it took as input
        compatible  handler mine/first: its output is as it was, or more is said of it
        compatible  handler mine/third: is new
        4 differences, 0 of them breaking

        """)
  }

  @Test(
    "what breaks is told, and the command ends with 1",
    arguments: [
      (["COUNT=1"], "handler mine/second", "is gone"),
      ([#"FIRST="other""#], "handler mine/first", "is called other now"),
      ([#"NAME="ours""#], "plugin", "is called ours, it was mine: definitions name its handlers by that"),
      (["FLAGS=0"], "handler mine/first", "is no longer exclusive: an attempt may overlap late code of an earlier one"),
      ([#"INPUT="{\"type\":\"object\",\"required\":[\"a\",\"x\"]}""#], "handler mine/first", "its input: 'x' is required"),
      (["OUTPUT=NULL"], "handler mine/first", "may give an output that it did not give before (by the old schema 'b' is required)"),
      ([#"INPUT="{""#], "handler mine/first", "the schema of its input changed, and one of the two is no JSON"),
    ])
  func breaking(_ definitions: [String], _ subject: String, _ what: String) throws {
    let command = try Command()
    let ending = try command.run("plugin", "abi-diff", build(command, "old.so"), build(command, "new.so", definitions), "-o", "json")
    #expect(ending.exit == 1)
    let result = try ending.object()
    let differences = result["differences"]?.array ?? []
    #expect(
      result["breaking"] == true && differences.contains(["breaking": true, "subject": .string(subject), "what": .string(what)]),
      "\(ending.output)")
    #expect(differences.count { $0["breaking"] == true } == 1)
  }

  @Test("another layout breaks even where this host cannot load it; what cannot be read as a plugin ends with 65") func layouts() throws {
    let command = try Command()
    let old = try build(command, "old.so")
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: old)))
    let name = Array("host.log".utf8) + [0]
    let entry = try #require(bytes.indices.first { bytes[$0...].starts(with: name) })
    bytes[entry + 40] += 8
    try Data(bytes).write(to: URL(filePath: command.file("moved.so")))
    let moved = try command.run("plugin", "abi-diff", old, command.file("moved.so"))
    #expect(moved.exit == 1)
    #expect(
      moved.output.hasPrefix("breaking    field host.log: is at byte 56 with 8 bytes, it was at byte 48 with 8 bytes\n"), "\(moved.output)")
    #expect(
      moved.errors.hasPrefix(
        "millrace: what they describe was not compared: plugin \(command.file("moved.so")): it was compiled with host.log"))
    try command.write("text.so", "no plugin")
    for pair in [
      [old, command.file("text.so")], [command.file("text.so"), old], [old, command.file("absent.so")], [command.folder, old],
    ] {
      let ending = try command.run("plugin", "abi-diff", pair[0], pair[1])
      #expect(ending.exit == 65 && ending.output.isEmpty && ending.errors.hasPrefix("millrace: plugin "), "\(ending.errors)")
    }
    #expect(try command.run("plugin", "abi-diff", old).exit == 64)
  }
}
