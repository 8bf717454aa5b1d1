// Tokens and cost along time: of each model call, or in sum.

// Lines are told apart by how they are drawn, not by colour alone. Output has an axis of its own, and the lower half.
const TOKENS = [
  { name: "input", line: "\u2500\u2500\u2500", key: KEY.input, dash: [], words: count, room: 1.05 },
  { name: "output", line: "\u254c\u254c\u254c", key: KEY.output, dash: [7, 4], words: count, room: 2 },
];
const COST = [{ name: "cost", line: "\u2500\u2500\u2500", key: KEY.cost, dash: [], words: dollars, room: 1.05 }];

/** Draws model calls along time.
 *
 * calls: [{ms, span}], by time; onPick(span): somebody pointed at one.
 */
function Plot({ calls, theme, onPick }) {
  const [sum, setSum] = useState(true);
  const priced = useMemo(() => calls.some(({ span }) => span.bag.has(KEY.cost)), [calls]);
  if (!calls.length) return html`<p class="empty">No model call with a known number of tokens.</p>`;
  const more = { calls, theme, sum, onPick };
  return html`<section class="plot" aria-label="tokens and cost along time">
    <div class="plot-head">
      <${Choice} label="what is drawn" value=${sum} onChange=${setSum} options=${[[true, "in sum", "all calls so far"], [false, "per call", "each call by itself"]]} />
      <span class="dim">${many(calls.length, "model call")}, time in UTC; a click opens the nearest call</span>
    </div>
    <${Lines} label="tokens" series=${TOKENS} ...${more} />
    ${priced && html`<${Lines} label="cost" series=${COST} ...${more} />`}
  </section>`;
}

function Lines({ label, series, calls, theme, sum, onPick }) {
  const box = useRef(null);
  const [width] = useSize(box);
  useEffect(() => {
    if (!width) return undefined;
    const drawn = new uPlot(plotOptions(width, series, sum, (place) => onPick(calls[place].span)), columns(calls, series, sum), box.current);
    return () => drawn.destroy();
  }, [width, theme, calls, sum, series]);
  return html`<h3>${label}</h3><div class="plot-box" ref=${box}></div>`;
}

function columns(calls, series, sum) {
  const found = [calls.map(({ ms }) => ms / 1e3)];
  for (const { key } of series) {
    let all = 0;
    found.push(calls.map(({ span }) => (sum ? (all += span.bag.number(key)) : span.bag.number(key))));
  }
  return found;
}

function plotOptions(width, series, sum, pick) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const line = { stroke: colour("--line"), width: 1 };
  const axis = (more) => ({ stroke: colour("--dim"), font, ticks: line, grid: line, labelFont: font, labelSize: 18, ...more });
  return {
    width,
    height: width > 600 ? 210 : 190,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
    cursor: { sync: { key: "otel-phi" }, drag: { x: false, y: false } },
    hooks: { ready: [(u) => u.over.addEventListener("click", () => u.cursor.idx != null && pick(u.cursor.idx))] },
    scales: { x: { time: true }, ...Object.fromEntries(series.map(({ name, room }) => [name, { range: (_, __, most) => [0, most ? most * room : 1] }])) },
    axes: [
      axis({ space: 90, values: (_, seconds, __, ___, step) => timeWords(seconds, step) }),
      ...series.map(({ name, key, words }, place) => axis({
        scale: name,
        side: place ? 1 : 3,
        size: 60,
        label: key === KEY.cost ? "US dollars" : name,
        grid: place ? { show: false } : line,
        values: (_, values) => values.map(key === KEY.cost ? roundDollars : words),
      })),
    ],
    series: [
      { label: "time", value: (_, seconds) => (seconds == null ? "\u2013" : moment(seconds * 1e3)) },
      ...series.map(({ name, line: drawn, dash, words }) => ({
        label: `${sum ? drawn : dash.length ? "\u25cb" : "\u25cf"} ${name}`,
        scale: name,
        dash,
        stroke: colour(`--plot-${name}`),
        width: 1.75,
        paths: sum ? uPlot.paths.stepped({ align: 1 }) : () => null,
        points: sum ? { show: false } : { show: true, size: 6, fill: dash.length ? colour("--bg") : colour(`--plot-${name}`) },
        value: (_, value) => (value == null ? "\u2013" : words(value)),
      })),
    ],
  };
}

const roundDollars = (amount) => (Number.isInteger(amount) ? `$${count(amount)}` : `$${amount.toPrecision(2)}`);

/** Returns what stands below the ticks: the time as fine as need be, the day where a new one begins. */
function timeWords(seconds, step) {
  let day = "";
  return seconds.map((one) => {
    const words = moment(one * 1e3, { exact: true });
    const time = step < 1 ? words.slice(11, 23) : step < 60 ? words.slice(11, 19) : words.slice(11, 16);
    const same = words.slice(0, 10) === day;
    day = words.slice(0, 10);
    if (step >= 86_400) return day;
    return same ? time : `${time}\n${day}`;
  });
}

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
