// What tools did: how often, how often wrongly, how long.

/** Returns a row a tool of some sessions: calls, errors, and the times of those that ran. */
function toolRows(sessions) {
  const found = new Map();
  for (const session of sessions) {
    for (const span of session.spans) {
      for (const { name, bag } of span.events) {
        if (name !== TOOL_EVENT) continue;
        const tool = String(bag.get(KEY.tool) ?? "");
        let row = found.get(tool);
        if (!row) found.set(tool, (row = { tool, calls: 0, errors: 0, times: [], words: new Map() }));
        row.calls += 1;
        const error = bag.get(KEY.error);
        if (error !== undefined) {
          row.errors += 1;
          row.words.set(String(error), (row.words.get(String(error)) ?? 0) + 1);
        }
        if (bag.has(KEY.took)) row.times.push(bag.number(KEY.took) * 1e6);
      }
    }
  }
  for (const row of found.values()) {
    row.times.sort((one, other) => one - other);
    row.p50 = quantile(row.times, 0.5);
    row.p95 = quantile(row.times, 0.95);
    row.total = row.times.reduce((sum, one) => sum + one, 0);
  }
  return [...found.values()];
}

const TOOL_COLUMNS = [
  { key: "tool", label: "tool", text: true },
  { key: "calls", label: "calls" },
  { key: "errors", label: "errors" },
  { key: "p50", label: "p50", title: "half of the calls took at most so long" },
  { key: "p95", label: "p95", title: "95 of 100 calls took at most so long" },
  { key: "total", label: "in all" },
];

function ToolTable({ sessions, onPick, pickTitle }) {
  const rows = useMemo(() => toolRows(sessions), [sessions]);
  const [order, setOrder] = useState({ key: "errors", down: true });
  const sorted = useMemo(() => inOrderOf(rows, order, (row, key) => row[key] ?? -1, (one, other) => other.calls - one.calls || (one.tool < other.tool ? -1 : 1)), [rows, order]);
  if (!rows.length) return html`<p class="empty">No tool was called.</p>`;
  return html`<div class="table-box"><table class="tools">
    <thead><tr>${TOOL_COLUMNS.map((column) => html`<${Heading} column=${column} order=${order} onOrder=${setOrder} />`)}</tr></thead>
    <tbody>${sorted.map((row) => html`<tr key=${row.tool} class=${row.errors ? "has-errors" : ""}>
      <th scope="row"><button type="button" class="link" title=${pickTitle} onClick=${() => onPick(row.tool)}>${said(row.tool)}</button></th>
      <td>${row.calls.toLocaleString("en")}</td>
      <td>${row.errors ? html`<${Failed} word=${[...row.words].map(([word, number]) => `${number} ${word}`).join(", ")} />` : "0"}</td>
      ${[row.p50, row.p95, row.total].map((ns) => html`<td>${row.times.length ? duration(ns) : "\u2013"}</td>`)}
    </tr>`)}</tbody>
  </table></div>`;
}

/** A heading that sorts its column, and the other way round when it does already. */
function Heading({ column, order, onOrder, role }) {
  const here = order.key === column.key;
  const turn = () => onOrder({ key: column.key, down: here ? !order.down : !column.text });
  const button = html`<button type="button" title=${column.title ?? `sort by ${column.label}`} onClick=${turn}>${column.label}<span class="arrow" aria-hidden="true">${here ? (order.down ? "\u25be" : "\u25b4") : ""}</span></button>`;
  const sort = here ? (order.down ? "descending" : "ascending") : "none";
  return role ? html`<div role=${role} aria-sort=${sort} class=${`column-${column.key}`}>${button}</div>` : html`<th scope="col" aria-sort=${sort}>${button}</th>`;
}

/** Returns rows in an order: by what `value` gives, then by `otherwise`. */
function inOrderOf(rows, { key, down }, value, otherwise) {
  const compare = (one, other) => {
    const left = value(one, key), right = value(other, key);
    if (left === right) return 0;
    const least = typeof left === "string" ? left.localeCompare(right, "en") : left - right;
    return down ? -least : least;
  };
  return [...rows].sort((one, other) => compare(one, other) || otherwise(one, other));
}
