// One trial, and the table of all.

function pairs(entries) {
  const list = element("dl", { class: "pair" });
  for (const [name, value] of entries) list.append(element("dt", {}, ...breakable(name)), element("dd", {}, value));
  return list;
}

// Why the front is empty.
const noneOnFront = () => data.none[0].toUpperCase() + data.none.slice(1) + ".";

// Whether the text of an element is on the clipboard; where a browser does not let a page write to that, it is marked.
async function copied(node) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    window.getSelection().selectAllChildren(node);
    return false;
  }
}

function drawDetail(box) {
  box.replaceChildren();
  const trial = byId.get(state.trial);
  if (!trial) {
    box.append(element("p", { class: "faint" }, noneOnFront() + (data.trials.length ? " A click on a point or a row shows a trial here." : "")));
    return;
  }
  const from = trial.parent === undefined ? "" : ` of trial ${trial.parent}`;
  const prior = trial.prior ? `, prior of ${trial.prior}` : "";
  box.append(
    element("h3", {}, `Trial ${trial.id}`),
    element("p", { class: "faint" }, `${fateName(trial.fate)}, ${data.summary.one} ${counted(trial.epoch)} of ${counted(data.summary.max_epochs)}, ${duration(trial.seconds)}; by ${trial.how}${from}${prior}${trial.givenUp ? `; ${trial.givenUp} seeds or folds` : ""}`),
    pairs(data.objectives.map((objective, j) => [objective.name, withSpread(trial.values[j], trial.spreads?.[j], objective.unit)])),
    data.constraints.length ? pairs(boundedValues(trial)) : "",
    pairs(Object.entries(trial.config).map(([name, value]) => [name, setting(value)])),
  );
  const tests = data.tests[trial.id];
  if (tests) box.append(element("h3", {}, "On the test data"), pairs(Object.entries(tests).map(([name, value]) => [name, shown(value)])));
  if (trial.schedule) {
    box.append(element("details", {}, element("summary", {}, "How its hyperparameters changed"),
      ...Object.entries(trial.schedule).map(([epoch, config]) => element("p", {}, `from ${data.summary.one} ${counted(Number(epoch))}: ` + Object.entries(config).map(([name, value]) => `${name} = ${setting(value)}`).join(", ")))));
  }
  if (trial.reason) box.append(element("pre", {}, trial.reason));
  const curve = data.curves[trial.id];
  if (curve && curve.epochs.length > 1) {
    const chart = element("div");
    box.append(chart);
    const trained = data.objectives.filter((objective) => objective.kind === "trained");
    const traces = trained.slice(0, 1).map((objective, k) => {
      const scale = axisScale(curve.values[k], objective.unit);
      return { type: "scatter", mode: "lines+markers", x: curve.epochs, y: curve.values[k].map((value) => (known(value) ? value / scale.factor : null)), line: { color: css("--accent"), width: 2 }, marker: { size: 4 }, name: plain(objective.name) };
    });
    const scale = axisScale(curve.values[0], trained[0].unit);
    plot(chart, traces, baseLayout(170, { showlegend: false, margin: { l: 52, r: 8, t: 6, b: 36 }, xaxis: { title: { text: data.summary.one } }, yaxis: { title: { text: plain(shortName(trained[0].name, 18)) + scale.suffix }, ...(scale.format ? { tickformat: scale.format } : {}), type: trained[0].log ? "log" : "linear" } }));
  }
  if (trial.kept) {
    const command = `${data.export} --trial ${trial.id} --out trial_${trial.id}`;
    const text = element("pre", { class: "command" }, command);
    const copy = element("button", { type: "button", onclick: () => copied(text).then((done) => { copy.textContent = done ? "copied" : "marked, press Ctrl+C"; }) }, "copy");
    box.append(element("p", { class: "faint" }, "To take its trained network out ", copy), text);
  } else if (trial.known) {
    box.append(element("p", { class: "faint" }, "Its result was known: it was not trained here, so that its weights are not here."));
  } else {
    box.append(element("p", { class: "faint" }, trial.fate === "on the front" || !data.trials.some((one) => one.kept) ? "Its weights are not in the search's directory." : `Its weights are not kept: those of ${data.objectives.length > 1 ? "the front" : "the best"} are.`));
  }
}

function drawTable(box) {
  box.replaceChildren();
  const controls = element("div", { class: "controls" });
  const everything = state.table === "all";
  controls.append(choices("trials in the table", [["front", `the ${data.objectives.length > 1 ? "front" : "best"} (${data.front.length})`], ["all", `all trials (${data.trials.length})`]], state.table, (key) => { state.table = key; redraw("table"); }));
  const search = element("input", { type: "search", placeholder: "filter", value: state.filter ?? "", "aria-label": "filter the table" });
  search.addEventListener("input", () => { state.filter = search.value; fill(); });
  controls.append(search, element("span", { class: "faint" }, "A click on a row shows the trial, one on a heading sorts; or the arrow keys and Enter."));
  const names = data.space.map((one) => one.name).filter((name) => data.trials.some((trial) => name in trial.config));
  const columns = [
    { name: "trial", of: (trial) => trial.id, text: (trial) => String(trial.id) + (trial.known ? " (known)" : "") },
    ...data.objectives.map((objective, j) => ({ name: objective.name, of: (trial) => trial.values[j], text: (trial) => withSpread(trial.values[j], trial.spreads?.[j], objective.unit), mode: objective.mode, best: true })),
    ...data.constraints.map((constraint, k) => ({ name: constraint.name, of: (trial) => trial.bounded[k], text: (trial) => shown(trial.bounded[k], constraint.unit) })),
    ...(everything ? [{ name: "state", of: (trial) => trial.fate, text: (trial) => trial.fate, left: true }, { name: data.summary.one, of: (trial) => trial.epoch, text: (trial) => counted(trial.epoch) }] : []),
    ...names.map((name) => ({ name, of: (trial) => trial.config[name], text: (trial) => setting(trial.config[name]) })),
  ];
  const head = element("tr");
  for (const column of columns) {
    const sorted = state.sort === column.name;
    const mark = sorted ? (state.down ? " ▾" : " ▴") : "";
    const sort = () => { state.down = sorted && !state.down; state.sort = column.name; redraw("table"); };
    head.append(element("th", { "data-sort": true, scope: "col", class: column.left ? "text" : null, title: column.name, "aria-sort": sorted ? (state.down ? "descending" : "ascending") : null, onclick: sort },
      element("button", { type: "button", class: "sort", "aria-label": `sort by ${column.name}`, "data-key": `sort ${column.name}` }, shortName(column.name, 22) + mark)));
  }
  const rows = element("tbody");
  const more = element("p", { class: "faint" });
  function fill() {
    rows.replaceChildren();
    const wanted = (state.filter ?? "").toLowerCase();
    let trials = everything ? data.trials : data.front.map((id) => byId.get(id));
    if (wanted) trials = trials.filter((trial) => columns.some((column) => column.text(trial).toLowerCase().includes(wanted)));
    const by = columns.find((column) => column.name === state.sort);
    if (by) trials = [...trials].sort((a, b) => (state.down ? -1 : 1) * compared(by.of(a), by.of(b)));
    const best = new Map(columns.filter((column) => column.best).map((column) => {
      const found = data.front.map((id) => column.of(byId.get(id))).filter(known);
      return [column.name, column.mode === "min" ? Math.min(...found) : Math.max(...found)];
    }));
    const limit = state.allRows ? trials.length : 150;
    for (const trial of trials.slice(0, limit)) {
      const row = element("tr", { "data-trial": trial.id, onclick: () => choose(trial.id) });
      for (const column of columns) {
        const leads = column.best && trial.fate === "on the front" && column.of(trial) === best.get(column.name);
        row.append(element("td", { class: [column.left ? "text" : "", leads ? "best" : ""].join(" ").trim() || null }, shortName(column.text(trial), 40)));
      }
      rows.append(row);
    }
    markChosen(box);
    more.replaceChildren();
    if (trials.length > limit) more.append(`${limit} of ${trials.length} are shown. `, element("button", { type: "button", "data-key": "all rows", onclick: () => { state.allRows = true; fill(); } }, "show all"));
    if (!trials.length) more.append(everything || wanted ? "There is no such trial." : noneOnFront());
  }
  rows.addEventListener("keydown", moveAlong);
  box.append(controls, element("div", { class: "scroll" }, element("table", { role: "grid", "aria-label": "trials" }, element("thead", {}, head), rows)), more);
  fill();
}

// One row of the table takes part in the order of tabs: the chosen one, or the first.
function markChosen(box) {
  const rows = [...box.querySelectorAll("tr[data-trial]")];
  const chosen = rows.find((row) => Number(row.dataset.trial) === state.trial);
  for (const row of rows) {
    row.classList.toggle("chosen", row === chosen);
    row.setAttribute("aria-selected", String(row === chosen));
    row.tabIndex = row === (chosen ?? rows[0]) ? 0 : -1;
  }
}

// The arrow keys go from row to row, and Enter or the space bar chooses.
function moveAlong(event) {
  const row = event.target.closest("tr[data-trial]");
  const [next, chosen] = [{ ArrowDown: row?.nextSibling, ArrowUp: row?.previousSibling, Home: row?.parentNode.firstChild, End: row?.parentNode.lastChild }[event.key], event.key === "Enter" || event.key === " "];
  if (!row || !(next || chosen)) return;
  event.preventDefault();
  if (chosen) choose(Number(row.dataset.trial));
  else next.focus();
}

function compared(a, b) {
  if (a === b) return 0;
  if (a === undefined || a === null) return 1;
  if (b === undefined || b === null) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : 1;
}
