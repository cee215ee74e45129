// The front of any two objectives, a third one as colour; what is chosen is shown beside it.

views.push({
  id: "front", title: () => (data.objectives.length > 1 ? "Front" : "Best"), present: () => true,
  draw(body) {
    const controls = element("div", { class: "controls" });
    const chart = element("div", { id: "front-plot" });
    const detail = element("div", { class: "detail", id: "detail", role: "region", tabindex: 0, "aria-label": "chosen trial", "aria-live": "polite" });
    body.append(controls, element("div", { class: "split" }, element("div", {}, chart, suggested(), element("p", { class: "faint", id: "front-note" })), detail), element("div", { id: "table" }));
    if (data.objectives.length > 1) {
      const names = data.objectives.map((objective) => [objective.name, shortName(objective.name)]);
      const change = (key) => (name) => { state[key] = name; redraw("front"); };
      controls.append(
        select("horizontal", names, state.x, change("x")), select("vertical", names, state.y, change("y")),
        select("colour", [["", "on the front or not"], ...names], state.colour, change("colour")),
      );
    }
    parts.front = () => drawFront(chart);
    parts.detail = () => drawDetail(detail);
    parts.table = () => drawTable(document.getElementById("table"));
    parts.chosen = () => markChosen(document.getElementById("table"));
    parts.front(); parts.detail(); parts.table();
  },
});

// With which members a reader begins: the ends of the front, and where it bends the most.
function suggested() {
  if (!data.suggested.length) return null;
  const each = data.suggested.flatMap(({ rule, trial }) => [element("span", {}, `${rule}: `, element("button", { type: "button", "data-key": rule, onclick: () => choose(trial) }, `trial ${trial}`)), " "]);
  return element("p", { class: "suggested" }, ...each);
}

// A chart, or why there is none.
function nothingToDraw(chart) {
  Plotly.purge(chart);
  chart.replaceChildren(element("p", { class: "faint" }, noneOnFront()));
  document.getElementById("front-note").textContent = "";
}

function drawFront(chart) {
  if (data.objectives.length < 2) return drawBest(chart);
  const [jx, jy] = [objectiveIndex(state.x), objectiveIndex(state.y)];
  const jc = objectiveIndex(state.colour);
  const [ox, oy] = [data.objectives[jx], data.objectives[jy]];
  const drawable = (trial) => hasValues(trial) && fits(trial.values[jx], ox) && fits(trial.values[jy], oy);
  const groups = { "trained partly": [], infeasible: [], "trained fully": [], "on the front": [] };
  for (const trial of data.trials) if (drawable(trial)) groups[trial.fate].push(trial);
  const all = Object.values(groups).flat();
  if (!all.length) return nothingToDraw(chart);
  if (!chart.classList.contains("js-plotly-plot")) chart.replaceChildren();
  const [sx, sy] = [axisScale(all.map((t) => t.values[jx]), ox.unit), axisScale(all.map((t) => t.values[jy]), oy.unit)];
  const members = groups["on the front"];
  const basis = members.length + groups["trained fully"].length > 3 ? [...members, ...groups["trained fully"]] : all;
  const colours = jc >= 0 ? colourScale(basis, jc) : null;
  const [rx, ry] = [rangeOf(basis, members, jx, ox, sx.factor), rangeOf(basis, members, jy, oy, sy.factor)];
  const corner = `${oy.mode === "min" ? "bottom" : "top"} ${ox.mode === "min" ? "left" : "right"}`; // where no member can be
  const first = new Set([state.trial, ...data.suggested.map((one) => one.trial)]);
  const numbered = withRoom([...members].sort((a, b) => first.has(b.id) - first.has(a.id)), (trial) => [(chart.clientWidth - 80 - (colours ? 90 : 0)) * shareOf(trial.values[jx] / sx.factor, ox, rx.range), 356 * shareOf(trial.values[jy] / sy.factor, oy, ry.range)], [corner, "bottom left", "top right", "bottom right", "top left"]);
  const traces = [];
  if (data.objectives.length === 2 && members.length > 1) traces.push(staircase(members, jx, jy, sx, sy));
  for (const [fate, trials] of Object.entries(groups)) {
    if (!trials.length) continue;
    const onFront = fate === "on the front";
    const bars = colours ? css("--faint") : fateColour(fate);
    traces.push({
      type: "scatter", mode: onFront && trials.length <= 25 && window.innerWidth >= 600 ? "markers+text" : "markers", name: `${fate} (${trials.length})`, customdata: trials.map((trial) => trial.id),
      x: trials.map((trial) => trial.values[jx] / sx.factor), y: trials.map((trial) => trial.values[jy] / sy.factor),
      error_x: errorBars(trials, jx, sx.factor, bars), error_y: errorBars(trials, jy, sy.factor, bars),
      text: trials.map((trial) => (numbered.has(trial.id) ? String(trial.id) : "")), hovertext: trials.map(hover), hoverinfo: "text", textposition: trials.map((trial) => numbered.get(trial.id) ?? corner), textfont: { size: 11, color: css("--faint") }, cliponaxis: false,
      selectedpoints: state.brushed ? trials.flatMap((trial, i) => (state.brushed.has(trial.id) ? [i] : [])) : undefined,
      unselected: { marker: { opacity: 0.08 }, textfont: { color: "rgba(0,0,0,0)" } }, visible: fate === "trained partly" && groups["trained fully"].length + members.length > 3 ? "legendonly" : true,
      marker: {
        size: trials.map((trial) => (trial.id === state.trial ? 15 : onFront ? 10 : fate === "infeasible" ? 7 : 6)),
        symbol: trials.map((trial) => symbolOf(trial, { "trained partly": "circle-open", infeasible: "x" }[fate] ?? "circle")),
        color: colours ? trials.map((trial) => colours.of(trial.values[jc])) : fateColour(fate),
        ...(colours ? { colorscale: viridisScale(), cmin: colours.low, cmax: colours.high, showscale: onFront, colorbar: colours.bar } : {}),
        opacity: onFront ? 1 : fate === "trained fully" ? 0.6 : 0.9,
        line: { width: trials.map((trial) => (trial.id === state.trial ? 3 : onFront ? 1 : 0)), color: trials.map((trial) => (trial.id === state.trial ? css("--chosen") : css("--card"))) },
      },
    });
  }
  const layout = baseLayout(440, {
    xaxis: axisOf(ox, sx, rx.range ? { range: rx.range } : {}), yaxis: axisOf(oy, sy, ry.range ? { range: ry.range } : {}),
    margin: { l: 64, r: 16, t: 36, b: 48 }, uirevision: `${state.x}|${state.y}`,
  });
  plot(chart, traces, layout);
  chart.removeAllListeners?.("plotly_click");
  chart.on("plotly_click", (event) => { const id = event.points[0]?.customdata; if (id !== undefined) choose(id); });
  const outside = new Set([...rx.outside, ...ry.outside]).size;
  const notes = [];
  if (outside) notes.push(`Outside: ${outside} of the trials trained fully; a double click shows all.`);
  if (data.objectives.some((objective, j) => data.trials.some((trial) => known(trial.spreads?.[j])))) notes.push("Bars are a standard deviation of the measurement, or of the mean over seeds or folds.");
  if (all.some((trial) => trial.known)) notes.push(KNOWN_NOTE);
  notes.push(...data.notes);
  document.getElementById("front-note").textContent = notes.join(" ");
}

// Where a value lies on an axis, from 0 to 1.
const shareOf = (value, objective, range) => (range ? ((objective.log ? Math.log10(value) : value) - range[0]) / (range[1] - range[0]) : 0);

// Where the numbers of trials stand: about their points, nearer to no other one and on no other number.
function withRoom(trials, place, corners) {
  const points = trials.map((trial) => ({ id: trial.id, at: place(trial) }));
  const near = ([x, y], [u, v], width, height) => Math.abs(x - u) < width && Math.abs(y - v) < height;
  const [kept, found] = [[], new Map()];
  for (const { id, at: [x, y] } of points) {
    for (const corner of corners) {
      const middle = [x + (corner.includes("left") ? -14 : 14), y + (corner.includes("bottom") ? -11 : 11)];
      if (kept.some((other) => near(other, middle, 24, 12)) || points.some((one) => one.id !== id && Math.hypot(one.at[0] - middle[0], one.at[1] - middle[1]) < 21)) continue;
      kept.push(middle);
      found.set(id, corner);
      break;
    }
  }
  return found;
}

const KNOWN_NOTE = "Diamonds are results that were known beforehand.";
const symbolOf = (trial, otherwise) => (trial.known ? "diamond" : otherwise);

const fits = (value, objective) => known(value) && !(objective.log && value <= 0);

function errorBars(trials, index, factor, color) {
  if (!trials.some((trial) => known(trial.spreads?.[index]))) return undefined;
  return { type: "data", array: trials.map((trial) => (trial.spreads?.[index] ?? 0) / factor), thickness: 1, width: 0, color };
}

function staircase(members, jx, jy, sx, sy) {
  const better = data.objectives[jx].mode === "min" ? 1 : -1;
  const sorted = [...members].sort((a, b) => better * (a.values[jx] - b.values[jx]));
  return {
    type: "scatter", mode: "lines", showlegend: false, hoverinfo: "skip", line: { shape: "hv", width: 1.5, color: css("--accent") }, opacity: 0.5,
    x: sorted.map((trial) => trial.values[jx] / sx.factor), y: sorted.map((trial) => trial.values[jy] / sy.factor),
  };
}

// From the least to the greatest but the last few, all of the front always inside.
function colourScale(trials, index) {
  const objective = data.objectives[index];
  const of = (value) => (objective.log ? (value > 0 ? Math.log10(value) : null) : value);
  const sorted = (some) => some.map((trial) => of(trial.values[index])).filter(known).sort((a, b) => a - b);
  const [found, front] = [sorted(trials), sorted(trials.filter((trial) => trial.fate === "on the front"))];
  const low = found[0] ?? 0;
  const high = Math.max(found[Math.floor(0.97 * (found.length - 1))] ?? 1, ...front);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => low + share * (high - low));
  const bar = {
    title: { text: plain(shortName(objective.name)), side: "right" }, thickness: 12, len: 0.9, outlinewidth: 0, tickvals: ticks,
    ticktext: ticks.map((tick) => shown(objective.log ? 10 ** tick : tick, objective.unit)),
  };
  return { of, low, high, bar };
}

// An axis about values that are all the same, which would reach far beyond what there can be.
const about = (value, log) => [value - (log ? 0.3 : 0.1 * Math.abs(value) || 1), value + (log ? 0.3 : 0.1 * Math.abs(value) || 1)];

// From the best to the worst but the last few of those fully trained, all of the front always inside.
function rangeOf(basis, members, index, objective, factor) {
  const of = (trial) => (objective.log ? Math.log10(trial.values[index] / factor) : trial.values[index] / factor);
  const sorted = basis.map(of).sort((a, b) => a - b);
  if (sorted[0] === sorted[sorted.length - 1]) return { range: about(sorted[0], objective.log), outside: [] };
  const front = members.map(of);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const [least, most] = [sorted[0], sorted[sorted.length - 1]];
  const far = (edge) => Math.abs(edge - (objective.mode === "min" ? most : least)) > 0.25 * Math.abs(most - least);
  let cut = [least, most];
  if (objective.mode === "min" && far(at(0.97))) cut = [least, at(0.97)];
  if (objective.mode === "max" && far(at(0.03))) cut = [at(0.03), most];
  const low = Math.min(cut[0], ...front);
  const high = Math.max(cut[1], ...front);
  if (!(high > low)) return { range: null, outside: [] };
  const margin = 0.07 * (high - low);
  return { range: [low - margin, high + margin], outside: basis.filter((trial) => of(trial) < low - margin || of(trial) > high + margin).map((trial) => trial.id) };
}

// With one objective: every full training in the order of the trials, and the best so far of those that keep all bounds.
function drawBest(chart) {
  const objective = data.objectives[0];
  const full = data.trials.filter((trial) => isFull(trial) && fits(trial.values[0], objective));
  const broken = data.trials.filter((trial) => isInfeasible(trial) && fits(trial.values[0], objective));
  if (!full.length && !broken.length) return nothingToDraw(chart);
  const values = [...full, ...broken].map((trial) => trial.values[0]);
  const scale = axisScale(values, objective.unit);
  const only = values.every((value) => value === values[0]) ? values[0] / scale.factor : null;
  const better = objective.mode === "min" ? Math.min : Math.max;
  let best = null;
  const line = full.map((trial) => (best = best === null ? trial.values[0] : better(best, trial.values[0])));
  const markers = (name, trials, symbol) => ({
    type: "scatter", mode: "markers", name, x: trials.map((trial) => trial.id), y: trials.map((trial) => trial.values[0] / scale.factor), error_y: errorBars(trials, 0, scale.factor, css("--faint")), customdata: trials.map((trial) => trial.id), text: trials.map(hover), hoverinfo: "text",
    marker: { symbol: trials.map((trial) => symbolOf(trial, symbol)), color: trials.map((trial) => fateColour(trial.fate)), size: trials.map((trial) => (trial.id === state.trial ? 14 : 8)) },
  });
  plot(chart, [
    ...(broken.length ? [markers(`infeasible (${broken.length})`, broken, "x")] : []), markers("trained fully", full, "circle"),
    { type: "scatter", mode: "lines", name: "best so far", x: full.map((trial) => trial.id), y: line.map((value) => value / scale.factor), line: { shape: "hv", color: css("--accent") }, hoverinfo: "skip" },
  ], baseLayout(420, { xaxis: { title: { text: "trial" }, tickformat: "d", ...(data.trials.length < 8 ? { dtick: 1 } : {}) }, yaxis: axisOf(objective, scale, only === null ? {} : { range: about(objective.log ? Math.log10(only) : only, objective.log) }), margin: { l: 64, r: 16, t: 36, b: 48 } }));
  document.getElementById("front-note").textContent = [...(full.some((trial) => trial.known) ? [KNOWN_NOTE] : []), ...data.notes].join(" ");
  chart.removeAllListeners?.("plotly_click");
  chart.on("plotly_click", (event) => { const id = event.points[0]?.customdata; if (id !== undefined) choose(id); });
}
