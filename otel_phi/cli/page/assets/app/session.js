// The second view: one session, what went wrong first, then the waterfall, the conversation, tokens and tools.

const ERRORS_SHOWN = 6; // in the strip; the others are reached with the key or by the filter

function SessionView({ page, session, asked, theme, setPlace, alone }) {
  const { place } = asked;
  const tree = useMemo(() => treeOf(session), [session]);
  const linked = place ? tree.byPlace.get(place) : null;
  const [current, setCurrent] = useState(linked);
  const [opened, setOpened] = useState(Boolean(linked));
  const [lost, setLost] = useState(null); // what the address asked for, and is not here
  const [tab, setTab] = useState("timeline");
  const [wanted, setWanted] = useState(null);
  const chosen = useMemo(() => [session], [session]);
  const calls = useMemo(() => (tab === "plot" ? callsOf(chosen) : []), [chosen, tab]);
  useEffect(() => {
    setLost(place && !linked ? place : null);
    if (linked && linked.span !== current?.span) setCurrent(linked);
    setOpened(Boolean(linked));
  }, [asked]);
  useEffect(() => {
    setPlace(opened && current ? current.span.place : session.traces[0].id, session);
  }, [opened, current]);
  const goTo = (row) => {
    setTab("timeline");
    setCurrent(row);
    setOpened(true);
  };
  const goToSpan = (span) => goTo(tree.byPlace.get(span.place));
  const showTool = (tool) => {
    setWanted({ text: `${KEY.tool}=${plain(tool).toLowerCase()}` });
    setTab("timeline");
  };
  const tabs = [["timeline", "Timeline"], ...(session.content ? [["said", "Conversation"]] : []), ["plot", session.totals.cost_usd === null ? "Tokens" : "Tokens and cost"], ["tools", "Tools"]];
  useKeys({
    ...Object.fromEntries(tabs.map(([key], number) => [String(number + 1), () => setTab(key)])),
    u: () => alone || (location.hash = ""),
    ...(tab === "timeline" ? {} : { Escape: () => (opened ? setOpened(false) : setTab("timeline")) }),
  });
  return html`<main class="view session">
    <${SessionHead} page=${page} session=${session} tree=${tree} alone=${alone} goTo=${goTo} />
    ${lost && html`<p class="notice">Span ${lost.split("/")[1]} is not in this page.</p>`}
    <div class="tabs" role="tablist">${tabs.map(([key, label], number) => html`<button type="button" role="tab" aria-selected=${tab === key} title=${`${label} (${number + 1})`} onClick=${() => setTab(key)}>${label}</button>`)}</div>
    <div class=${`split ${opened && current ? "with-details" : ""}`}>
      ${tab === "timeline" && html`<${Waterfall} page=${page} tree=${tree} theme=${theme} current=${current} opened=${opened} select=${setCurrent} setOpened=${setOpened} wanted=${wanted} />`}
      ${tab === "said" && html`<div class="scroll"><${Conversation} tree=${tree} onPick=${goTo} /></div>`}
      ${tab === "plot" && html`<div class="scroll"><${Plot} calls=${calls} theme=${theme} onPick=${goToSpan} /></div>`}
      ${tab === "tools" && html`<div class="scroll"><${ToolTable} sessions=${chosen} pickTitle="show its calls" onPick=${showTool} /></div>`}
      ${opened && current && html`<${Details} page=${page} tree=${tree} row=${current} go=${goTo} close=${() => setOpened(false)} />`}
    </div>
  </main>`;
}

function SessionHead({ page, session, tree, alone, goTo }) {
  const { totals } = session;
  const narrow = useMedia(NARROW);
  const [more, ...others] = session.traces;
  return html`<header class="session-head">
    <div class="session-title">
      ${!alone && html`<a class="back" href="#" title="all sessions (u)">\u2190 <span class="wide-only">all sessions</span></a>`}
      <h1><span class="dim wide-only">session </span><code>${said(narrow ? session.short : session.id)}</code> <${Copy} text=${session.id} label="session id" /></h1>
      ${session.agent && html`<span class="said">${said(session.agent)}</span>`}
      ${session.model && html`<span class="dim said">${said(session.model)}</span>`}
    </div>
    <dl class="facts">
      <${Fact} label="start (UTC)">${moment(session.startMs)}<//>
      <${Fact} label="duration">${duration(session.lasted)}<//>
      <${Fact} label="loops">${totals.loops}<//>
      <${Fact} label="turns">${totals.turns}<//>
      <${Fact} label="tools">${totals.tools}<//>
      <${Fact} label="tokens in">${count(totals.input_tokens)}${totals.cached_tokens ? html` <span class="dim">(${count(totals.cached_tokens)} cached)</span>` : ""}<//>
      <${Fact} label="out">${count(totals.output_tokens)}<//>
      ${totals.cost_usd !== null && html`<${Fact} label="cost">${dollars(totals.cost_usd)}<//>`}
      <div class="fact wide-only"><dt>trace</dt><dd>${tree.marker ? html`<button type="button" class="link" onClick=${() => goTo(tree.marker)} title="the session's own span"><code>${more.id}</code></button>` : html`<code>${more.id}</code>`} <${Copy} text=${more.id} label="trace id" />${others.length ? html` <span class="dim">and ${many(others.length, "other")}</span>` : ""}</dd></div>
    </dl>
    ${tree.errors.length > 0 && html`<div class="errors" role="group" aria-label="errors">
      <b><span aria-hidden="true">\u2715</span> ${many(session.errors || tree.errors.length, "error")}</b>
      ${tree.errors.slice(0, ERRORS_SHOWN).map((row) => html`<button type="button" class="error-chip" key=${row.key} onClick=${() => goTo(row)}>${said(row.error)} <span class="dim">${said(row.text)} \u00b7 ${offset(row.at)}</span></button>`)}
      ${tree.errors.length > ERRORS_SHOWN && html`<span class="dim">and ${tree.errors.length - ERRORS_SHOWN} more: key e goes through all</span>`}
    </div>`}
  </header>`;
}
