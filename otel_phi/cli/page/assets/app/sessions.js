// The first view: all sessions, those with errors first; sorted and filtered as one likes.

const COLUMNS = [
  { key: "start", label: "start (UTC)" },
  { key: "id", label: "session", text: true },
  { key: "agent", label: "agent", text: true },
  { key: "model", label: "model", text: true },
  { key: "lasted", label: "duration" },
  { key: "turns", label: "turns" },
  { key: "tools", label: "tools" },
  { key: "input", label: "in", title: "input tokens, cached ones among them" },
  { key: "output", label: "out", title: "output tokens" },
  { key: "cost", label: "cost" },
  { key: "errors", label: "errors" },
];

const VALUES = {
  start: (session) => session.startMs,
  id: (session) => session.id,
  agent: (session) => session.agent,
  model: (session) => session.model,
  lasted: (session) => session.lasted,
  turns: (session) => session.totals.turns,
  tools: (session) => session.totals.tools,
  input: (session) => session.totals.input_tokens,
  output: (session) => session.totals.output_tokens,
  cost: (session) => session.totals.cost_usd ?? -1,
  errors: (session) => session.errors,
};

/** What a person chose in this view; kept while another one is shown. */
const listState = { order: { key: "errors", down: true }, filter: "", failedOnly: false, cursor: 0, tab: "sessions" };

function SessionsView({ page, theme, open }) {
  const [state, setState] = useState(listState);
  const change = (more) => setState((old) => Object.assign(listState, old, more) && { ...listState });
  const narrow = useMedia(NARROW);
  const field = useRef(null);
  const priced = page.sessions.some((session) => session.totals.cost_usd !== null);
  const columns = COLUMNS.filter(({ key }) => key !== "cost" || priced);
  const chosen = useMemo(() => {
    const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    return page.sessions.filter((session) => (!state.failedOnly || session.errors) && words.every((word) => session.searched.includes(word)));
  }, [state.filter, state.failedOnly]);
  const rows = useMemo(() => inOrderOf(chosen, state.order, (session, key) => VALUES[key](session), (one, other) => other.startMs - one.startMs || (one.id < other.id ? -1 : 1)), [chosen, state.order]);
  const cursor = Math.min(state.cursor, rows.length - 1);
  const go = (place) => change({ cursor: Math.max(0, Math.min(rows.length - 1, place)) });
  const show = (session) => session && open(session.traces[0].id);
  const listed = state.tab === "sessions";
  useKeys({
    ArrowDown: () => listed && go(cursor + 1), j: () => listed && go(cursor + 1),
    ArrowUp: () => listed && go(cursor - 1), k: () => listed && go(cursor - 1),
    PageDown: () => listed && go(cursor + 15), PageUp: () => listed && go(cursor - 15),
    Home: () => listed && go(0), End: () => listed && go(rows.length - 1),
    Enter: () => listed && show(rows[cursor]),
    "/": () => field.current.focus(),
    e: () => change({ failedOnly: !state.failedOnly }),
    1: () => change({ tab: "sessions" }), 2: () => change({ tab: "plot" }), 3: () => change({ tab: "tools" }),
    Escape: () => {
      if (document.activeElement === field.current) field.current.blur();
      else change({ filter: "", failedOnly: false });
    },
  });
  const calls = useMemo(() => (state.tab === "plot" ? callsOf(rows) : []), [rows, state.tab]);
  return html`<main class="view">
    <div class="bar">
      <input ref=${field} type="search" class="filter" placeholder="filter: id, agent, model, tool, error" aria-label="filter sessions" value=${state.filter} onInput=${(event) => change({ filter: event.target.value, cursor: 0 })} />
      <button type="button" class="toggle" aria-pressed=${state.failedOnly} onClick=${() => change({ failedOnly: !state.failedOnly, cursor: 0 })}><span aria-hidden="true">\u2715</span> errors only</button>
      <${Choice} label="view" value=${state.tab} onChange=${(tab) => change({ tab })} options=${[["sessions", "Sessions"], ["plot", priced ? "Tokens and cost" : "Tokens"], ["tools", "Tools"]]} />
      <span class="found dim" role="status">${rows.length === page.sessions.length ? many(rows.length, "session") : `${rows.length} of ${many(page.sessions.length, "session")}`}</span>
      ${narrow && listed && html`<label class="sort">sort <select aria-label="sort by" onChange=${(event) => change({ order: { key: event.target.value, down: event.target.value !== "id" } })}>
        ${columns.map(({ key, label }) => html`<option value=${key} selected=${state.order.key === key}>${label}</option>`)}</select></label>`}
    </div>
    ${listed && html`<div class=${`list sessions ${priced ? "priced" : ""}`}>
      ${!narrow && html`<div class="row head" role="row">${columns.map((column) => html`<${Heading} role="columnheader" column=${column} order=${state.order} onOrder=${(order) => change({ order, cursor: 0 })} />`)}</div>`}
      ${rows.length ? html`<${Rows} id="session" rows=${rows} height=${narrow ? 56 : 30} cursor=${cursor} label="sessions" draw=${(session) => (narrow ? card(session, priced) : cells(session, columns))} onOpen=${show} />`
        : html`<p class="empty">No session matches.</p>`}
    </div>`}
    ${state.tab === "plot" && html`<div class="scroll"><${Plot} calls=${calls} theme=${theme} onPick=${(span) => open(span.trace.id, span.id)} /></div>`}
    ${state.tab === "tools" && html`<div class="scroll"><${ToolTable} sessions=${rows} pickTitle="show the sessions that called it" onPick=${(tool) => change({ filter: tool, tab: "sessions", cursor: 0 })} /></div>`}
  </main>`;
}

const sessionLink = (session) => html`<a href=${`#${session.traces[0].id}`} title=${plain(session.id)} onClick=${(event) => event.stopPropagation()}>${said(session.short)}</a>`;

function cells(session, columns) {
  const { totals } = session;
  const contents = {
    start: moment(session.startMs),
    id: sessionLink(session),
    agent: said(session.agent),
    model: said(session.model),
    lasted: duration(session.lasted),
    turns: totals.turns.toLocaleString("en"),
    tools: totals.tools.toLocaleString("en"),
    input: count(totals.input_tokens),
    output: count(totals.output_tokens),
    cost: totals.cost_usd === null ? "\u2013" : dollars(totals.cost_usd),
    errors: session.errors ? html`<${Failed} word=${session.errors} /> <span class="dim said">${said(session.errorWords)}</span>` : "",
  };
  return columns.map(({ key }) => html`<div role="gridcell" class=${`cell column-${key}`} title=${key === "agent" || key === "model" ? plain(session[key]) : key === "errors" ? plain(session.errorWords) : undefined}>${contents[key]}</div>`);
}

function card(session, priced) {
  const { totals } = session;
  return html`<div class="card" role="gridcell">
    <div class="card-line"><b>${sessionLink(session)}</b> <span class="said">${said(session.agent)}</span><span class="spring"></span>${session.errors ? html`<${Failed} word=${session.errorWords} />` : ""}</div>
    <div class="card-line dim"><span>${moment(session.startMs).slice(0, 16)}</span><span>${duration(session.lasted)}</span><span>${many(totals.turns, "turn")}</span><span>${pairOf(totals.input_tokens, totals.output_tokens)}</span>${priced && totals.cost_usd !== null ? html`<span>${dollars(totals.cost_usd)}</span>` : ""}</div>
  </div>`;
}

/** Gives each session a short name: its first 8 characters where no other has the same, as git does. */
function nameSessions(sessions) {
  const taken = new Map();
  const uuid = /^[0-9a-f]{8}-/i;
  const draft = ({ id }) => (uuid.test(id) ? id.slice(0, 8) : id.length > 24 ? `${id.slice(0, 23)}\u2026` : id);
  for (const session of sessions) taken.set(draft(session), (taken.get(draft(session)) ?? 0) + 1);
  for (const session of sessions) session.short = taken.get(draft(session)) === 1 ? draft(session) : session.id;
}
