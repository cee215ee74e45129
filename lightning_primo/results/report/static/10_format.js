// Numbers as people read them, and elements that take text as text: nothing here or elsewhere parses HTML.

const PREFIXES = {
  seconds: [[1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"], [1, "s"], [60, "min"], [3600, "h"]],
  bytes: [[1, "B"], [1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"]],
  count: [[1, ""], [1e3, "k"], [1e6, "M"], [1e9, "G"], [1e12, "T"]],
};

const known = (value) => typeof value === "number" && Number.isFinite(value);

function digits(value, n = 3) {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size >= 7 || size < -5) return value.toExponential(n - 1).replace(/\.?0*e\+?/, "e");
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.max(0, n - 1 - size) });
}

function prefix(value, unit) {
  const steps = PREFIXES[unit];
  const size = Math.abs(value);
  let found = steps[0];
  for (const step of steps) if (size >= step[0] * (step[1] === "min" || step[1] === "h" ? 2 : 0.9995)) found = step;
  return found;
}

// What a value is divided by, the unit behind it, and its digits.
function scaleOf(value, unit) {
  if (unit === "share") return [0.01, "%", 3];
  if (!PREFIXES[unit] || value === 0) return [1, "", unit === "number" ? 4 : 3];
  if (unit === "count" && Math.abs(value) < 10000) return [1, "", 4];
  return [...prefix(value, unit), 3];
}

function shown(value, unit = "number") {
  if (!known(value)) return "–";
  const [factor, name, n] = scaleOf(value, unit);
  return (digits(value / factor, n) + " " + name).trim();
}

// In the unit of the value: a share of 12 % that is known to 1 % of itself is no 12 % ± 1 %.
function withSpread(value, spread, unit) {
  if (!known(spread) || !known(value) || spread === 0) return shown(value, unit);
  const [factor, name, n] = scaleOf(value, unit);
  return `${digits(value / factor, n)} ± ${digits(spread / factor, 2)} ${name}`.trim();
}

function setting(value) {
  if (value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : digits(value, 4);
  return typeof value === "string" ? value : JSON.stringify(value);
}

// Of a hyperparameter on an axis: whole numbers where it has no others.
const settingOn = (space) => (value) => setting(space.integer ? Math.round(value) : value);

// One scale for the whole axis: what values are divided by, the unit in its title, and the format of its ticks.
function axisScale(values, unit) {
  if (unit === "share") return { factor: 1, suffix: "", format: ".3~%" };
  if (unit === "count") return { factor: 1, suffix: "", format: "~s" };
  if (!PREFIXES[unit]) return { factor: 1, suffix: "", format: "" };
  const sorted = values.filter(known).map(Math.abs).sort((a, b) => a - b);
  const [factor, name] = prefix(sorted[Math.floor(sorted.length / 2)] ?? 1, unit);
  return { factor, suffix: ` (${name})`, format: "" };
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// What may be wider than a phone scrolls by itself.
const wide = (table) => element("div", { class: "wide" }, table);

// Plotly reads a few tags and entities in its texts.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const short = (text, n = 28) => (text.length > n ? text.slice(0, n - 1) + "…" : text);

// A name in so many letters: what tells those of a config apart, such as model.init_args.depth, stands in their end.
function shortName(name, n = 28) {
  if (name.length <= n) return name;
  const parts = name.split(".");
  while (parts.length > 1 && parts.join(".").length >= n) parts.shift();
  const end = parts.join(".");
  if (end.length < n) return "…" + end;
  const head = Math.floor(n / 3);
  return end.slice(0, head) + "…" + end.slice(head + 1 - n);
}

// A name that is broken, where it must be, behind its parts.
const breakable = (name) => name.split(/(?<=[./_])/).flatMap((part, i) => (i ? [element("wbr"), part] : [part]));

// Redrawing replaces elements; the one that takes a key's place has the same `data-key`, and gets the focus.
function keepingFocus(draw) {
  const held = document.activeElement;
  const section = held?.closest?.("section")?.id;
  const key = held?.dataset?.key;
  draw();
  if (section === undefined || key === undefined || document.contains(held)) return;
  document.querySelector(`#${section} [data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

function select(label, options, value, change) {
  const box = element("select", { "data-key": label, onchange: (event) => change(event.target.value) });
  for (const [key, text] of options) box.append(element("option", { value: key, selected: String(key) === String(value) }, text));
  return element("label", {}, label, box);
}

function choices(label, options, value, change) {
  const row = element("span", { role: "group", "aria-label": label });
  for (const [key, text] of options) {
    row.append(element("button", { type: "button", "data-key": `${label} ${key}`, "aria-pressed": String(key === value), onclick: () => change(key) }, text), " ");
  }
  return row;
}

function duration(seconds) {
  if (!known(seconds)) return "–";
  if (seconds < 60) return digits(seconds, 2) + " s";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return minutes + " min";
  return Math.floor(minutes / 60) + " h " + String(minutes % 60).padStart(2, "0") + " min";
}

// Epochs or steps, and how many of them; or a fraction of the data.
const counted = (number) => (data.summary.whole ? Math.round(number).toLocaleString("en") : digits(number));
const ofData = (number) => (number === 1 ? "all of the data" : `${counted(number)} of the data`);
const amount = (number) => (data.summary.whole ? `${counted(number)} ${number === 1 ? data.summary.one : data.summary.unit}` : ofData(number));
