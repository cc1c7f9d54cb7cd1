"use strict";
// Every click is a request; the next one is taken when the server says that it is on disk.
const $ = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("button.class")];
let current = null;
let busy = false;

function show(state) {
  const [first, ...coming] = state.coming;
  current = first ?? null;
  const picture = $("picture");
  picture.hidden = !current;
  if (current) {
    picture.src = `image/${current.row}.png`;
    picture.alt = `image of ${current.id}`;
  }
  $("name").textContent = current ? current.id : "All objects are labelled or skipped.";
  const skipped = state.skipped ? `, ${state.skipped} skipped` : "";
  $("progress").textContent = `${state.labelled} of ${state.total} labelled${skipped}`;
  const accuracy = state.head?.accuracy;
  $("head").textContent = !state.head ? "no classifier yet"
    : `classifier of ${state.head.labels} labels` +
      (accuracy == null ? "" : `: ${(100 * accuracy).toFixed(1)}% right on held-out labels`);
  for (const button of buttons) {
    const name = button.dataset.label, p = state.guess[name];
    const meter = button.querySelector("meter");
    meter.classList.toggle("known", p !== undefined);
    meter.value = p ?? 0;
    button.querySelector(".guess").textContent = p === undefined ? "" : `${Math.round(100 * p)}%`;
    button.querySelector(".count").textContent = state.counts[name];
  }
  $("last").textContent = !state.last ? ""
    : `Last: ${state.last.id} ${state.last.label ? `is ${state.last.label}` : "was skipped"}.`;
  $("error").textContent = state.error ?? "";
  $("coming").replaceChildren(...coming.map(({ id, row }) => {
    const small = new Image();
    small.src = `image/${row}.png`;
    small.alt = small.title = id;
    return small;
  }));
}

async function ask(name, body) {
  if (busy) return;
  busy = true;
  document.body.classList.add("busy");
  try {
    const options = body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    const answer = await fetch(name, options);
    if (!answer.headers.get("Content-Type").startsWith("application/json")) {
      throw new Error(`${answer.status} ${answer.statusText}`);
    }
    show(await answer.json());
  } catch (error) {
    $("error").textContent = `Not recorded: ${error.message}. Is astrojax label still running?`;
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

const label = (button) => current && ask("label", { id: current.id, label: button.dataset.label });
const skip = () => current && ask("skip", { id: current.id });
const undo = () => ask("undo", {});
const refit = () => ask("refit", {});

buttons.forEach((button) => button.addEventListener("click", () => label(button)));
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("refit").addEventListener("click", refit);
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase(), button = buttons[Number(key) - 1];
  if (/^[1-9]$/.test(key) && button) label(button);
  else if (key === "s") skip();
  else if (key === "u") undo();
  else if (key === "r") refit();
  else return;
  event.preventDefault();
});
ask("state");
