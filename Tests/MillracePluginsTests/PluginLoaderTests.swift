import CMillrace
import Foundation
import Testing

@testable import MillracePlugins

@Suite struct PluginLoaderTests {
  @Test(
    "a plugin in C is loaded, described, run and unloaded, with init and deinit once each",
    .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func loads() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let path = try workshop.plugin()
    let plugin = try loader.load(path)
    #expect(plugin.name == "test" && plugin.version == "1.2.3" && plugin.summary == "says a word" && plugin.path == path)
    #expect(plugin.sha256 == (try workshop.run("/usr/bin/sha256sum", [path])).prefix(64))
    #expect(plugin.handlers.map(\.qualifiedName) == ["test/say", "test/ask"])
    let say = try #require(plugin.handlers.first)
    #expect(say.flags == UInt32(MILLRACE_BLOCKING) && say.concurrency == 3 && say.summary == "says it")
    #expect(say.inputSchema == #"{"type":"null"}"# && plugin.handlers[1].inputSchema == nil)
    #expect(
      say.outputSchema == #"{"type":"string"}"# && plugin.handlers[1].outputSchema == nil
        && plugin.configurationSchema == #"{"type":"object"}"#)
    let outcome = unsafe host.run(say.pointer, TestAttempt(host))
    #expect(outcome.status == UInt32(MILLRACE_DONE) && outcome.text == "one")

    let copy = plugin.object.mappedPath
    let inode = try #require(status(of: copy)).st_ino
    #expect(try mappedInodes().contains(inode))
    plugin.unload()
    plugin.unload()
    #expect(host.lines == ["1 init one", "1 deinit one"])
    #expect(loader.plugins.isEmpty && !plugin.isLoaded && !plugin.stays)
    #expect(try !mappedInodes().contains(inode), "the code is unmapped")
    #expect(status(of: copy)?.st_ino != inode, "the private copy is closed")
    host.end()
  }

  @Test(
    "the file may change or vanish after loading; loaded again, its new bytes are another build",
    .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func replaces() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let path = try workshop.plugin()
    let first = try loader.load(path)
    let second = try Data(contentsOf: URL(filePath: workshop.plugin("second.so", [#"SAYS="two""#])))
    // Into the same inode: a library that was mapped from it would break now.
    let handle = try FileHandle(forWritingTo: URL(filePath: path))
    try handle.truncate(atOffset: 0)
    try handle.write(contentsOf: second)
    try handle.close()
    #expect(unsafe host.run(first.handlers[0].pointer, TestAttempt(host)).text == "one")

    #expect { try loader.load(path) } throws: { error in
      "\(error)".contains("handler test/say is offered by \(path) (build ") && "\(error)".contains("build \(first.sha256.prefix(12)))")
    }
    first.unload()
    let again = try loader.load(path)
    #expect(again.sha256 != first.sha256)
    #expect(unsafe host.run(again.handlers[0].pointer, TestAttempt(host)).text == "two")
    try FileManager.default.removeItem(atPath: path)
    #expect(unsafe host.run(again.handlers[0].pointer, TestAttempt(host)).text == "two")
    loader.unloadAll()
    #expect(!again.isLoaded)
    host.end()
  }

  @Test(
    "a plugin that says it stays is not unmapped, and its path is not given to another",
    .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func stays() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let first = try loader.load(try workshop.plugin("a.so", ["FLAGS=MILLRACE_PLUGIN_STAYS"]))
    let inode = try #require(status(of: first.object.mappedPath)).st_ino
    first.unload()
    #expect(first.stays)
    #expect(try mappedInodes().contains(inode))
    let second = try loader.load(try workshop.plugin("b.so", ["FLAGS=MILLRACE_PLUGIN_STAYS", #"SAYS="two""#]))
    #expect(second.object.mappedPath != first.object.mappedPath)
    #expect(unsafe host.run(second.handlers[0].pointer, TestAttempt(host)).text == "two")
    loader.unloadAll()
    host.end()
  }

  @Test("a symbolic link to a plugin is followed", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func followsLinks() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let path = try workshop.plugin()
    let link = workshop.file("link.so")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
    #expect(try loader.load(link).path == link)
    loader.unloadAll()
    host.end()
  }

  @Test("two plugins of one name are fine as long as their handlers differ", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func sharesName() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    _ = try loader.load(try workshop.plugin("a.so"))
    _ = try loader.load(try workshop.plugin("b.so", [#"HANDLER="shout""#, #"SECOND="whisper""#]))
    #expect(loader.plugins.flatMap(\.handlers).map(\.qualifiedName) == ["test/say", "test/ask", "test/shout", "test/whisper"])
    loader.unloadAll()
    host.end()
  }

  @Test(
    "what is refused after init is given its deinit; the others stay loaded", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler))
  func deinitializesRefused() throws {
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let good = try workshop.plugin("libmillrace-plugin-a.so")
    _ = try workshop.plugin("libmillrace-plugin-b.so", [#"SAYS="two""#])
    try workshop.write("libmillrace-plugin-c.so", "text".utf8)
    try workshop.write("other.so", "text".utf8)
    let refused = try loader.loadAll(PluginSearch(paths: [workshop.path]))
    #expect(loader.plugins.map(\.path) == [good])
    #expect(refused.map(\.path) == [workshop.file("libmillrace-plugin-b.so"), workshop.file("libmillrace-plugin-c.so")])
    #expect(host.lines == ["1 init one", "1 init two", "1 deinit two"])
    loader.unloadAll()
    host.end()
  }

  @Test(
    "the plugins in docs/plugins.md compile without a warning, load and greet", .enabled(if: Workshop.compiler != nil, Workshop.noCompiler),
    arguments: [("c", ["-std=c11"]), ("cpp", ["-x", "c++", "-std=c++17", "-lstdc++"])])
  func documented(_ language: String, _ flags: [String]) throws {
    let article = try String(contentsOf: Workshop.packageRoot.appending(path: "docs/plugins.md"), encoding: .utf8)
    let begin = try #require(article.range(of: "```\(language)\n"))
    let end = try #require(article.range(of: "\n```", range: begin.upperBound..<article.endIndex))
    let workshop = try Workshop()
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    let strict = ["-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    let plugin = try loader.load(
      try workshop.plugin("hello.so", source: String(article[begin.upperBound..<end.lowerBound]) + "\n", flags: strict + flags))
    #expect(plugin.handlers.map(\.qualifiedName) == ["hello/greet"])
    #expect(unsafe host.run(plugin.handlers[0].pointer, TestAttempt(host, json: "world")).text == "hello, world")
    loader.unloadAll()
    host.end()
  }

  private func mappedInodes() throws -> Set<ino_t> {
    // Files of /proc say that they are empty: read until the end.
    let maps = try FileHandle(forReadingFrom: URL(filePath: "/proc/self/maps")).readToEnd() ?? Data()
    let lines = String(decoding: maps, as: UTF8.self).split(separator: "\n")
    return Set(lines.compactMap { ino_t($0.split(separator: " ", omittingEmptySubsequences: true)[4]) })
  }
}
