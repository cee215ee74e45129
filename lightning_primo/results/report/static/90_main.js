// Puts the page together, unpacks the drawing library, and in a page that is served follows the search.

const parts = {};
const sections = new Map();
let Plotly = null;

function redraw(...names) {
  keepingFocus(() => { for (const name of names) if (parts[name]) parts[name](); });
}

function rebuild(id) {
  const view = views.find((one) => one.id === id);
  const body = sections.get(id);
  if (!view || !body) return;
  for (const chart of body.querySelectorAll(".js-plotly-plot")) Plotly.purge(chart);
  keepingFocus(() => { body.replaceChildren(); view.draw(body); });
}

const titleOf = (view) => (typeof view.title === "string" ? view.title : view.title());

// What was reached, by objectives: of one its best value, of several the hypervolume and what it is measured from.
function reached() {
  const [objective, ...others] = data.objectives;
  if (!data.front.length) return [];
  if (others.length) {
    const from = referenceText((name) => shortName(name, 24));
    return [[digits(data.summary.hypervolume, 4), `hypervolume${from ? ` up to ${from}` : ""}`]];
  }
  return [[shown(byId.get(data.front[0]).values[0], objective.unit), `best ${shortName(objective.name)}`]];
}

function head() {
  const algorithm = parsed("algorithm")?.class;
  const seen = data.summary;
  const figures = [
    ...(data.objectives.length > 1 ? [[String(data.front.length), "on the front"]] : []), ...reached(), [String(seen.trials), seen.trials === 1 ? "trial" : "trials"],
    [digits(seen.full_trainings, 3), `full training${seen.full_trainings === 1 ? "" : "s"} of ${amount(seen.max_epochs)}`], [duration(seen.seconds), "of search"],
  ];
  if (seen.infeasible) figures.push([String(seen.infeasible), "infeasible"]);
  if (seen.statuses.pending) figures.push([String(seen.statuses.pending), "in training"]);
  const failed = new Set(data.failures.filter((group) => group.status !== "rejected").flatMap((group) => group.trials)).size;
  if (failed) figures.push([String(failed), "failed"]);
  const what = `${algorithm ? algorithm + ", " : ""}${data.objectives.map((objective) => objective.name).join(", ")}${data.ended ? `; ended: ${data.ended}` : ""}; written ${new Date(data.written).toLocaleString()}`;
  return element("header", {}, element("h1", {}, data.title), element("p", { class: "faint" }, what + " ", element("span", { class: "live", id: "live" })), element("div", { class: "figures" }, ...figures.map(([number, text]) => element("div", { class: "figure" }, element("b", {}, number), element("span", {}, text)))));
}

function build() {
  for (const chart of app.querySelectorAll(".js-plotly-plot")) Plotly.purge(chart);
  for (const name of Object.keys(parts)) delete parts[name];
  sections.clear();
  const place = window.scrollY;
  const present = views.filter((view) => view.present());
  const navigation = element("nav", { "aria-label": "parts of the report" }, ...present.map((view) => element("a", { href: "#" + view.id }, titleOf(view))), element("button", { type: "button", onclick: turn, title: "light or dark", "aria-label": "light or dark" }, "◐"));
  app.replaceChildren(head(), navigation);
  for (const view of present) {
    const body = element("div");
    sections.set(view.id, body);
    app.append(element("section", { id: view.id, "aria-label": titleOf(view) }, element("h2", {}, titleOf(view)), body));
  }
  // The first is drawn at once, the others when they come near: a page of many plots is there at once.
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      drawn(views.find((view) => view.id === entry.target.id));
    }
  }, { rootMargin: "600px" });
  for (const view of present) {
    if (view.id === "front") drawn(view);
    else { sections.get(view.id).style.minHeight = "320px"; seen.observe(document.getElementById(view.id)); }
  }
  window.scrollTo(0, place);
}

function drawn(view) {
  const body = sections.get(view.id);
  if (!body || body.childElementCount) return;
  view.draw(body);
  body.style.minHeight = "";
  document.body.dataset.drawn = [...sections].filter(([, one]) => one.childElementCount).map(([id]) => id).join(" ");
}

function turn() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  build();
}

// On paper there is all of it, dark on light and as wide as a page: what is drawn late, or scrolls, would be missing there.
const printed = { theme: undefined };

function beforePrinting() {
  if (document.body.classList.contains("printing")) return;
  printed.theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  document.body.classList.add("printing");
  build();
  for (const view of views) drawn(view);
  for (const table of app.querySelectorAll("table")) {
    const room = table.parentElement.clientWidth;
    if (table.offsetWidth > room) table.style.zoom = room / table.offsetWidth;
  }
}

function afterPrinting() {
  if (printed.theme === undefined) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = printed.theme;
  document.body.classList.remove("printing");
  build();
}

async function unpacked() {
  const packed = document.getElementById("plotly");
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (letter) => letter.charCodeAt(0));
  packed.textContent = "";
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = element("script", { nonce: document.getElementById("code").nonce });
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  return window.Plotly;
}

function follow(seconds) {
  let tag = null;
  const live = (text) => { const place = document.getElementById("live"); if (place) place.textContent = text; };
  const look = async () => {
    try {
      const answer = await fetch("data.json", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      if (answer.status === 200) {
        const first = tag === null;
        tag = answer.headers.get("ETag");
        const fresh = await answer.json();
        if (!first || fresh.written !== data.written) { adopt(fresh); build(); }
      }
      live(answer.ok || answer.status === 304 ? "● follows the search" : "");
    } catch {
      live("the server has ended");
    }
    setTimeout(look, 1000 * seconds);
  };
  look();
}

async function main() {
  adopt(data);
  if (typeof DecompressionStream === "undefined") {
    app.replaceChildren(element("p", {}, "This report needs a browser of 2023 or later."));
    return;
  }
  Plotly = await unpacked();
  build();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!document.body.classList.contains("printing")) build(); });
  window.addEventListener("beforeprint", beforePrinting);
  window.addEventListener("afterprint", afterPrinting);
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; redraw("parallel"); } });
  const seconds = Number(document.body.dataset.watch);
  if (seconds > 0) follow(seconds);
  document.body.dataset.ready = "yes";
}

main();
