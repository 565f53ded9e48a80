// What if: sliders that ask the service, which answers within a few milliseconds, so there is one arithmetic and not two.

import { compared, draw } from "./plots.js";
import { ask, percent, table, usd } from "./tables.js";

const SLIDERS = [
  ["model-price", "Model prices, change in a year", -90, 100, 0, "%"],
  ["years", "Years of that", 0, 5, 1, ""],
  ["adoption", "Person-hours with AI", 0, 100, null, "%"],
  ["heavy", "People who are heavy users", 0, 100, null, "%"],
  ["reserved", "Machine hours on reserved machines", 0, 100, 0, "%"],
  ["discount", "How much less those cost", 0, 80, 40, "%"],
];

const MONEY = [["revenue", "Revenue"], ["ai", "AI"], ["storage", "Storage"], ["network", "Network"], ["machine", "Machine"], ["cost", "All cost"], ["margin", "Margin"]];

function knob(form, id, label, control, output) {
  const box = document.createElement("div");
  const text = document.createElement("label");
  text.className = "form-label mb-0 d-block";
  text.htmlFor = control.id = `knob-${id}`;
  text.append(label, " ");
  if (output) {
    output.htmlFor = control.id;
    text.append(output);
  }
  box.append(text, control);
  form.append(box);
}

function slider(form, [name, label, min, max, value, unit], measured) {
  const input = document.createElement("input");
  Object.assign(input, { type: "range", name, min, max, className: "form-range" });
  const start = value ?? Math.round(Number(measured[name]) * 100);
  input.value = start;
  // Until somebody moves it, it is what was measured, to all decimals.
  input.dataset.untouched = "1";
  input.dataset.unit = unit;
  const output = document.createElement("output");
  const show = () => { output.textContent = `${input.value}${unit ? ` ${unit}` : ""}`; };
  show();
  input.addEventListener("input", () => { delete input.dataset.untouched; show(); });
  knob(form, name, label, input, output);
}

function choice(form, task, models) {
  const select = document.createElement("select");
  Object.assign(select, { name: "model", className: "form-select form-select-sm" });
  select.dataset.key = task;
  select.append(new Option("as it was", ""), ...models.map((model) => new Option(model, model)));
  knob(form, `model-${task}`, `Model for ${task || "(no task)"}`, select);
}

function price(form, size, amount) {
  const input = document.createElement("input");
  Object.assign(input, { type: "number", name: "price", min: 0, step: 0.01, className: "form-control form-control-sm" });
  input.placeholder = amount;
  input.dataset.key = size;
  knob(form, `price-${size}`, `An hour of ${size} earns, USD`, input);
}

function asked(form, month) {
  const query = new URLSearchParams({ month });
  for (const input of form.elements) {
    if (!input.name || input.dataset.untouched) continue;
    if (input.dataset.key !== undefined) {
      if (input.value) query.append(input.name, `${input.dataset.key}=${input.value}`);
    } else {
      query.append(input.name, `${input.value}${input.dataset.unit}`);
    }
  }
  return query;
}

function show(view, found) {
  const after = Object.fromEntries(MONEY.map(([name]) => [name, found[`${name}_usd`]]));
  draw("whatif", compared(view.total, after));
  const interval = found.low === null ? "–" : `${percent(found.low)} to ${percent(found.high)}`;
  const rows = [
    ...MONEY.map(([name, title]) => [title, usd(view.total[name]), usd(after[name])]),
    ["Margin's share of the revenue", percent(view.total.margin_share), percent(found.margin_share)],
    ["… in 9 of 10 months drawn", "", interval],
    ["Months drawn with 60 % margin or more", "", percent(found.probability, 0)],
  ];
  const columns = ["", "Measured", "What if"].map((title, number) => ({ title, number: number > 0, value: (row) => row[number] }));
  table("whatif", "What if, in numbers", columns, rows);
  document.getElementById("sentence").textContent = found.sentence;
}

export async function whatIf(data) {
  const { view } = data;
  const form = document.getElementById("knobs");
  let under = false;
  let again = false;
  const renew = async () => {
    if (under) {
      again = true;
      return;
    }
    under = true;
    try {
      do {
        again = false;
        const answer = await ask(`api/whatif?${asked(form, view.month)}`);
        const found = await answer.json();
        if (answer.ok) show(view, found);
        else document.getElementById("sentence").textContent = found.message || "That cannot be worked out.";
        form.dataset.answers = String(Number(form.dataset.answers || 0) + 1);
        if (answer.ok && !form.elements.length) build(found.measured);
      } while (again);
    } catch {
      document.getElementById("sentence").textContent = "The service does not answer. Move a slider to try again.";
    } finally {
      under = false;
    }
  };
  const build = (measured) => {
    for (const row of SLIDERS) slider(form, row, measured);
    for (const task of [...new Set(view.models.map((row) => row.task))]) choice(form, task, data.priced_models);
    for (const row of view.sizes) {
      if (row.name && Number(row.hours)) price(form, row.name, (Number(row.revenue) / Number(row.hours)).toFixed(2));
    }
    const reset = Object.assign(document.createElement("button"), { type: "reset", className: "btn btn-outline-secondary align-self-end", textContent: "As it was" });
    form.append(reset);
    form.addEventListener("input", renew);
    form.addEventListener("reset", () => {
      form.replaceChildren();
      renew();
    });
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  await renew();
}
