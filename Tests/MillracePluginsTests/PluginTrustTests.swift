import Foundation
import Testing

@testable import MillracePlugins

/// Who may write a plugin. By modes and owners, which hold for root as well.
@Suite(.enabled(if: Workshop.compiler != nil, Workshop.noCompiler)) struct PluginTrustTests {
  private static let nobody: uid_t = 65_534
  private static let needsRoot: Comment = "only root can give files away"

  private func refusal(_ path: String) -> PluginError? {
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table)
    defer {
      loader.unloadAll()
      host.end()
    }
    do throws(PluginError) {
      _ = try loader.load(path)
      return nil
    } catch {
      return error
    }
  }

  private func chmod(_ path: String, _ mode: mode_t) { unsafe #expect(Foundation.chmod(path, mode) == 0) }
  private func give(_ path: String) { unsafe #expect(chown(path, Self.nobody, gid_t.max) == 0) }

  @Test("a file that anybody may write is refused") func file() throws {
    let workshop = try Workshop()
    let path = try workshop.plugin()
    chmod(path, 0o757)
    #expect(refusal(path) == .writableByOthers(path: path, offender: path))
    chmod(path, 0o775)
    #expect(refusal(path) == nil, "the group may")
  }

  @Test("a directory that anybody may write is refused, on every level, unless it is sticky") func directories() throws {
    let workshop = try Workshop()
    let built = try Data(contentsOf: URL(filePath: workshop.plugin()))
    let path = try workshop.write("a/b/c/plugin.so", built)
    #expect(refusal(path) == nil)
    for directory in ["a", "a/b", "a/b/c"].map(workshop.file) {
      chmod(directory, 0o777)
      #expect(refusal(path) == .writableByOthers(path: path, offender: directory))
      chmod(directory, 0o1777)
      #expect(refusal(path) == nil)
      chmod(directory, 0o755)
    }
  }

  @Test("both the way of a link and the way of its target are looked at") func links() throws {
    let workshop = try Workshop()
    let built = try Data(contentsOf: URL(filePath: workshop.plugin()))
    let target = try workshop.write("target/plugin.so", built)
    let link = try workshop.write("links/other", []).replacing("other", with: "link.so")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
    for directory in ["target", "links"].map(workshop.file) {
      chmod(directory, 0o777)
      let error = refusal(link)
      #expect(error == .writableByOthers(path: link, offender: directory))
      #expect(error?.description.hasPrefix("plugin \(link): anybody may write \(directory); chmod o-w \(directory)") == true)
      chmod(directory, 0o755)
    }
  }

  @Test("a file or directory of a stranger is refused", .enabled(if: geteuid() == 0, needsRoot)) func owners() throws {
    let workshop = try Workshop()
    let built = try Data(contentsOf: URL(filePath: workshop.plugin()))
    let path = try workshop.write("a/plugin.so", built)
    give(path)
    let error = refusal(path)
    #expect(error == .foreignOwner(path: path, offender: path, owner: Self.nobody))
    #expect(error?.description.contains("belongs to user 65534, who is neither root nor the user of this process; chown") == true)
    let other = try workshop.write("b/plugin.so", built)
    give(workshop.file("b"))
    #expect(refusal(other) == .foreignOwner(path: other, offender: workshop.file("b"), owner: Self.nobody))
  }
}
