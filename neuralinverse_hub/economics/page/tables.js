// Tables: what the plots show, in numbers, for everybody who reads rather than looks.

export const usd = (value, places = 2) =>
  value === null || value === undefined
    ? "–"
    : Number(value).toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
export const percent = (value, places = 1) =>
  value === null || value === undefined ? "–" : `${(Number(value) * 100).toFixed(places)} %`;
export const count = (value) => Number(value).toLocaleString("en");

// Ask the service. The hub takes a cookie for a login only beside this token.
export const ask = (path, more = {}) =>
  fetch(path, { ...more, headers: { "X-XSRFToken": document.getElementById("period").dataset.xsrf, ...more.headers } });

const MONEY = ["revenue", "ai", "storage", "network", "machine", "cost", "margin"];
const TITLES = { revenue: "Revenue", ai: "AI", storage: "Storage", network: "Network", machine: "Machine", cost: "All cost", margin: "Margin" };

// Columns of a table of amounts, after its first one.
export const amounts = [
  { title: "Hours", value: (row) => usd(row.hours), number: true },
  ...MONEY.map((name) => ({ title: TITLES[name], value: (row) => usd(row[name]), number: true })),
  { title: "AI share", value: (row) => percent(row.ai_share), number: true },
  { title: "Margin share", value: (row) => percent(row.margin_share), number: true },
];

function cell(kind, column, content) {
  const element = document.createElement(kind);
  if (column.number) element.className = "number";
  if (column.className) element.className = column.className;
  if (content instanceof Node) element.append(content);
  else element.textContent = content;
  return element;
}

// Fill the place of a table. `columns`: {title, value(row) → text or element, number}; the first one names the row.
export function table(name, caption, columns, rows, note = "") {
  const place = document.querySelector(`[data-table="${name}"]`);
  const head = document.createElement("tr");
  for (const column of columns) {
    const th = cell("th", column, column.title);
    th.scope = "col";
    head.append(th);
  }
  const body = document.createElement("tbody");
  for (const row of rows) {
    const tr = document.createElement("tr");
    columns.forEach((column, number) => {
      const td = cell(number ? "td" : "th", column, column.value(row));
      if (!number) td.scope = "row";
      tr.append(td);
    });
    body.append(tr);
  }
  const made = document.createElement("table");
  made.className = "table table-sm align-middle";
  const title = document.createElement("caption");
  title.textContent = note;
  const thead = document.createElement("thead");
  thead.append(head);
  if (note) made.append(title);
  made.append(thead, body);
  const scroll = document.createElement("div");
  scroll.className = "table-responsive";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", caption);
  scroll.append(made);
  const before = place.querySelector("details");
  const details = document.createElement("details");
  details.open = before ? before.open : "open" in place.dataset || name === "alerts";
  const summary = document.createElement("summary");
  summary.textContent = caption;
  details.append(summary, scroll);
  place.replaceChildren(details);
}
