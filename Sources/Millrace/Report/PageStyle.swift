/// What all pages share: their colours, light and dark, as variables that scripts draw with too, and the shape of cards, tables and controls.
package enum PageStyle {
  package static let css = #"""
    :root {
      color-scheme: light dark;
      --paper: #fcfcfb; --card: #ffffff; --ink: #1f2328; --soft: #59616b; --line: #e3e5e8; --grid: #eceef0; --row: #f5f6f7;
      --accent: #2f6fb2; --good: #2c7a4b; --bad: #c2332d; --warn: #9a6200; --path: #14171a; --strip: #7d93ad;
      --h0: #4e79a7; --h1: #59a14f; --h2: #e49444; --h3: #9a76b4; --h4: #4fa8a4; --h5: #d4a92a; --h6: #9c755f; --h7: #6470b8; --h8: #98a0a9;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #14171b; --card: #1b1f24; --ink: #e4e7eb; --soft: #9aa4b0; --line: #2d333a; --grid: #23282e; --row: #191d22;
        --accent: #6cabea; --good: #63c08a; --bad: #ff6f66; --warn: #e0aa4a; --path: #ffffff; --strip: #64788f;
        --h0: #5b8cc0; --h1: #5ea858; --h2: #d98f49; --h3: #a585c0; --h4: #52aaa6; --h5: #c7a338; --h6: #a98570; --h7: #7a86cf; --h8: #7d8690;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0 auto; max-width: 1800px; padding: 20px 24px 40px; background: var(--paper); color: var(--ink);
      font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums;
    }
    h1 { font-size: 20px; font-weight: 650; margin: 0; overflow-wrap: anywhere; }
    h2 { font-size: 13px; font-weight: 650; margin: 0 0 10px; }
    .title { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; }
    .sub { color: var(--soft); margin: 3px 0 14px; overflow-wrap: anywhere; }
    dl.facts { display: grid; grid-template-columns: repeat(6, 1fr); gap: 1px; margin: 0 0 16px; background: var(--line);
      border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
    dl.facts div { background: var(--card); padding: 9px 14px 10px; }
    dl.facts dt { color: var(--soft); font-size: 12px; }
    dl.facts dd { margin: 0; font-size: 18px; font-weight: 600; }
    dl.facts small { display: block; font-size: 12px; font-weight: 400; color: var(--soft); }
    .bar { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; margin-bottom: 8px; }
    button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 3px 10px; cursor: pointer; }
    button:hover { border-color: var(--soft); }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
    .group { display: flex; }
    .group button { border-radius: 0; margin-left: -1px; min-width: 34px; }
    .group button:first-child { border-radius: 6px 0 0 6px; margin: 0; } .group button:last-child { border-radius: 0 6px 6px 0; }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 10px; padding: 0; list-style: none; font-size: 12px; color: var(--soft); }
    .legend li { display: inline-flex; align-items: center; gap: 6px; max-width: 100%; overflow-wrap: anywhere; }
    .swatch { flex: none; width: 20px; height: 12px; border-radius: 2px; }
    .tip { position: fixed; z-index: 2; pointer-events: none; max-width: min(380px, calc(100vw - 16px)); padding: 7px 10px; border-radius: 6px; font-size: 12px;
      background: var(--card); border: 1px solid var(--line); box-shadow: 0 3px 14px rgb(0 0 0 / .18); overflow-wrap: anywhere; }
    .tip b { font-weight: 650; }
    .tip .error { display: -webkit-box; -webkit-line-clamp: 4; -webkit-box-orient: vertical; overflow: hidden; }
    .soft { color: var(--soft); } .error { color: var(--bad); white-space: pre-wrap; overflow-wrap: anywhere; }
    .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 16px; align-items: start; }
    .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; min-width: 0; }
    .cards + .card { margin-top: 16px; }
    table { border-collapse: collapse; width: 100%; font-size: 13px; }
    th { text-align: left; font-weight: 500; color: var(--soft); font-size: 12px; }
    th, td { padding: 3px 10px 3px 0; vertical-align: top; overflow-wrap: anywhere; }
    .number { text-align: right; white-space: nowrap; }
    @media (max-width: 1080px) { dl.facts { grid-template-columns: repeat(3, 1fr); } }
    @media (max-width: 640px) {
      body { padding: 14px 12px 28px; }
      dl.facts { grid-template-columns: 1fr 1fr; } dl.facts dd { font-size: 16px; } dl.facts div { padding: 7px 10px 8px; }
    }
    @media print { body { max-width: none; } }
    .note { color: var(--soft); font-size: 12px; }
    """#

  /// Without indentation and lines of comment: a page is for reading, its source is here.
  package static func dense(_ source: String) -> String {
    source.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { !$0.hasPrefix("//") && !$0.isEmpty }.joined(separator: "\n")
  }

  /// Text for element content and quoted attributes; controls and bidirectional controls as visible escapes.
  package static func escaped(_ text: String) -> String {
    var result = ""
    for character in TerminalText.escaped(text).unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}
