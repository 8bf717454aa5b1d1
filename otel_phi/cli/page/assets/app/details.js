// Everything a span says: what it is, what was said, attributes, events, and links that jump.

function Details({ page, tree, row, go, close }) {
  const { span } = row;
  const box = useRef(null);
  useLayoutEffect(() => {
    box.current.scrollTop = 0;
  }, [row.key]);
  const attributes = span.bag.pairs().filter(([key]) => !CONTENT.has(key)).sort(([one], [other]) => (one < other ? -1 : 1));
  const up = row.event ? tree.byPlace.get(span.place) : row.parent;
  return html`<aside class="details" ref=${box} aria-label="details of the span">
    <header class="details-head">
      <h2><${Named} row=${row} /></h2>
      <button type="button" class="close" onClick=${close} aria-label="close the details" title="close (Esc)">\u2715</button>
    </header>
    ${row.error && html`<p class="failure"><${Failed} word=${row.error} />${span.message && span.message !== row.error ? html` <span class="said">${said(span.message)}</span>` : ""}</p>`}
    <dl class="facts">
      <${Fact} label="start">${offset(row.at)}<//>
      <${Fact} label="duration">${duration(row.lasted)}<//>
      ${row.tokens && html`<${Fact} label="tokens">${row.tokens}<//>`}
      ${!row.event && span.bag.number(KEY.cost) > 0 && html`<${Fact} label="cost">${dollars(span.bag.number(KEY.cost))}<//>`}
      ${!row.event && html`<${Fact} label="status">${span.status.toLowerCase()}<//><${Fact} label="kind">${span.spanKind.toLowerCase()}<//>`}
    </dl>
    <p class="dim at">${moment(span.trace.baseMs + (row.event ? row.event.at : span.at) / 1e6, { exact: true })} UTC${up ? html` \u00b7 in <button type="button" class="link" onClick=${() => go(up)}>${said(up.text)}</button>` : ""}</p>
    ${row.event ? html`<section><h3>event ${said(row.event.name)}</h3><${Attributes} pairs=${row.event.bag.pairs()} /></section>` : html`
      <${Said} key=${row.key} span=${span} toolOf=${tree.toolOf} />
      <${Links} page=${page} tree=${tree} row=${row} go=${go} />
      <${Events} span=${span} start=${row.at - span.at} />
      <section><h3>attributes</h3><${Attributes} pairs=${attributes} />
        ${span.dropped ? html`<p class="dim">${many(span.dropped, "event")} left out because of a bound</p>` : ""}</section>`}
    <section><h3>${row.event ? "ids of its span" : "ids"}</h3><dl class="ids">
      ${[["span", span.id], ["trace", span.trace.id], ["parent", span.parent], ["name", span.name]].map(([name, value]) => value && html`<div><dt>${name}</dt><dd><code>${said(value)}</code>${name === "name" ? "" : html` <${Copy} text=${value} label=${`${name} id`} />`}</dd></div>`)}
    </dl></section>
  </aside>`;
}

function Attributes({ pairs }) {
  if (!pairs.length) return html`<p class="dim">none</p>`;
  return html`<table class="attributes"><tbody>${pairs.map(([key, value]) => html`<tr key=${key}><th scope="row">${breakable(key)}</th><td>${said(valueText(value), { lines: true })}</td></tr>`)}</tbody></table>`;
}

/** Returns a name that may be broken behind its dots and dashes, and not in the middle of a word. */
const breakable = (name) => String(name).split(/(?<=[._])/).flatMap((part) => [said(part), html`<wbr />`]);

function Events({ span, start }) {
  if (!span.events.length) return null;
  return html`<section><h3>events</h3>${span.events.map((event) => {
    const tool = event.name === TOOL_EVENT ? event.bag.get(KEY.tool) : undefined;
    return html`<${Fold} summary=${html`<span class="fold-name">${said(tool ?? event.name)}</span> <span class="dim">${offset(start + event.at)}${event.bag.has(KEY.took) ? ` \u00b7 took ${duration(event.bag.number(KEY.took) * 1e6)}` : ""}</span> ${event.bag.has(KEY.error) ? html`<${Failed} word=${event.bag.get(KEY.error)} />` : ""}`}><${Attributes} pairs=${event.bag.pairs()} /><//>`;
  })}</section>`;
}

/** Links of a span and links to it; those to what the page holds jump there. */
function Links({ page, tree, row, go }) {
  const { span } = row;
  const out = span.links.map((link) => ({ link, place: `${link.trace}/${link.id}`, arrow: "\u2192" }));
  const back = page.linksTo(span.place);
  const spawner = span.get(KEY.spawner);
  const untold = spawner !== undefined && !span.links.some((link) => link.bag.get(KEY.linkKind) === "spawned_by");
  if (!out.length && !back.length && !untold) return null;
  return html`<section><h3>links</h3><ul class="links">
    ${out.map(({ link, place, arrow }) => html`<li>${linkWord(link, arrow)} ${jump(page, tree, place, link, go)}</li>`)}
    ${back.map(({ link, span: from }) => html`<li>${linkWord(link, "\u2190")} ${jump(page, tree, from.place, link, go, from)}</li>`)}
    ${untold && html`<li><span class="link-kind">spawned by</span> session ${said(spawner)} <span class="dim">(not in this page)</span></li>`}
  </ul></section>`;
}

const linkWord = (link, arrow) => html`<span class="link-kind">${said(String(link.bag.get(KEY.linkKind) ?? "linked").replaceAll("_", " "))}</span> <span aria-hidden="true">${arrow}</span>`;

const here = (act) => (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  act();
};

/** Returns a link to a span: by the row it has here, else by its session; in words alone where the page holds neither. */
function jump(page, tree, place, link, go, from = null) {
  const target = tree.byPlace.get(place);
  if (target) return html`<a href=${`#${place}`} onClick=${here(() => go(target))}>${said(target.kind === "marker" ? "session" : target.text)}</a>`;
  const session = page.byTrace.get(place.slice(0, 32));
  if (session) return html`<a href=${`#${place}`}>${from ? html`${said(from.name)} in ` : ""}session ${said(session.short)}</a>`;
  const name = link.bag.get(KEY.linkSession);
  return html`<span>${name === undefined ? `trace ${link.trace}` : html`session ${said(name)}`} <span class="dim">(not in this page)</span></span>`;
}
