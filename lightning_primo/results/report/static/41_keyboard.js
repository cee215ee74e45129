// The axes of the parallel coordinates by keyboard. One of them takes part in the order of tabs: left and right go to the
// others, up and down move the ends of what is kept, and Escape keeps all again.

const OUTSIDE = [-0.02, 1.02]; // the ends of an axis, and a little more for what is drawn there

// Where the ends of a range can be: between the choices of an axis, or its whole numbers if they are few, else at its
// twentieths; below them lies what is inactive.
function edgesOf(axis) {
  const inner = axis.edges ?? Array.from({ length: 19 }, (_, i) => (i + 1) / 20);
  return [...(axis.some ? [-0.1] : []), OUTSIDE[0], ...inner, OUTSIDE[1]];
}

// Up and down take away at one end; with the shift key they give back at the other one.
function moved([low, high], edges, key, back) {
  const up = (end) => edges.find((edge) => edge > end + 1e-9) ?? end;
  const down = (end) => edges.findLast((edge) => edge < end - 1e-9) ?? end;
  const wanted = key === "ArrowUp" ? (back ? [low, up(high)] : [up(low), high]) : back ? [down(low), high] : [low, down(high)];
  return wanted[1] - wanted[0] > 1e-9 ? wanted : [low, high];
}

// What is said of an axis: all of it, or from where to where.
function rangeText(axis) {
  const range = state.brushes[axis.name];
  if (!range) return "all";
  const within = range[1] < 0 || range[0] > 1 ? "" : axis.between(...range.map((end) => Math.max(0, Math.min(1, end))));
  return [within, axis.some && range[0] <= -0.04 ? "inactive" : ""].filter(Boolean).join(", and ") || "none";
}

function grip(axis, size) {
  const [low, high] = state.brushes[axis.name] ?? [0, 1];
  return svgElement("rect", {
    ...size, class: "grip", "data-axis": axis.name, "data-key": `axis ${axis.name}`, role: "slider", "aria-label": axis.name, "aria-orientation": "vertical",
    "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(50 * (Math.max(0, low) + Math.min(1, high))), "aria-valuetext": rangeText(axis),
  });
}

function listenToKeys(svg, axes) {
  const grips = [...svg.querySelectorAll(".grip")];
  const enter = (one) => { for (const other of grips) other.setAttribute("tabindex", other === one ? 0 : -1); state.axis = one?.dataset.axis; };
  enter(grips.find((one) => one.dataset.axis === state.axis) ?? grips[0]);
  svg.onfocusin = (event) => { if (grips.includes(event.target)) enter(event.target); };
  svg.onkeydown = (event) => {
    const at = grips.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = { ArrowLeft: grips[at - 1], ArrowRight: grips[at + 1], Home: grips[0], End: grips[grips.length - 1] }[event.key];
    const axis = axes[at];
    if (next) next.focus();
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const edges = edgesOf(axis);
      const whole = [edges[0], edges[edges.length - 1]];
      const range = moved(state.brushes[axis.name] ?? whole, edges, event.key, event.shiftKey);
      if (range[0] > whole[0] || range[1] < whole[1]) state.brushes[axis.name] = range;
      else delete state.brushes[axis.name];
      redraw("parallel", "front");
    } else if (event.key === "Escape" || event.key === "Delete" || event.key === "Backspace") {
      delete state.brushes[axis.name];
      redraw("parallel", "front");
    } else return;
    event.preventDefault();
  };
}
