// The page as a whole: which view is shown, its colours, help.

const THEMES = ["auto", "light", "dark"];
const KEYS = [
  ["\u2191 \u2193 or k j", "row up, row down"],
  ["\u2190 \u2192", "fold or to the parent; unfold or to the first child"],
  ["Enter", "open: the session, the span's details"],
  ["Esc", "close the details, clear the filter"],
  ["e, E", "next error, the one before; in the list: errors only"],
  ["/", "filter"],
  ["+ \u2212 0", "zoom in, out, see all"],
  ["z", "zoom to the row"],
  ["[ ]", "earlier, later"],
  ["f", "fold all, unfold all"],
  ["1 2 3 4", "the tabs"],
  ["u", "up, to all sessions"],
  ["t", "light, dark, as the system"],
];

function remembered(key, otherwise) {
  try {
    return localStorage.getItem(key) ?? otherwise;
  } catch {
    return otherwise; // a page from a file may have no storage
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // then it is forgotten
  }
}

/** Returns what the address asks for: `#trace/span`, either of them may be missing. */
function route() {
  const found = /^#([0-9a-f]{32})(?:\/([0-9a-f]{16}))?$/.exec(location.hash.toLowerCase());
  return found ? { trace: found[1], place: found[2] ? `${found[1]}/${found[2]}` : null } : { trace: null, place: null };
}

function App({ page }) {
  const [asked, setAsked] = useState(route);
  const { trace } = asked;
  const own = useRef(null); // the address that moving along the rows wrote last: nobody asked for it
  const [choice, setChoice] = useState(() => remembered("otel-phi theme", "auto"));
  const dark = useMedia("(prefers-color-scheme: dark)");
  const theme = choice === "auto" ? (dark ? "dark" : "light") : choice;
  document.documentElement.dataset.theme = theme;
  const help = useRef(null);
  useEffect(() => {
    const listen = () => {
      if (location.hash === own.current) return;
      own.current = null;
      setAsked(route());
    };
    window.addEventListener("hashchange", listen);
    return () => window.removeEventListener("hashchange", listen);
  }, []);
  const turnTheme = () => {
    const next = THEMES[(THEMES.indexOf(choice) + 1) % THEMES.length];
    setChoice(next);
    remember("otel-phi theme", next);
  };
  useKeys({ "?": () => help.current.showModal(), t: turnTheme });
  const alone = page.sessions.length === 1;
  const session = trace ? page.byTrace.get(trace) : alone ? page.sessions[0] : null;
  const open = (traceId, spanId) => (location.hash = spanId ? `${traceId}/${spanId}` : traceId);
  // Moving along rows replaces the address: going back leaves the session, not one row after the other.
  const setPlace = (address, of) => {
    const now = route();
    if (now.trace && page.byTrace.get(now.trace) !== of) return;
    if (location.hash === `#${address}`) return;
    own.current = `#${address}`;
    location.replace(own.current);
  };
  return html`
    <${Top} page=${page} choice=${choice} turnTheme=${turnTheme} help=${() => help.current.showModal()} />
    ${trace && !session && html`<p class="notice">Trace ${trace} is not in this page.</p>`}
    ${session ? html`<${SessionView} key=${session.id} page=${page} session=${session} asked=${asked} theme=${theme} setPlace=${setPlace} alone=${alone} />`
      : html`<${SessionsView} page=${page} theme=${theme} open=${open} />`}
    <dialog ref=${help} class="help" aria-label="keys" onClick=${(event) => event.target === help.current && help.current.close()}>
      <h2>Keys</h2>
      <dl>${KEYS.map(([key, words]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}</dl>
      <p class="dim">Drag over the time axis or the map above it to zoom; Ctrl and wheel, or a double click on a row, zoom too. The address of a row can be handed on: it ends in #trace/span.</p>
      <button type="button" onClick=${() => help.current.close()}>Close</button>
    </dialog>`;
}

function Top({ page, choice, turnTheme, help }) {
  const sums = useMemo(() => {
    const add = (value) => page.sessions.reduce((sum, session) => sum + (value(session) ?? 0), 0);
    return { input: add((one) => one.totals.input_tokens), output: add((one) => one.totals.output_tokens), cost: add((one) => one.totals.cost_usd), errors: add((one) => one.errors) };
  }, []);
  const priced = page.sessions.some((session) => session.totals.cost_usd !== null);
  return html`<header class="top">
    <span class="brand">otel-phi</span>
    <span class="title said" title=${plain(page.title)}>${said(page.title)}</span>
    <span class="spring"></span>
    <span class="sums dim">${many(page.sessions.length, "session")} \u00b7 ${many(page.spanCount, "span")} \u00b7 ${pairOf(sums.input, sums.output)} tokens${priced ? ` \u00b7 ${dollars(sums.cost)}` : ""}</span>
    ${sums.errors > 0 && html`<${Failed} word=${many(sums.errors, "error")} />`}
    <button type="button" class="theme" onClick=${turnTheme} title="colours (t)" aria-label=${`colours: ${choice}`}>${{ auto: "\u25d0", light: "\u2600", dark: "\u263e" }[choice]}<span class="wide-only"> ${choice}</span></button>
    <button type="button" class="keys" onClick=${help} title="keys (?)" aria-label="keys">?</button>
  </header>
  ${page.notes.map((note) => html`<p class="notice dim">${said(note)}</p>`)}`;
}

async function start() {
  const holder = document.getElementById("app");
  try {
    const page = await readPage();
    nameSessions(page.sessions);
    holder.replaceChildren();
    render(html`<${App} page=${page} />`, holder);
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    const words = document.createElement("p");
    words.className = "wait";
    words.setAttribute("role", "alert");
    words.textContent = error.message;
    holder.replaceChildren(words);
  }
}

start();
