import Foundation
import MillracePlugins
import Testing

@testable import Millrace

/// Builds whose code can never be unmapped. Of the process, so in one test.
@Suite(.timeLimit(.minutes(5))) struct SwapSwiftTests {
  private static let plugin = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent()
    .appending(path: "libmillrace-plugin-files.so").path

  @Test(
    "16 builds of Swift plugins are swapped in, each of which stays mapped; the 17th is refused, with what to do",
    .enabled(if: FileManager.default.fileExists(atPath: plugin)))
  func stays() throws {
    let folder = try Folder()
    var configuration = Engine.Configuration()
    (configuration.slots, configuration.threads, configuration.capacity) = (2, 1, 10_000)
    configuration.plugins = PluginSearch(paths: [SwapSwiftTests.plugin])
    let engine = try Engine(configuration)
    let bytes = try Data(contentsOf: URL(filePath: SwapSwiftTests.plugin))
    let path = folder.path + "/libmillrace-plugin-files.so"
    for number in 0..<17 {
      // The linker does not mind what follows the last part of a file.
      try (bytes + Data([UInt8(number)])).write(to: URL(filePath: path))
      let swap = engine.swap(plugin: path)
      if number < 16 {
        #expect(swap.status == .promoted)
        #expect(engine.pluginBuilds.count == 1 && engine.pluginBuilds[0].stays)
        continue
      }
      guard case .refused(let reason) = swap.status else {
        Issue.record("\(swap.status)")
        return
      }
      #expect(reason.contains("16 such builds") && reason.contains("restart the process"), "\(reason)")
      #expect(engine.handlerNames.contains("files/hash"))
    }
    engine.shutdown()
  }
}
