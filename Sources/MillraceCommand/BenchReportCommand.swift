internal import ArgumentParser
internal import MillraceBench

struct BenchReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Shows result files as tables, as a page, and as HdrHistogram's text.",
    discussion: """
      Examples:
        millrace bench report scheduler.json
        millrace bench report before.json after.json --html both.html
        millrace bench report scheduler.json --hgrm percentiles

      Exit code 65: a file is no result, is damaged, or its counts do not agree.
      """)

  @Argument(help: "Result files, as `millrace bench run` writes them.", completion: .file(extensions: ["json"]))
  var files: [String]

  @Option(help: ArgumentHelp("Writes a page with all of them.", valueName: "file"), completion: .file(extensions: ["html"]))
  var html: String?

  @Option(help: ArgumentHelp("Writes a .hgrm file for each level there.", valueName: "folder"), completion: .directory)
  var hgrm: String?

  func validate() throws {
    guard files.count <= BenchPage.limit else { throw ValidationError("at most \(BenchPage.limit) files can be told apart in one page") }
  }

  func run() throws {
    var results: [(name: String, result: BenchResult)] = []
    for (file, name) in zip(files, names) {
      do throws(BenchResultError) {
        results.append((name, try BenchResultFile.read(file)))
      } catch {
        throw Refusal(.badData, error.description)
      }
    }
    // Places are tried before anything is printed.
    var folder: String?
    if let hgrm {
      do throws(FileError) { try AtomicFile.makeFolder(hgrm) } catch { throw Self.refusal("--hgrm", error) }
      folder = hgrm.hasSuffix("/") ? hgrm : hgrm + "/"
    }
    if let html { try Self.write(Array(BenchPage.html(results).utf8), to: html, for: "--html") }
    if let folder {
      for (name, result) in results {
        for (suffix, text) in PercentileText.files(result) { try Self.write(Array(text.utf8), to: folder + name + suffix, for: "--hgrm") }
      }
    }
    try Output.result(results.map { BenchTable.text($0.result, name: $0.name) }.joined(separator: "\n"))
  }

  /// The last parts of the paths; numbered where they are the same.
  private var names: [String] {
    let short = files.map { file in
      let name = file.split(separator: "/").last.map(String.init) ?? file
      return name.hasSuffix(".json") ? String(name.dropLast(".json".count)) : name
    }
    if Set(short).count == short.count { return short }
    return short.enumerated().map { "\($0 + 1)-\($1)" }
  }

  private static func write(_ bytes: [UInt8], to path: String, for option: String) throws(Refusal) {
    do throws(FileError) { try AtomicFile.write(bytes, to: path) } catch { throw refusal(option, error) }
    Output.note("wrote \(path)")
  }

  private static func refusal(_ option: String, _ error: FileError) -> Refusal {
    Refusal(error.isOutOfSpace ? .tryAgain : .wrongUse, "\(option): \(error)")
  }
}
