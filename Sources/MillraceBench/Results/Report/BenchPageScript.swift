/// Second part of the page's script: what is drawn.
enum BenchPageScript {
  static let source = #"""
    const results = JSON.parse($('data').textContent);
    const several = results.length > 1;
    const colour = i => `var(--h${i % 8})`;
    const levels = [...new Set(results.flatMap(r => r.levels.map(l => l.level)))].sort((a, b) => a - b);
    const place = i => (i + .5) / levels.length;
    const index = new Map(levels.map((level, i) => [level, i]));
    const of = (result, level) => result.levels.find(l => l.level === level);
    const percentiles = [{ name: 'p50', dash: '' }, { name: 'p99', dash: '7 5' }, { name: 'p99.9', dash: '1.5 4.5' }];
    // One result: colours tell percentiles. Several: colours tell results, dashes percentiles.
    const percentileColour = (result, p) => several ? colour(result) : `var(--h${[0, 2, 3][p]})`;
    const levelMarks = levels.map((level, i) => ({ place: place(i), text: String(level) }));
    const refused = levels.flatMap((level, i) => {
      const which = results.map((r, k) => of(r, level)?.refusal ? k : -1).filter(k => k >= 0);
      return which.map(k => ({ place: place(i), part: k, of: results.length }));
    });
    const nearestLevel = x => Math.max(0, Math.min(levels.length - 1, Math.floor(x * levels.length)));
    const levelTip = cells => x => {
      const i = nearestLevel(x), level = levels[i];
      const rows = results.map((r, k) => {
        const found = of(r, level), name = several ? r.name : '';
        if (!found) return { name, colour: colour(k), cells: ['not measured'] };
        return found.refusal ? { name, colour: 'var(--bad)', cells: ['refused: ' + found.refusal], bad: true } : { name, colour: colour(k), cells: cells(found) };
      });
      return { place: place(i), title: 'level ' + level, rows };
    };

    const drawThroughput = () => {
      legend($('throughput-legend'), several ? results.map((r, i) => ({ name: r.name, colour: colour(i) })) : []);
      plot($('throughput'), {
        lines: results.map((r, i) => ({ colour: colour(i), dots: true, points: levels.map((level, k) => {
          const t = of(r, level)?.throughput;
          return t ? { place: place(k) + (several ? (i - (results.length - 1) / 2) * .08 / levels.length : 0), y: t[0], low: t[1], high: t[2] } : { place: place(k), y: null };
        }) })),
        marks: levelMarks, refused, column: 1 / levels.length, log: false, format: short,
        tip: levelTip(l => l.throughput ? [rate(l.throughput[0]) + '/s', rate(l.throughput[1]) + ' ... ' + rate(l.throughput[2]), (l.cpus === null ? '–' : l.cpus.toFixed(2)) + ' CPUs'] : ['no rounds']) });
    };

    let times = 'response';
    const drawLatency = () => {
      legend($('latency-legend'), [
        ...(several ? results.map((r, i) => ({ name: r.name, colour: colour(i) })) : []),
        ...percentiles.map((p, i) => ({ name: p.name, dash: p.dash, colour: several ? 'var(--soft)' : percentileColour(0, i) }))]);
      plot($('latency'), {
        lines: results.flatMap((r, i) => percentiles.map((p, k) => ({ colour: percentileColour(i, k), dash: p.dash, dots: true,
          points: levels.map((level, n) => ({ place: place(n), y: of(r, level)?.[times]?.at[k] ?? null })) }))),
        marks: levelMarks, refused, column: 1 / levels.length, log: true, format: tick,
        tip: levelTip(l => l[times].at.map((v, k) => percentiles[k].name + ' ' + (v === null ? '–' : duration(v)))) });
    };

    // 1 / (1 - p) on a logarithmic axis: as far from 90 % to 99 % as from 99 % to 99.9 %.
    const nines = quantile => -Math.log10(1 - quantile);
    const drawPercentiles = () => {
      const chosen = $('level').value, all = chosen === 'all';
      const curves = results.flatMap((r, i) => r.levels.filter(l => !l.refusal && (all || String(l.level) === chosen)).map(l => {
        const share = levels.length > 1 ? index.get(l.level) / (levels.length - 1) : 1;
        const points = [];
        for (let k = 0; k < l[times].curve.length; k += 2) points.push({ x: nines(l[times].curve[k]), y: l[times].curve[k + 1] });
        return { name: all ? 'level ' + l.level : r.name, colour: all ? `color-mix(in oklch, var(--h2) ${Math.round(share * 100)}%, var(--h0))` : colour(i), points };
      })).filter(c => c.points.length);
      const end = Math.max(1, ...curves.map(c => c.points[c.points.length - 1].x));
      const entries = curves.map(c => ({ name: c.name, colour: c.colour }));
      // Of many levels the ends are enough: the colours run between them.
      legend($('percentiles-legend'), entries.length <= 12 ? entries : [entries[0], { name: '…', colour: 'transparent' }, entries[entries.length - 1]]);
      const text = n => { const share = 100 - 10 ** (2 - n); return n === 0 ? '0 %' : share.toFixed(Math.max(0, n - 2)) + ' %'; };
      const marks = [{ place: 0, text: '0 %', line: true }, { place: nines(.5) / end, text: '50 %', line: true }];
      for (let n = 1; n <= end; n++) marks.push({ place: n / end, text: text(n), line: true });
      const quantileText = x => { const rest = 10 ** -x * 100, places = Math.max(0, Math.ceil(-Math.log10(rest)) + 1); return (100 - rest).toFixed(places) + ' %'; };
      plot($('percentiles'), {
        lines: curves.map(c => ({ colour: c.colour, points: c.points.map(p => ({ place: p.x / end, y: p.y })) })),
        marks, log: $('log').checked, format: tick,
        tip: at => {
          if (!curves.length) return null;
          const x = Math.max(0, Math.min(1, at)) * end;
          const rows = curves.map(c => {
            const last = c.points[c.points.length - 1];
            return { name: c.name, colour: c.colour, cells: [x > last.x + .02 ? '–' : duration(c.points.find(p => p.x >= x - 1e-9)?.y ?? last.y)] };
          });
          const step = Math.ceil(rows.length / 14);
          return { place: x / end, title: quantileText(x), rows: rows.filter((row, i) => i % step === 0 || i === rows.length - 1) };
        } });
    };

    // One result: all its levels are of interest. Several: one level of each, the highest that most have.
    const select = $('level');
    if (!several) select.add(new Option('all', 'all'));
    for (const level of levels) select.add(new Option(level, level));
    const measured = level => results.filter(r => { const l = of(r, level); return l && !l.refusal; }).length;
    const best = Math.max(...levels.map(measured));
    select.value = several ? String(levels.filter(l => measured(l) === best).pop()) : 'all';
    select.onchange = drawPercentiles;
    select.parentElement.hidden = levels.length < 2;
    $('log').onchange = drawPercentiles;
    $('times').hidden = !results.some(r => r.open);
    for (const input of $('times').querySelectorAll('input')) input.onchange = () => { times = input.value; drawLatency(); drawPercentiles(); };

    const draw = () => { $('tip').hidden = true; drawThroughput(); drawLatency(); drawPercentiles(); };
    draw();
    let width = innerWidth;
    addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
    """#
}
