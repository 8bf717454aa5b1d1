// The tree as a waterfall: a row a span, its bar along time.

const ONLY = [["all", "All"], ["errors", "\u2715 Errors"], ["chat", "Model"], ["tool", "Tools"]];
const LEAST_WINDOW = 1000; // nanoseconds: nobody zooms in further

function Waterfall({ page, tree, theme, current, opened, select, setOpened, wanted }) {
  const narrow = useMedia(NARROW);
  const [plainScale, squeezed, idle] = useMemo(() => scalesOf(tree), [tree]);
  const [squeeze, setSqueeze] = useState(squeezed !== null && idle > IDLE_SHARE);
  const scale = squeeze && squeezed ? squeezed : plainScale;
  const [window_, setWindow] = useState(null); // null: all
  const zoom = window_ ?? [0, scale.length];
  const [folded, setFolded] = useState(() => new Set());
  const [only, setOnly] = useState("all");
  const [text, setText] = useState(wanted?.text ?? "");
  const field = useRef(null);
  useEffect(() => {
    if (wanted) {
      setText(wanted.text);
      setOnly("all");
    }
  }, [wanted]);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const filtered = words.length > 0 || only !== "all";
  const rows = useMemo(() => (filtered ? matching(tree, words, only) : unfolded(tree, folded)), [tree, folded, text, only]);
  const matches = filtered ? rows.reduce((sum, { hit }) => sum + hit, 0) : 0;
  const cursor = useMemo(() => rows.findIndex(({ row }) => row === current), [rows, current]);
  useEffect(() => unfoldTo(current, setFolded), [current]);

  const setZoom = ([from, to]) => {
    const width = Math.max(LEAST_WINDOW, Math.min(scale.length, to - from));
    const start = Math.max(0, Math.min(scale.length - width, from));
    setWindow(width >= scale.length * 0.9999 ? null : [start, start + width]);
  };
  const zoomBy = (factor, centre = (zoom[0] + zoom[1]) / 2) => setZoom([centre - (centre - zoom[0]) * factor, centre + (zoom[1] - centre) * factor]);
  const pan = (share) => setZoom([zoom[0] + (zoom[1] - zoom[0]) * share, zoom[1] + (zoom[1] - zoom[0]) * share]);
  const fit = () => setWindow(null);
  const zoomToRow = (row) => {
    if (!row) return;
    const [from, to] = [scale.to(row.at), scale.to(row.at + row.lasted)];
    const room = Math.max((to - from) * 0.08, LEAST_WINDOW / 2);
    setZoom([from - room, to + room]);
  };
  const fold = (row, closed) => setFolded((old) => {
    const next = new Set(old);
    if (closed) next.add(row.key);
    else next.delete(row.key);
    return next;
  });
  const go = (place) => rows.length && select(rows[Math.max(0, Math.min(rows.length - 1, place))].row);
  useKeys(waterfallKeys({ go, cursor, rows, current, folded, fold, select, setOpened, zoomBy, pan, fit, zoomToRow, field, setOnly, tree, clear: () => (setText(""), setOnly("all")), filtered, opened, setFolded }));
  const onWheel = (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const lane = event.currentTarget.querySelector(".lane")?.getBoundingClientRect();
    if (!lane) return;
    const part = Math.max(0, Math.min(1, (event.clientX - lane.left) / lane.width));
    zoomBy((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, zoom[0] + part * (zoom[1] - zoom[0]));
  };
  return html`<div class="waterfall">
    <div class="bar">
      <input ref=${field} type="search" class="filter" placeholder=${page.sessions.some((one) => one.content) ? "filter: name, error, attribute, text" : "filter: name, error, attribute"} aria-label="filter spans" value=${text} onInput=${(event) => setText(event.target.value)} />
      <${Choice} label="rows" value=${only} onChange=${setOnly} options=${ONLY} />
      <div class="choice zoom" role="group" aria-label="zoom">
        <button type="button" onClick=${() => zoomBy(0.5)} title="zoom in (+)" aria-label="zoom in">+</button>
        <button type="button" onClick=${() => zoomBy(2)} title="zoom out (-)" aria-label="zoom out">\u2212</button>
        <button type="button" onClick=${fit} title="see all (0)" disabled=${!window_}>Fit</button>
      </div>
      ${squeezed && idle > IDLE_WORTH && html`<button type="button" class="toggle" aria-pressed=${squeeze} title="leave out the time in which nothing ran" onClick=${() => (setSqueeze(!squeeze), fit())}>squeeze pauses</button>`}
      <span class="found dim" role="status">${filtered ? `${matches} of ${many(tree.all.length, "row")}` : many(tree.all.length, "row")}</span>
    </div>
    <div class="waterfall-head">
      <div class="head-name"><button type="button" class="link" onClick=${() => setFolded(allFolded(tree))} title="show loops alone">fold</button> <button type="button" class="link" onClick=${() => setFolded(new Set())} title="show every row">unfold</button></div>
      <div class="head-tokens dim">tokens</div>
      <div class="head-lane"><${SessionMap} tree=${tree} scale=${scale} zoom=${zoom} onZoom=${setZoom} theme=${theme} /><${Axis} scale=${scale} zoom=${zoom} onZoom=${setZoom} onFit=${fit} /></div>
    </div>
    <div class="waterfall-rows" onWheel=${onWheel}>
      ${rows.length ? html`<${Rows} id="span" role="treegrid" rows=${rows} height=${narrow ? 40 : 26} cursor=${cursor} label="spans" rowProps=${({ row, depth, hit }) => rowProps(row, depth, hit, filtered, folded)}
        draw=${(one) => drawRow(one, { scale, zoom, folded, fold, filtered })} onOpen=${({ row }) => (select(row), setOpened(true))} onTwice=${({ row }) => zoomToRow(row)} />`
        : html`<p class="empty">No row matches.</p>`}
    </div>
  </div>`;
}

function waterfallKeys({ go, cursor, rows, current, folded, fold, select, setOpened, zoomBy, pan, fit, zoomToRow, field, setOnly, tree, clear, filtered, opened, setFolded }) {
  const error = (step) => {
    if (!tree.errors.length) return;
    const at = tree.errors.indexOf(current);
    const next = at < 0 ? (step > 0 ? 0 : tree.errors.length - 1) : (at + step + tree.errors.length) % tree.errors.length;
    select(tree.errors[next]);
  };
  const left = () => {
    if (!current) return;
    if (current.rows.length && !folded.has(current.key) && !filtered) fold(current, true);
    else if (current.parent) select(current.parent);
  };
  const right = () => {
    if (!current) return;
    if (folded.has(current.key)) fold(current, false);
    else if (current.rows.length) go(cursor + 1);
  };
  return {
    ArrowDown: () => go(cursor + 1), j: () => go(cursor + 1), ArrowUp: () => go(cursor - 1), k: () => go(cursor - 1),
    PageDown: () => go(cursor + 15), PageUp: () => go(cursor - 15), Home: () => go(0), End: () => go(rows.length - 1),
    ArrowLeft: left, h: left, ArrowRight: right, l: right,
    Enter: () => (current ? setOpened(!opened) : go(0)), " ": () => current && setOpened(!opened),
    "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2), 0: fit, z: () => zoomToRow(current),
    "[": () => pan(-0.25), "]": () => pan(0.25),
    e: () => error(1), E: () => error(-1), "/": () => field.current.focus(),
    f: () => setFolded((old) => (old.size ? new Set() : allFolded(tree))),
    Escape: () => {
      if (document.activeElement === field.current) field.current.blur();
      else if (opened) setOpened(false);
      else if (filtered) clear();
      else return false;
      return true;
    },
  };
}

/** Unfolds what is above a row, so that it can be seen. */
function unfoldTo(row, setFolded) {
  setFolded((old) => {
    const above = [];
    for (let up = row?.parent; up; up = up.parent) if (old.has(up.key)) above.push(up.key);
    if (!above.length) return old;
    const next = new Set(old);
    for (const key of above) next.delete(key);
    return next;
  });
}

function allFolded(tree) {
  return new Set(tree.all.filter((row) => row.rows.length && (row.kind === "loop" || row.kind === "turn")).map((row) => row.key));
}

function unfolded(tree, folded) {
  const found = [];
  const waiting = [...tree.rows].reverse().map((row) => [row, 0]);
  while (waiting.length) {
    const [row, depth] = waiting.pop();
    found.push({ key: row.key, row, depth, hit: false });
    if (folded.has(row.key)) continue;
    for (let place = row.rows.length - 1; place >= 0; place -= 1) waiting.push([row.rows[place], depth + 1]);
  }
  return found;
}

/** Returns the rows that match, and those above them. */
function matching(tree, words, only) {
  const hits = new Set(tree.all.filter((row) => isOf(row, only) && words.every((word) => searched(row).includes(word) || saysWord(row, word))));
  const kept = new Set(hits);
  for (const row of hits) for (let up = row.parent; up && !kept.has(up); up = up.parent) kept.add(up);
  const found = [];
  walk(tree.rows, (row, depth) => kept.has(row) && found.push({ key: row.key, row, depth, hit: hits.has(row) }));
  return found;
}

const isOf = (row, only) => only === "all" || (only === "errors" ? row.cause : row.kind === only);

function searched(row) {
  row.searched ??= plain([KIND_WORDS[row.kind], row.text, row.remark, row.error, row.span.name, row.span.id,
    ...(row.event?.bag ?? row.span.bag).pairs().filter(([key]) => !CONTENT.has(key)).map(([key, value]) => `${key}=${valueText(value)}`)].join("\n")).toLowerCase();
  return row.searched;
}

const saysWord = (row, word) => word.length > 2 && !row.event && row.span.bag.pairs().some(([key, value]) => CONTENT.has(key) && String(value).toLowerCase().includes(word));

function rowProps(row, depth, hit, filtered, folded) {
  const open = row.rows.length ? !folded.has(row.key) : undefined;
  return { "aria-level": depth + 1, "aria-expanded": open === undefined ? undefined : String(open || filtered), class: filtered && !hit ? "dimmed" : "" };
}

function drawRow({ row, depth }, { scale, zoom, folded, fold, filtered }) {
  const closed = folded.has(row.key) && !filtered;
  const twist = (event) => {
    event.stopPropagation();
    fold(row, !closed);
  };
  return html`
    <div class="name" role="gridcell" style=${{ "--depth": String(Math.min(depth, 24)) }}>
      ${row.rows.length && !filtered ? html`<button type="button" class="twist" tabindex="-1" aria-label=${closed ? "unfold" : "fold"} onClick=${twist}>${closed ? "\u25b8" : "\u25be"}</button>` : html`<span class="twist"></span>`}
      <${Named} row=${row} />
      ${row.error && html`<${Failed} word=${row.error} cause=${row.cause} />`}
      ${row.remark && html`<span class="remark dim">${said(row.remark)}</span>`}
    </div>
    <div class="tokens dim" role="gridcell">${row.tokens}</div>
    <div class="lane" role="gridcell" aria-label=${`starts at ${offset(row.at)}, lasts ${duration(row.lasted)}`}>${drawBar(row, scale, zoom)}</div>`;
}

function drawBar(row, scale, [from, to]) {
  const share = (time) => (scale.to(time) - from) / (to - from);
  const [left, right] = [share(row.at), share(row.at + row.lasted)];
  if (right < 0) return html`<span class="beyond before" aria-hidden="true">\u2039</span>`;
  if (left > 1) return html`<span class="beyond after" aria-hidden="true">\u203a</span>`;
  const [start, end] = [Math.max(-0.01, left), Math.min(1.01, right)];
  const percent = (part) => `${part * 100}%`;
  const words = row.kind === "event" ? "" : duration(row.lasted);
  const side = end < 0.86 ? { left: percent(Math.max(0, end)) } : start > 0.14 ? { right: percent(1 - start) } : { left: percent(Math.max(0, start)) };
  const inside = end >= 0.86 && start <= 0.14;
  return html`${row.kind === "event" ? html`<span class="diamond" style=${{ left: percent(start) }}></span>`
    : html`<div class=${`span-bar bar-${row.kind} ${row.cause ? "bar-failed" : ""}`} style=${{ left: percent(start), width: percent(Math.max(0, end - start)) }}></div>`}
    <span class=${`bar-label ${inside ? "inside" : ""}`} style=${side}>${words}${row.span.links.length && !row.event && row.kind !== "loop" && row.kind !== "group" ? html`<span class="link-mark" title="has links"> \u2197</span>` : ""}</span>`;
}
