// Time along the width: a scale that can leave idle time out, its axis, and a map of the whole session to zoom on.

const SHORT_SHARE = 0.02; // of the busy time: a pause shorter than it is never squeezed
const BREAK_SHARE = 0.012; // what a squeezed pause takes up, of the busy time
const IDLE_WORTH = 0.15; // idle below it, and nobody is asked
const IDLE_SHARE = 0.5; // idle beyond it, and pauses are squeezed from the start

/** A scale turns nanoseconds since the session's start into units along the width, and back. */
class Scale {
  /** pieces: [{from, to, at}], time stretches shown in full and the unit at which each begins, in order. */
  constructor(pieces, length) {
    this.pieces = pieces;
    this.length = length;
  }
  to(time) {
    const piece = this._piece(time, "from");
    const next = this.pieces[this.pieces.indexOf(piece) + 1];
    if (time <= piece.to || !next) return piece.at + (time - piece.from);
    const width = next.at - (piece.at + piece.to - piece.from);
    return next.at - width + (width * (time - piece.to)) / (next.from - piece.to);
  }
  back(unit) {
    const piece = this._piece(unit, "at");
    const next = this.pieces[this.pieces.indexOf(piece) + 1];
    const end = piece.at + piece.to - piece.from;
    if (unit <= end || !next) return piece.from + (unit - piece.at);
    return piece.to + ((unit - end) / (next.at - end)) * (next.from - piece.to);
  }
  _piece(value, key) {
    let low = 0, high = this.pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pieces[middle][key] <= value) low = middle;
      else high = middle - 1;
    }
    return this.pieces[low];
  }
  get breaks() {
    return this.pieces.slice(1).map((piece, place) => ({ unit: piece.at, lasted: piece.from - this.pieces[place].to }));
  }
}

/** Returns [plain scale, squeezed scale or null, share of the time in which nothing ran]. */
function scalesOf(tree) {
  const whole = new Scale([{ from: 0, to: tree.lasted, at: 0 }], tree.lasted);
  const stretches = tree.all.filter((row) => row.kind === "chat" || row.kind === "tool" || row.kind === "event").map((row) => [row.at, row.at + row.lasted]).sort((one, other) => one[0] - other[0]);
  const busy = [];
  for (const [from, to] of stretches) {
    const last = busy[busy.length - 1];
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else busy.push({ from, to });
  }
  const time = busy.reduce((sum, { from, to }) => sum + to - from, 0);
  if (!time) return [whole, null, 0];
  const pieces = [];
  for (const { from, to } of [{ from: 0, to: 0 }, ...busy, { from: tree.lasted, to: tree.lasted }]) {
    const last = pieces[pieces.length - 1];
    if (last && from - last.to <= time * SHORT_SHARE) last.to = Math.max(last.to, to);
    else pieces.push({ from, to });
  }
  let at = 0;
  for (const piece of pieces) {
    piece.at = at;
    at += piece.to - piece.from + time * BREAK_SHARE;
  }
  const last = pieces[pieces.length - 1];
  const idle = 1 - Math.min(1, time / tree.lasted);
  return [whole, pieces.length > 1 ? new Scale(pieces, last.at + last.to - last.from || 1) : null, idle];
}

/** Returns the ticks of a window of a scale: [{unit, text}]. */
function ticksOf(scale, [from, to], width) {
  const most = Math.max(2, Math.floor(width / 95));
  if (scale.pieces.length > 1) {
    const found = [];
    for (let place = 0; place < most; place += 1) {
      const unit = from + ((to - from) * place) / most;
      const time = scale.back(unit);
      const text = time > 0 ? duration(time) : "0";
      if (text !== found[found.length - 1]?.text) found.push({ unit, text });
    }
    return found;
  }
  const step = niceStep((to - from) / most);
  const found = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) found.push({ unit: time, text: tickText(time, step) });
  return found;
}

const LONG_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];

function niceStep(least) {
  if (least > 1e9) return 1e9 * (LONG_STEPS.find((step) => step * 1e9 >= least) ?? Math.ceil(least / 604800e9) * 604800);
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return power * ([1, 2, 5, 10].find((times) => times * power >= least) ?? 10);
}

function tickText(time, step) {
  if (!time) return "0";
  const digits = (unit) => Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  if (time < 1e6) return `${(time / 1e3).toFixed(Math.min(3, digits(1e3)))} \u00b5s`;
  if (time < 1e9) return `${(time / 1e6).toFixed(Math.min(6, digits(1e6)))} ms`;
  const seconds = time / 1e9;
  if (seconds < 60) return `${seconds.toFixed(Math.min(9, digits(1e9)))} s`;
  if (step >= 60e9) return duration(time);
  const rest = (seconds % 60).toFixed(Math.min(9, digits(1e9)));
  return `${Math.floor(seconds / 60)}m ${rest.padStart(rest.includes(".") ? rest.indexOf(".") === 1 ? rest.length + 1 : rest.length : 2, "0")}s`;
}

/** Draws the axis; dragging over it zooms to what was passed. */
function Axis({ scale, zoom, onZoom, onFit }) {
  const box = useRef(null);
  const [width] = useSize(box);
  const [drag, setDrag] = useState(null);
  const share = (event) => {
    const { left, width: all } = box.current.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - left) / all));
  };
  const unit = (part) => zoom[0] + part * (zoom[1] - zoom[0]);
  const down = (event) => {
    box.current.setPointerCapture(event.pointerId);
    setDrag([share(event), share(event)]);
  };
  const up = () => {
    if (drag && Math.abs(drag[1] - drag[0]) * width > 4) onZoom([unit(Math.min(...drag)), unit(Math.max(...drag))]);
    setDrag(null);
  };
  const percent = (at) => `${((at - zoom[0]) / (zoom[1] - zoom[0])) * 100}%`;
  return html`<div class="axis" ref=${box} title="drag to zoom, double click to see all" onPointerDown=${down} onPointerMove=${(event) => drag && setDrag([drag[0], share(event)])} onPointerUp=${up} onPointerCancel=${() => setDrag(null)} onDblClick=${onFit}>
    ${ticksOf(scale, zoom, width).map(({ unit: at, text }) => html`<span class="tick" style=${{ left: percent(at) }}>${text}</span>`)}
    ${scale.breaks.filter(({ unit: at }) => at > zoom[0] && at < zoom[1]).map(({ unit: at, lasted }) => html`<span class="break" style=${{ left: percent(at) }} title=${`${duration(lasted)} in which nothing ran`}></span>`)}
    ${drag && html`<div class="brush" style=${{ left: `${Math.min(...drag) * 100}%`, width: `${Math.abs(drag[1] - drag[0]) * 100}%` }}></div>`}
  </div>`;
}

const LANES = { loop: [2, 3], group: [2, 3], chat: [9, 8], tool: [20, 8], event: [31, 3] };
const MAP_HEIGHT = 36;

/** Draws the whole session small, with the window that is zoomed to: dragging it moves, dragging beside it zooms. */
function SessionMap({ tree, scale, zoom, onZoom, theme }) {
  const box = useRef(null);
  const canvas = useRef(null);
  const grip = useRef(null);
  const [width] = useSize(box);
  useLayoutEffect(() => {
    if (width) drawMap(canvas.current, width, tree, scale);
  }, [width, tree, scale, theme]);
  const unit = (event) => {
    const { left, width: all } = box.current.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - left) / all)) * scale.length;
  };
  const down = (event) => {
    box.current.setPointerCapture(event.pointerId);
    const at = unit(event);
    const whole = zoom[1] - zoom[0] > scale.length * 0.999;
    grip.current = { at, zoom, moves: !whole && at >= zoom[0] && at <= zoom[1] };
  };
  const move = (event) => {
    if (!grip.current) return;
    const { at, zoom: old, moves } = grip.current;
    const now = unit(event);
    if (moves) {
      const by = Math.max(-old[0], Math.min(scale.length - old[1], now - at));
      onZoom([old[0] + by, old[1] + by]);
    } else if (Math.abs(now - at) > scale.length / 200) onZoom([Math.min(at, now), Math.max(at, now)]);
  };
  const up = () => (grip.current = null);
  const percent = (at) => `${(at / scale.length) * 100}%`;
  return html`<div class="map" ref=${box} aria-hidden="true" onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onDblClick=${() => onZoom([0, scale.length])}>
    <canvas ref=${canvas}></canvas>
    ${zoom[1] - zoom[0] < scale.length && html`<div class="map-off before" style=${{ left: "0", width: percent(zoom[0]) }}></div>
    <div class="map-off after" style=${{ left: percent(zoom[1]), right: "0" }}></div>`}
  </div>`;
}

function drawMap(canvas, width, tree, scale) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(MAP_HEIGHT * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  const colours = Object.fromEntries(Object.keys(LANES).map((kind) => [kind, style.getPropertyValue(`--${kind}`).trim()]));
  for (const row of tree.all) {
    const lane = LANES[row.kind];
    if (!lane) continue;
    const left = (scale.to(row.at) / scale.length) * width;
    const right = (scale.to(row.at + row.lasted) / scale.length) * width;
    context.fillStyle = colours[row.kind];
    context.fillRect(left, lane[0], Math.max(1, right - left), lane[1]);
  }
  context.fillStyle = style.getPropertyValue("--error").trim();
  for (const row of tree.errors) context.fillRect((scale.to(row.at + row.lasted) / scale.length) * width - 1, 0, 2, MAP_HEIGHT);
}
