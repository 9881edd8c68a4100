public import MillraceWorkflow

extension RunSummary {
  /// The replay of a trace beside its recording, for below `text`: measured and recorded makespan, and Graham's bound for the recorded durations.
  ///
  /// - Parameters:
  ///   - record: the replay, which has ended.
  ///   - bound: Graham's bound for the recorded durations times `timeScale`, seconds.
  ///   - timeScale: replayed seconds for each recorded one.
  ///   - machines: tasks at once that the bound counts on.
  /// - Returns: lines, each ended by a newline.
  public static func comparison(_ record: RunRecord, bound: Double, timeScale: Double, machines: Int) -> String {
    let measured = Double(record.makespan) / 1e9
    var rows: [(name: String, seconds: Double, note: String)] = [("this run", measured, "")]
    if let recorded = record.recordedMakespanSeconds {
      let scaled = recorded * timeScale
      let scale = timeScale == 1 ? "" : ": \(Quantity.seconds(recorded)) x \(Quantity.number(timeScale))"
      rows.append(("recorded", scaled, "on the machines of the recording" + scale))
    }
    let verdict = measured <= bound ? "kept" : "exceeded by \(Quantity.percent(measured / bound - 1))"
    rows.append(("Graham\u{2019}s bound", bound, "recorded durations, \(Quantity.integer(machines)) at once; \(verdict)"))
    let times = rows.map { Quantity.seconds($0.seconds) }
    let width = times.map(TerminalText.width).max() ?? 0
    let lines = zip(rows, times).map { row, time in
      let note = row.note.isEmpty ? "" : "  (\(row.note))"
      return "  " + TerminalText.padded(row.name, to: 14) + "  " + TerminalText.padded(time, to: width, right: true) + note
    }
    return (["", "Makespan"] + lines).map { $0 + "\n" }.joined()
  }
}
