public import MillraceWorkflow

/// What a moment of a run looks like in a terminal: text only, no state, no escape sequence.
public enum ProgressView {
  /// Two lines, each of at most `width` columns:
  ///
  /// ```
  /// ██████████▌          52 %  903 of 1,738 tasks  12.0 s  about 11 s left
  /// 64 running: mDiffFit_12, mDiffFit_13 and 62 more  2 failed, 3 skipped
  /// ```
  ///
  /// - Parameters:
  ///   - progress: the counters of the moment.
  ///   - running: some running tasks, as many as are at hand; what does not fit is left out. Those that say how far they are have it behind their ids.
  ///   - width: columns of the terminal; below 20 it counts as 20.
  public static func render(progress: Progress, running: [RunningTask], width: Int) -> [String] {
    let width = max(20, width)
    let second = waiting(progress) ?? activity(progress, running, width)
    return [TerminalText.cut(bar(progress, width), to: width), TerminalText.cut(second, to: width)]
  }

  /// One line without a bar, for a log: `52 %  903 of 1,738 tasks, 2 failed, 64 running, 12.0 s, about 11 s left`.
  public static func line(progress: Progress) -> String {
    if let waiting = waiting(progress) { return percent(progress) + "  " + counts(progress) + ", " + waiting }
    let parts = [
      counts(progress), troubles(progress), "\(Quantity.integer(progress.running)) running", elapsed(progress), estimate(progress),
    ]
    return percent(progress) + "  " + parts.filter { !$0.isEmpty }.joined(separator: ", ")
  }

  /// What is done as whole percent, rounded down: 100 means all.
  static func wholePercent(_ progress: Progress) -> Int { Int(progress.share * 100 + 1e-9) }

  /// Of a run that has not begun.
  private static func waiting(_ progress: Progress) -> String? { progress.waitsFor.map { TerminalText.escaped("\($0)") } }

  private static func bar(_ progress: Progress, _ width: Int) -> String {
    let words = [percent(progress), counts(progress), elapsed(progress), estimate(progress)].filter { !$0.isEmpty }.joined(separator: "  ")
    let room = min(40, width - TerminalText.width(words) - 2)
    if room < 6 { return words }
    return TerminalText.padded(TerminalText.bar(progress.share, width: room), to: room) + "  " + words
  }

  private static func activity(_ progress: Progress, _ running: [RunningTask], _ width: Int) -> String {
    let troubles = troubles(progress)
    let head = "\(Quantity.integer(progress.running)) running"
    let tail = troubles.isEmpty ? "" : "  " + troubles
    var names = ""
    var shown = 0
    for task in running {
      let share = task.perMille.map { " " + Quantity.perMille($0) } ?? ""
      let name = (shown == 0 ? ": " : ", ") + TerminalText.escaped(task.id) + share
      let rest = progress.running - shown - 1
      let more = rest > 0 ? " and \(Quantity.integer(rest)) more" : ""
      if TerminalText.width(head + names + name + more + tail) > width { break }
      names += name
      shown += 1
    }
    if shown > 0, progress.running > shown { names += " and \(Quantity.integer(progress.running - shown)) more" }
    return head + names + tail
  }

  private static func percent(_ progress: Progress) -> String {
    TerminalText.padded("\(wholePercent(progress)) %", to: 5, right: true)
  }

  private static func counts(_ progress: Progress) -> String {
    "\(Quantity.integer(progress.finished)) of \(Quantity.count(progress.tasks, "task"))"
  }

  private static func troubles(_ progress: Progress) -> String {
    [(progress.failed, "failed"), (progress.skipped, "skipped"), (progress.cancelled, "cancelled")].filter { $0.0 > 0 }
      .map { "\(Quantity.integer($0.0)) \($0.1)" }.joined(separator: ", ")
  }

  /// Tenths while they matter: more digits would only flicker.
  private static func elapsed(_ progress: Progress) -> String {
    let seconds = Double(progress.elapsed) / 1e9
    return seconds < 99.95 ? Quantity.fixed(seconds, decimals: 1) + " s" : Quantity.seconds(seconds)
  }

  private static func estimate(_ progress: Progress) -> String {
    guard let left = progress.estimatedRemaining, progress.finished < progress.tasks else { return "" }
    let seconds = (Double(left) / 1e9).rounded(.up)
    return "about " + (seconds < 100 ? "\(Int(seconds)) s" : Quantity.seconds(seconds)) + " left"
  }
}
