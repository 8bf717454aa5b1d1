// A session as rows: its loops and parallel groups side by side, turns below them, model calls and tools below those.
//
// Rule 1: a loop stands beside the loop it continues, and says so: a conversation of a thousand loops does not drift to the
//         right. The branches of a parallel evaluation stand below it, a sub-agent of the same session below its tool.
// Rule 2: every span is a row once, also one whose parent is missing or that stands in a circle; but the session's marker.

const RANK = { marker: 0, group: 0, loop: 1, turn: 1, chat: 1, other: 1, tool: 2, event: 2 };
const FROM = { rerun: "rerun of", branch: "branch of", compaction: "compaction of", subagent: "run by" };

/** Returns a session's rows and what is looked up in them; built once, when it is first looked at. */
function treeOf(session) {
  session.tree ??= buildTree(session);
  return session.tree;
}

function buildTree(session) {
  const byPlace = new Map();
  for (const span of session.spans) if (!byPlace.has(span.place)) byPlace.set(span.place, newRow(span));
  const rows = [...byPlace.values()].sort(inOrder);
  const from = rows.reduce((least, row) => Math.min(least, row.at), Infinity);
  for (const row of rows) row.at -= from;
  const children = childrenOf(rows, byPlace);
  number(rows);
  for (const row of rows) label(row, byPlace);
  const tree = { rows: [], byPlace, all: [], errors: [], calls: [], toolOf: new Map(), marker: null, lasted: 0 };
  const reached = new Set();
  const branches = branchesOf(rows, byPlace);
  for (const row of rows) {
    if (row.kind === "marker") tree.marker ??= row;
    else if (standsAlone(row, byPlace) && !branches.has(row)) tree.rows.push(grow(row, children, reached, byPlace));
  }
  for (const row of rows) if (row.kind !== "marker" && !reached.has(row)) tree.rows.push(grow(row, children, reached, byPlace));
  tree.rows.sort(inOrder);
  walk(tree.rows, (row) => {
    tree.all.push(row);
    if (row.cause) tree.errors.push(row);
    if (row.kind === "chat") tree.calls.push(row);
    const given = (row.event?.bag ?? row.span.bag).get(KEY.call);
    if (row.kind === "tool" && given !== undefined) tree.toolOf.set(String(given), row.text);
  });
  tree.lasted = rows.reduce((most, row) => Math.max(most, row.at + row.lasted), 1);
  return tree;
}

function newRow(span) {
  const error = span.get(KEY.error);
  return {
    key: span.place,
    span,
    kind: kindOf(span),
    at: span.trace.offset + span.at,
    lasted: span.lasted,
    error: error === undefined ? "" : String(error),
    cause: false,
    text: "",
    remark: "",
    tokens: "",
    rows: [],
    parent: null,
  };
}

function inOrder(one, other) {
  return one.at - other.at || RANK[one.kind] - RANK[other.kind] || one.lasted - other.lasted || (one.key < other.key ? -1 : 1);
}

const parentOf = (row, byPlace) => (row.span.parent ? byPlace.get(`${row.span.trace.id}/${row.span.parent}`) : undefined);

function childrenOf(rows, byPlace) {
  const found = new Map();
  for (const row of rows) {
    const parent = parentOf(row, byPlace);
    if (parent && parent !== row) addTo(found, parent, row);
  }
  return found;
}

function standsAlone(row, byPlace) {
  const parent = parentOf(row, byPlace);
  if (parent?.kind === "tool") return false;
  return row.kind === "loop" || row.kind === "group" || !parent || parent.kind === "marker";
}

function branchesOf(rows, byPlace) {
  const found = new Set();
  for (const row of rows.filter((one) => one.kind === "group")) {
    for (const link of row.span.links) {
      const branch = byPlace.get(`${link.trace}/${link.id}`);
      if (branch?.kind === "loop" && !found.has(branch)) {
        found.add(branch);
        (row.branches ??= []).push(branch);
      }
    }
  }
  return found;
}

/** Hangs what belongs below a row below it; a chain of any length without recursion. */
function grow(top, children, reached, byPlace) {
  const waiting = [top];
  reached.add(top);
  while (waiting.length) {
    const row = waiting.pop();
    const own = (children.get(row) ?? []).filter((child) => row.kind === "tool" || (child.kind !== "loop" && child.kind !== "group"));
    for (const child of [...own, ...(row.branches ?? [])]) {
      if (reached.has(child)) continue;
      reached.add(child);
      child.parent = row;
      row.rows.push(child);
      waiting.push(child);
    }
    row.cause = Boolean(row.error) && !own.some((child) => child.error === row.error);
    row.rows.push(...newsOf(row, own));
    row.rows.sort(inOrder);
  }
  return top;
}

/** Returns rows for those events of a span that say more than the tool spans below it do. */
function newsOf(row, own) {
  const calls = new Set(own.filter((child) => child.kind === "tool").map((child) => String(child.span.get(KEY.call))));
  const start = row.at - row.span.at; // of the trace
  const rows = [];
  row.span.events.forEach((event, place) => {
    const isTool = event.name === TOOL_EVENT;
    if (isTool && calls.has(String(event.bag.get(KEY.call)))) return;
    const lasted = event.bag.number(KEY.took) * 1e6;
    const error = event.bag.get(KEY.error);
    const ran = isTool && event.bag.has(KEY.took);
    rows.push({
      key: `${row.key}#${place}`,
      span: row.span,
      event,
      kind: ran ? "tool" : "event",
      at: start + event.at - lasted,
      lasted,
      error: error === undefined ? "" : String(error),
      cause: error !== undefined,
      text: ran ? String(event.bag.get(KEY.tool)) : eventWords(event),
      remark: "",
      tokens: "",
      rows: [],
      parent: row,
    });
    // The failure is told here; the turn above is only marked.
    if (error !== undefined && String(error) === row.error) row.cause = false;
  });
  return rows;
}

function eventWords({ name, bag }) {
  const number = (key) => count(bag.number(key));
  if (name === "phi.compaction") {
    const took = bag.number("phi.compaction.duration_ms");
    const tokens = bag.has("phi.compaction.tokens_before")
      ? `${number("phi.compaction.tokens_before")}\u2192${number("phi.compaction.tokens_after")}`
      : number("phi.compaction.estimated_tokens");
    return `compacted ${tokens} tokens${took ? ` in ${duration(took * 1e6)}` : ""}`;
  }
  if (name === "phi.prun") return `pruned ${many(bag.number("phi.prun.messages_removed"), "message")}, ${number("phi.prun.tokens_removed")} tokens`;
  if (name === "phi.revert") {
    const where = [bag.get("phi.revert.category"), bag.get("phi.revert.target")].filter(Boolean).join(" ");
    return `${bag.get("phi.revert.applied") ? "reverted" : "revert refused"}${where ? ` (${where})` : ""}`;
  }
  if (name === "phi.input.rejected") return "an input filter refused a message";
  if (name === TOOL_EVENT) return `${bag.get(KEY.tool)} was answered without being executed`;
  return bag.get("phi.event.type") ? `event ${bag.get("phi.event.type")}` : name;
}

function number(rows) {
  rows.filter((row) => row.kind === "loop").forEach((row, place) => (row.number = place + 1));
}

function label(row, byPlace) {
  const { span } = row;
  const tokens = (input, output) => pairOf(span.bag.number(input), span.bag.number(output));
  if (row.kind === "loop") {
    const origin = span.links.map((link) => byPlace.get(`${link.trace}/${link.id}`)).find((one) => one?.number);
    const how = origin && `${FROM[span.get(KEY.loopKind)] ?? "continues"} loop ${origin.number}`;
    const id = String(span.get(KEY.loop) ?? "");
    const own = id.startsWith(`${span.trace.session.id}.`) ? id.slice(span.trace.session.id.length + 1) : id;
    row.text = `loop ${row.number}`;
    row.remark = [how, span.get(KEY.loopTag), own].filter(Boolean).join(", ");
    row.tokens = tokens(KEY.totalInput, KEY.totalOutput);
  } else if (row.kind === "group") {
    const won = span.links.find((link) => link.bag.get(KEY.linkLoop) === span.get(KEY.selected));
    const winner = won && byPlace.get(`${won.trace}/${won.id}`);
    row.text = `${many(span.bag.number(KEY.branchCount), "branch", "branches")} in parallel`;
    row.remark = winner?.number ? `loop ${winner.number} won` : "";
  } else if (row.kind === "turn") {
    const trigger = span.get(KEY.trigger);
    row.text = `turn ${span.get(KEY.turn) ?? ""}`;
    row.remark = trigger && trigger !== "continuation" ? String(trigger).replaceAll("_", " ") : "";
  } else if (row.kind === "chat") {
    const finish = span.get(KEY.finish);
    const usual = !finish || ["stop", "tool_call"].includes(finish.join()) || row.error;
    row.text = span.name.replace(/^chat /, "");
    row.remark = usual ? "" : finish.join(", ").replaceAll("_", " ");
    row.tokens = tokens(KEY.input, KEY.output);
  } else row.text = row.kind === "tool" ? String(span.get(KEY.tool) ?? span.name) : span.name;
}

/** Calls a function with each row, parents first. */
function walk(rows, each) {
  const waiting = [...rows].reverse().map((row) => [row, 0]);
  while (waiting.length) {
    const [row, depth] = waiting.pop();
    each(row, depth);
    for (let place = row.rows.length - 1; place >= 0; place -= 1) waiting.push([row.rows[place], depth + 1]);
  }
}
