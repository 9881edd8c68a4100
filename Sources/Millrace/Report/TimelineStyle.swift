/// The style sheet of the timeline page. Colours are variables, so that the script draws with the same ones.
enum TimelineStyle {
  static let css = #"""
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
    .status { font-size: 12px; font-weight: 650; padding: 1px 9px; border-radius: 10px; border: 1px solid currentColor; letter-spacing: .02em; }
    .COMPLETED { color: var(--good); } .FAILED, .TIMED_OUT { color: var(--bad); } .CANCELLED, .SKIPPED { color: var(--warn); }
    .RUNNING, .CREATED, .PENDING { color: var(--accent); }
    .sub { color: var(--soft); margin: 3px 0 14px; overflow-wrap: anywhere; }
    dl.facts { display: grid; grid-template-columns: repeat(6, 1fr); gap: 1px; margin: 0 0 16px; background: var(--line);
      border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
    dl.facts div { background: var(--card); padding: 9px 14px 10px; }
    dl.facts dt { color: var(--soft); font-size: 12px; }
    dl.facts dd { margin: 0; font-size: 18px; font-weight: 600; }
    dl.facts small { display: block; font-size: 12px; font-weight: 400; color: var(--soft); }
    .bar { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; margin-bottom: 8px; }
    .search { display: flex; align-items: center; gap: 8px; }
    input[type=search] { width: 230px; max-width: 56vw; font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
      border-radius: 6px; padding: 4px 9px; }
    button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 3px 10px; cursor: pointer; }
    button:hover { border-color: var(--soft); }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
    .group { display: flex; }
    .group button { border-radius: 0; margin-left: -1px; min-width: 34px; }
    .group button:first-child { border-radius: 6px 0 0 6px; margin: 0; } .group button:last-child { border-radius: 0 6px 6px 0; }
    label.check { display: inline-flex; gap: 6px; align-items: center; cursor: pointer; }
    label.check input { accent-color: var(--accent); margin: 0; }
    .note, .hits { color: var(--soft); font-size: 12px; }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 10px; padding: 0; list-style: none; font-size: 12px; color: var(--soft); }
    .legend li { display: inline-flex; align-items: center; gap: 6px; max-width: 100%; overflow-wrap: anywhere; }
    .swatch { flex: none; width: 20px; height: 12px; border-radius: 2px; }
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
    .tip { position: fixed; z-index: 2; pointer-events: none; max-width: min(380px, calc(100vw - 16px)); padding: 7px 10px; border-radius: 6px; font-size: 12px;
      background: var(--card); border: 1px solid var(--line); box-shadow: 0 3px 14px rgb(0 0 0 / .18); overflow-wrap: anywhere; }
    .tip b { font-weight: 650; }
    .tip .error { display: -webkit-box; -webkit-line-clamp: 4; -webkit-box-orient: vertical; overflow: hidden; }
    .soft { color: var(--soft); } .error { color: var(--bad); white-space: pre-wrap; overflow-wrap: anywhere; }
    .help { margin: 8px 0 18px; color: var(--soft); font-size: 12px; }
    kbd { font: 11px ui-monospace, monospace; border: 1px solid var(--line); border-radius: 4px; padding: 0 4px; background: var(--card); }
    .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 16px; align-items: start; }
    .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; min-width: 0; }
    .cards + .card { margin-top: 16px; }
    table { border-collapse: collapse; width: 100%; font-size: 13px; }
    th { text-align: left; font-weight: 500; color: var(--soft); font-size: 12px; }
    th, td { padding: 3px 10px 3px 0; vertical-align: top; overflow-wrap: anywhere; }
    .number { text-align: right; white-space: nowrap; }
    .scroll { max-height: 330px; overflow: auto; }
    .scroll th { position: sticky; top: 0; background: var(--card); }
    td button { border: 0; padding: 0; background: none; text-align: left; color: var(--accent); overflow-wrap: anywhere; }
    td button:hover { text-decoration: underline; }
    .meter { width: 26%; min-width: 50px; }
    .meter i { display: block; height: 9px; margin-top: 5px; border-radius: 2px; background: var(--strip); min-width: 1px; }
    .result { columns: 380px; column-gap: 32px; }
    .result section { break-inside: avoid; margin-bottom: 16px; }
    .result h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; }
    @media (max-width: 1080px) { dl.facts { grid-template-columns: repeat(3, 1fr); } }
    @media (max-width: 640px) {
      body { padding: 14px 12px 28px; }
      dl.facts { grid-template-columns: 1fr 1fr; } dl.facts dd { font-size: 16px; } dl.facts div { padding: 7px 10px 8px; }
      .stage { grid-template-columns: 48px minmax(0, 1fr); }
      .names span { right: 4px; left: 3px; font-size: 10px; }
      .help { display: none; }
      .stage { margin-bottom: 14px; }
    }
    @media print { .bar, .help { display: none; } body { max-width: none; } }
    """#
}
