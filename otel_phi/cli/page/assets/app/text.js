// Words and numbers as the terminal writes them, and texts of others made safe to look at.
//
// Rule 1: a text of others reaches the page as a text node alone; nothing here makes markup of a string.
// Rule 2: what cannot be seen but acts (control and bidi characters, tags) is shown by its number.

const { h, render } = preact;
const { useEffect, useLayoutEffect, useMemo, useRef, useState } = preactHooks;
const html = htm.bind(h);

// Joiners stay: emoji and several scripts are written with them.
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const HIDDEN_EACH = new RegExp(HIDDEN, "gu");

const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** Returns a text of others on one line, for attributes and comparisons. */
function plain(text) {
  const whole = String(text);
  if (!HIDDEN.test(whole)) return whole;
  return whole.replace(HIDDEN_EACH, (one) => ("\n\t\r".includes(one) ? " " : `\u2039${codePoint(one)}\u203a`));
}

/** Returns a text of others as children of an element: what cannot be seen is marked; line breaks stay where asked. */
function said(text, { lines = false } = {}) {
  const whole = String(text ?? "");
  if (!HIDDEN.test(whole)) return whole;
  const children = [];
  let from = 0;
  for (const found of whole.matchAll(HIDDEN_EACH)) {
    const one = found[0];
    if (lines && (one === "\n" || one === "\t")) continue;
    children.push(whole.slice(from, found.index));
    from = found.index + one.length;
    if (one === "\r" && lines) continue;
    children.push("\n\t\r".includes(one) ? " " : html`<span class="hidden-character" title="a character that cannot be seen">${codePoint(one)}</span>`);
  }
  children.push(whole.slice(from));
  return children;
}

const three = (number) => String(Number(number.toPrecision(3)));

/** Returns a duration in at most three digits: `640 µs`, `312 ms`, `3.77 s`, `4m 32s`, `1h 05m`, `2d 03h`. */
function duration(ns) {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${three(ns / 1e3)} \u00b5s`;
  if (ns < 999_500_000) return `${three(ns / 1e6)} ms`;
  const seconds = ns / 1e9;
  if (seconds < 59.95) return seconds < 9.995 ? `${seconds.toFixed(2)} s` : `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const pair = (large, small, size, unit) => `${Math.floor(whole / size)}${large} ${String(Math.floor((whole % size) / unit)).padStart(2, "0")}${small}`;
  if (whole >= 86_400) return pair("d", "h", 86_400, 3_600);
  return whole >= 3_600 ? pair("h", "m", 3_600, 60) : pair("m", "s", 60, 1);
}

/** Returns a time after the session's start. */
const offset = (ns) => (ns > 0 ? `+${duration(ns)}` : ns < 0 ? `\u2212${duration(-ns)}` : "+0");

/** Returns a number in at most three digits: `812`, `1.2k`, `45k`, `1.23M`. */
function count(number) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size * 0.9995) return three(number / size) + unit;
  }
  return three(number);
}

const many = (number, noun, plural = `${noun}s`) => `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
const pairOf = (given, made) => (given || made ? `${count(given)}\u2192${count(made)}` : "");

/** Returns US dollars: `$0.0183`, `$12.40`. */
function dollars(amount) {
  if (amount > 0 && amount < 0.0001) return "<$0.0001";
  return amount >= 1 || !amount ? `$${amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}` : `$${amount.toFixed(4)}`;
}

/** Returns a moment in UTC, given in milliseconds since the epoch: to the second, or to the millisecond. */
function moment(ms, { exact = false } = {}) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms`;
  const text = date.toISOString().replace("T", " ");
  return exact ? text.replace("Z", "") : text.slice(0, 19);
}

/** Returns a value of others in words. */
function valueText(value) {
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "number" && Number.isInteger(value) ? String(value) : String(value);
}

/** Adds an item to the list of a key. */
function addTo(lists, key, item) {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
