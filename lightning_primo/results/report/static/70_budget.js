// Where the budget went, what failed, and what the priors did.

views.push({
  id: "budget", title: "Where the budget went", present: () => data.spending.length > 0,
  draw(body) {
    const chart = element("div");
    body.append(chart);
    const totals = { trials: 0, epochs: 0, seconds: 0, measuring: 0 };
    for (const spent of data.spending) for (const key of Object.keys(totals)) totals[key] += spent[key];
    const rows = ["trials", "epochs", "seconds"].filter((key) => totals[key] > 0);
    const timed = totals.seconds > 0; // not what a study was told without
    const narrow = window.innerWidth < 600 && !document.body.classList.contains("printing"); // the table's marks are the legend
    const traces = data.spending.map((spent) => ({
      type: "bar", orientation: "h", name: fateName(spent.fate), y: rows.map((key) => (key === "epochs" ? data.summary.unit : key)), x: rows.map((key) => spent[key] / totals[key]), marker: { color: fateColour(spent.fate) }, hoverinfo: "text", textposition: "none",
      text: rows.map((key) => `${fateName(spent.fate)}: ${key === "seconds" ? duration(spent.seconds) : digits(spent[key]) + " " + (key === "epochs" ? data.summary.unit : key)}`),
    }));
    plot(chart, traces, baseLayout(60 + 46 * rows.length, { barmode: "stack", showlegend: !narrow, margin: { l: 74, r: 12, t: 30, b: 30 }, xaxis: { tickformat: ".0%", range: [0, 1] }, yaxis: { autorange: "reversed" } }));
    const table = element("tbody");
    for (const spent of data.spending) {
      const times = timed ? [duration(spent.seconds), share(spent.seconds, totals.seconds), duration(spent.measuring)] : [];
      table.append(element("tr", {}, element("td", { class: "text" }, element("span", { class: "mark", style: `background: ${fateColour(spent.fate)}` }), fateName(spent.fate)), ...[String(spent.trials), digits(spent.epochs, 5), share(spent.epochs, totals.epochs), ...times].map((text) => element("td", {}, text))));
    }
    const heads = ["", "trials", data.summary.unit, "", ...(timed ? ["time of workers", "", "of these measuring"] : [])];
    body.append(wide(element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((text, i) => element("th", { class: i ? null : "text" }, text)))), table)), element("p", { class: "faint" }, timed ? workers(data.occupancy) : ""));
  },
});

const share = (part, whole) => (whole > 0 ? ((100 * part) / whole).toFixed(part > 0.1 * whole ? 0 : 1) + " %" : "");

function workers(seen) {
  const whole = seen.workers * seen.seconds;
  if (!(whole > 0)) return "";
  const who = seen.workers === 1 ? "One worker" : `At most ${seen.workers} workers`;
  return `${who} in ${duration(seen.seconds)}: ${share(seen.at_work, whole)} of the time in jobs, ${share(Math.max(0, seen.busy - seen.at_work), whole)} starting them and waiting to be told, ${share(seen.idle, whole)} without a job.`;
}

views.push({
  id: "failures", title: "Failures", present: () => data.failures.length > 0,
  draw(body) {
    const table = element("tbody");
    for (const group of data.failures) {
      const some = group.trials.slice(0, 12).map((id) => element("button", { type: "button", "aria-label": `trial ${id}`, "data-key": `trial ${id}`, onclick: () => choose(id) }, String(id)));
      const what = element("td", { class: "text wrap" }, group.cause ? element("div", {}, group.cause) : null, element("div", { class: "faint" }, group.example));
      if (group.details.trim() !== group.example) what.append(element("details", {}, element("summary", {}, "all of it"), element("pre", {}, group.details)));
      const numbers = element("td", { class: "text wrap" }, ...some.flatMap((one) => [one, " "]));
      if (group.trials.length > some.length) numbers.append(` and ${group.trials.length - some.length} more`);
      table.append(element("tr", {}, element("td", { class: "text" }, group.status.replaceAll("_", " ")), element("td", {}, String(group.trials.length)), what, element("td", {}, digits(group.epochs, 4)), element("td", {}, duration(group.seconds)), numbers));
    }
    const heads = [["status", "text"], ["trials"], ["cause, and the last reason", "text"], [`${data.summary.unit} lost`], ["time lost"], ["which", "text"]];
    body.append(wide(element("table", {}, element("thead", {}, element("tr", {}, ...heads.map(([text, kind]) => element("th", { class: kind }, text)))), table)));
  },
});

views.push({
  id: "priors", title: "What the priors did", present: () => data.priors.length > 0,
  draw(body) {
    body.append(element("p", { class: "faint" }, data.priorsNote));
    const grid = element("div", { class: "grid" });
    body.append(grid);
    for (const prior of data.priors) {
      const objective = data.objectives[objectiveIndex(prior.objective)];
      const side = (name, some) => element("tr", {}, element("td", { class: "text" }, name), ...[String(some.trials), shown(some.median, objective.unit), shown(some.best, objective.unit), String(some.front)].map((text) => element("td", {}, text)));
      grid.append(element("div", { class: "card" },
        element("h3", {}, prior.objective + " ", element("span", { class: `badge ${prior.verdict}` }, prior.verdict)),
        element("p", {}, prior.words),
        wide(element("table", {}, element("thead", {}, element("tr", {}, ...["proposals", "", "median", "best", fateName("on the front")].map((text, i) => element("th", { class: i ? null : "text" }, text)))), element("tbody", {}, side("with the prior", prior.with), side("without any", prior.without)))),
        element("details", {}, element("summary", {}, `the prior, of confidence ${prior.confidence}`), pairs(Object.entries(prior.center).map(([name, value]) => [name, setting(value)]))),
      ));
    }
  },
});
