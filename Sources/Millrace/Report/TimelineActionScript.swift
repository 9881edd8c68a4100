/// Third part of the page's script: zoom, pan, details, search, keys and touch.
enum TimelineActionScript {
  static let source = #"""
    let asked = false;
    const redraw = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } };
    const smallest = Math.max(total / 1e6, Math.min(total, 20));
    const zoomTo = (from, to) => {
      const margin = total * .02;
      let span = Math.max(smallest, Math.min(total + 2 * margin, to - from));
      from += ((to - from) - span) / 2;
      from = Math.max(-margin, Math.min(total + margin - span, from));
      view.from = from; view.to = from + span; hideTip(); redraw();
    };
    const fit = () => { view.scroll = 0; names(); zoomTo(-total * .004, total * 1.004); };
    const zoom = (factor, at = box.width / 2) => {
      const span = view.to - view.from, t = view.from + span * at / box.width, next = Math.max(smallest, span * factor);
      zoomTo(t - next * at / box.width, t + next * (1 - at / box.width));
    };
    const pan = pixels => { const d = (view.to - view.from) * pixels / box.width; zoomTo(view.from + d, view.to + d); };
    const scroll = pixels => { const next = clampScroll(view.scroll + pixels); if (next === view.scroll) return false; view.scroll = next; names(); redraw(); return true; };

    // Details.
    const element = (tag, text, name) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (name) e.className = name; return e; };
    const line = (...parts) => { const div = element('div'); div.append(...parts); return div; };
    const word = i => element('span', D.statuses[i], D.statuses[i]);
    const describe = i => {
      const task = A.task[i], list = [line(element('b', show(T.id[task])))];
      list.push(line(show(D.handlers[T.handler[task]]) + ' · ', word(A.status[i]), T.attempts[task].length > 1 || A.number[i] > 1 ? ' · attempt ' + A.number[i] : ''));
      const before = T.attempts[task].indexOf(i), since = before > 0 ? A.end[T.attempts[task][before - 1]] : T.ready[task];
      const wait = since >= 0 ? Math.max(0, A.start[i] - since) : -1;
      list.push(line(element('span', (A.open[i] ? 'so far ' : 'took ') + duration(A.end[i] - A.start[i])
        + (wait < 0 ? '' : before > 0 ? ' · waited ' + duration(wait) + ' after attempt ' + (A.number[i] - 1) : ' · waited ' + duration(wait) + ' after ready'))));
      list.push(line(element('span', 'from ' + (A.start[i] ? duration(A.start[i]) : '0 s') + (A.open[i] ? '' : ' to ' + duration(A.end[i])) + ' · ' + rowName(rows[A.row[i]]), 'soft')));
      if (onPath[task]) list.push(line(element('span', 'on the critical path', 'soft')));
      const error = A.error.get(i);
      if (error !== undefined) list.push(element('div', show([D.errors[2 * error], D.errors[2 * error + 1]].filter(s => s).join(': ')), 'error'));
      return list;
    };
    const tip = $('tip');
    const hideTip = () => { tip.hidden = true; if (state.hover >= 0) { state.hover = -1; redraw(); } };
    const showTip = (nodes, cx, cy) => {
      tip.replaceChildren(...nodes); tip.hidden = false;
      const r = tip.getBoundingClientRect();
      tip.style.left = Math.max(8, Math.min(innerWidth - r.width - 8, cx + 14)) + 'px';
      tip.style.top = (cy + 18 + r.height > innerHeight ? Math.max(8, cy - r.height - 12) : cy + 18) + 'px';
    };
    const pin = (i, look) => {
      state.pinned = i;
      const panel = $('details');
      if (i < 0) { panel.hidden = true; redraw(); return; }
      const task = A.task[i], nodes = describe(i);
      nodes.push(line(element('span', 'priority ' + D.priorities[T.priority[task]] + (T.bytes[task] ? ' · output ' + size(T.bytes[task]) : ''), 'soft')));
      if (T.attempts[task].length > 1) nodes.push(line('attempts: ', ...T.attempts[task].flatMap((a, k) => [k ? ' ' : '', link(String(A.number[a]) + ' ' + D.statuses[A.status[a]], a)])));
      const from = releaser(task);
      if (from >= 0 && T.attempts[from].length) nodes.push(line('released by ', link(show(T.id[from]), T.attempts[from][T.attempts[from].length - 1])));
      panel.querySelector('.body').replaceChildren(...nodes);
      panel.hidden = false;
      if (look) reveal(i);
      redraw();
    };
    const link = (text, i) => { const b = element('button', text); b.type = 'button'; b.onclick = () => pin(i, true); return b; };
    const reveal = i => {
      const length = A.end[i] - A.start[i], span = view.to - view.from;
      if (A.start[i] < view.from || A.end[i] > view.to || x(A.end[i]) - x(A.start[i]) < 3) {
        const next = Math.max(length * 12, Math.min(span, total / 20)), middle = (A.start[i] + A.end[i]) / 2;
        zoomTo(middle - next / 2, middle + next / 2);
      }
      const top = A.row[i] * box.row;
      if (top < view.scroll || top + box.row > view.scroll + box.shown) { view.scroll = clampScroll(top - box.shown / 2); names(); }
    };

    // What lies under the pointer: an attempt, or several in one pixel.
    const under = (px, py) => {
      const inPath = py >= STRIP + AXIS && py < box.top - GAP + 2;
      if (!inPath && (py < box.top || py >= box.top + box.shown)) return [];
      const list = inPath ? pathAttempts : (rows[Math.floor((py - box.top + view.scroll) / box.row)] || { list: [] }).list;
      const per = (view.to - view.from) / box.width, at = view.from + px * per, hits = [];
      let a = 0, b = list.length;
      while (a < b) { const m = (a + b) >> 1; if (A.end[list[m]] < at - 2 * per) a = m + 1; else b = m; }
      for (let k = a; k < list.length && A.start[list[k]] <= at + 2 * per; k++) hits.push(list[k]);
      const exact = hits.filter(i => A.start[i] <= at && A.end[i] >= at && A.end[i] - A.start[i] > 1.5 * per);
      return exact.length ? [exact[0]] : hits;
    };
    const hover = (cx, cy) => {
      const r = canvas.getBoundingClientRect(), hits = under(cx - r.left, cy - r.top);
      const next = hits.length === 1 ? hits[0] : -1;
      if (next !== state.hover) { state.hover = next; redraw(); }
      if (!hits.length) { tip.hidden = true; return; }
      if (hits.length === 1) return showTip(describe(next), cx, cy);
      const failures = hits.filter(bad).length;
      showTip([line(element('b', count(hits.length) + ' attempts here')), line(element('span', 'zoom in to tell them apart', 'soft')), ...(failures ? [line(element('span', count(failures) + ' failed', 'error'))] : [])], cx, cy);
    };

    // Pointer: drag pans, a tap pins, two fingers zoom.
    const plot = $('plot'), pointers = new Map();
    let moved = 0, spread = 0;
    plot.addEventListener('pointerdown', e => { pointers.set(e.pointerId, [e.clientX, e.clientY]); moved = 0; spread = 0; plot.setPointerCapture(e.pointerId); });
    plot.addEventListener('pointermove', e => {
      const old = pointers.get(e.pointerId);
      if (!old) { if (e.pointerType === 'mouse') hover(e.clientX, e.clientY); return; }
      pointers.set(e.pointerId, [e.clientX, e.clientY]);
      if (pointers.size === 2) {
        const [p, q] = [...pointers.values()], wide = Math.max(20, Math.abs(p[0] - q[0]));
        if (spread) zoom(spread / wide, (p[0] + q[0]) / 2 - canvas.getBoundingClientRect().left);
        spread = wide; moved = 99; return;
      }
      const dx = e.clientX - old[0], dy = e.clientY - old[1];
      moved += Math.abs(dx) + Math.abs(dy);
      if (moved > 3) { pan(-dx); if (dy) scroll(-dy); }
    });
    const release = e => {
      const was = pointers.delete(e.pointerId);
      if (!was || moved > 3 || e.type !== 'pointerup') return;
      const r = canvas.getBoundingClientRect(), hits = under(e.clientX - r.left, e.clientY - r.top);
      if (hits.length > 1) zoom(.2, e.clientX - r.left); else pin(hits.length ? hits[0] : -1);
    };
    plot.addEventListener('pointerup', release);
    plot.addEventListener('pointercancel', release);
    plot.addEventListener('pointerleave', hideTip);
    plot.addEventListener('dblclick', e => {
      const r = canvas.getBoundingClientRect(), hits = under(e.clientX - r.left, e.clientY - r.top);
      if (hits.length === 1) { const i = hits[0], m = Math.max(1, A.end[i] - A.start[i]); zoomTo(A.start[i] - m * .2, A.end[i] + m * .2); }
    });
    plot.addEventListener('wheel', e => {
      e.preventDefault();
      const unit = e.deltaMode === 1 ? 18 : 1;
      if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) { pan((e.deltaX || e.deltaY) * unit); return; }
      zoom(Math.exp(Math.max(-120, Math.min(120, e.deltaY * unit)) * .0025), e.clientX - canvas.getBoundingClientRect().left);
    }, { passive: false });

    // Keys, everywhere but in the search field.
    const step = direction => {
      if (!pathAttempts.length) return;
      const at = state.pinned < 0 ? -1 : pathAttempts.indexOf(state.pinned);
      pin(pathAttempts[at < 0 ? (direction > 0 ? 0 : pathAttempts.length - 1) : Math.max(0, Math.min(pathAttempts.length - 1, at + direction))], true);
    };
    const keys = { '+': () => zoom(1 / 1.5), '=': () => zoom(1 / 1.5), '-': () => zoom(1.5), '_': () => zoom(1.5), '0': fit, 'ArrowLeft': () => pan(-box.width * .15), 'ArrowRight': () => pan(box.width * .15),
      'Home': () => zoomTo(0, view.to - view.from), 'End': () => zoomTo(total - (view.to - view.from), total), 'Escape': () => { hideTip(); pin(-1); }, '[': () => step(-1), ']': () => step(1),
      '/': () => $('search').focus(), 'c': () => $('path').click() };
    document.addEventListener('keydown', e => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === 'INPUT' && e.target.type !== 'checkbox') return;
      if (document.activeElement === plot && (e.key === 'ArrowUp' || e.key === 'ArrowDown')) { if (scroll(e.key === 'ArrowUp' ? -60 : 60)) e.preventDefault(); return; }
      if (e.target.closest && e.target.closest('.scroll') && e.key.startsWith('Arrow')) return;
      const action = keys[e.key];
      if (action) { e.preventDefault(); action(); }
    });
    $('in').onclick = () => zoom(1 / 1.5); $('out').onclick = () => zoom(1.5); $('fit').onclick = fit;
    $('close').onclick = () => pin(-1);
    $('path').onchange = e => { state.path = e.target.checked; redraw(); };

    // Search: part of an id; Enter goes to the next one.
    let found = [], at = -1;
    $('search').addEventListener('input', e => {
      const wanted = e.target.value.trim().toLowerCase();
      found = []; at = -1; state.match = null;
      if (wanted) { T.id.forEach((id, task) => { if (id.toLowerCase().includes(wanted)) found.push(task); }); state.match = new Set(found); }
      $('hits').textContent = wanted ? count(found.length) + ' of ' + count(N) : '';
      redraw();
    });
    $('search').addEventListener('keydown', e => {
      if (e.key === 'Escape') { e.target.value = ''; e.target.dispatchEvent(new Event('input')); plot.focus(); }
      if (e.key !== 'Enter') return;
      const started = found.filter(task => T.attempts[task].length);
      if (started.length) { at = (at + (e.shiftKey ? started.length - 1 : 1)) % started.length; pin(T.attempts[started[at]][0], true); }
    });
    for (const button of document.querySelectorAll('button.task')) button.onclick = () => {
      const task = T.id.findIndex(id => show(id) === button.textContent);
      if (task >= 0 && T.attempts[task].length) { pin(T.attempts[task][0], true); plot.scrollIntoView({ block: 'nearest' }); }
    };

    // Legend: the handlers that have a colour, then what shapes say.
    const legend = $('legend'), mark = (html, style) => { const li = element('li'), s = element('span', undefined, 'swatch'); Object.assign(s.style, style); li.append(s, html); legend.append(li); };
    const colour = i => 'var(--h' + i + ')';
    D.handlers.slice(0, 8).forEach((name, i) => mark(show(name), { background: colour(i) }));
    if (D.handlers.length > 8) mark(D.handlers.length === 9 ? show(D.handlers[8]) : count(D.handlers.length - 8) + ' other handlers', { background: colour(8) });
    const seen = new Set(A.status), retried = A.number.some(n => n > 1);
    if (seen.has(S.FAILED)) mark('failed', { border: '1.5px solid var(--bad)', background: 'repeating-linear-gradient(135deg, var(--bad) 0 1.5px, transparent 1.5px 4px)' });
    if (seen.has(S.TIMED_OUT)) mark('timed out', { border: '1.5px solid var(--bad)', background: 'repeating-linear-gradient(0deg, var(--bad) 0 1.5px, transparent 1.5px 4px)' });
    if (seen.has(S.CANCELLED)) mark('cancelled', { border: '1.5px dashed var(--warn)', background: 'repeating-linear-gradient(90deg, var(--warn) 0 1.5px, transparent 1.5px 4px)' });
    if (retried) mark('a repeated attempt', { background: 'linear-gradient(90deg, var(--h8) 0 3px, var(--ink) 3px 5px, var(--h8) 5px 7px, var(--ink) 7px 9px, var(--h8) 9px)' });
    if (A.open.some(v => v)) mark('still running', { background: 'linear-gradient(90deg, var(--h8), transparent)' });
    mark('critical path', { border: '2px solid var(--path)' });

    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', () => { readLook(); redraw(); });
    new ResizeObserver(() => { if ($('plot').clientWidth !== box.width) { layout(); redraw(); } }).observe($('plot'));
    addEventListener('resize', () => { layout(); redraw(); });
    readLook(); layout(); fit();
    const started = new Date(D.startedMilliseconds);
    if (D.startedMilliseconds > 0) $('started').textContent = ' · ' + started.toLocaleString();
    """#
}
