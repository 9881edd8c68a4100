/// Second part of the page's script: draws rows, strip, axis and critical path on canvases at the present zoom.
enum TimelineDrawScript {
  static let source = #"""
    const MAXIMUM_ROW = 30, MINIMUM_ROW = 3, AXIS = 22, STRIP = 54, PATH = 26, GAP = 8;
    const view = { from: 0, to: total, scroll: 0 };
    const state = { hover: -1, pinned: -1, path: true, match: null };
    let box = { width: 0, height: 0, row: 10, rowsHeight: 0, shown: 0, top: 0 };
    let look = {}, patterns = {};
    const canvas = $('canvas'), pen = canvas.getContext('2d');

    const readLook = () => {
      const style = getComputedStyle(document.documentElement);
      const get = name => style.getPropertyValue('--' + name).trim();
      look = Object.fromEntries(['paper', 'card', 'ink', 'soft', 'line', 'grid', 'row', 'accent', 'bad', 'warn', 'path', 'strip'].map(n => [n, get(n)]));
      look.handlers = D.handlers.map((_, i) => get('h' + Math.min(i, 8)));
      look.text = look.handlers.map(colour => {
        const v = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16) / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
        return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] > .22 ? '#101418' : '#ffffff';
      });
      patterns = { failed: hatch(look.bad, 6, (p, n) => { p.moveTo(-n, 2 * n); p.lineTo(2 * n, -n); p.moveTo(-n, n); p.lineTo(n, -n); p.moveTo(0, 2 * n); p.lineTo(2 * n, 0); }),
        timedOut: hatch(look.bad, 5, (p, n) => { p.moveTo(0, n / 2); p.lineTo(n, n / 2); }),
        cancelled: hatch(look.warn, 5, (p, n) => { p.moveTo(n / 2, 0); p.lineTo(n / 2, n); }) };
    };
    const hatch = (colour, n, path) => {
      const ratio = devicePixelRatio || 1, tile = document.createElement('canvas');
      tile.width = tile.height = Math.round(n * ratio);
      const p = tile.getContext('2d');
      p.scale(tile.width / n, tile.height / n);
      p.strokeStyle = colour; p.lineWidth = 1.6; p.beginPath(); path(p, n); p.stroke();
      const pattern = pen.createPattern(tile, 'repeat');
      pattern.setTransform(new DOMMatrix().scale(n / tile.width, n / tile.height));
      return pattern;
    };

    const layout = () => {
      const plot = $('plot');
      box.width = Math.max(50, plot.clientWidth);
      const room = Math.max(260, Math.min(820, innerHeight * .62)), n = Math.max(1, rows.length);
      box.row = Math.max(MINIMUM_ROW, Math.min(MAXIMUM_ROW, Math.floor(room / n)));
      box.rowsHeight = box.row * n;
      box.shown = Math.min(box.rowsHeight, Math.floor(room / box.row) * box.row);
      box.top = STRIP + AXIS + PATH + GAP;
      box.height = box.top + box.shown + 6;
      const ratio = devicePixelRatio || 1;
      canvas.width = Math.round(box.width * ratio); canvas.height = Math.round(box.height * ratio);
      canvas.style.height = box.height + 'px';
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      view.scroll = clampScroll(view.scroll);
      names();
    };
    const clampScroll = y => Math.max(0, Math.min(box.rowsHeight - box.shown, y));
    const x = t => (t - view.from) / (view.to - view.from) * box.width;
    const rowTop = r => box.top + r * box.row - view.scroll;

    // Names of rows, or of groups of rows where rows are too low for text.
    const names = () => {
      const list = [], short = box.width < 520, room = $('names').clientWidth;
      const put = (text, top, height, wrap) => list.push({ text, top, height, wrap });
      put(short ? 'run' : 'running', 8, 16);
      put(short ? 'path' : 'critical path', STRIP + AXIS + PATH / 2 - 7, 16);
      const groups = [];
      rows.forEach((row, r) => { if (!groups.length || groups[groups.length - 1].kind !== row.kind) groups.push({ kind: row.kind, first: r, count: 0 }); groups[groups.length - 1].count++; });
      for (const group of groups) {
        const words = short ? ['w', 'b', 'a'] : ['worker ', 'blocking ', 'async '];
        if (box.row >= 13 && group.kind !== 2 || box.row >= 13 && group.count < 4) {
          for (let r = group.first; r < group.first + group.count; r++) {
            const top = rowTop(r);
            if (top >= box.top - 1 && top < box.top + box.shown) put(words[group.kind] + rows[r].number, top + box.row / 2 - 7, 16);
          }
        } else {
          const top = Math.max(box.top, rowTop(group.first)), bottom = Math.min(box.top + box.shown, rowTop(group.first + group.count));
          const word = ['workers', 'blocking', short ? 'async' : 'asynchronous'][group.kind];
          if (bottom - top >= 10) put(group.count > 1 && bottom - top >= 30 ? word + '\n' + count(group.count) + (short ? '' : ' rows') : word, top, bottom - top, true);
        }
      }
      $('names').replaceChildren(...list.map(item => {
        const span = document.createElement('span');
        span.textContent = item.text; span.style.top = item.top + 'px'; span.style.maxHeight = item.height + 'px';
        if (item.wrap) { span.className = 'wrap'; span.style.whiteSpace = 'pre'; }
        return span;
      }));
    };

    const tickStep = () => {
      const wanted = (view.to - view.from) / Math.max(2, box.width / 95);
      const power = 10 ** Math.floor(Math.log10(wanted));
      const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= wanted);
      const seconds = step * D.unit / 1e9;
      if (seconds > 10 && total * D.unit / 1e9 >= 120) return [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400].find(s => s * 1e9 / D.unit >= wanted) * 1e9 / D.unit || step;
      return Math.max(1, step);
    };
    const axis = () => {
      const step = tickStep(), marks = [];
      for (let k = Math.ceil(view.from / step); k * step <= view.to; k++) marks.push(k * step);
      $('axis').style.top = STRIP + 'px';
      $('axis').replaceChildren(...marks.map(t => {
        const span = document.createElement('span'), at = x(t);
        span.textContent = moment(t, step); span.style.left = at + 'px';
        if (at < 28) span.className = 'first'; else if (at > box.width - 28) span.className = 'last';
        return span;
      }));
      return marks;
    };

    // The strip: for each pixel the mean number of running attempts.
    const strip = () => {
      const top = 8, bottom = STRIP - 2, height = bottom - top;
      const high = D.slots <= peak * 2 ? Math.max(D.slots, peak) : peak;
      const y = v => bottom - v / high * height;
      let i = upperBound(steps.times, view.from) - 1;
      const per = (view.to - view.from) / box.width;
      pen.beginPath(); pen.moveTo(0, bottom);
      let low = box.width, right = 0;
      for (let px = 0; px < box.width; px++) {
        const from = view.from + px * per, to = from + per;
        if (to <= 0 || from >= total) continue;
        while (i + 1 < steps.times.length && steps.times[i + 1] <= from) i++;
        let sum = 0, at = from, j = Math.max(0, i);
        while (at < to) {
          const next = j + 1 < steps.times.length ? Math.min(to, steps.times[j + 1]) : to;
          if (next > at) sum += (next - at) * (steps.times[j] <= at || j ? steps.counts[j] : 0);
          at = Math.max(at, next); j++;
          if (j >= steps.times.length) break;
        }
        if (px < low) { low = px; pen.lineTo(px, bottom); }
        right = px + 1;
        pen.lineTo(px, y(sum / per)); pen.lineTo(px + 1, y(sum / per));
      }
      pen.lineTo(right, bottom); pen.closePath();
      pen.fillStyle = look.strip; pen.globalAlpha = .55; pen.fill(); pen.globalAlpha = 1;
      pen.font = '10px system-ui, sans-serif'; pen.textBaseline = 'top';
      const label = D.slots === high ? count(D.slots) + (D.slots === 1 ? ' slot' : ' slots') : 'at most ' + count(Math.ceil(peak));
      pen.strokeStyle = look.soft; pen.lineWidth = 1; pen.setLineDash([3, 3]); pen.beginPath(); pen.moveTo(0, top - .5); pen.lineTo(box.width, top - .5); pen.stroke(); pen.setLineDash([]);
      const wide = pen.measureText(label).width;
      pen.fillStyle = look.card; pen.globalAlpha = .88; pen.fillRect(box.width - wide - 9, top + 1, wide + 7, 13); pen.globalAlpha = 1;
      pen.fillStyle = look.soft; pen.textAlign = 'right'; pen.fillText(label, box.width - 5, top + 2); pen.textAlign = 'left';
    };
    const upperBound = (list, value) => { let a = 0, b = list.length; while (a < b) { const m = (a + b) >> 1; if (list[m] <= value) a = m + 1; else b = m; } return a; };
    const firstVisible = list => { let a = 0, b = list.length; while (a < b) { const m = (a + b) >> 1; if (A.end[list[m]] < view.from) a = m + 1; else b = m; } return a; };
    const bad = i => A.status[i] === S.FAILED || A.status[i] === S.TIMED_OUT;
    const dimmed = i => state.match !== null && !state.match.has(A.task[i]);

    // One attempt: colour says handler, shape says how it ended.
    const bar = (i, left, right, y, h) => {
      const from = Math.max(-4, left), to = Math.min(box.width + 4, right), w = Math.max(1, to - from), status = A.status[i];
      const inset = h >= 8 ? 1 : .4, top = y + inset, tall = h - 2 * inset, gap = w > 4 ? .5 : 0;
      const colour = look.handlers[T.handler[A.task[i]]];
      pen.globalAlpha = dimmed(i) ? .14 : 1;
      const ended = bad(i) || status === S.CANCELLED;
      pen.fillStyle = colour;
      if (ended) {
        const mark = status === S.CANCELLED ? look.warn : look.bad;
        pen.fillStyle = look.card; pen.fillRect(from, top, w - gap, tall);
        if (!A.last[i]) { pen.globalAlpha *= .45; pen.fillStyle = colour; pen.fillRect(from, top, w - gap, tall); pen.globalAlpha = dimmed(i) ? .14 : 1; }
        pen.fillStyle = w < 4 ? mark : status === S.FAILED ? patterns.failed : status === S.TIMED_OUT ? patterns.timedOut : patterns.cancelled;
        pen.fillRect(from, top, Math.max(w - gap, w < 4 ? 2 : 0), tall);
        if (w >= 4 && tall >= 4) { pen.strokeStyle = mark; pen.lineWidth = 1.3; pen.setLineDash(status === S.CANCELLED ? [3, 2] : []); pen.strokeRect(from + .65, top + .65, w - gap - 1.3, tall - 1.3); pen.setLineDash([]); }
        if (w >= 15 && tall >= 11) glyph(status, to - 8, top + tall / 2, mark);
      } else if (A.open[i]) {
        const fade = pen.createLinearGradient(from, 0, to, 0);
        fade.addColorStop(0, colour); fade.addColorStop(1, look.card);
        pen.fillStyle = fade; pen.fillRect(from, top, w, tall);
      } else pen.fillRect(from, top, w - gap, tall);
      if (A.number[i] > 1 && w >= 6) { pen.fillStyle = look.ink; pen.fillRect(from + 1.5, top, 1.5, tall); pen.fillRect(from + 4, top, 1.5, tall); }
      if (tall >= 12 && w >= 26) {
        const start = from + (A.number[i] > 1 ? 9 : 5), room = to - start - (ended ? 18 : 5);
        text(show(T.id[A.task[i]]), start, top + tall / 2, room, ended ? look.ink : look.text[T.handler[A.task[i]]], ended ? look.card : null);
      }
      pen.globalAlpha = 1;
    };
    const text = (words, at, middle, room, colour, halo) => {
      if (room < 14) return;
      pen.font = '11px system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif'; pen.textBaseline = 'middle'; pen.textAlign = 'left';
      let shown = words.slice(0, 200);
      if (pen.measureText(shown).width > room) {
        let a = 0, b = shown.length;
        while (a < b) { const m = (a + b + 1) >> 1; if (pen.measureText(shown.slice(0, m) + '…').width <= room) a = m; else b = m - 1; }
        if (a < 6) return;
        shown = shown.slice(0, a) + '…';
      }
      if (halo) { pen.strokeStyle = halo; pen.lineWidth = 3; pen.lineJoin = 'round'; pen.strokeText(shown, at, middle + .5); }
      pen.fillStyle = colour; pen.fillText(shown, at, middle + .5);
    };
    const glyph = (status, cx, cy, colour) => {
      pen.fillStyle = look.card; pen.beginPath(); pen.arc(cx, cy, 5.5, 0, 7); pen.fill();
      pen.strokeStyle = colour; pen.lineWidth = 1.5; pen.beginPath();
      if (status === S.TIMED_OUT) { pen.arc(cx, cy, 4, 0, 7); pen.moveTo(cx, cy - 2.5); pen.lineTo(cx, cy); pen.lineTo(cx + 2, cy + 1); }
      else if (status === S.FAILED) { pen.moveTo(cx - 3, cy - 3); pen.lineTo(cx + 3, cy + 3); pen.moveTo(cx + 3, cy - 3); pen.lineTo(cx - 3, cy + 3); }
      else { pen.moveTo(cx - 3.5, cy); pen.lineTo(cx + 3.5, cy); }
      pen.stroke();
    };

    // A list of attempts in one row. What is narrower than a pixel and a half is summed by pixel column: its height stays, its strength says how much
    // of the column was busy, its colour is the handler that took most of it, red if something failed there.
    const drawRow = (list, y, h) => {
      let columnAt = -1, busy = 0, best = -1, bestLength = -1, failed = false, lit = false;
      const flush = () => {
        if (columnAt < 0) return;
        pen.globalAlpha = (.3 + .7 * Math.min(1, busy)) * (lit ? 1 : .14);
        pen.fillStyle = failed ? look.bad : look.handlers[T.handler[A.task[best]]];
        pen.fillRect(columnAt, y, failed ? 2 : 1, h > 5 ? h - 1 : h);
        pen.globalAlpha = 1; columnAt = -1; busy = 0; bestLength = -1; failed = lit = false;
      };
      for (let k = firstVisible(list); k < list.length; k++) {
        const i = list[k];
        if (A.start[i] > view.to) break;
        const left = x(A.start[i]), right = x(A.end[i]);
        if (right - left >= 1.5) { flush(); bar(i, left, right, y, h); continue; }
        const at = Math.floor(left);
        if (at !== columnAt) { flush(); columnAt = at; }
        busy += right - left; failed ||= bad(i); lit ||= !dimmed(i);
        if (right - left > bestLength) { best = i; bestLength = right - left; }
      }
      flush();
    };

    const outline = (i, colour, width) => {
      const r = A.row[i], y = rowTop(r), left = Math.max(-6, x(A.start[i])), right = Math.min(box.width + 6, x(A.end[i]));
      if (right < -5 || left > box.width + 5) return;
      // Narrow ones get ticks above and below: outlines would hide what they mark.
      if (right - left < 4) { const tick = box.row >= 8 ? 3 : 1; pen.fillStyle = colour; for (const at of [y, y + box.row - tick]) pen.fillRect(Math.floor(left), at, 1.5, tick); return; }
      const inset = box.row >= 8 ? 1 : 0;
      pen.strokeStyle = colour; pen.lineWidth = width;
      pen.strokeRect(left + width / 2 - .5, y + inset + width / 2 - .5, Math.max(1, right - left - width + .5), Math.max(1, box.row - 2 * inset - width + 1));
    };
    const links = (list, colour, width) => {
      pen.strokeStyle = colour; pen.lineWidth = width; pen.lineJoin = 'round'; pen.beginPath();
      for (let k = 1; k < list.length; k++) {
        const a = list[k - 1], b = list[k], x0 = x(A.end[a]), x1 = x(A.start[b]);
        if (x1 < 0 || x0 > box.width) continue;
        const y0 = rowTop(A.row[a]) + box.row / 2, y1 = rowTop(A.row[b]) + (box.row >= 8 ? .5 : box.row / 2);
        pen.moveTo(x0, y0); pen.lineTo(x0, y1); pen.lineTo(x1, y1);
      }
      pen.stroke();
    };

    const draw = () => {
      pen.clearRect(0, 0, box.width, box.height);
      const marks = axis();
      strip();
      pen.fillStyle = look.grid;
      for (const t of marks) pen.fillRect(Math.round(x(t)), STRIP + AXIS - 4, 1, box.height);
      // The critical path in a row of its own.
      const y = STRIP + AXIS + 2, h = PATH - 4;
      pen.fillStyle = look.row; pen.fillRect(0, y, box.width, h);
      drawRow(pathAttempts, y, h);
      pen.fillStyle = look.line; pen.fillRect(0, STRIP + AXIS + PATH + 3, box.width, 1);
      pen.save();
      pen.beginPath(); pen.rect(0, box.top - 1, box.width, box.shown + 2); pen.clip();
      const first = Math.max(0, Math.floor(view.scroll / box.row)), last = Math.min(rows.length, Math.ceil((view.scroll + box.shown) / box.row));
      for (let r = first; r < last; r++) {
        if (box.row >= 6 && (r & 1) === 0) { pen.globalAlpha = .6; pen.fillStyle = look.row; pen.fillRect(0, rowTop(r), box.width, box.row); pen.globalAlpha = 1; }
        drawRow(rows[r].list, rowTop(r), box.row);
      }
      for (let r = Math.max(1, first); r < last; r++) if (rows[r].kind !== rows[r - 1].kind) { pen.fillStyle = look.soft; pen.globalAlpha = .5; pen.fillRect(0, rowTop(r) - .5, box.width, 1); pen.globalAlpha = 1; }
      if (state.path && state.match === null) {
        pen.globalAlpha = .75; links(pathAttempts, look.path, 1.2); pen.globalAlpha = 1;
        for (const i of pathAttempts) outline(i, look.path, box.row >= 8 ? 2 : 1);
      }
      if (state.pinned >= 0) {
        const chain = []; let task = A.task[state.pinned];
        for (let guard = 0; task >= 0 && guard < 1000; guard++) { chain.unshift(...T.attempts[task]); task = releaser(task); }
        links(chain, look.accent, 1.5); outline(state.pinned, look.accent, 2.5);
      }
      if (state.hover >= 0) outline(state.hover, look.accent, 2);
      pen.restore();
      const thumb = $('thumb');
      thumb.hidden = box.rowsHeight <= box.shown;
      if (!thumb.hidden) { thumb.style.height = Math.max(20, box.shown * box.shown / box.rowsHeight) + 'px'; thumb.style.top = box.top + view.scroll / (box.rowsHeight - box.shown) * (box.shown - Math.max(20, box.shown * box.shown / box.rowsHeight)) + 'px'; }
    };
    """#
}
