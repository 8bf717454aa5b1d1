// Tokens and cost along time: of each model call, or in sum.

const SERIES = [
  { name: "input", key: KEY.input, scale: "in", dash: [], words: count },
  { name: "output", key: KEY.output, scale: "out", dash: [6, 3], words: count },
  { name: "cost", key: KEY.cost, scale: "usd", dash: [2, 3], words: dollars },
];

/** Draws model calls along time.
 *
 * calls: [{ms, span}], by time; onPick(span): somebody pointed at one.
 */
function Plot({ calls, theme, onPick }) {
  const box = useRef(null);
  const [width] = useSize(box);
  const [sum, setSum] = useState(true);
  const priced = useMemo(() => calls.some(({ span }) => span.bag.has(KEY.cost)), [calls]);
  useEffect(() => {
    if (!width || !calls.length) return undefined;
    const drawn = new uPlot(options(width, theme, priced, sum, (place) => onPick?.(calls[place].span)), columns(calls, priced, sum), box.current);
    return () => drawn.destroy();
  }, [width, theme, calls, sum, priced]);
  if (!calls.length) return html`<p class="empty">No model call with a known number of tokens.</p>`;
  return html`<section class="plot" aria-label="tokens and cost along time">
    <div class="plot-head">
      <${Choice} label="what is drawn" value=${sum} onChange=${setSum} options=${[[true, "in sum", "all calls so far"], [false, "per call", "each call by itself"]]} />
      <span class="dim">${many(calls.length, "model call")}, time in UTC${onPick ? "; a click opens the nearest call" : ""}</span>
    </div>
    <div class="plot-box" ref=${box}></div>
  </section>`;
}

function columns(calls, priced, sum) {
  const chosen = SERIES.slice(0, priced ? 3 : 2);
  const sums = chosen.map(() => 0);
  const found = [calls.map(({ ms }) => ms / 1e3), ...chosen.map(() => [])];
  for (const { span } of calls) {
    chosen.forEach(({ key }, place) => {
      sums[place] += span.bag.number(key);
      found[place + 1].push(sum ? sums[place] : span.bag.number(key));
    });
  }
  return found;
}

function options(width, theme, priced, sum, pick) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = (more) => ({ stroke: colour("--dim"), font, ticks: { stroke: colour("--line"), width: 1 }, grid: { stroke: colour("--line"), width: 1 }, ...more });
  const words = (_, values, written) => values.map((value) => written(value));
  const chosen = SERIES.slice(0, priced ? 3 : 2);
  const path = sum ? uPlot.paths.stepped({ align: 1 }) : undefined;
  const wide = width > 600;
  return {
    width,
    height: wide ? 240 : 220,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
    cursor: { drag: { x: false, y: false }, bind: { click: (u) => () => u.cursor.idx !== null && u.cursor.idx !== undefined && pick(u.cursor.idx) } },
    legend: { live: true },
    scales: { x: { time: true }, in: { range: fromZero }, out: { range: fromZero }, usd: { range: fromZero } },
    axes: [
      axis({ values: undefined }),
      axis({ scale: "in", size: 56, label: "input tokens", labelSize: 18, labelFont: font, values: (u, values) => words(u, values, count) }),
      axis({ scale: "out", side: 1, size: 56, label: "output tokens", labelSize: 18, labelFont: font, grid: { show: false }, values: (u, values) => words(u, values, count) }),
      ...(priced && wide ? [axis({ scale: "usd", side: 1, size: 64, label: "cost", labelSize: 18, labelFont: font, grid: { show: false }, values: (u, values) => words(u, values, dollars) })] : []),
    ],
    series: [
      { label: "time", value: (_, seconds) => (seconds == null ? "\u2013" : moment(seconds * 1e3)) },
      ...chosen.map(({ name, scale, dash, words: written }) => ({
        label: name,
        scale,
        dash,
        stroke: colour(`--plot-${name}`),
        width: 1.75,
        paths: path,
        points: { show: !sum, size: 5 },
        value: (_, value) => (value == null ? "\u2013" : written(value)),
      })),
    ],
  };
}

const fromZero = (_, __, most) => [0, most ? most * 1.05 : 1];

/** Returns the model calls of some sessions by the time they ended. */
function callsOf(sessions) {
  const found = [];
  for (const session of sessions) {
    for (const span of session.spans) {
      if (kindOf(span) === "chat" && (span.bag.has(KEY.input) || span.bag.has(KEY.output))) found.push({ ms: span.trace.baseMs + (span.at + span.lasted) / 1e6, span });
    }
  }
  return found.sort((one, other) => one.ms - other.ms);
}
