/// The style sheet of the timeline page, after `PageStyle`.
enum TimelineStyle {
  static let css = #"""
    .status { font-size: 12px; font-weight: 650; padding: 1px 9px; border-radius: 10px; border: 1px solid currentColor; letter-spacing: .02em; }
    .COMPLETED { color: var(--good); } .FAILED, .TIMED_OUT { color: var(--bad); } .CANCELLED, .SKIPPED { color: var(--warn); }
    .RUNNING, .CREATED, .PENDING { color: var(--accent); }
    .search { display: flex; align-items: center; gap: 8px; }
    input[type=search] { width: 230px; max-width: 56vw; font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
      border-radius: 6px; padding: 4px 9px; }
    label.check { display: inline-flex; gap: 6px; align-items: center; cursor: pointer; }
    label.check input { accent-color: var(--accent); margin: 0; }
    .hits { color: var(--soft); font-size: 12px; }
    .stage { display: grid; grid-template-columns: 96px minmax(0, 1fr); border: 1px solid var(--line); border-radius: 8px; background: var(--card);
      overflow: hidden; }
    .names { position: relative; overflow: hidden; border-right: 1px solid var(--line); font-size: 11px; color: var(--soft); }
    .names span { position: absolute; right: 8px; left: 6px; text-align: right; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; line-height: 1.25; }
    .names span.wrap { white-space: normal; }
    .plot { position: relative; touch-action: pan-y; cursor: grab; }
    .plot:active { cursor: grabbing; }
    .plot:focus-visible { outline-offset: -2px; }
    canvas { display: block; width: 100%; }
    .axis { position: absolute; left: 0; right: 0; height: 22px; overflow: hidden; pointer-events: none; }
    .axis span { position: absolute; top: 3px; font-size: 11px; color: var(--soft); white-space: nowrap; transform: translateX(-50%); }
    .axis span.first { transform: none; } .axis span.last { transform: translateX(-100%); }
    .thumb { position: absolute; right: 2px; width: 5px; border-radius: 3px; background: var(--soft); opacity: .5; pointer-events: none; }
    .help { margin: 8px 0 18px; color: var(--soft); font-size: 12px; }
    kbd { font: 11px ui-monospace, monospace; border: 1px solid var(--line); border-radius: 4px; padding: 0 4px; background: var(--card); }
    .scroll { max-height: 330px; overflow: auto; }
    .scroll th { position: sticky; top: 0; background: var(--card); }
    td button { border: 0; padding: 0; background: none; text-align: left; color: var(--accent); overflow-wrap: anywhere; }
    td button:hover { text-decoration: underline; }
    .meter { width: 26%; min-width: 50px; }
    .meter i { display: block; height: 9px; margin-top: 5px; border-radius: 2px; background: var(--strip); min-width: 1px; }
    .result { columns: 380px; column-gap: 32px; }
    .result section { break-inside: avoid; margin-bottom: 16px; }
    .result h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; }
    @media (max-width: 640px) {
      .stage { grid-template-columns: 48px minmax(0, 1fr); }
      .names span { right: 4px; left: 3px; font-size: 10px; }
      .help { display: none; }
      .stage { margin-bottom: 14px; }
    }
    @media print { .bar, .help { display: none; } }
    """#
}
