/// First part of the page's script: words for figures, and lines in a frame with axes.
enum BenchPagePlotScript {
  static let source = #"""
    const $ = id => document.getElementById(id);
    const digits = v => v.toFixed(v < 9.995 ? 2 : v < 99.95 ? 1 : 0);
    const duration = ns => ns < 999.5 ? Math.round(ns) + ' ns' : ns < 999.5e3 ? digits(ns / 1e3) + ' µs' : ns < 999.5e6 ? digits(ns / 1e6) + ' ms' : digits(ns / 1e9) + ' s';
    const rate = v => v < 99.95 ? digits(v) : Math.round(v).toLocaleString('en');
    const short = v => v >= 1e9 ? +(v / 1e9).toPrecision(3) + ' G' : v >= 1e6 ? +(v / 1e6).toPrecision(3) + ' M' : v >= 1e4 ? +(v / 1e3).toPrecision(3) + ' k' : String(+v.toPrecision(3));
    const tick = ns => ns >= 1e9 ? +(ns / 1e9).toPrecision(3) + ' s' : ns >= 1e6 ? +(ns / 1e6).toPrecision(3) + ' ms' : ns >= 1e3 ? +(ns / 1e3).toPrecision(3) + ' µs' : +ns.toPrecision(3) + ' ns';
    const node = (name, attributes, text) => {
      const made = document.createElementNS('http:' + '//www.w3.org/2000/svg', name);
      for (const key in attributes) made.setAttribute(key, attributes[key]);
      if (text !== undefined) made.textContent = text;
      return made;
    };

    // Marks of an axis from low to high: steps of 1, 2 or 5; on a logarithmic one powers of ten, with as many between them as there is room for.
    const linearMarks = (low, high, wanted) => {
      const raw = (high - low) / wanted || 1, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find(f => f * power >= raw * .999) * power;
      const marks = [];
      for (let k = Math.ceil(low / step - 1e-9); k * step <= high * 1.0000001; k++) marks.push(k * step);
      return marks;
    };
    const logMarks = (low, high, wanted) => {
      const first = Math.floor(Math.log10(low) + 1e-9), last = Math.ceil(Math.log10(high) - 1e-9);
      const every = Math.max(1, Math.ceil((last - first) / (wanted + 1)));
      const decades = Math.log10(high / low), marks = [];
      const factors = [[1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3]].find(f => decades * f.length <= wanted * 1.4) ?? [1];
      for (let k = first; k <= last; k += every) for (const f of factors) { const v = f * 10 ** k; if (v >= low * .999 && v <= high * 1.001) marks.push(v); }
      return marks;
    };

    // Draws `lines` into an element. Each has points of x and y, y null where there is a gap, perhaps low and high.
    // x is a place from 0 to 1; y a value. `marks`: places and texts on the x axis. `refused`: places of columns without figures.
    let drawings = 0;
    const plot = (box, { lines, marks, refused = [], column = 0, log, format, tip }) => {
      box.textContent = '';
      const width = box.clientWidth, height = box.clientHeight, svg = node('svg', { viewBox: `0 0 ${width} ${height}` });
      box.append(svg);
      const values = lines.flatMap(line => line.points.flatMap(p => p.y === null ? [] : [p.y, p.low ?? p.y, p.high ?? p.y])).filter(v => !log || v > 0);
      let low = Math.min(...values), high = Math.max(...values);
      if (!values.length) { low = 1; high = 10; }
      if (log) {
        if (high / low < 2) { low /= 1.5; high *= 1.5; }
        low /= (high / low) ** .04; high *= (high / low) ** .04;
      } else { low = 0; high = high * 1.06 || 1; }
      const steps = Math.max(2, Math.floor(height / 46));
      const across = values.length ? (log ? logMarks : linearMarks)(low, high, steps) : [], texts = across.map(format);
      const left = 16 + 6.4 * Math.max(4, ...texts.map(t => t.length)), right = width - 14, top = 10, bottom = height - 26;
      const X = place => left + place * (right - left);
      const Y = value => log ? bottom - Math.log(value / low) / Math.log(high / low) * (bottom - top) : bottom - (value - low) / (high - low) * (bottom - top);
      across.forEach((value, i) => {
        svg.append(node('line', { class: 'grid', x1: left, x2: right, y1: Y(value), y2: Y(value) }), node('text', { x: left - 7, y: Y(value) + 4, 'text-anchor': 'end' }, texts[i]));
      });
      // Texts of the x axis that would touch their neighbours are left out; the last one stays.
      let free = -1e9;
      const last = marks[marks.length - 1];
      marks.forEach(mark => {
        const x = X(mark.place), half = 3.3 * mark.text.length + 4, room = mark === last || x + half < X(last.place) - (3.3 * last.text.length + 4);
        if (mark.line) svg.append(node('line', { class: 'grid', x1: x, x2: x, y1: top, y2: bottom }));
        if (x - half < free || !room) return;
        free = x + half;
        svg.append(node('text', { x: Math.min(x, width - half + 2), y: bottom + 17, 'text-anchor': 'middle' }, mark.text));
      });
      svg.append(node('line', { class: 'frame', x1: left, x2: right, y1: bottom, y2: bottom }));
      if (refused.length) {
        const id = 'hatch' + drawings++, pattern = node('pattern', { id, width: 7, height: 7, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' });
        pattern.append(node('line', { x1: 0, x2: 0, y1: 0, y2: 7, stroke: 'var(--bad)', 'stroke-width': 1.4, 'stroke-opacity': .35 }));
        svg.append(pattern);
        const wide = Math.max(3, Math.min(44, column * (right - left) * .8));
        for (const { place, part, of } of refused) {
          const one = wide / of, x = X(place) - wide / 2 + part * one;
          svg.append(node('rect', { x, y: top, width: one, height: bottom - top, style: `fill:url(#${id})` }));
          if (one >= 18) svg.append(node('text', { class: 'refused-mark', x: x + one / 2 + 4, y: (top + bottom) / 2, 'text-anchor': 'middle', transform: `rotate(-90 ${x + one / 2 + 4} ${(top + bottom) / 2})` }, 'refused'));
        }
      }
      for (const line of lines) {
        let path = '', open = false;
        const shown = line.points.filter(p => p.y !== null && (!log || p.y > 0)).length;
        line.points.forEach((p, i) => {
          if (p.y === null || (log && p.y <= 0)) { open = false; return; }
          const x = X(p.place).toFixed(1), y = Y(p.y).toFixed(1);
          path += (open ? 'L' : 'M') + x + ' ' + y;
          open = true;
          if (p.low !== undefined && p.high > p.low) svg.append(node('line', { class: 'range', x1: x, x2: x, y1: Y(p.low), y2: Y(p.high), stroke: line.colour }));
          // A point without neighbours would not be seen.
          if (line.dots || shown === 1) svg.append(node('circle', { cx: x, cy: y, r: line.points.length > 24 ? 2 : 3, fill: line.colour }));
        });
        svg.append(node('path', { class: 'line', d: path, stroke: line.colour, 'stroke-dasharray': line.dash ?? '', style: lines.length > 12 ? 'stroke-width:1.25' : '' }));
      }
      if (!values.length && !refused.length) svg.append(node('text', { class: 'none', x: (left + right) / 2, y: (top + bottom) / 2, 'text-anchor': 'middle' }, 'no figures'));
      const cursor = node('line', { class: 'cursor', y1: top, y2: bottom, visibility: 'hidden' });
      svg.append(cursor);
      const leave = () => { cursor.setAttribute('visibility', 'hidden'); $('tip').hidden = true; };
      svg.addEventListener('pointerleave', leave);
      svg.addEventListener('pointermove', event => {
        const inside = event.clientX - svg.getBoundingClientRect().left, said = tip((inside - left) / (right - left));
        if (!said || inside < left - 20) { leave(); return; }
        cursor.setAttribute('x1', X(said.place)); cursor.setAttribute('x2', X(said.place)); cursor.setAttribute('visibility', 'visible');
        showTip(event, said);
      });
    };

    const showTip = (event, { title, rows }) => {
      const box = $('tip'), table = document.createElement('table'), head = document.createElement('b');
      head.textContent = title;
      for (const row of rows) {
        const line = table.insertRow(), name = line.insertCell(), mark = document.createElement('i');
        mark.style.background = row.colour;
        name.append(mark, row.name);
        for (const text of row.cells) { const cell = line.insertCell(); cell.textContent = text; cell.className = row.bad ? 'error' : 'number'; }
      }
      box.replaceChildren(head, table);
      box.hidden = false;
      const { width, height } = box.getBoundingClientRect(), x = event.clientX + 16, y = event.clientY + 14;
      box.style.left = Math.max(8, x + width > innerWidth - 8 ? event.clientX - width - 16 : x) + 'px';
      box.style.top = Math.max(8, Math.min(y, innerHeight - height - 8)) + 'px';
    };

    const legend = (list, entries) => list.replaceChildren(...entries.map(({ name, colour, dash }) => {
      const item = document.createElement('li'), svg = node('svg', { viewBox: '0 0 26 10' });
      svg.append(node('line', { x1: 2, x2: 24, y1: 5, y2: 5, stroke: colour, 'stroke-width': 2.5, 'stroke-linecap': 'round', 'stroke-dasharray': dash ?? '' }));
      item.append(svg, name);
      return item;
    }));
    """#
}
