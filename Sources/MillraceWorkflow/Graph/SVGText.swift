/// An SVG document while it is written: style for light and dark pages, a title, escaped texts.
struct SVGText {
  private(set) var body = ""

  static let margin = 24.0
  static let headerHeight = 52.0

  /// Colours of kinds, in pairs for light and dark pages; beyond, they repeat.
  private static let colours = [
    ("#3b6fb6", "#7aa7e6"), ("#c4622d", "#e8935f"), ("#3a8a5f", "#6cc095"), ("#8a5aa8", "#bd93d8"), ("#a8862a", "#d6b75c"),
    ("#b04a6f", "#e283a6"),
    ("#3d8c98", "#74c0cc"), ("#6f7a35", "#a9b768"),
  ]

  static func colourClass(_ kind: Int) -> String { "k\(kind % colours.count)" }

  mutating func add(_ text: String) {
    body += text
    body += "\n"
  }

  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
    return result
  }

  /// With one decimal, without a useless `.0`: pictures of many tasks are mostly numbers.
  static func number(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    let sign = tenths < 0 ? "-" : ""
    let whole = "\(sign)\(abs(tenths) / 10)"
    return tenths % 10 == 0 ? whole : whole + ".\(abs(tenths) % 10)"
  }

  /// A curve that leaves and arrives level.
  static func curve(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
    let middle = number((x1 + x2) / 2)
    return "C\(middle) \(number(y1)) \(middle) \(number(y2)) \(number(x2)) \(number(y2))"
  }

  /// Kinds with their colours, as a row of squares with names. Returns how wide and high it became.
  mutating func legend(_ entries: [(kind: Int, text: String)], x: Double, y: Double, width: Double) -> Double {
    var left = x
    var top = y
    for entry in entries {
      let length = 22 + 6.6 * Double(entry.text.count) + 18
      if left > x, left + length > x + width {
        left = x
        top += 20
      }
      add(
        "<rect class=\"\(Self.colourClass(entry.kind))\" x=\"\(Self.number(left))\" y=\"\(Self.number(top))\" width=\"10\" height=\"10\" rx=\"2\"/>"
      )
      add("<text class=\"d\" x=\"\(Self.number(left + 16))\" y=\"\(Self.number(top + 9))\">\(Self.escaped(entry.text))</text>")
      left += length
    }
    return top + 20 - y
  }

  /// The whole document.
  func document(title: String, subtitle: String, width: Double, height: Double) -> String {
    let light = Self.colours.enumerated().map { ".k\($0){fill:\($1.0)}.s\($0){stroke:\($1.0)}" }.joined()
    let dark = Self.colours.enumerated().map { ".k\($0){fill:\($1.1)}.s\($0){stroke:\($1.1)}" }.joined()
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.number(width)) \(Self.number(height))" \
      width="\(Self.number(width))" height="\(Self.number(height))" role="img">
      <title>\(Self.escaped(title)): \(Self.escaped(subtitle))</title>
      <style>
      text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1c2024}
      .h{font-size:16px;font-weight:600}.d{font-size:11px;fill:#667079}
      .p{fill:#fff}.b{fill:#f6f7f8;stroke:#c9ced3}.e{fill:none;stroke:#8b949c}.a{fill:#8b949c}.f{fill:none;stroke-opacity:.28;stroke-width:.7}
      \(light)
      @media (prefers-color-scheme:dark){text{fill:#e6e8ea}.d{fill:#98a1a9}.p{fill:#15181b}.b{fill:#1f2428;stroke:#3d444b}.e{stroke:#757f88}.a{fill:#757f88}
      \(dark)}
      </style>
      <rect class="p" width="100%" height="100%"/>
      <text class="h" x="\(Self.number(Self.margin))" y="30">\(Self.escaped(title))</text>
      <text class="d" x="\(Self.number(Self.margin))" y="47">\(Self.escaped(subtitle))</text>
      \(body)</svg>

      """
  }
}
