// Learning curves with the rungs at which trials were compared, and the hypervolume over cost and time.

views.push({
  id: "curves", title: "Learning curves", present: () => data.objectives.some((objective) => objective.kind === "trained") && Object.keys(data.curves).length > 0,
  draw(body) {
    const trained = data.objectives.filter((objective) => objective.kind === "trained");
    if (!trained.some((objective) => objective.name === state.curved)) state.curved = trained[0].name;
    const controls = element("div", { class: "controls" }, select("objective", trained.map((objective) => [objective.name, shortName(objective.name)]), state.curved, (name) => { state.curved = name; rebuild("curves"); }));
    const chart = element("div");
    body.append(controls, chart, data.rungs.length ? element("p", { class: "faint" }, "Dotted: where trials were compared.") : "");
    parts.curves = () => drawCurves(chart, trained.findIndex((objective) => objective.name === state.curved), trained);
    parts.curves();
  },
});

function drawCurves(chart, k, trained) {
  const objective = trained[k];
  const groups = new Map();
  const fates = [...new Set(data.trials.map((trial) => trial.fate))].sort((a, b) => (a === "on the front") - (b === "on the front"));
  for (const fate of fates) groups.set(fate, []);
  for (const trial of data.trials) if (data.curves[trial.id]) groups.get(trial.fate).push(trial);
  const counts = new Map([...groups].map(([fate, trials]) => [fate, trials.length]));
  for (const [fate, trials] of groups) {
    const step = fate === "on the front" ? 1 : Math.ceil(trials.length / 150); // more are but a surface
    groups.set(fate, trials.filter((_, i) => i % step === 0));
  }
  const everything = data.trials.flatMap((trial) => data.curves[trial.id]?.values[k] ?? []);
  const scale = axisScale(everything, objective.unit);
  const traces = [];
  for (const [fate, trials] of groups) {
    if (!trials.length) continue;
    const [x, y, ids, texts] = [[], [], [], []];
    for (const trial of trials) {
      const curve = data.curves[trial.id];
      const name = hover(trial);
      curve.epochs.forEach((epoch, i) => { x.push(epoch); y.push(known(curve.values[k][i]) ? curve.values[k][i] / scale.factor : null); ids.push(trial.id); texts.push(name); });
      x.push(null); y.push(null); ids.push(null); texts.push("");
    }
    const front = fate === "on the front";
    traces.push({ type: "scatter", mode: trials.some((trial) => data.curves[trial.id].epochs.length === 1) ? "lines+markers" : "lines", name: `${fateName(fate)} (${counts.get(fate)}${trials.length < counts.get(fate) ? `, ${trials.length} drawn` : ""})`, x, y, customdata: ids, text: texts, hoverinfo: "text", connectgaps: false, opacity: front ? 0.95 : 0.5, line: { color: fateColour(fate), width: front ? 2 : 1 }, marker: { size: 3, color: fateColour(fate) } });
  }
  const chosen = data.curves[state.trial];
  if (chosen) traces.push({ type: "scatter", mode: "lines+markers", name: `trial ${state.trial}`, x: chosen.epochs, y: chosen.values[k].map((value) => (known(value) ? value / scale.factor : null)), line: { color: css("--chosen"), width: 3 }, marker: { size: 5 }, hoverinfo: "skip" });
  const shapes = data.rungs.map((epoch) => ({ type: "line", x0: epoch, x1: epoch, y0: 0, y1: 1, yref: "paper", line: { color: css("--faint"), width: 1, dash: "dot" } }));
  const wide = data.summary.max_epochs / data.summary.min_epochs > 30;
  const room = window.innerWidth < 600 ? 19 * traces.length : 0; // of a legend with an entry per line
  plot(chart, traces, baseLayout(400 + room, { shapes, margin: { l: 64, r: 16, t: 36, b: 44 }, xaxis: { title: { text: data.summary.one }, type: wide ? "log" : "linear" }, yaxis: axisOf(objective, scale) }));
  chart.removeAllListeners?.("plotly_click");
  chart.on("plotly_click", (event) => { const id = event.points[0]?.customdata; if (known(id)) choose(id); });
}

// The reference point of the hypervolume.
const referenceText = (name = (text) => text) => data.objectives.filter((objective) => known(data.summary.reference[objective.name])).map((objective) => `${name(objective.name)} ${shown(data.summary.reference[objective.name], objective.unit)}`.replaceAll(" ", "\u00a0")).join(", ");

views.push({
  id: "hypervolume", title: "Hypervolume", present: () => data.hypervolume.volume.some((volume) => volume > 0),
  draw(body) {
    state.over = state.over ?? "epochs";
    const series = data.hypervolume;
    const seconds = series.seconds;
    const unit = axisScale([seconds[seconds.length - 1]], "seconds");
    const x = state.over === "epochs" ? series.epochs : seconds.map((value) => value / unit.factor);
    const chart = element("div");
    body.append(
      element("div", { class: "controls" }, choices("horizontal axis", [["epochs", `over ${data.summary.unit}`], ["seconds", "over time"]], state.over, (key) => { state.over = key; rebuild("hypervolume"); })),
      chart, element("p", { class: "faint" }, `${data.objectives.length > 1 ? "What the front dominates, up to the reference point" : "By how much the best is better than the reference"} ${referenceText()}${data.objectives.some((objective) => objective.log) ? "; logarithmic objectives count by their base-10 logarithm" : ""}.`),
    );
    const title = state.over === "epochs" ? `${data.summary.unit}${data.summary.whole ? " trained" : ""}` : `time of search${unit.suffix}`;
    plot(chart, [{ type: "scatter", mode: "lines", x, y: series.volume, line: { shape: "hv", color: css("--accent"), width: 2.5 }, fill: "tozeroy", fillcolor: translucent(css("--accent"), 0.1), hoverinfo: "x+y" }], baseLayout(300, { xaxis: { title: { text: title }, rangemode: "tozero" }, yaxis: { title: { text: "hypervolume" }, rangemode: "tozero" } }));
  },
});
