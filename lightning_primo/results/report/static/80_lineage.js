// Who descends from whom: a row per leaf, generations from left to right, or the epoch at which a training was taken over.

views.push({
  id: "lineage", title: "Lineage", present: () => data.family.length > 0,
  draw(body) {
    const place = new Map(data.family.map((one) => [one.trial, one]));
    const [x, y] = [[], []];
    for (const one of data.family) {
      const parent = place.get(one.parent);
      if (!parent) continue;
      x.push(parent.generation, parent.generation + 0.5, parent.generation + 0.5, one.generation, null);
      y.push(parent.row, parent.row, one.row, one.row, null);
    }
    state.grown = data.objectives.some((objective) => objective.name === state.grown) ? state.grown : data.objectives[0].name;
    const j = objectiveIndex(state.grown);
    const objective = data.objectives[j];
    const trials = data.family.map((one) => byId.get(one.trial));
    const colours = colourScale(trials, j);
    const leaves = 1 + Math.max(...data.family.map((one) => one.row));
    const chart = element("div");
    body.append(
      element("p", { class: "faint" }, "A circle is a trial, a line leads from a parent to its child; red rings are on the front."),
      element("div", { class: "controls" }, select("colour", data.objectives.map((one) => [one.name, shortName(one.name)]), state.grown, (name) => { state.grown = name; rebuild("lineage"); })), chart,
    );
    plot(chart, [
      { type: "scatter", mode: "lines", x, y, line: { color: css("--faint"), width: 1 }, hoverinfo: "skip" },
      {
        type: "scatter", mode: leaves <= 60 ? "markers+text" : "markers", x: data.family.map((one) => one.generation), y: data.family.map((one) => one.row), customdata: data.family.map((one) => one.trial), textposition: "top right", cliponaxis: false, textfont: { size: 10, color: css("--faint") },
        text: trials.map((trial) => ` ${trial.id}`), hovertext: trials.map((trial) => plain(trial.how) + (trial.parent === undefined ? "" : ` of ${trial.parent}`) + "<br>" + hover(trial)), hoverinfo: "text",
        marker: { size: leaves > 150 ? 6 : 10, color: trials.map((trial) => colours.of(trial.values[j])), colorscale: viridisScale(), cmin: colours.low, cmax: colours.high, showscale: true, colorbar: colours.bar, line: { width: trials.map((trial) => (trial.fate === "on the front" ? 2.5 : 0.5)), color: trials.map((trial) => (trial.fate === "on the front" ? css("--accent") : css("--faint"))) } },
      },
    ], baseLayout(Math.min(1400, 120 + 18 * leaves), { showlegend: false, xaxis: { title: { text: "generation" }, dtick: 1 }, yaxis: { visible: false, autorange: "reversed" }, margin: { l: 16, r: 16, t: 20, b: 40 } }));
    chart.removeAllListeners?.("plotly_click");
    chart.on("plotly_click", (event) => { const id = event.points[0]?.customdata; if (known(id)) choose(id); });
  },
});
