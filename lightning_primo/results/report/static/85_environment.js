// Where the search ran and what it was, to be run again.

views.push({
  id: "environment", title: "Environment", present: () => true,
  draw(body) {
    const algorithm = parsed("algorithm");
    const rows = [["directory", data.directory]];
    if (algorithm) rows.push(["algorithm", JSON.stringify(algorithm)]);
    if (data.description.seed) rows.push(["seed", data.description.seed]);
    rows.push([data.summary.whole ? data.summary.unit : data.summary.one, `${counted(data.summary.min_epochs)} to ${counted(data.summary.max_epochs)}`]);
    for (const objective of data.objectives) {
      rows.push([`objective ${objective.name}`, [objective.mode, objective.kind, ...boundsOf(objective), ...objective.places.map((place) => `measured on ${place}`)].join(", ")]);
    }
    for (const constraint of data.constraints) rows.push([`constraint ${constraint.name}`, [constraint.kind, ...boundsOf(constraint)].join(", ")]);
    data.environment.forEach((run, i) => {
      const label = data.environment.length > 1 ? `run ${i + 1} ` : "";
      for (const [name, value] of Object.entries(run)) rows.push([label + name, typeof value === "object" && value !== null ? Object.entries(value).map(([key, text]) => `${key} ${text}`).join(", ") : String(value)]);
    });
    const table = element("tbody");
    for (const [name, value] of rows) table.append(element("tr", {}, element("td", { class: "text" }, name), element("td", { class: "text wrap" }, value)));
    body.append(wide(element("table", { class: "names" }, table)));
    if (!data.environment.length) body.append(element("p", { class: "faint" }, "The versions and devices of this search were not recorded."));
  },
});

function boundsOf({ at_most, at_least, unit }) {
  return [at_most !== null ? `at most ${shown(at_most, unit)}` : "", at_least !== null ? `at least ${shown(at_least, unit)}` : ""].filter(Boolean);
}

function parsed(key) {
  try { return JSON.parse(data.description[key]); } catch { return null; }
}
