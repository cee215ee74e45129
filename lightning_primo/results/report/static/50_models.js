// What the models of the objectives say: importances and slices.

const trusted = (model) => (model.explained >= 0.7 ? "good" : model.explained >= 0.3 ? "fair" : "poor");

function modelNote(model, objective) {
  const until = model.epoch === null ? "" : ` after ${amount(model.epoch)}`;
  const share = model.explained > 0 ? `explains ${digits(100 * model.explained, 2)} % of the variance` : "explains nothing";
  const warning = trusted(model) === "poor" ? ": it says little yet" : "";
  return `${objective.name}${until}: the model of ${model.trials} trials ${share} of trials that it has not seen${warning}.`;
}

views.push({
  id: "importances", title: "Importances", present: () => data.models.some(Boolean),
  draw(body) {
    body.append(element("p", { class: "faint" }, "How much of an objective's variation over the whole space is due to each hyperparameter: on its own (dark), and with its interactions (light). A functional analysis of variance of a Gaussian process that learns from all rungs."));
    const grid = element("div", { class: "grid" });
    body.append(grid);
    data.models.forEach((model, j) => {
      if (!model) return;
      const objective = data.objectives[j];
      const chart = element("div");
      grid.append(element("div", { class: "card" }, element("h3", {}, ...breakable(objective.name)), chart, element("p", { class: "faint" }, modelNote(model, objective))));
      const rows = model.importances.slice(0, 12).reverse();
      const bars = (key, label, opacity) => ({
        type: "bar", orientation: "h", name: label, y: rows.map((_, i) => i), x: rows.map((row) => row[key]), marker: { color: palette(j), opacity },
        text: rows.map((row) => `${plain(row.name)}: ${digits(100 * row[key], 2)} % ${label}`), hoverinfo: "text", textposition: "none",
      });
      plot(chart, [bars("total", "with interactions", 0.35), bars("alone", "on its own", 1)], baseLayout(60 + 24 * rows.length, { barmode: "overlay", showlegend: false, margin: { l: 120, r: 12, t: 4, b: 34 }, xaxis: { tickformat: ".0%", rangemode: "tozero" }, yaxis: { tickvals: rows.map((_, i) => i), ticktext: rows.map((row) => plain(shortName(row.name, 22))) } }));
    });
  },
});

views.push({
  id: "slices", title: "Slices", present: () => data.models.some(Boolean),
  draw(body) {
    const able = data.objectives.filter((_, j) => data.models[j]);
    if (!able.some((objective) => objective.name === state.sliced)) state.sliced = able[0].name;
    const j = objectiveIndex(state.sliced);
    const model = data.models[j];
    const controls = element("div", { class: "controls" });
    controls.append(select("objective", able.map((objective) => [objective.name, shortName(objective.name)]), state.sliced, (name) => { state.sliced = name; rebuild("slices"); }));
    body.append(element("p", { class: "faint" }, "What the model expects along one hyperparameter, whatever the others are: mean, and a standard deviation over other hyperparameters and of its own doubt. Points are trials; the most important first."), controls);
    const grid = element("div", { class: "grid" });
    body.append(grid, element("p", { class: "faint" }, modelNote(model, data.objectives[j])));
    const order = model.importances.map((one) => one.name);
    const sorted = [...model.slices].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    const limit = state.allSlices ? sorted.length : 6;
    for (const slice of sorted.slice(0, limit)) drawSlice(grid, slice, j);
    if (sorted.length > limit) controls.append(element("button", { type: "button", "data-key": "all", onclick: () => { state.allSlices = true; rebuild("slices"); } }, `all ${sorted.length} hyperparameters`));
  },
});

function drawSlice(grid, slice, j) {
  const objective = data.objectives[j];
  const space = data.space.find((one) => one.name === slice.name);
  const chart = element("div");
  grid.append(element("div", { class: "card" }, element("h3", {}, ...breakable(slice.name)), chart));
  const ready = data.trials.filter((trial) => slice.name in trial.config && fits(trial.values[j], objective) && (objective.kind !== "trained" || isFull(trial) || isInfeasible(trial)));
  const step = Math.max(1, Math.ceil(ready.length / 300));
  const trials = ready.filter((trial, i) => i % step === 0 || trial.fate === "on the front");
  const scale = axisScale([...slice.mean, ...trials.map((trial) => trial.values[j])], objective.unit);
  const keys = space.choices?.map((choice) => JSON.stringify(choice));
  const at = (value) => (keys ? keys.indexOf(JSON.stringify(value)) : value);
  const divided = (values) => values.map((value) => value / scale.factor);
  const x = slice.at.map(at);
  const colour = palette(j);
  const traces = [];
  if (space.choices) {
    traces.push({ type: "scatter", mode: "markers", x, y: divided(slice.mean), marker: { size: 12, color: colour, symbol: "line-ew-open", line: { width: 3, color: colour } }, hoverinfo: "y",
      error_y: { type: "data", symmetric: false, array: slice.high.map((high, i) => (high - slice.mean[i]) / scale.factor), arrayminus: slice.low.map((low, i) => (slice.mean[i] - low) / scale.factor), color: colour, thickness: 2, width: 6 } });
  } else {
    const edge = { type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    traces.push({ ...edge, x, y: divided(slice.low) }, { ...edge, x, y: divided(slice.high), fill: "tonexty", fillcolor: translucent(colour, 0.18) });
    traces.push({ type: "scatter", mode: "lines", x, y: divided(slice.mean), line: { color: colour, width: 2.5 }, hoverinfo: "y" });
  }
  traces.push({
    type: "scatter", mode: "markers", x: trials.map((trial) => at(trial.config[slice.name])), y: trials.map((trial) => trial.values[j] / scale.factor), customdata: trials.map((trial) => trial.id), text: trials.map(hover), hoverinfo: "text",
    marker: { size: trials.map((trial) => (trial.fate === "on the front" ? 7 : 4)), color: trials.map((trial) => (trial.fate === "on the front" ? css("--accent") : css("--dot2"))), opacity: 0.7 },
  });
  const horizontal = space.choices ? { tickvals: space.choices.map(at), ticktext: space.choices.map((choice) => plain(shortName(setting(choice), 14))), range: [-0.5, space.choices.length - 0.5] } : { type: space.log ? "log" : "linear", ...(space.integer ? (space.log ? { dtick: "D2", tickformat: "~s" } : space.high - space.low <= 8 ? { dtick: 1 } : {}) : space.log ? { dtick: Math.ceil(Math.log10(space.high / space.low) / 6) } : {}) };
  const shownValues = [...trials.map((trial) => trial.values[j] / scale.factor), ...divided(slice.mean), ...divided(slice.low)].filter(known).sort((a, b) => a - b);
  const [worst, last] = [Math.floor(0.02 * (shownValues.length - 1)), shownValues.length - 1]; // the worst few may be left out, never the best
  const [low, high] = objective.mode === "min"
    ? [shownValues[0], Math.max(shownValues[last - worst], ...divided(slice.high))]
    : [Math.min(shownValues[worst], ...divided(slice.low)), Math.max(shownValues[last], ...divided(slice.high))];
  const room = objective.log || !(high > low) ? {} : { range: [low - 0.08 * (high - low), high + 0.08 * (high - low)] };
  plot(chart, traces, baseLayout(220, { showlegend: false, margin: { l: 54, r: 8, t: 6, b: 34 }, xaxis: horizontal, yaxis: { ...axisOf(objective, scale), title: { text: plain(shortName(objective.name, 22)) + scale.suffix }, ...room } }));
  chart.removeAllListeners?.("plotly_click");
  chart.on("plotly_click", (event) => { const id = event.points[0]?.customdata; if (id !== undefined) choose(id); });
}

function translucent(colour, alpha) {
  const number = parseInt(colour.slice(1), 16);
  return `rgba(${number >> 16}, ${(number >> 8) & 255}, ${number & 255}, ${alpha})`;
}
