/// Text that a terminal shows as it is meant: known width in columns, and nothing in it that moves the cursor.
package enum TerminalText {
  /// What a terminal would act on, or what would reorder or hide its neighbours, as a visible escape: C0 and C1 controls, line and paragraph
  /// separators, bidirectional controls, zero-width characters other than joiners inside a word, and the byte order mark.
  /// `\` itself stays, so the escape is for reading, not for parsing back.
  package static func escaped(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x09: result.append(contentsOf: "\\t".unicodeScalars)
      case 0x0A: result.append(contentsOf: "\\n".unicodeScalars)
      case 0x0D: result.append(contentsOf: "\\r".unicodeScalars)
      case _ where isHazard(scalar.value):
        result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16, uppercase: true))}".unicodeScalars)
      default: result.append(scalar)
      }
    }
    return String(result)
  }

  /// Columns that a terminal uses for escaped text.
  ///
  /// By scalar, as `wcwidth` counts and as most terminals draw: combining marks 0, East Asian wide and emoji 2, all else 1.
  package static func width(_ text: String) -> Int {
    text.unicodeScalars.reduce(0) { $0 + width($1) }
  }

  package static func width(_ scalar: Unicode.Scalar) -> Int {
    let value = scalar.value
    if value < 0x300 { return value < 0x20 || (0x7F..<0xA0).contains(value) || value == 0xAD ? 0 : 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control: return 0
    default: break
    }
    // Medial vowels and final consonants of Hangul join the syllable before them.
    if (0x1160...0x11FF).contains(value) { return 0 }
    if wide.contains(where: { $0.contains(value) }) || scalar.properties.isEmojiPresentation { return 2 }
    return 1
  }

  /// Cut to at most `width` columns; what was cut off ends in `…`.
  package static func cut(_ text: String, to width: Int) -> String {
    if Self.width(text) <= width { return text }
    if width <= 0 { return "" }
    var used = 0
    var kept = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      let columns = Self.width(scalar)
      if used + columns > width - 1 { break }
      used += columns
      kept.append(scalar)
    }
    return String(kept) + "…"
  }

  /// Padded with spaces to `width` columns, on the right, or on the left for `right`-aligned text.
  package static func padded(_ text: String, to width: Int, right: Bool = false) -> String {
    let gap = String(repeating: " ", count: max(0, width - Self.width(text)))
    return right ? gap + text : text + gap
  }

  /// A bar of `share` (0 ... 1) of `width` columns in eighths of a block; something above nothing shows at least one eighth.
  package static func bar(_ share: Double, width: Int) -> String {
    let clamped = share.isFinite ? min(1, max(0, share)) : 0
    var eighths = Int((clamped * Double(width) * 8).rounded())
    if clamped > 0 { eighths = max(1, eighths) }
    let full = String(repeating: "█", count: eighths / 8)
    let parts: [String] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return full + parts[eighths % 8]
  }

  /// Words of a text broken into lines of at most `width` columns; a word longer than that is cut into pieces.
  package static func wrapped(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: true) {
      var rest = String(word)
      if !line.isEmpty, Self.width(line) + 1 + Self.width(rest) <= width {
        line += " " + rest
        continue
      }
      if !line.isEmpty { lines.append(line) }
      while Self.width(rest) > max(1, width) {
        var piece = String(cut(rest, to: max(2, width)).unicodeScalars.dropLast())
        if piece.isEmpty { piece = String(rest.unicodeScalars.prefix(1)) }
        lines.append(piece)
        rest = String(rest.unicodeScalars.dropFirst(piece.unicodeScalars.count))
      }
      line = rest
    }
    if !line.isEmpty { lines.append(line) }
    return lines
  }

  private static func isHazard(_ value: UInt32) -> Bool {
    switch value {
    case 0..<0x20, 0x7F..<0xA0: true
    case 0x061C, 0x200B, 0x200E, 0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF, 0xFFF9...0xFFFB, 0xFFFE...0xFFFF, 0xE0000...0xE007F: true
    default: false
    }
  }

  /// East Asian Wide and Fullwidth blocks (Unicode, EastAsianWidth.txt), as ranges of whole blocks.
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF, 0xA960...0xA97F,
    0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18DFF,
    0x1AFF0...0x1B2FF, 0x1F200...0x1F2FF, 0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1FAFF, 0x20000...0x3FFFD,
  ]
}
