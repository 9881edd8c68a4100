/// The style sheet of the page of results, after `PageStyle`.
enum BenchPageStyle {
  static let css = #"""
    [hidden] { display: none !important; }
    .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
    .wide { grid-column: 1 / -1; }
    .head { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 4px 16px; }
    .controls { display: inline-flex; flex-wrap: wrap; gap: 4px 14px; font-size: 12px; color: var(--soft); }
    label.check { display: inline-flex; gap: 5px; align-items: center; cursor: pointer; }
    input { accent-color: var(--accent); margin: 0; }
    select { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 1px 4px; }
    .drawing { height: 290px; }
    .drawing.tall { height: 380px; }
    .drawing svg { display: block; width: 100%; height: 100%; touch-action: pan-y; }
    .drawing text { fill: var(--soft); font-size: 11px; }
    .drawing text.none { font-size: 13px; }
    .drawing .grid { stroke: var(--grid); } .drawing .frame { stroke: var(--line); } .drawing .cursor { stroke: var(--soft); stroke-dasharray: 2 3; }
    .drawing .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
    .drawing .range { stroke-width: 1.25; opacity: .6; }
    .drawing .refused-mark { fill: var(--bad); font-size: 12px; font-weight: 650; }
    .legend { min-height: 18px; margin-bottom: 6px; }
    .legend svg { flex: none; width: 26px; height: 10px; }
    .note { margin: 8px 0 0; }
    .tip table { width: auto; font-size: 12px; } .tip td { padding: 1px 10px 1px 0; } .tip td:last-child { padding-right: 0; }
    .tip i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px; }
    .measured { margin-top: 16px; }
    .measured h2 { display: flex; align-items: center; gap: 8px; margin: 0; overflow-wrap: anywhere; }
    .measured p { margin: 2px 0 10px; font-size: 12px; overflow-wrap: anywhere; }
    .measured .scroll { overflow-x: auto; }
    .measured table { width: auto; min-width: min(100%, 720px); }
    .measured th, .measured td { padding: 3px 0 3px 22px; white-space: nowrap; }
    .measured th { text-align: right; }
    .measured th:first-child, .measured td:first-child { padding-left: 0; }
    .measured tbody tr { border-top: 1px solid var(--grid); }
    .measured td.refusal { color: var(--bad); white-space: normal; min-width: 260px; }
    @media (max-width: 640px) { .drawing { height: 240px; } .drawing.tall { height: 300px; } .card { padding: 12px; } }
    """#
}
