// What was said, where the page holds it: messages with their roles; arguments, results and long texts folded.

const ROLES = { system: "system", user: "user", assistant: "assistant", tool: "tool", developer: "developer" };
const LONG = 1200; // characters of a text that are shown before it is asked for: a screen's worth

/** Reads a JSON value that an attribute holds as text; undefined where it is none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function pretty(value) {
  if (typeof value === "string") {
    const inner = /^\s*[[{]/.test(value) ? parsed(value) : undefined;
    return inner === undefined ? value : JSON.stringify(inner, null, 2);
  }
  return JSON.stringify(value, null, 2) ?? "";
}

/** Returns a value on one line, short enough for a summary. */
function inShort(value, most = 90) {
  const text = plain(typeof value === "string" ? value : JSON.stringify(value) ?? "").replace(/\s+/g, " ").trim();
  return text.length > most ? `${text.slice(0, most - 1)}\u2026` : text;
}

function LongText({ text, mono = false }) {
  const [whole, setWhole] = useState(false);
  const cut = !whole && text.length > LONG * 1.25;
  return html`<div class=${`text ${mono ? "mono" : ""}`}>${said(cut ? text.slice(0, LONG) : text, { lines: true })}${cut && html`<button type="button" class="more" onClick=${() => setWhole(true)}>\u2026 ${(text.length - LONG).toLocaleString("en")} more characters</button>`}</div>`;
}

/** Something folded: a line that says what it is, and all of it once it is opened. */
function Fold({ summary, value, open = false, children }) {
  const [opened, setOpened] = useState(open);
  return html`<details class="fold" open=${opened} onToggle=${(event) => setOpened(event.currentTarget.open)}>
    <summary>${summary}</summary>
    ${opened && (children ?? html`<${LongText} mono text=${pretty(value)} />`)}
  </details>`;
}

const IMAGE = /^image\/(png|jpeg|gif|webp)$/;

function Part({ part, toolOf }) {
  switch (part?.type) {
    case "text":
      return html`<${LongText} text=${String(part.content ?? "")} />`;
    case "reasoning":
      return html`<${Fold} summary=${html`<span class="fold-name">reasoning</span> <span class="dim">${inShort(String(part.content ?? ""))}</span>`}><${LongText} text=${String(part.content ?? "")} /><//>`;
    case "tool_call":
      return html`<${Fold} value=${part.arguments ?? ""} summary=${html`<span class="fold-name"><span aria-hidden="true">\u2192 </span>${said(part.name ?? "tool")}</span> <code>${inShort(part.arguments ?? "")}</code>`} />`;
    case "tool_call_response":
      return html`<${Fold} value=${part.response ?? ""} summary=${html`<span class="fold-name"><span aria-hidden="true">\u2190 </span>${said(toolOf?.get(String(part.id)) ?? "result")}</span> <code>${inShort(part.response ?? "")}</code>`} />`;
    case "blob":
      return IMAGE.test(part.mime_type) && /^[A-Za-z0-9+/=\s]*$/.test(part.content ?? "")
        ? html`<img class="blob" alt=${`an image, ${part.mime_type}`} src=${`data:${part.mime_type};base64,${part.content}`} />`
        : html`<${Fold} value=${part} summary="blob" />`;
    default:
      return html`<${Fold} value=${part} summary=${html`<span class="fold-name">${said(part?.type ?? "part")}</span>`} />`;
  }
}

function Message({ message, toolOf }) {
  const role = ROLES[message?.role] ?? "other";
  const parts = Array.isArray(message?.parts) ? message.parts : [message];
  const finish = message?.finish_reason;
  return html`<article class=${`message role-${role}`}>
    <header><span class="role">${said(message?.role ?? "message")}</span>${finish && !["stop", "tool_call"].includes(finish) && html`<span class="dim">${said(finish)}</span>`}</header>
    ${parts.map((part) => html`<${Part} part=${part} toolOf=${toolOf} />`)}
  </article>`;
}

/** Messages as an attribute holds them; as text where that is cut and no JSON any more. */
function Messages({ text, toolOf }) {
  const messages = useMemo(() => parsed(text), [text]);
  if (!Array.isArray(messages)) return html`<article class="message"><${LongText} text=${String(text)} /></article>`;
  return messages.map((message) => html`<${Message} message=${message} toolOf=${toolOf} />`);
}

function SystemPrompt({ text }) {
  const parts = parsed(text);
  const words = Array.isArray(parts) ? parts.map((part) => part?.content ?? "").join("\n") : String(text);
  return html`<article class="message role-system"><header><span class="role">system</span></header>
    <${Fold} summary=${html`<span class="fold-name">instructions</span> <span class="dim">${inShort(words)}</span>`}><${LongText} text=${words} /><//></article>`;
}

function ToolDefinitions({ text }) {
  const tools = parsed(text);
  const names = Array.isArray(tools) ? tools.map((tool) => tool?.name).filter(Boolean).join(", ") : "";
  return html`<${Fold} value=${text} summary=${html`<span class="fold-name">tools</span> <span class="dim">${inShort(names)}</span>`} />`;
}

/** What was said on a span; null where the page does not hold it. */
function Said({ span, toolOf }) {
  const get = (key) => span.get(key);
  const parts = [];
  if (get(KEY.system) !== undefined) parts.push(html`<${SystemPrompt} text=${get(KEY.system)} />`);
  if (get(KEY.toolDefinitions) !== undefined) parts.push(html`<${ToolDefinitions} text=${get(KEY.toolDefinitions)} />`);
  if (get(KEY.inputMessages) !== undefined) parts.push(html`<${Messages} text=${get(KEY.inputMessages)} toolOf=${toolOf} />`);
  if (get(KEY.outputMessages) !== undefined) parts.push(html`<${Messages} text=${get(KEY.outputMessages)} toolOf=${toolOf} />`);
  const given = get(KEY.toolArguments) ?? (get(KEY.inputMessages) === undefined ? get(KEY.inputValue) : undefined);
  const made = get(KEY.toolResult) ?? (get(KEY.outputMessages) === undefined ? get(KEY.outputValue) : undefined);
  const isTool = kindOf(span) === "tool";
  if (given !== undefined) parts.push(html`<${Fold} open value=${given} summary=${html`<span class="fold-name">${isTool ? "arguments" : "input"}</span>`} />`);
  if (made !== undefined) parts.push(html`<${Fold} open value=${made} summary=${html`<span class="fold-name">${isTool ? "result" : "output"}</span>`} />`);
  return parts.length ? html`<section class="said-parts"><h3>what was said</h3>${parts}</section>` : null;
}

const CONTENT = new Set([
  KEY.system, KEY.inputMessages, KEY.outputMessages, KEY.toolDefinitions, KEY.toolArguments, KEY.toolResult, KEY.inputValue, KEY.outputValue,
]);
const AT_ONCE = 60; // model calls of a conversation that are drawn before one comes near their end

/** A whole session as it was said: each model call's new messages and its answer, one after the other. */
function Conversation({ tree, onPick }) {
  const calls = useMemo(() => tree.calls.filter(({ span }) => span.bag.has(KEY.outputMessages) || span.bag.has(KEY.inputMessages)).sort((one, other) => one.at - other.at), [tree]);
  const [shown, setShown] = useState(AT_ONCE);
  const end = useRef(null);
  useEffect(() => {
    if (shown >= calls.length) return undefined;
    const observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && setShown((old) => old + AT_ONCE), { rootMargin: "800px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [shown, calls]);
  return html`<div class="conversation">
    ${calls.slice(0, shown).map((row) => html`<section class="call" key=${row.key}>
      <button type="button" class="call-head link" onClick=${() => onPick(row)}><${Kind} of="chat" /> ${said(row.text)} <span class="dim">${offset(row.at)} \u00b7 ${duration(row.lasted)}${row.tokens && ` \u00b7 ${row.tokens} tokens`}</span> ${row.error && html`<${Failed} word=${row.error} />`}</button>
      ${row.span.bag.has(KEY.system) && html`<${SystemPrompt} text=${row.span.get(KEY.system)} />`}
      ${row.span.bag.has(KEY.inputMessages) && html`<${Messages} text=${row.span.get(KEY.inputMessages)} toolOf=${tree.toolOf} />`}
      ${row.span.bag.has(KEY.outputMessages) && html`<${Messages} text=${row.span.get(KEY.outputMessages)} toolOf=${tree.toolOf} />`}
    </section>`)}
    <div ref=${end}></div>
  </div>`;
}
