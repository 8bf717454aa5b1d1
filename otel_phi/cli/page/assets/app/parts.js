// Small parts that several views share, and the hooks they stand on.

const KIND_WORDS = { loop: "loop", turn: "turn", chat: "model", tool: "tool", group: "group", event: "event", marker: "session", other: "span" };

/** A word for what kind of row it is: told apart by shape and text, too. */
const Kind = ({ of }) => html`<span class="kind kind-${of}">${KIND_WORDS[of]}</span>`;

/** A row's kind and name; a loop's and a turn's name says its kind. */
const Named = ({ row }) =>
  row.kind === "loop" || row.kind === "turn" ? html`<span class="kind kind-${row.kind} said">${said(row.text)}</span>`
    : html`<${Kind} of=${row.kind} /> <span class="said name-text">${said(row.kind === "marker" ? "session" : row.text)}</span>`;

const Failed = ({ word, cause = true }) =>
  cause ? html`<span class="failed"><span aria-hidden="true">\u2715</span> <span class="visually-hidden">error: </span>${said(word)}</span>`
        : html`<span class="failed-below" title="something below it failed"><span aria-hidden="true">\u2715</span><span class="visually-hidden">failed</span></span>`;

/** A choice of a few, one of them taken. */
const Choice = ({ label, options, value, onChange }) => html`
  <div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, text, title]) => html`<button type="button" aria-pressed=${value === key} title=${title} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`;

const Fact = ({ label, children }) => html`<div class="fact"><dt>${label}</dt><dd>${children}</dd></div>`;

function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = () => {
    copyText(text).then((copied) => {
      setDone(copied);
      setTimeout(() => setDone(false), 1200);
    });
  };
  return html`<button type="button" class="copy" onClick=${copy} aria-label=${`copy ${label}`} title=${`copy ${label}`}>${done ? "copied" : "copy"}</button>`;
}

/** Copies a text; resolves to whether it could. A page from a file may have no clipboard of the new kind. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

/** Listens to keys while a view is shown: `{name: function}`, names as the browser gives them. */
function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const listen = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
      const typing = event.target.matches?.("input, textarea, select");
      if (typing && event.key !== "Escape") return;
      // Enter and blank on a button or a fold are that button's.
      if ((event.key === "Enter" || event.key === " ") && event.target.closest?.("button, summary, a")) return;
      const act = latest.current[event.key];
      if (act && act(event) !== false) event.preventDefault();
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}

/** Gives an element's size, [width, height], as it changes. */
function useSize(ref) {
  const [size, setSize] = useState([0, 0]);
  useLayoutEffect(() => {
    const measure = () => ref.current && setSize((old) => {
      const { clientWidth, clientHeight } = ref.current;
      return old[0] === clientWidth && old[1] === clientHeight ? old : [clientWidth, clientHeight];
    });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return size;
}

/** Tells whether a media query holds, as it changes. */
function useMedia(query) {
  const list = useMemo(() => window.matchMedia(query), [query]);
  const [holds, setHolds] = useState(list.matches);
  useEffect(() => {
    const listen = () => setHolds(list.matches);
    list.addEventListener("change", listen);
    return () => list.removeEventListener("change", listen);
  }, [list]);
  return holds;
}

const NARROW = "(max-width: 720px)";

/** Returns the number at a share of some sorted numbers, 0 to 1 (the nearest rank); null for none. */
function quantile(sorted, share) {
  return sorted.length ? sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] : null;
}
