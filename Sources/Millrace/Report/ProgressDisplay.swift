import Glibc
public import MillraceWorkflow

/// Live progress on a terminal, or a few plain lines elsewhere. Whoever drives the run calls `update`; there is no thread and no timer here.
///
/// On a terminal the lines of `ProgressView` are redrawn in place, at most 10 times a second, with the cursor hidden; `finish()`, or losing
/// the last reference, erases them and shows the cursor again. Elsewhere a line is written at each 10 % of the tasks.
///
/// # Threads
/// One at a time. `restoreCursor` may be called in a signal handler.
public final class ProgressDisplay {
  /// Where the display writes, and what is known about it.
  public struct Output {
    /// Redraw in place; false: plain lines.
    public var isTerminal: Bool
    /// Columns, asked before each redraw so that resizing takes effect.
    public var width: () -> Int
    /// Writes a text at once, as it is.
    public var write: (String) -> Void

    /// Anything that can be written to. `width`: columns, at least 1.
    public init(isTerminal: Bool, width: @escaping () -> Int, write: @escaping (String) -> Void) {
      self.isTerminal = isTerminal
      self.width = width
      self.write = write
    }

    /// Standard error; a terminal unless `TERM` is `dumb`. What cannot be written is lost: progress must never stop a run.
    public static func standardError() -> Output {
      let isDumb = unsafe getenv("TERM").map { unsafe String(cString: $0) == "dumb" } ?? false
      let isTerminal = isatty(STDERR_FILENO) == 1 && !isDumb
      return Output(isTerminal: isTerminal, width: { terminalWidth(STDERR_FILENO) }, write: { writeAll($0, to: STDERR_FILENO) })
    }
  }

  /// Nanoseconds between two redraws.
  public static let redrawInterval: UInt64 = 100_000_000

  private let output: Output
  private var drawnLines = 0
  private var lastRedraw: UInt64?
  private var lastTenth = 0
  private var finished = false

  /// Shows nothing yet. `output`: standard error by default.
  public init(_ output: Output = .standardError()) {
    self.output = output
  }

  deinit { finish() }

  /// Shows a moment of the run; does nothing while the last redraw is too fresh.
  ///
  /// - Parameters:
  ///   - progress: the counters of the moment.
  ///   - running: ids of some running tasks.
  ///   - now: nanoseconds of any clock that does not go back.
  public func update(progress: Progress, running: [RunningTask] = [], now: UInt64) {
    if finished { return }
    if !output.isTerminal { return writeTenths(progress) }
    if let lastRedraw, now < lastRedraw + Self.redrawInterval { return }
    lastRedraw = now
    // One column stays free: a full last column makes some terminals wrap.
    let lines = ProgressView.render(progress: progress, running: running, width: output.width() - 1)
    let hide = drawnLines == 0 ? "\u{1B}[?25l" : ""
    output.write(hide + toFirstLine + lines.map { "\u{1B}[2K" + $0 }.joined(separator: "\n"))
    drawnLines = lines.count
  }

  /// Erases what was drawn, so that another text can be written, such as a warning; the next `update` draws below it.
  public func clear() {
    if drawnLines == 0 { return }
    output.write(toFirstLine + "\u{1B}[J\u{1B}[?25h")
    drawnLines = 0
    lastRedraw = nil
  }

  /// Erases what was drawn and shows the cursor; later updates do nothing. May be called again.
  public func finish() {
    clear()
    finished = true
  }

  /// Shows the cursor on standard error: for a signal handler that ends the process without `finish()`. Async-signal-safe.
  public static func restoreCursor() {
    let sequence: StaticString = "\u{1B}[?25h\n"
    // A static string lives for ever; nothing is left to do if it cannot be written.
    _ = unsafe write(STDERR_FILENO, sequence.utf8Start, sequence.utf8CodeUnitCount)
  }

  private var toFirstLine: String {
    drawnLines > 1 ? "\r\u{1B}[\(drawnLines - 1)A" : "\r"
  }

  private func writeTenths(_ progress: Progress) {
    let tenth = ProgressView.wholePercent(progress) / 10
    if tenth <= lastTenth { return }
    lastTenth = tenth
    output.write(ProgressView.line(progress: progress) + "\n")
  }

  private static func writeAll(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      // The buffer outlives the call.
      let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 && errno == EINTR { continue }
      if written <= 0 { return }
      bytes = bytes.dropFirst(written)
    }
  }

  private static func terminalWidth(_ descriptor: Int32) -> Int {
    var size = winsize()
    // The kernel fills in the struct during the call.
    let failed = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) != 0
    return failed || size.ws_col == 0 ? 80 : Int(size.ws_col)
  }
}
