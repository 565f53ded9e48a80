// Shows the gateway's state and asks for it again every two seconds. Text only: nothing of it is ever read as HTML.

const WORDS = { closed: "● well", open: "✕ resting", trying: "◐ trying again" };
const status = document.getElementById("status");
const retirements = document.getElementById("retirements");
const deployments = document.getElementById("deployments");

// The hub's style sheet has a dark side; follow what the person's system asks for.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => { document.documentElement.dataset.bsTheme = dark.matches ? "dark" : "light"; };
dark.addEventListener("change", follow);
follow();

const cell = (row, text, number = false) => {
  const element = row.insertCell();
  element.textContent = text;
  if (number) element.className = "number";
  return element;
};

const show = (state) => {
  retirements.hidden = state.retirements.length === 0;
  retirements.querySelector("ul").replaceChildren(
    ...state.retirements.map((sentence) => Object.assign(document.createElement("li"), { textContent: sentence })),
  );
  deployments.hidden = state.deployments.length === 0;
  const body = document.createElement("tbody");
  for (const each of state.deployments) {
    const row = body.insertRow();
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = each.name;
    if (each.where) {
      const where = Object.assign(document.createElement("small"), { textContent: each.where });
      where.className = "cause text-body-secondary";
      name.append(where);
    }
    row.append(name);
    cell(row, each.serves);
    const health = cell(row, WORDS[each.health]);
    if (each.cause) {
      const again = each.asked_again_s ? `, asked again in ${each.asked_again_s} s` : "";
      const cause = Object.assign(document.createElement("small"), { textContent: each.cause + again });
      cause.className = "cause text-body-secondary";
      health.append(cause);
    }
    for (const member of ["in_flight", "limit", "waiting", "people", "wait_s"]) cell(row, each[member], true);
  }
  deployments.querySelector("tbody").replaceWith(body);
  const time = new Date().toLocaleTimeString();
  status.className = "text-body-secondary";
  if (state.draining) status.textContent = "This gateway is shutting down; answers under way are finishing.";
  else if (state.advice) status.textContent = `No model is connected: ${state.advice}.`;
  else status.textContent = `As of ${time}`;
};

const ask = async () => {
  try {
    const response = await fetch("admin/state", { headers: { Accept: "application/json" } });
    if (response.status === 401) return location.reload();
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    show(await response.json());
  } catch (error) {
    status.className = "stale";
    status.textContent = `The gateway does not answer (${error.message}); what is shown may be old. Trying again.`;
  }
  setTimeout(ask, 2000);
};

if (deployments) ask();
