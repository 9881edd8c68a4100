import MillracePluginKit

/// `files/statistics`: lines, words, bytes and the longest line of files.
///
/// Inputs: see `FileSelection`. Output: `{"files": [{"path", "bytes", "lines", "words", "longestLine"}], "count", "bytes",
/// "lines", "words", "longestLine", "missing": [path], "unreadable": [path]}`, in the order of the input.
///
/// Errors: as `files/hash`.
@Sendable func countFiles(_ call: borrowing Call) throws(HandlerError) -> Output {
  var pass = try FilePass(call)
  var all = Counts()
  return try pass.run(call) { () throws(HandlerError) in
    Counts()
  } update: { counts, block in
    counts.update(block)
  } end: { counts, json in
    var counts = counts
    counts.finish()
    counts.write(&json)
    all.add(counts)
  } totals: { json in
    all.write(&json)
  }
}

/// What `wc` counts, byte by byte, whatever the locale.
struct Counts {
  /// Newlines.
  private(set) var lines = 0
  /// Runs of bytes that are not ASCII white space.
  private(set) var words = 0
  /// Bytes of the longest line without its newline; a last line without one counts.
  private(set) var longestLine = 0
  private var line = 0
  private var isInWord = false

  /// - Complexity: O(bytes).
  mutating func update(_ bytes: Span<UInt8>) {
    for index in bytes.indices {
      let byte = bytes[index]
      // Space, and tab to carriage return: tab, newline, vertical tab, form feed, carriage return.
      let isSpace = byte == 0x20 || byte &- 0x09 < 5
      words += !isSpace && !isInWord ? 1 : 0
      isInWord = !isSpace
      if byte == 0x0a {
        lines += 1
        longestLine = max(longestLine, line)
        line = 0
      } else {
        line += 1
      }
    }
  }

  /// Ends the last line.
  mutating func finish() { longestLine = max(longestLine, line) }

  mutating func add(_ other: Counts) {
    lines += other.lines
    words += other.words
    longestLine = max(longestLine, other.longestLine)
  }

  func write(_ json: inout JSONWriter) {
    json.name("lines")
    json.value(lines)
    json.name("words")
    json.value(words)
    json.name("longestLine")
    json.value(longestLine)
  }
}
