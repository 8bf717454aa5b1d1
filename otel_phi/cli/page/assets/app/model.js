// What the page knows: traces, spans and sessions as they were written, and what a span's attributes are called.

const KEY = {
  operation: "gen_ai.operation.name",
  error: "error.type",
  loop: "phi.loop.id",
  loopKind: "phi.loop.continuation_kind",
  loopTag: "phi.loop.continuation_tag",
  turn: "phi.turn.index",
  trigger: "phi.turn.triggered_by",
  finish: "gen_ai.response.finish_reasons",
  input: "gen_ai.usage.input_tokens",
  output: "gen_ai.usage.output_tokens",
  totalInput: "phi.usage.input_tokens",
  totalOutput: "phi.usage.output_tokens",
  cost: "phi.cost.usd",
  tool: "gen_ai.tool.name",
  call: "gen_ai.tool.call.id",
  took: "phi.tool.duration_ms",
  branches: "phi.parallel.loop_ids",
  branchCount: "phi.parallel.group_size",
  selected: "phi.parallel.selected_loop_id",
  spawner: "phi.spawn.parent_session_id",
  linkKind: "phi.link.kind",
  linkSession: "phi.link.session_id",
  linkLoop: "phi.link.loop_id",
  system: "gen_ai.system_instructions",
  inputMessages: "gen_ai.input.messages",
  outputMessages: "gen_ai.output.messages",
  toolDefinitions: "gen_ai.tool.definitions",
  toolArguments: "gen_ai.tool.call.arguments",
  toolResult: "gen_ai.tool.call.result",
  inputValue: "input.value",
  outputValue: "output.value",
};
const TOOL_EVENT = "phi.tool.execution";

/** A bag of attributes: keys that many bags share, and values of its own. */
class Bag {
  constructor(keys, values) {
    this.keys = keys; // {names: [...], places: Map}
    this.values = values;
  }
  get(key) {
    const place = this.keys.places.get(key);
    return place === undefined ? undefined : this.values[place];
  }
  number(key) {
    const value = this.get(key);
    return typeof value === "number" ? value : 0;
  }
  has(key) {
    return this.keys.places.has(key);
  }
  pairs() {
    return this.keys.names.map((name, place) => [name, this.values[place]]);
  }
}

/** A span as it was written. Times are nanoseconds after its trace's base. */
class Span {
  constructor(page, record) {
    const [, trace, id, parent, at, lasted, kind, name, status, message, dropped, keys, values, events, links] = record;
    this.trace = page.traces[trace];
    this.id = id;
    this.parent = parent;
    this.at = at;
    this.lasted = lasted;
    this.spanKind = kind;
    this.name = name;
    this.status = status;
    this.message = message;
    this.dropped = dropped;
    this.bag = new Bag(page.keys[keys], values);
    this.events = events.map(([what, when, shape, given]) => ({ name: what, at: when, bag: new Bag(page.keys[shape], given) }));
    this.links = links.map(([where, which, shape, given]) => ({ trace: where, id: which, bag: new Bag(page.keys[shape], given) }));
  }
  get place() {
    return `${this.trace.id}/${this.id}`;
  }
  get(key) {
    return this.bag.get(key);
  }
}

const KINDS = { invoke_agent: "loop", agent_step: "turn", chat: "chat", execute_tool: "tool" };

/** Returns what kind of row shows a span: loop, turn, chat, tool, group, marker or other. */
function kindOf(span) {
  if (span.bag.has(KEY.branches)) return "group";
  const operation = span.get(KEY.operation);
  return operation === "invoke_workflow" ? "marker" : (KINDS[operation] ?? "other");
}

/** All that the page holds; lines are fed to it one at a time. */
class Page {
  constructor() {
    this.title = "";
    this.version = "";
    this.keys = [];
    this.traces = [];
    this.sessions = []; // in order of appearance
    this.spanCount = 0;
    this.notes = [];
    this.byTrace = new Map(); // trace id -> session
    this._byId = new Map();
    this._linksTo = null; // made when it is first asked for
    this.whole = false;
  }

  take(line) {
    const record = JSON.parse(line);
    if (!Array.isArray(record)) this._about(record);
    else if (record[0] === "s") this._span(record);
    else if (record[0] === "k") this.keys.push({ names: record[1], places: new Map(record[1].map((name, place) => [name, place])) });
    else if (record[0] === "t") this._trace(record);
  }

  /** Returns the spans whose links point to a place, with those links; also from other sessions. */
  linksTo(place) {
    if (!this._linksTo) {
      this._linksTo = new Map();
      for (const session of this.sessions) {
        for (const span of session.spans) for (const link of span.links) addTo(this._linksTo, `${link.trace}/${link.id}`, { span, link });
      }
    }
    return this._linksTo.get(place) ?? [];
  }

  _about(record) {
    if (record.format !== undefined) {
      this.title = record.title;
      this.version = record.version;
      return;
    }
    this.notes = record.notes;
    for (const totals of record.sessions) this._totals(totals);
    this.whole = true;
  }

  _totals(totals) {
    const session = this._byId.get(totals.session_id);
    if (!session) return;
    const errors = Object.entries(totals.errors);
    Object.assign(session, {
      totals,
      errors: errors.reduce((sum, [, number]) => sum + number, 0),
      errorWords: errors.map(([word, number]) => (number > 1 ? `${number} ${word}` : word)).join(", "),
      startMs: totals.start_ns / 1e6,
      lasted: totals.end_ns - totals.start_ns,
      agent: totals.agents.join(", "),
      model: totals.models.join(", "),
    });
    session.searched = plain([session.id, session.agent, session.model, session.errorWords, totals.repository ?? "", ...session.tools].join("\n")).toLowerCase();
  }

  _trace([, id, base, sessionId]) {
    let session = this._byId.get(sessionId);
    if (!session) {
      session = { id: sessionId, traces: [], spans: [], tools: new Set(), base: BigInt(base), content: false };
      this._byId.set(sessionId, session);
      this.sessions.push(session);
    }
    const offset = Number(BigInt(base) - session.base); // nanoseconds
    const trace = { id, session, offset, baseMs: Number(BigInt(base) / 1000n) / 1e3 };
    session.traces.push(trace);
    this.traces.push(trace);
    this.byTrace.set(id, session);
  }

  _span(record) {
    const span = new Span(this, record);
    const session = span.trace.session;
    session.spans.push(span);
    this.spanCount += 1;
    for (const event of span.events) if (event.name === TOOL_EVENT) session.tools.add(String(event.bag.get(KEY.tool)));
    if (span.bag.has(KEY.outputMessages) || span.bag.has(KEY.inputMessages)) session.content = true;
  }
}
