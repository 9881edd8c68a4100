/// First part of the page's script: reads the embedded data into columns, and the words for times and texts.
enum TimelineModelScript {
  static let source = #"""
    const D = JSON.parse(document.getElementById('data').textContent);
    const $ = id => document.getElementById(id);
    const column = (value, n) => Array.isArray(value) ? value : new Array(n).fill(value);
    const pairs = list => { const map = new Map(); for (let i = 0; i < list.length; i += 2) map.set(list[i], list[i + 1]); return map; };

    // Tasks.
    const N = D.id.length;
    const T = { id: D.id, handler: column(D.handler, N), status: column(D.status, N), priority: column(D.priority, N), ready: column(D.ready, N),
      bytes: column(D.bytes, N), by: column(D.by, N), cause: pairs(D.taskCause), attempts: Array.from({ length: N }, () => []) };

    // Attempts, ordered by start.
    const M = D.attempts;
    const A = { task: column(D.attemptTask, M), start: Float64Array.from(column(D.attemptStart, M)), end: new Float64Array(M),
      row: column(D.attemptRow, M), number: column(D.attemptNumber, M), status: column(D.attemptStatus, M), error: pairs(D.attemptError),
      open: new Uint8Array(M), last: new Uint8Array(M) };
    const lengths = column(D.attemptLength, M);
    const rows = D.rowKind.map((kind, i) => ({ kind, number: D.rowNumber[i], list: [] }));
    const total = Math.max(1, D.end);
    for (let i = 0; i < M; i++) {
      if (i) A.start[i] += A.start[i - 1];
      A.open[i] = lengths[i] < 0 ? 1 : 0;
      A.end[i] = A.open[i] ? total : A.start[i] + lengths[i];
      rows[A.row[i]].list.push(i);
      T.attempts[A.task[i]].push(i);
    }
    const S = Object.fromEntries(D.statuses.map((word, i) => [word, i]));
    for (const list of T.attempts) if (list.length) A.last[list[list.length - 1]] = 1;
    const onPath = new Uint8Array(N);
    for (const task of D.path) onPath[task] = 1;
    const pathAttempts = D.path.flatMap(task => T.attempts[task]);
    const releaser = task => T.by[task] ? task - T.by[task] : -1;

    // How many attempts run, as steps: from times[i] on, counts[i].
    const steps = (() => {
      const times = [0], counts = [0];
      if (D.strip) {
        const list = column(D.strip, 2000);
        list.forEach((value, i) => { times[i] = i * total / list.length; counts[i] = value / 100; });
        return { times, counts };
      }
      const ends = Float64Array.from(A.end).sort();
      let running = 0, s = 0, e = 0;
      while (e < M) {
        const t = s < M && A.start[s] <= ends[e] ? A.start[s] : ends[e];
        while (s < M && A.start[s] === t) { running++; s++; }
        while (e < M && ends[e] === t) { running--; e++; }
        if (times[times.length - 1] === t) counts[counts.length - 1] = running; else { times.push(t); counts.push(running); }
      }
      return { times, counts };
    })();
    const peak = steps.counts.reduce((a, b) => Math.max(a, b), 1);

    // Words. Text of the run is shown only through textContent; what would hide or reorder text is shown as an escape.
    const show = text => text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]/g,
      c => '\\u{' + c.codePointAt(0).toString(16).toUpperCase() + '}');
    const digits = v => v.toFixed(v < 9.995 ? 2 : v < 99.95 ? 1 : 0);
    const duration = ticks => {
      const s = ticks * D.unit / 1e9;
      if (s === 0) return '0 s';
      if (s < 0) return '-' + duration(-ticks);
      if (s < 0.9995e-6) return Math.round(s * 1e9) + ' ns';
      if (s < 0.9995e-3) return digits(s * 1e6) + ' µs';
      if (s < 0.9995) return digits(s * 1e3) + ' ms';
      if (s < 99.95) return digits(s) + ' s';
      const whole = Math.round(s), two = v => String(v).padStart(2, '0');
      if (whole < 3600) return Math.floor(whole / 60) + ' min ' + two(whole % 60) + ' s';
      const minutes = Math.floor((whole + 30) / 60);
      return Math.floor(minutes / 60).toLocaleString('en') + ' h ' + two(minutes % 60) + ' min';
    };
    const size = bytes => {
      let unit = 0;
      while (bytes >= 1023.5 && unit < 6) { bytes /= 1024; unit++; }
      return bytes.toFixed(unit === 0 || bytes >= 99.95 ? 0 : 1) + ' ' + ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'][unit];
    };
    const count = n => n.toLocaleString('en');
    // A point of time with as many decimals as neighbouring marks need.
    const moment = (ticks, step) => {
      const s = ticks * D.unit / 1e9, d = step * D.unit / 1e9;
      if (s === 0) return '0';
      const [factor, word] = d >= 1e-2 || s >= 100 ? [1, 's'] : d >= 1e-5 ? [1e3, 'ms'] : d >= 1e-8 ? [1e6, 'µs'] : [1e9, 'ns'];
      if (factor === 1 && s >= 120) {
        const rest = s % 60, places = d >= 1 ? 0 : Math.min(9, Math.ceil(-Math.log10(d) - 1e-9));
        const minutes = Math.floor(s / 60), head = minutes >= 60 ? Math.floor(minutes / 60) + ':' + String(minutes % 60).padStart(2, '0') : String(minutes);
        return head + ':' + rest.toFixed(places).padStart(places ? places + 3 : 2, '0');
      }
      const places = Math.max(0, Math.min(9, Math.ceil(-Math.log10(d * factor) - 1e-9)));
      return (s * factor).toLocaleString('en', { minimumFractionDigits: places, maximumFractionDigits: places }) + ' ' + word;
    };
    const rowName = row => [['worker ', 'blocking ', 'async '][row.kind], row.number].join('');
    """#
}
