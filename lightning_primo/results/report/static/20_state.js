// What is shown: the data, what the reader has chosen, and the parts that are drawn again when that changes.

let data = JSON.parse(document.getElementById("data").textContent);
const app = document.getElementById("app");
const state = { x: null, y: null, colour: null, trial: null, brushes: {}, brushed: null, sort: null, down: false, table: null };
const views = []; // { id, title, present(), draw(body) }
const byId = new Map();

function adopt(fresh) {
  data = fresh;
  byId.clear();
  for (const trial of data.trials) byId.set(trial.id, trial);
  const names = data.objectives.map((objective) => objective.name);
  const pick = (name, index) => (names.includes(name) ? name : names[index] ?? null);
  if (names.length > 1) {
    state.x = pick(state.x, names.length > 1 ? 1 : 0);
    state.y = pick(state.y, 0);
    state.colour = state.colour === null ? names[2] ?? "" : state.colour;
  }
  state.table = state.table ?? (data.front.length || !data.trials.length ? "front" : "all");
  if (state.trial === null || !byId.has(state.trial)) state.trial = data.front.length ? data.front[0] : null;
}

const objectiveIndex = (name) => data.objectives.findIndex((objective) => objective.name === name);
const isFull = (trial) => trial.fate === "on the front" || trial.fate === "trained fully";
// Its values are those of a full training too, but it breaks a bound, so that it is no candidate.
const isInfeasible = (trial) => trial.fate === "infeasible";
const hasValues = (trial) => isFull(trial) || isInfeasible(trial) || trial.fate === "trained partly";
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = ["--blue", "--green", "--amber", "--purple", "--teal", "--accent", "--dot2"];
const palette = (index) => css(COLOURS[index % COLOURS.length]);

const FATES = { "on the front": "--accent", "trained fully": "--blue", infeasible: "--infeasible", "trained partly": "--dot", pending: "--teal", rejected: "--amber", diverged: "--purple", error: "--pink", out_of_memory: "--brown", timeout: "--olive", crashed: "--black", stopped: "--green" };
const fateName = (fate) => (fate === "on the front" && data.objectives.length === 1 ? "the best" : fate);
const fateColour = (fate) => css(FATES[fate] ?? "--dot2");

// Viridis, without the end that cannot be told from the ground.
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];
const isDark = () => parseInt(css("--bg").slice(1, 3), 16) < 128;
const viridisSteps = () => (isDark() ? VIRIDIS.slice(2) : VIRIDIS.slice(0, -1));
const viridisScale = () => viridisSteps().map((step, i, all) => [i / (all.length - 1), `rgb(${step.join(",")})`]);

function viridis(share, steps) {
  if (!known(share)) return css("--dot");
  const at = Math.max(0, Math.min(1, share)) * (steps.length - 1);
  const i = Math.min(Math.floor(at), steps.length - 2);
  return `rgb(${steps[i].map((c, k) => Math.round(c + (at - i) * (steps[i + 1][k] - c))).join(",")})`;
}

function choose(trialId) {
  state.trial = trialId;
  redraw("front", "detail", "parallel", "chosen", "curves");
}

function describe(trial) {
  const lines = [`trial ${trial.id}, ${fateName(trial.fate)}, ${data.summary.one} ${counted(trial.epoch)}${trial.known ? ", known beforehand" : ""}${trial.givenUp ? `, ${trial.givenUp}` : ""}`];
  data.objectives.forEach((objective, j) => {
    if (known(trial.values[j])) lines.push(`${objective.name}: ${withSpread(trial.values[j], trial.spreads?.[j], objective.unit)}`);
  });
  lines.push(...boundedValues(trial).map(([name, text]) => `${name}: ${text}`));
  lines.push(...Object.entries(trial.config).map(([name, value]) => `${name} = ${setting(value)}`));
  return lines;
}

// What a trial has of each constraint.
const boundedValues = (trial) => data.constraints.map((constraint, k) => [constraint.name, trial.bounded[k], constraint.unit]).filter(([, value]) => known(value)).map(([name, value, unit]) => [name, shown(value, unit)]);

const hover = (trial) => describe(trial).map((line) => plain(short(line, 60))).join("<br>");

function baseLayout(height, extra = {}) {
  const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, automargin: true, exponentformat: "power", minor: { showgrid: false } };
  const { xaxis, yaxis, ...rest } = extra;
  return {
    height, margin: { l: 56, r: 16, t: 12, b: 44 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--text"), family: "system-ui, sans-serif", size: 12 }, hovermode: "closest",
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--faint"), font: { color: css("--text") }, align: "left" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}

const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

// A name for who does not see the chart; what it shows of trials is in the table.
function plot(node, traces, layout) {
  node.classList.add("plot");
  const titles = [layout.yaxis, layout.xaxis].map((axis) => axis.title?.text).filter(Boolean);
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", `chart${titles.length ? ": " : ""}${titles.join(" over ")}`);
  return Plotly.react(node, traces, layout, OPTIONS);
}

// Ticks of a logarithmic axis: 1, 2, 5 of each decade are named, or decades alone where there is no room for them.
function axisOf(objective, scale, extra = {}) {
  const room = objective.mode === "max" ? 24 : 40;
  const title = { text: plain(shortName(objective.name, room)) + scale.suffix + (objective.mode === "max" ? " (higher is better)" : "") };
  const format = scale.format || objective.log ? { tickformat: scale.format || "~g" } : {};
  return { title, type: objective.log ? "log" : "linear", dtick: objective.log ? (window.innerWidth < 600 ? 1 : "D2") : undefined, ...format, ...extra };
}
