// Plots. Colours of Okabe and Ito, which colour-blind people can tell apart; heat in Cividis, made for them.

const COLOURS = { machine: "#0072B2", ai: "#E69F00", storage: "#CC79A7", network: "#009E73" };
const PATTERNS = { machine: "", ai: "/", storage: "x", network: "." };
const NAMES = { machine: "Machine", ai: "AI", storage: "Storage", network: "Network" };
export const COMPONENTS = ["machine", "ai", "storage", "network"];

const drawn = new Map();

function colours() {
  const style = getComputedStyle(document.body);
  return {
    ink: style.color,
    line: style.getPropertyValue("--bs-border-color") || "#888",
    ground: style.getPropertyValue("--bs-body-bg") || style.backgroundColor,
  };
}

function layout(more) {
  const { ink, line } = colours();
  const narrow = window.innerWidth < 576;
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  const { xaxis = {}, yaxis = {}, ...others } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: "inherit", size: narrow ? 11 : 13 },
    margin: { l: narrow ? 44 : 60, r: narrow ? 8 : 24, t: 8, b: 44 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours().ground, bordercolor: line, font: { color: ink } },
    ...others,
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
  };
}

// Draw, and draw again when the theme changes. `make` gives {data, layout}. Without the library there are the tables.
export function draw(name, make, onClick = null) {
  const place = document.querySelector(`[data-plot="${name}"]`);
  drawn.set(name, { make, onClick });
  if (!window.Plotly) {
    place.classList.add("without");
    return;
  }
  const made = make();
  const options = { displayModeBar: false, responsive: true };
  window.Plotly.react(place, made.data, layout(made.layout), options).then(() => {
    place.dataset.drawn = String(Number(place.dataset.drawn || 0) + 1);
  });
  if (onClick && !place.dataset.listens) {
    place.dataset.listens = "1";
    place.on("plotly_click", (event) => drawn.get(name).onClick(event.points[0].x));
  }
}

export function redrawAll() {
  for (const [name, { make, onClick }] of drawn) draw(name, make, onClick);
}

const bars = (rows, component) => ({
  type: "bar",
  name: NAMES[component],
  x: rows.map((row) => row.name),
  y: rows.map((row) => Number(row[component])),
  marker: { color: COLOURS[component], pattern: { shape: PATTERNS[component], fillmode: "overlay", fgcolor: "rgba(255,255,255,.45)", size: 6 } },
  hovertemplate: "%{y:,.2f}",
});

export const components = (rows, time) => () => ({
  data: [
    ...COMPONENTS.map((component) => bars(rows, component)),
    {
      type: "scatter",
      mode: "lines+markers",
      name: "Revenue",
      x: rows.map((row) => row.name),
      y: rows.map((row) => Number(row.revenue)),
      line: { color: colours().ink, width: 2, dash: "dot" },
      marker: { size: 6, color: colours().ink },
      hovertemplate: "%{y:,.2f}",
    },
  ],
  layout: { barmode: "stack", bargap: 0.2, yaxis: { title: { text: "USD" }, rangemode: "tozero" }, xaxis: time ? { type: "date", tickformat: "%-d %b" } : { type: "category" } },
});

export const trend = (days) => () => ({
  data: [
    ["margin_share", "Margin", "#0072B2", "solid", "circle"],
    ["ai_share", "AI's share", "#E69F00", "dash", "diamond"],
  ].map(([member, name, color, dash, symbol]) => ({
    type: "scatter",
    mode: "lines+markers",
    name,
    x: days.map((row) => row.name),
    y: days.map((row) => (row[member] === null ? null : Number(row[member]))),
    line: { color, dash, width: 2 },
    marker: { symbol, size: 7, color },
    hovertemplate: "%{y:.1%}",
  })),
  layout: { yaxis: { tickformat: ".0%" }, xaxis: { type: "date", tickformat: "%-d %b" } },
});

export const spread = (found) => () => {
  const used = found.bars.filter((bar) => Number(bar.to) > 0);
  const { ink } = colours();
  const mark = (name, dash) => ({
    type: "line", x0: Number(found[name]), x1: Number(found[name]), yref: "paper", y0: 0, y1: 1, line: { color: ink, width: 1.5, dash },
  });
  const marks = [["p50", "dot"], ["p90", "dash"], ["p99", "solid"]].filter(([name]) => Number(found[name]) > 0);
  return {
    data: [{
      type: "bar",
      name: "person-hours",
      x: used.map((bar) => Math.sqrt(Number(bar.from) * Number(bar.to))),
      y: used.map((bar) => bar.count),
      width: used.map((bar) => Number(bar.to) - Number(bar.from)),
      customdata: used.map((bar) => [bar.from, bar.to]),
      marker: { color: COLOURS.ai, line: { color: colours().ground, width: 1 } },
      hovertemplate: "%{customdata[0]} to %{customdata[1]} USD: %{y:,} person-hours<extra></extra>",
    }],
    layout: {
      hovermode: "closest",
      margin: { l: 60, r: 24, t: 28, b: 44 },
      shapes: marks.map(([name, dash]) => mark(name, dash)),
      annotations: marks.map(([name]) => ({ x: Math.log10(Number(found[name])), y: 1, yref: "paper", yanchor: "bottom", text: name, showarrow: false })),
      xaxis: { type: "log", title: { text: "USD of AI in the hour" }, exponentformat: "none", dtick: 1 },
      yaxis: { title: { text: "Person-hours" } },
    },
  };
};

export const heat = (days, values, what) => () => ({
  data: [{
    type: "heatmap",
    x: Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0")),
    y: days.map((row) => row.name),
    z: values.map((line) => line.map(Number)),
    colorscale: "Cividis",
    xgap: 1,
    ygap: 1,
    colorbar: { thickness: 12, outlinewidth: 0, title: { text: what, side: "right" } },
    hovertemplate: `%{y}, %{x}:00 UTC: %{z:,.2f} ${what}<extra></extra>`,
  }],
  layout: { hovermode: "closest", xaxis: { type: "category", title: { text: "Hour of the day, UTC" } }, yaxis: { type: "category", autorange: "reversed" } },
});

export const compared = (before, after) => () => {
  const rows = [{ ...before, name: "measured" }, { ...after, name: "what if" }];
  const made = components(rows, false)();
  const revenue = made.data.pop();
  return {
    data: [...made.data.map((bar) => ({ ...bar, orientation: "h", x: bar.y, y: bar.x, hovertemplate: "%{x:,.2f}" })),
      { ...revenue, mode: "markers", x: revenue.y, y: revenue.x, marker: { symbol: "line-ns-open", size: 26, color: colours().ink, line: { width: 3 } }, hovertemplate: "%{x:,.2f}" }],
    layout: { barmode: "stack", bargap: 0.35, hovermode: "closest", xaxis: { title: { text: "USD" }, rangemode: "tozero" }, yaxis: { type: "category", autorange: "reversed" } },
  };
};
