import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportProgressTests {
  private func progress(_ completed: Int, of tasks: Int = 1738, failed: Int = 0, left: UInt64? = 10_500_000_000) -> Progress {
    Progress(
      status: .running, tasks: tasks, completed: completed, failed: failed, skipped: 0, cancelled: 0, running: 64, attempts: completed + 64,
      elapsed: 12_000_000_000, estimatedRemaining: left)
  }

  @Test("a moment is a bar with counts and estimate, and what runs")
  func lines() {
    #expect(
      ProgressView.render(
        progress: progress(900, failed: 3), running: [RunningTask(id: "mDiffFit_12", perMille: 355), RunningTask(id: "x\ny")], width: 100)
        == [
          "████████████████████▊                      51 %  903 of 1,738 tasks  12.0 s  about 11 s left",
          "64 running: mDiffFit_12 35.5 %, x\\ny and 62 more  3 failed",
        ])
    #expect(
      ProgressView.line(progress: progress(900, failed: 3)) == " 51 %  903 of 1,738 tasks, 3 failed, 64 running, 12.0 s, about 11 s left")
  }

  @Test("without an estimate there is none, and no tasks are no division by zero")
  func none() {
    #expect(ProgressView.line(progress: progress(0, left: nil)) == "  0 %  0 of 1,738 tasks, 64 running, 12.0 s")
    #expect(ProgressView.line(progress: progress(0, of: 0)) == "  0 %  0 of 0 tasks, 64 running, 12.0 s")
    #expect(ProgressView.line(progress: progress(1737)).hasPrefix(" 99 %"), "100 % means all")
  }

  @Test("what running tasks say of themselves counts, and all of it is not the end")
  func said() {
    var moment = progress(0, of: 2, left: nil)
    moment.perMille = 700
    #expect(ProgressView.line(progress: moment).hasPrefix(" 35 %"))
    moment.perMille = 2_000
    #expect(ProgressView.line(progress: moment).hasPrefix(" 99 %"))
  }

  @Test("no line is wider than the terminal", arguments: [0, 20, 37, 60, 79, 300])
  func widths(width: Int) {
    let names = ["日本語のタスク", "\u{1B}[2J", String(repeating: "y", count: 90)]
    for line in ProgressView.render(
      progress: progress(900, failed: 3), running: names.map { RunningTask(id: $0, perMille: 1000) }, width: width)
    {
      #expect(TerminalText.width(line) <= max(20, width))
      #expect(!line.contains("\u{1B}"))
    }
  }

  private final class Sink { var text = "" }

  private func display(isTerminal: Bool) -> (display: ProgressDisplay, sink: Sink) {
    let sink = Sink()
    return (ProgressDisplay(.init(isTerminal: isTerminal, width: { 61 }, write: { sink.text += $0 })), sink)
  }

  @Test("a terminal is redrawn in place, at most 10 times a second, and left as it was")
  func terminal() {
    let (display, sink) = display(isTerminal: true)
    display.update(progress: progress(0, left: nil), now: 1_000_000_000)
    #expect(sink.text.hasPrefix("\u{1B}[?25l\r\u{1B}[2K"))
    #expect(sink.text.hasSuffix("0 %  0 of 1,738 tasks  12.0 s\n\u{1B}[2K64 running"))
    sink.text = ""
    display.update(progress: progress(1), now: 1_099_999_999)
    #expect(sink.text == "", "too fresh")
    display.update(progress: progress(1), now: 1_100_000_000)
    #expect(sink.text.hasPrefix("\r\u{1B}[1A\u{1B}[2K"), "up to the first of two lines")
    #expect(!sink.text.contains("\u{1B}[?25l"), "already hidden")
    sink.text = ""
    display.finish()
    #expect(sink.text == "\r\u{1B}[1A\u{1B}[J\u{1B}[?25h")
    display.finish()
    display.update(progress: progress(2), now: 9_000_000_000)
    #expect(sink.text == "\r\u{1B}[1A\u{1B}[J\u{1B}[?25h", "nothing after the end")
  }

  @Test("losing a display shows the cursor again")
  func lost() {
    let sink = Sink()
    do {
      let display = ProgressDisplay(.init(isTerminal: true, width: { 80 }, write: { sink.text += $0 }))
      display.update(progress: progress(1), now: 0)
    }
    #expect(sink.text.hasSuffix("\u{1B}[?25h"))
  }

  @Test("after a clear the display starts below what was written between")
  func cleared() {
    let (display, sink) = display(isTerminal: true)
    display.update(progress: progress(1), now: 0)
    display.clear()
    sink.text = ""
    display.update(progress: progress(1), now: 1)
    #expect(sink.text.hasPrefix("\u{1B}[?25l\r\u{1B}[2K"))
  }

  @Test("elsewhere there is one plain line at each tenth, without escapes")
  func plain() {
    let (display, sink) = display(isTerminal: false)
    for completed in 0...200 { display.update(progress: progress(completed, of: 200), now: 0) }
    display.finish()
    let lines = sink.text.split(separator: "\n")
    #expect(lines.map { $0.prefix(5) } == [" 10 %", " 20 %", " 30 %", " 40 %", " 50 %", " 60 %", " 70 %", " 80 %", " 90 %", "100 %"])
    #expect(!sink.text.contains("\u{1B}"))
    #expect(lines.last == "100 %  200 of 200 tasks, 64 running, 12.0 s")
  }

  @Test("a jump over several tenths is one line")
  func jump() {
    let (display, sink) = display(isTerminal: false)
    display.update(progress: progress(170, of: 200), now: 0)
    display.update(progress: progress(175, of: 200), now: 0)
    #expect(sink.text == " 85 %  170 of 200 tasks, 64 running, 12.0 s, about 11 s left\n")
  }
}
