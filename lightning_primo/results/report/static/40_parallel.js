// Parallel coordinates of hyperparameters and objectives. Dragging along an axis keeps the trials within; several axes
// narrow further. What is inactive in a trial lies below its axis. Drawn on a canvas, as WebGL is not everywhere.

const PLOT = { top: 46, left: 50, bottom: 34, height: 380, gap: 22 };

views.push({
  id: "parallel", title: "Parallel coordinates", present: () => data.trials.some(hasValues),
  draw(body) {
    const controls = element("div", { class: "controls" });
    const box = element("div", { class: "parallel" });
    const count = element("span", { class: "faint", role: "status" });
    const names = data.objectives.map((objective) => [objective.name, shortName(objective.name)]);
    if (!names.some(([name]) => name === state.tint)) state.tint = names[0][0];
    controls.append(
      select("colour", names, state.tint, (name) => { state.tint = name; redraw("parallel"); }),
      choices("trials that are drawn", [["full", "trained fully"], ["all", "with partly trained and infeasible"]], state.lines ?? defaultLines(), (key) => { state.lines = key; rebuild("parallel"); }),
      element("button", { type: "button", "data-key": "clear", onclick: () => { state.brushes = {}; brush(); redraw("parallel", "front"); } }, "clear brushes"), count,
    );
    body.append(controls, element("p", { class: "faint controls" }, "Drag along an axis to keep the trials within. By keyboard: Tab to an axis, ← and → to the others, ↑ and ↓ take away from below and from above, with Shift they give back, Escape clears the axis."), box);
    const canvas = element("canvas", { role: "img", "aria-label": "chart: parallel coordinates of hyperparameters and objectives" });
    const svg = svgElement("svg", { role: "group", "aria-label": "axes: the trials to keep" });
    // A finger on an axis brushes it, and does not scroll the page.
    svg.addEventListener("touchstart", (event) => { if (event.target.getAttribute?.("data-axis")) event.preventDefault(); }, { passive: false });
    box.append(canvas, svg);
    parts.parallel = () => drawParallel(box, canvas, svg, count);
    parts.parallel();
  },
});

const defaultLines = () => (data.trials.filter(isFull).length > 3 ? "full" : "all");

function svgElement(tag, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

function drawnTrials() {
  const wanted = (state.lines ?? defaultLines()) === "full" ? isFull : hasValues;
  return data.trials.filter((trial) => wanted(trial));
}

function axesOf(trials) {
  const axes = [];
  for (const one of data.space) {
    if (one.choices && one.choices.length < 2) continue;
    const values = trials.map((trial) => trial.config[one.name]);
    if (values.every((value) => value === undefined)) continue;
    axes.push(one.choices ? choiceAxis(one) : numberAxis(one.name, (trial) => trial.config[one.name], one.low, one.high, one.log, settingOn(one), one.integer));
    axes[axes.length - 1].some = values.some((value) => value === undefined);
  }
  data.objectives.forEach((objective, j) => {
    const of = (trial) => (fits(trial.values[j], objective) ? trial.values[j] : undefined);
    const values = trials.map(of).filter(known);
    if (!values.length) return;
    const axis = numberAxis(objective.name, of, Math.min(...values), Math.max(...values), objective.log, (value) => shown(value, objective.unit));
    if (objective.mode === "max") axis.up = true;
    axes.push({ ...axis, objective: true });
  });
  return axes;
}

function choiceAxis(one) {
  const keys = one.choices.map((choice) => JSON.stringify(choice));
  const last = keys.length - 1;
  return {
    name: one.name, edges: Array.from({ length: last }, (_, i) => (i + 0.5) / last), ticks: one.choices.map((choice, i) => [i / last, setting(choice)]),
    between: (low, high) => one.choices.filter((_, i) => i / last >= low && i / last <= high).map((choice) => setting(choice)).join(", "),
    place: (trial) => { const at = keys.indexOf(JSON.stringify(trial.config[one.name])); return at < 0 ? null : at / last; },
  };
}

function numberAxis(name, of, low, high, log, text, whole = false) {
  const scale = (value) => (log ? Math.log(value) : value);
  const width = scale(high) - scale(low);
  const back = (share) => (log ? Math.exp(scale(low) + share * width) : low + share * width);
  const few = whole && high - low <= 4;
  const edges = whole && high - low <= 20 ? Array.from({ length: high - low }, (_, i) => (scale(low + i + 0.5) - scale(low)) / width) : null;
  const named = few ? Array.from({ length: high - low + 1 }, (_, i) => low + i) : log && high > 50 * low ? decades(low, high) : [0, 0.25, 0.5, 0.75, 1].map(back);
  const between = (from, to) => {
    const little = 1e-12 * (Math.abs(low) + Math.abs(high));
    const [least, most] = whole ? [Math.ceil(back(from) - little), Math.floor(back(to) + little)] : [back(from), back(to)];
    return least <= most ? `${text(least)} to ${text(most)}` : "";
  };
  return {
    name, between, edges, ticks: width > 0 ? named.map((value) => [(scale(whole ? Math.round(value) : value) - scale(low)) / width, text(value)]) : [[0.5, text(low)]],
    place: (trial) => { const value = of(trial); return value === undefined ? null : width > 0 ? (scale(value) - scale(low)) / width : 0.5; },
  };
}

// The ends of a logarithmic axis, and powers of ten between them that are not too near to these.
function decades(low, high) {
  const [first, last] = [Math.log10(low), Math.log10(high)];
  const step = Math.ceil((last - first) / 5);
  const between = Array.from({ length: Math.floor(last) - Math.ceil(first) + 1 }, (_, i) => Math.ceil(first) + i);
  const near = 0.08 * (last - first);
  return [low, ...between.filter((power, i) => i % step === 0 && power - first > near && last - power > near).map((power) => 10 ** power), high];
}

// The trials that keep to all brushes; null where there are none.
function brush() {
  const set = Object.entries(state.brushes);
  state.brushed = null;
  if (!set.length) return;
  const axes = new Map(axesOf(drawnTrials()).map((axis) => [axis.name, axis]));
  const within = ([name, [low, high]]) => (trial) => {
    const at = axes.get(name)?.place(trial);
    return at === undefined || (at === null ? low <= -0.04 : at >= low && at <= high);
  };
  state.brushed = new Set(drawnTrials().filter((trial) => set.every((one) => within(one)(trial))).map((trial) => trial.id));
}

function drawParallel(box, canvas, svg, count) {
  const trials = drawnTrials();
  const axes = axesOf(trials);
  brush();
  const width = Math.max(box.clientWidth || 1000, 76 * axes.length);
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = PLOT.height * ratio;
  canvas.style.width = width + "px"; canvas.style.height = PLOT.height + "px";
  svg.setAttribute("width", width); svg.setAttribute("height", PLOT.height); svg.setAttribute("viewBox", `0 0 ${width} ${PLOT.height}`);
  const x = (i) => PLOT.left + (i * (width - 116)) / Math.max(1, axes.length - 1);
  const bottom = PLOT.height - PLOT.bottom - PLOT.gap;
  const y = (share) => bottom - share * (bottom - PLOT.top);
  const below = bottom + PLOT.gap;
  const lines = trials.map((trial) => ({ trial, at: axes.map((axis) => { const share = axis.place(trial); return share === null ? below : y(share); }) }));
  const j = objectiveIndex(state.tint);
  const colours = colourScale(trials, j);
  const steps = viridisSteps();
  const tint = (trial) => viridis((colours.of(trial.values[j]) - colours.low) / (colours.high - colours.low || 1), steps);
  const repaint = () => paint(canvas.getContext("2d"), ratio, width, lines, x, tint);
  repaint();
  svg.replaceChildren();
  axes.forEach((axis, i) => drawAxis(svg, axis, x(i), y, below, bottom, x(1) - x(0)));
  listenToKeys(svg, axes);
  const tell = () => { count.textContent = `${state.brushed ? state.brushed.size : trials.length} of ${trials.length} trials`; };
  tell();
  listen(svg, lines, x, bottom, () => { brush(); repaint(); tell(); });
}

function paint(pen, ratio, width, lines, x, colour) {
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, PLOT.height);
  const rank = ({ trial }) => (trial.id === state.trial ? 3 : state.brushed && !state.brushed.has(trial.id) ? 0 : trial.fate === "on the front" ? 2 : 1);
  const many = lines.length > 150;
  for (const line of [...lines].sort((a, b) => rank(a) - rank(b))) {
    const place = rank(line);
    pen.globalAlpha = [0.05, many ? 0.25 : 0.5, 0.95, 1][place];
    pen.lineWidth = [1, 1, 2, 4][place];
    pen.strokeStyle = place === 3 ? css("--accent") : place === 0 ? css("--faint") : colour(line.trial);
    pen.beginPath();
    line.at.forEach((height, i) => (i ? pen.lineTo(x(i), height) : pen.moveTo(x(i), height)));
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

function drawAxis(svg, axis, at, y, below, bottom, gap) {
  const marks = svgElement("g", { "aria-hidden": "true" });
  const letters = Math.floor(gap / 7);
  marks.append(svgElement("line", { x1: at, x2: at, y1: PLOT.top, y2: bottom }));
  const text = shortName(axis.name, Math.max(10, Math.min(24, letters - (axis.objective ? 1 : 0))));
  const half = Math.min(at, Number(svg.getAttribute("width")) - at) - 4; // of a name, so that it is not cut off at an end
  const long = text.length * 3.4 > half;
  const anchor = !long ? "middle" : at < PLOT.left + 1 ? "start" : "end";
  const name = svgElement("text", { x: { middle: at, start: at - half, end: at + half }[anchor], y: 18, "text-anchor": anchor, "font-weight": axis.objective ? 700 : 400 }, text);
  name.append(svgElement("title", {}, axis.name));
  marks.append(name);
  if (axis.objective) marks.append(svgElement("text", { class: "tick", x: at, y: 32, "text-anchor": "middle" }, (axis.up ? "higher" : "lower") + (letters < 12 ? "" : " is better")));
  const most = Math.max(6, Math.min(14, Math.floor((gap - 10) / 5.8)));
  for (const [share, mark] of axis.ticks) marks.append(svgElement("text", { class: "tick", x: at + 5, y: y(share) + 3 }, shortName(mark, most)));
  if (axis.some) marks.append(svgElement("text", { class: "tick", x: at + 5, y: below + 12 }, "inactive"));
  const range = state.brushes[axis.name];
  if (range) {
    const [low, high] = range;
    marks.append(svgElement("rect", { class: "brush", x: at - 7, width: 14, y: y(Math.min(high, 1.02)), height: Math.max(2, y(Math.max(low, -0.1)) - y(Math.min(high, 1.02))) }));
  }
  svg.append(marks, grip(axis, { x: at - 14, width: 28, y: PLOT.top - 8, height: below - PLOT.top + 20 }));
}

function listen(svg, lines, x, bottom, narrowed) {
  const share = (event) => (bottom - (event.clientY - svg.getBoundingClientRect().top)) / (bottom - PLOT.top);
  let dragged = null;
  svg.onpointerdown = (event) => {
    const name = event.target.getAttribute?.("data-axis");
    if (name === null || name === undefined) return;
    const middle = Number(event.target.getAttribute("x")) + 14;
    dragged = { name, from: share(event), mark: svgElement("rect", { class: "brush", x: middle - 7, width: 14 }) };
    svg.append(dragged.mark);
    svg.setPointerCapture(event.pointerId);
  };
  svg.onpointermove = (event) => {
    if (dragged) {
      const to = share(event);
      dragged.moved = dragged.moved || Math.abs(to - dragged.from) > 0.015;
      if (!dragged.moved) return;
      const [low, high] = [Math.min(dragged.from, to), Math.max(dragged.from, to)];
      state.brushes[dragged.name] = [low, high];
      dragged.mark.setAttribute("y", bottom - high * (bottom - PLOT.top));
      dragged.mark.setAttribute("height", (high - low) * (bottom - PLOT.top));
      narrowed();
      return;
    }
    const found = nearest(event, svg, lines, x);
    found ? showTip(event, describe(found.trial).join("\n")) : hideTip();
  };
  svg.onpointerup = (event) => {
    if (!dragged) return;
    if (!dragged.moved && event.type === "pointerup") delete state.brushes[dragged.name];
    dragged = null;
    redraw("parallel", "front");
  };
  svg.onpointercancel = svg.onpointerup;
  svg.onpointerleave = hideTip;
  svg.onclick = (event) => {
    if (event.target.getAttribute?.("data-axis")) return;
    const found = nearest(event, svg, lines, x);
    if (found) choose(found.trial.id);
  };
}

function nearest(event, svg, lines, x) {
  const box = svg.getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  let best = null;
  for (const line of lines) {
    if (state.brushed && !state.brushed.has(line.trial.id)) continue;
    for (let i = 0; i + 1 < line.at.length; i++) {
      const [left, right] = [x(i), x(i + 1)];
      if (px < left || px > right) continue;
      const height = line.at[i] + ((px - left) / (right - left)) * (line.at[i + 1] - line.at[i]);
      const away = Math.abs(height - py);
      if (away < 8 && (!best || away < best.away)) best = { trial: line.trial, away };
    }
  }
  return best;
}

function showTip(event, text) {
  const tip = document.getElementById("tip");
  tip.textContent = text;
  tip.hidden = false;
  const right = event.clientX + 16 + tip.offsetWidth > window.innerWidth;
  tip.style.left = (right ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 12, window.innerHeight - tip.offsetHeight - 8)) + "px";
}

function hideTip() { document.getElementById("tip").hidden = true; }
