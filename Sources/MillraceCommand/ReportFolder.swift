internal import Millrace

/// The directory of `--report`. Each file in it is there whole or not at all.
struct ReportFolder {
  let path: String

  /// Makes the directory if need be, before any work is done.
  init(_ path: String) throws(Refusal) {
    do throws(FileError) {
      try AtomicFile.makeFolder(path)
    } catch {
      throw Refusal(error.isOutOfSpace ? .tryAgain : .wrongUse, "--report: \(error)")
    }
    self.path = path
  }

  /// `report.json`: the workflow's result, or, if it has none, what `-o json` prints. `run.json`: every attempt. `timeline.html`: the run as a page.
  func write(_ outcome: RunOutcome) throws(Refusal) {
    let report = outcome.result ?? RunSummary.json(outcome.record, bound: outcome.bound)
    let files: [(name: String, bytes: [UInt8])] = [
      ("report.json", report.utf8(pretty: true) + [0x0A]),
      ("run.json", RunSummary.record(outcome.record).utf8() + [0x0A]),
      ("timeline.html", Array(Timeline.html(outcome.record, result: outcome.result).utf8)),
    ]
    let base = path.hasSuffix("/") ? path : path + "/"
    for file in files {
      do throws(FileError) {
        try AtomicFile.write(file.bytes, to: base + file.name)
      } catch {
        throw Refusal(.tryAgain, "the run ended as told above, but its report is not complete: \(error)")
      }
    }
    Output.note("wrote " + files.map { base + $0.name }.joined(separator: ", "))
  }
}
