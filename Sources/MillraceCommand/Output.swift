internal import ArgumentParser
internal import Glibc
internal import Millrace

/// Standard output for results, standard error for all else.
enum Output {
  /// How results are printed.
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, json
  }

  /// Columns where the width of a terminal is not known.
  static let assumedWidth = 100

  /// Writes a result.
  ///
  /// - Throws: `tryAgain` if it cannot be written. A reader that has seen enough (`| head`) is no fault.
  static func result(_ text: String) throws(Refusal) {
    let code = write(text, to: STDOUT_FILENO)
    guard code != 0, code != EPIPE else { return }
    throw Refusal(.tryAgain, "the result cannot be written to standard output: \(reason(code))")
  }

  /// One JSON value as the only thing on standard output.
  static func result(_ value: JSON) throws(Refusal) { try result(value.text() + "\n") }

  /// `millrace: MESSAGE` on standard error. Nothing is left to do where that cannot be written.
  static func note(_ message: String) {
    _ = write("millrace: \(message)\n", to: STDERR_FILENO)
  }

  /// Text as it is on standard error.
  static func aside(_ text: String) {
    _ = write(text, to: STDERR_FILENO)
  }

  /// Columns of the terminal that shows results.
  static var width: Int {
    var size = winsize()
    // The kernel fills in the struct during the call.
    let failed = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) != 0
    return failed || size.ws_col == 0 ? assumedWidth : Int(size.ws_col)
  }

  /// 0, or an errno value.
  static func write(_ text: String, to descriptor: Int32) -> Int32 { write(Array(text.utf8), to: descriptor) }

  /// 0, or an errno value.
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
      // The buffer outlives the call.
      let written = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 && errno == EINTR { continue }
      if written < 0 { return errno }
      rest = rest.dropFirst(written)
    }
    return 0
  }

  /// What an errno value means.
  static func reason(_ code: Int32) -> String {
    // Lives until the next call on this thread; copied at once.
    unsafe String(cString: strerror(code))
  }
}
