import CMillrace
import Foundation
import Testing

@testable import MillracePlugins

/// Each kind of broken file has its message, and none harms the process.
@Suite struct BrokenPluginTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let message: String
    let make: @Sendable (Workshop) throws -> String

    init(_ description: String, _ message: String, _ make: @escaping @Sendable (Workshop) throws -> String) {
      testDescription = description
      self.message = message
      self.make = make
    }

    init(_ description: String, defining definitions: String..., says message: String) {
      self.init(description, message) { try $0.plugin("broken.so", definitions) }
    }
  }

  static let cases: [Case] = [
    // The path.
    Case("absent", "there is no such file; check the path") { $0.file("absent.so") },
    Case("below a file", "there is no such file; check the path") { try $0.write("file", []) + "/plugin.so" },
    Case("a directory", "it cannot be read: it is a directory; name a regular file") { $0.path },
    Case("a pipe", "it cannot be read: it is a pipe, not a regular file") { workshop in
      // A path of our own.
      #expect(unsafe mkfifo(workshop.file("pipe.so"), 0o600) == 0)
      return workshop.file("pipe.so")
    },
    Case("a device", "it cannot be read: it is a device, not a regular file") { _ in "/dev/null" },
    Case("a ring of links", "it cannot be read: Too many levels of symbolic links") { workshop in
      try FileManager.default.createSymbolicLink(atPath: workshop.file("ring.so"), withDestinationPath: workshop.file("ring.so"))
      return workshop.file("ring.so")
    },
    // The file.
    Case("empty", "it is not an ELF shared object: it is empty; name the .so file") { try $0.write("broken.so", []) },
    Case("text", "it is not an ELF shared object: it begins with the bytes 23 21 2f 62") { try $0.write("broken.so", "#!/bin/sh\n".utf8) },
    Case("three bytes", "it is truncated: the ELF header ends at byte 64, the file has 3; copy or build it again") {
      try $0.write("broken.so", [0x7f, 0x45, 0x4c])
    },
    Case("an object file", "it is an ELF object file, not a shared object; link it with -shared -fPIC") {
      try $0.plugin("broken.so", flags: ["-c"])
    },
    Case("half of it", "it is truncated: segment ") { workshop in
      let bytes = try Data(contentsOf: URL(filePath: workshop.plugin()))
      return try workshop.write("broken.so", bytes.prefix(bytes.count / 2))
    },
    Case("for another processor", "it is built for S/390 (64-bit, little-endian), this host is ") { try $0.patched { $0[18] = 22 } },
    Case("for 32 bits", "it is built for x86-64 (32-bit, little-endian), this host is ") {
      try $0.patched { ($0[4], $0[18], $0[19]) = (1, 62, 0) }
    },
    Case("big-endian", "it is built for S/390 (64-bit, big-endian), this host is ") {
      try $0.patched { ($0[5], $0[18], $0[19]) = (2, 0, 22) }
    },
    Case("program headers beyond the file", "it is truncated: the program header table ends at byte") { try $0.patched { $0[34] = 0xff } },
    Case("70 bytes a program header", "its ELF headers are damaged: a program header has 70 bytes instead of 56; build it again") {
      try $0.patched { $0[54] = 70 }
    },
    Case("40,000 program headers", "its ELF headers are damaged: 40000 program headers, the limit is 128") {
      try $0.patched { ($0[56], $0[57]) = (0x40, 0x9c) }
    },
    // The manifest.
    Case(
      "no manifest, as in version 0", defining: "MANIFEST=", "ABI=0",
      says:
        "it has no manifest, the section .millrace: it was built for version 0 of the plugin interface, or without one; put MILLRACE_MANIFEST();"
    ),
    Case("two manifests", "its manifest, the section .millrace, says that it has \(MemoryLayout<millrace_manifest>.size) bytes, and has ") {
      workshop in
      let second = try workshop.write("second.c", "#include <millrace/plugin.h>\nMILLRACE_MANIFEST();\n".utf8)
      return try workshop.plugin("broken.so", flags: [second])
    },
    Case("a manifest that is none", "its manifest, the section .millrace, does not begin with MILLRACE; put MILLRACE_MANIFEST();") {
      try $0.manifested { $0[0] = UInt8(ascii: "m") }
    },
    Case("a manifest of later times", "its manifest, the section .millrace, has version 2, this host reads 1") {
      try $0.manifested { $0[12] = 2 }
    },
    Case("a manifest of another interface", "it is built for plugin interface 2, this host has 1; build it against") {
      try $0.manifested { $0[16] = 2 }
    },
    Case(
      "a manifest with too many entries",
      "its manifest, the section .millrace, has 600 entries in \(MemoryLayout<millrace_manifest>.size) bytes"
    ) {
      try $0.manifested { ($0[20], $0[21]) = (0x58, 2) }
    },
    Case("a manifest with a name of another kind", "its manifest, the section .millrace, has no name in entry 0") {
      try $0.manifested { $0[24] = UInt8(ascii: "P") }
    },
    Case(
      "a field in another place",
      "it was compiled with host.log at byte 56 with 8 bytes, this host has it at byte 48 with 8 bytes; build it against this host's"
    ) {
      try $0.manifested { manifest in
        let name = Array("host.log\0".utf8)
        let entry = manifest.indices.first { manifest[$0...].starts(with: name) }
        if let entry { manifest[entry + 40] += 8 }
      }
    },
    // The linker.
    Case("a symbol that nobody has", "it needs the symbol no_such_function, which no library offers; link the library") {
      try $0.plugin("broken.so", source: Workshop.template + "\nvoid no_such_function(void); void (*pointer)(void) = no_such_function;")
    },
    Case("a library that is gone", "it needs the library libgone.so, which was not found; install it") { workshop in
      let gone = try workshop.plugin("libgone.so", source: "int gone(void) { return 1; }")
      let path = try workshop.plugin(
        "broken.so", source: Workshop.template + "\nint gone(void); int (*pointer)(void) = gone;", flags: ["-L", workshop.path, "-lgone"])
      try FileManager.default.removeItem(atPath: gone)
      return path
    },
    Case("no entry", defining: "ENTRY=other_entry", says: "it does not export millrace_plugin_entry; export it"),
    // The description.
    Case("NULL from the entry", defining: "RETURNS=NULL", says: "its entry returned NULL: it does not work with plugin interface 1"),
    Case("another interface", defining: "ABI=7", says: "it is built for plugin interface 7, this host has 1; build it against this host's"),
    Case(
      "version 0, with a manifest", defining: "ABI=0", says: "it is built for plugin interface 0, this host has 1; build it against this"),
    Case("a size of 4", defining: "PLUGIN_SIZE=4", says: "its description is malformed: size is 4; correct the description"),
    Case("a size too small", defining: "PLUGIN_SIZE=72", says: "its description is malformed: size is 72, expected 80 or more"),
    Case("no name", defining: "NAME=NULL", says: "its description is malformed: name is NULL"),
    Case("an empty name", defining: "NAME=\"\"", says: "its description is malformed: name is \"\", expected [a-z0-9-]{1,127}"),
    Case("capitals in the name", defining: "NAME=\"Test\"", says: "its description is malformed: name is \"Test\", expected"),
    Case(
      "a long name", defining: "NAME=\"\(String(repeating: "a", count: 128))\"",
      says: "its description is malformed: name has more than 127 bytes"),
    Case("a version that is not UTF-8", defining: #"VERSION="\xff""#, says: "its description is malformed: version is not UTF-8"),
    Case("no summary", defining: "SUMMARY=NULL", says: "its description is malformed: summary is NULL"),
    Case("unknown flags", defining: "FLAGS=6", says: "its description is malformed: flags has unknown bits: 0x6"),
    Case(
      "batches of a small table", defining: "BATCHES=NULL", "BATCH_SIZE=8",
      says: "its description is malformed: millrace.batch/1.size is 8, expected 16 or more"),
    Case(
      "batches of no handler", defining: "BATCHES=NULL", "BATCH_COUNT=0",
      says: "its description is malformed: millrace.batch/1.handler_count is 0, expected 1 to the plugin's 2"),
    Case(
      "batches of three handlers", defining: "BATCHES=NULL", "BATCH_COUNT=3",
      says: "its description is malformed: millrace.batch/1.handler_count is 3, expected 1 to"),
    Case(
      "a batch that is NULL", defining: "BATCHES=NULL", "BATCH_COUNT=2",
      says: "its description is malformed: millrace.batch/1.handlers[1] is NULL"),
    Case(
      "a small batch", defining: "BATCHES=&two", "BATCH_COUNT=2",
      says: "its description is malformed: millrace.batch/1.handlers[1].size is 31, expected 32 or more"),
    Case(
      "a batch of an unknown handler", defining: "BATCHES=NULL", "BATCH_NAME=\"shout\"",
      says: "its description is malformed: millrace.batch/1.handlers[0].name is test/shout, which is none of the plugin's handlers"),
    Case(
      "two batches of a handler", defining: "BATCHES=&one", "BATCH_COUNT=2",
      says: "its description is malformed: millrace.batch/1.handlers[1].name is test/ask a second time"),
    Case(
      "a batch of an exclusive handler", defining: "BATCHES=NULL", "BATCH_NAME=\"say\"", "HANDLER_FLAGS=MILLRACE_EXCLUSIVE",
      says: "its description is malformed: millrace.batch/1.handlers[0].name is test/say, which is MILLRACE_EXCLUSIVE"),
    Case(
      "a batch of one attempt", defining: "BATCHES=NULL", "BATCH_MOST=1",
      says: "its description is malformed: millrace.batch/1.handlers[0].most is 1, expected 2 to 256"),
    Case(
      "a batch of 257 attempts", defining: "BATCHES=NULL", "BATCH_MOST=257",
      says: "its description is malformed: millrace.batch/1.handlers[0].most is 257, expected 2 to 256"),
    Case(
      "a batch without run", defining: "BATCHES=NULL", "BATCH_RUN=NULL",
      says: "its description is malformed: millrace.batch/1.handlers[0].run is NULL"),
    Case("no handlers", defining: "COUNT=0", says: "its description is malformed: handler_count is 0, expected 1 to 1024"),
    Case("1,025 handlers", defining: "COUNT=1025", says: "its description is malformed: handler_count is 1025, expected 1 to 1024"),
    Case("no table of handlers", defining: "HANDLERS=NULL", says: "its description is malformed: handlers is NULL"),
    Case("a handler that is NULL", defining: "COUNT=3", says: "its description is malformed: handlers[2] is NULL"),
    Case("a small handler", defining: "HANDLER_SIZE=56", says: "its description is malformed: handlers[0].size is 56, expected 64 or more"),
    Case(
      "a handler with a slash", defining: "HANDLER=\"a/b\"", says: "its description is malformed: handlers[0].name is \"a/b\", expected"),
    Case(
      "an output schema that is not UTF-8", defining: #"OUTPUT_SCHEMA="\xff""#,
      says: "its description is malformed: handlers[0].output_schema is not UTF-8"),
    Case(
      "a configuration schema that is not UTF-8", defining: #"CONFIGURATION="\xff""#,
      says: "its description is malformed: configuration_schema is not UTF-8"),
    Case("a handler without run", defining: "RUN=NULL", says: "its description is malformed: handlers[0].run is NULL"),
    Case(
      "a handler with unknown flags", defining: "HANDLER_FLAGS=9",
      says: "its description is malformed: handlers[0].flags has unknown bits: 0x8"),
    Case("a handler twice", defining: "SECOND=\"say\"", says: "its description is malformed: handlers[1].name is test/say a second time"),
    Case(
      "a failed init", defining: "INIT_RESULT=3", "INIT_REASON=\"no disk\"",
      says: "init of test 1.2.3 failed: no disk; see the documentation"),
    Case("a failed init without words", defining: "INIT_RESULT=3", says: "init of test 1.2.3 failed: it returned 3 and gave no reason"),
  ]

  @Test("a broken plugin is refused with its own message", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler), arguments: cases)
  func refuses(_ broken: Case) throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let path = try broken.make(workshop)
    let error = #expect(throws: PluginError.self) { try loader.load(path) }
    #expect(error?.description.hasPrefix("plugin \(path): \(broken.message)") == true, "\(String(describing: error))")
    #expect(error?.path == path && loader.plugins.isEmpty)
    host.end()
  }

  @Test("every case has a message of its own") func distinctMessages() {
    #expect(Set(Self.cases.map(\.message)).count >= Self.cases.count - 1, "only the two kinds of absence say the same")
  }

  @Test("a file above the limit is refused with both sizes") func tooLarge() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table, fileLimit: 1_000)
    let path = try workshop.write("large.so", Data(count: 1_001))
    #expect(throws: PluginError.tooLarge(path: path, bytes: 1_001, limit: 1_000)) { try loader.load(path) }
    host.end()
  }

  @Test(
    "the same file twice is a duplicate handler, and the message names both", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func twice() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let path = try workshop.plugin()
    let other = workshop.file("copy.so")
    try FileManager.default.copyItem(atPath: path, toPath: other)
    let plugin = try loader.load(path)
    let duplicate = PluginError.duplicateHandler(
      path: other, handler: "test/say", build: plugin.sha256, other: path, otherBuild: plugin.sha256)
    #expect(throws: duplicate) { try loader.load(other) }
    #expect(duplicate.description.contains(path) && duplicate.description.contains(other))
    loader.unloadAll()
    host.end()
  }

  @Test("a plugin cut off anywhere is refused and does not kill the process", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func truncated() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    var wholes = [try Data(contentsOf: URL(filePath: workshop.plugin()))]
    if let swift = try? Data(contentsOf: URL(filePath: Workshop.filesPlugin)) { wholes.append(swift) }
    for whole in wholes {
      let lengths = Array(0..<70) + (0..<150).map { 70 + (whole.count - 71) * $0 / 149 }
      for length in lengths {
        let path = try workshop.write("cut.so", whole.prefix(length))
        let error = #expect(throws: PluginError.self) { try loader.load(path) }
        switch error {
        case .truncated, .notELF: break
        default: Issue.record("\(length) bytes: \(String(describing: error))")
        }
      }
    }
    host.end()
  }

  @Test("without section headers a cut shows in the segments", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func truncatedWithoutSections() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    var whole = try Data(contentsOf: URL(filePath: workshop.plugin()))
    for index in Array(40..<48) + Array(58..<64) { whole[index] = 0 }
    var (refused, taken) = (0, 0)
    for step in 0...200 {
      let cut = whole.prefix(whole.count * step / 200)
      do throws(PluginError) {
        let file = try ObjectFile(checking: ArrayBytes(bytes: [UInt8](cut)), path: "cut.so")
        #expect(file.mustStay && file.manifest == nil, "nobody can tell what is inside")
        taken += 1
      } catch {
        refused += 1
      }
    }
    #expect(refused > 100 && taken > 0, "only what lies behind the last segment may be missing")
    let path = try workshop.write("whole.so", whole)
    #expect(throws: PluginError.missingManifest(path: path)) { try loader.load(path) }
    host.end()
  }

  @Test("damaged headers never crash the check", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler)) func flips() throws {
    let workshop = try Workshop()
    let whole = [UInt8](try Data(contentsOf: URL(filePath: workshop.plugin())))
    let programHeaders = 64..<(64 + Int(whole[56]) * 56)
    let sectionStart = Int(whole.integer(at: 40, as: UInt64.self))
    let places = Array(0..<64) + Array(programHeaders) + Array(sectionStart..<whole.count)
    var random = SplitMix(state: 20_260_101)
    var refused = 0
    for _ in 0..<5_000 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[places.randomElement(using: &random)!] ^= UInt8.random(in: 1...255, using: &random)
      }
      do throws(PluginError) {
        _ = try ObjectFile(checking: ArrayBytes(bytes: bytes), path: "flipped.so")
      } catch {
        refused += 1
      }
    }
    #expect(refused > 1_000 && refused < 5_000)
  }
}

struct ArrayBytes: ObjectBytes {
  let bytes: [UInt8]
  var size: UInt64 { UInt64(bytes.count) }

  func read(at offset: UInt64, count: Int) -> [UInt8]? {
    // Out of range would trap here: the reader must have checked.
    Array(bytes[Int(offset)..<Int(offset) + count])
  }
}

/// Steele, Lea, Flood 2014.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

extension Workshop {
  /// A good plugin with some bytes of its manifest changed.
  fileprivate func manifested(_ change: (inout ArraySlice<UInt8>) -> Void) throws -> String {
    try patched { bytes in
      guard let start = bytes.indices.first(where: { bytes[$0...].starts(with: "MILLRACE".utf8) }) else { return }
      var manifest = ArraySlice(Array(bytes[start..<start + MemoryLayout<millrace_manifest>.size]))
      change(&manifest)
      bytes.replaceSubrange(start..<start + manifest.count, with: manifest)
    }
  }

  /// A good plugin with some bytes changed.
  fileprivate func patched(_ change: (inout [UInt8]) -> Void) throws -> String {
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: plugin())))
    change(&bytes)
    return try write("broken.so", bytes)
  }
}
