// The operator's page: what the service put into it, as cards, plots and tables.

import { components, draw, heat, redrawAll, spread, trend } from "./plots.js";
import { amounts, ask, count, percent, table, usd } from "./tables.js";
import { whatIf } from "./whatif.js";

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const named = (title) => [{ title, value: (row) => row.name || "(none)" }, ...amounts];

function theme() {
  const stored = localStorage.getItem("jupyterhub-bs-theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const wanted = stored && stored !== "auto" ? stored : dark ? "dark" : "light";
  document.documentElement.setAttribute("data-bs-theme", wanted);
}

function card(title, value, words) {
  const box = document.createElement("div");
  const term = Object.assign(document.createElement("dt"), { textContent: title });
  const number = Object.assign(document.createElement("dd"), { textContent: value });
  const more = Object.assign(document.createElement("div"), { className: "small", textContent: words });
  box.append(term, number, more);
  return box;
}

function cards(view) {
  const { today, total } = view;
  const list = document.createElement("dl");
  list.className = "cards";
  if (today) {
    list.append(
      card("Today's margin", usd(today.margin), `${percent(today.margin_share)} of ${usd(today.revenue)}`),
      card("Today's AI", usd(today.ai), `${percent(today.ai_share)} of the revenue`),
    );
  }
  list.append(
    card("The month's revenue", usd(total.revenue), `${usd(total.hours, 0)} workspace-hours`),
    card("All cost", usd(total.cost), `machines ${usd(total.machine)}`),
    card("Margin", usd(total.margin), `${percent(total.margin_share)} of the revenue`),
    card("AI", usd(total.ai), `${percent(total.ai_share)} of the revenue`),
  );
  if (view.break_even) {
    const tokens = view.break_even.tokens === null ? "" : `or ${count(view.break_even.tokens)} tokens of this mix`;
    list.append(card("An hour breaks even at", usd(view.break_even.usd, 4), `USD of AI ${tokens}`));
  }
  byId("cards").replaceWith(list);
}

async function lower(person, weight, button) {
  button.disabled = true;
  const answer = await ask("api/weight", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ person, weight }),
  }).catch(() => null);
  button.disabled = false;
  if (answer && answer.ok) {
    for (const row of data.alerts) if (row.person === person) row.weight = weight === null ? 1 : Number(weight);
    alerts();
  } else {
    button.textContent = "Not done; try again";
  }
}

function alerts() {
  byId("alerts").hidden = !data.alerts.length;
  if (!data.alerts.length) return;
  const act = (row) => {
    const whole = row.weight < 1;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-sm btn-outline-secondary text-nowrap" });
    button.textContent = whole ? `Full share again (now ${row.weight})` : "Half a share when others wait";
    button.setAttribute("aria-label", `${button.textContent}: ${row.person}`);
    button.addEventListener("click", () => lower(row.person, whole ? null : "0.5", button));
    return button;
  };
  table("alerts", data.alerts.length === 1 ? "One person-hour to look at" : `${count(data.alerts.length)} person-hours to look at`, [
    { title: "Person", value: (row) => row.person },
    { title: "Hour (UTC)", value: (row) => row.at.slice(0, 16).replace("T", " ") },
    { title: "AI, USD", value: (row) => usd(row.usd), number: true },
    { title: "What is behind it", value: (row) => row.cause, className: "cause" },
    { title: "Fair queue", value: act },
  ], data.alerts);
}

async function openDay(day) {
  const title = byId("day-title");
  byId("day").hidden = false;
  title.textContent = `${day}: loading…`;
  try {
    const answer = await ask(`api/day?day=${encodeURIComponent(day)}`);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.message);
    title.textContent = `${day}, hour by hour`;
    draw("day", components(found.hours, false));
    table("day-hours", "The hours, in numbers", named("Hour (UTC)"), found.hours);
    byId("cells-title").textContent = `The dearest of ${count(found.cells_count)} workspace-hours`;
    const place = ["person", "workspace", "size", "region"].map((member) => ({ title: member[0].toUpperCase() + member.slice(1), value: (row) => row[member] || "(none)" }));
    table("day-cells", "The dearest workspace-hours", [named("Hour (UTC)")[0], ...place, ...amounts], found.cells);
  } catch (error) {
    title.textContent = `${day} cannot be shown: ${error.message}`;
  }
  title.focus({ preventScroll: true });
  title.scrollIntoView({ block: "start" });
}

function showHeat(view) {
  const kind = byId("heat-kind").value;
  const what = kind === "hours" ? "hours" : "USD";
  draw("heat", heat(view.days, view.heat[kind], what), null);
  const hours = Array.from({ length: 24 }, (_, hour) => ({ title: String(hour).padStart(2, "0"), number: true, value: (row) => usd(row.line[hour]) }));
  table("heat", "The map, in numbers", [{ title: "Day", value: (row) => row.name }, ...hours], view.days.map((row, number) => ({ name: row.name, line: view.heat[kind][number] })));
}

function showTables(view) {
  const dayLink = (row) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-link btn-sm p-0", textContent: row.name });
    button.addEventListener("click", () => openDay(row.name));
    return button;
  };
  table("days", "The days, in numbers", [{ title: "Day (UTC)", value: dayLink }, ...amounts], view.days);
  table("trend", "The trend, in numbers", [named("Day (UTC)")[0], ...amounts.slice(-2)], view.days);
  const range = (bar) => (Number(bar.to) ? `${bar.from} to ${bar.to}` : "none");
  table("spread", "The distribution, in numbers", [
    { title: "USD of AI in the hour", value: range },
    { title: "Person-hours", value: (bar) => count(bar.count), number: true },
  ], view.spread.bars);
  table("sizes", "By size", named("Size"), view.sizes);
  table("regions", "By region", named("Region"), view.regions);
  const more = view.people_count > view.people.length ? `The ${view.people.length} with the most AI, of ${count(view.people_count)}` : "";
  table("people", "By person", named("Person"), view.people, more);
  table("models", "By model", [
    { title: "Model", value: (row) => row.model || "(none)" },
    { title: "Task", value: (row) => row.task || "(none)" },
    { title: "Requests", value: (row) => count(row.requests), number: true },
    { title: "Tokens in", value: (row) => count(row.input), number: true },
    { title: "Tokens out", value: (row) => count(row.output), number: true },
    { title: "USD", value: (row) => usd(row.usd), number: true },
    { title: "Tokens an hour can bear", value: (row) => (row.even_tokens === null ? "" : count(row.even_tokens)), number: true },
  ], view.models);
}

function showPlots(view) {
  draw("components", components(view.days, true), (x) => openDay(String(x).slice(0, 10)));
  draw("trend", trend(view.days));
  draw("spread", spread(view.spread));
  showHeat(view);
  whatIf(data);
}

function start() {
  theme();
  const problem = byId("problem");
  problem.hidden = !data.problem;
  problem.textContent = data.problem || "";
  const { view } = data;
  const month = byId("month");
  const known = data.months || [];
  if (view && !known.includes(view.month)) known.push(view.month);
  month.replaceChildren(...known.sort().reverse().map((name) => new Option(name, name, false, view && name === view.month)));
  month.addEventListener("change", () => byId("period").submit());
  if (!view) return;
  const used = view.people_count > 0;
  byId("empty").hidden = used;
  byId("figures").hidden = !used;
  if (!used) return;
  cards(view);
  alerts();
  byId("unpriced").hidden = !view.unpriced.length;
  byId("unpriced").querySelector("ul").replaceChildren(...view.unpriced.map((words) => Object.assign(document.createElement("li"), { textContent: words })));
  const { spread: found } = view;
  byId("spread-words").textContent =
    `Half of ${count(found.count)} person-hours cost ${usd(found.p50, 4)} or less, nine of ten ${usd(found.p90, 4)}, ninety-nine of a hundred ${usd(found.p99, 4)}; the dearest cost ${usd(found.max, 4)}.` +
    (found.top_percent === null ? "" : ` The dearest 1 % have ${percent(found.top_percent)} of it all.`);
  showTables(view);
  // The numbers are there to be painted; the plots come when their library has.
  if (window.Plotly || document.readyState === "complete") showPlots(view);
  else window.addEventListener("load", () => showPlots(view));
  byId("heat-kind").addEventListener("change", () => showHeat(view));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { theme(); redrawAll(); });
  window.addEventListener("storage", () => { theme(); redrawAll(); });
}

start();
