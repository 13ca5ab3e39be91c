// Keeps the progress of runs up to date. Without this script, the page shows the progress
// at the time it was loaded.

import { announce, formatBytes, formatNumber, outOfDate } from "./app.js";

const places = new Map([...document.querySelectorAll("[data-live]")].map((place) => [place.dataset.live, place]));
let stream = null;

function show(place, run) {
  place.hidden = false;
  place.dataset.ran = "yes";
  place.querySelector("[data-runner]").textContent = run.runner;
  const bar = place.querySelector("[data-bar]");
  bar.hidden = !run.here;
  bar.max = Math.max(1, run.done + run.due);
  bar.value = run.done;
  let words = `${formatNumber(run.lacking)} recordings still to fetch`;
  if (run.here) {
    words = `${formatNumber(run.done)} of ${formatNumber(run.done + run.due)} recordings, ${formatBytes(run.bytes)}`;
    if (run.lists) words += `; ${formatNumber(run.lists)} lists to go`;
    if (run.left) words += `; about ${run.left} left`;
  }
  place.querySelector("[data-words]").textContent = words;
  place.querySelector("[data-workers]").replaceChildren(...(run.tenants ?? []).map(line));
}

function line(tenant) {
  const item = document.createElement("li");
  const parts = [["strong", tenant.tenant], ["figures", `${formatNumber(tenant.done)} of ${formatNumber(tenant.done + tenant.due)}`], ["muted", tenant.state]];
  for (const [name, text] of parts) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part, " ");
  }
  return item;
}

// A run that has ended leaves a link that loads the present state.
function ended(place) {
  if (place.hidden || place.dataset.ended) return;
  place.dataset.ended = "yes";
  const words = document.createElement("p");
  const link = document.createElement("a");
  link.href = location.href;
  link.className = "button small";
  link.textContent = "Show the current state";
  words.className = "cluster";
  words.append("The run has ended. ", link);
  place.replaceChildren(words);
  announce("The run has ended.");
}

function take(event) {
  const runs = new Map(JSON.parse(event.data).runs.map((run) => [run.source, run]));
  for (const [source, place] of places) {
    const run = runs.get(source);
    if (!run) ended(place);
    else if (place.dataset.ended) location.reload();
    else show(place, run);
  }
}

// A hidden tab closes its stream, to leave the connection to visible ones.
function listen() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream && places.size) {
    stream = new EventSource("/completeness/events");
    stream.onmessage = take;
    stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) refused(); };
  }
}

// A stream that was cut off reconnects by itself; one that was refused does not. The
// page's own address says why it was refused: a passing trouble is waited out.
async function refused() {
  stream = null;
  let status = 503;
  try {
    ({ status } = await fetch("/completeness", { method: "HEAD", headers: { Accept: "application/json" }, cache: "no-store" }));
  } catch { /* the service is away, as app.js says */ }
  if (status < 400 || status === 429 || status >= 500) setTimeout(listen, 5000);
  else outOfDate();
}

for (const link of document.querySelectorAll(".no-script")) link.hidden = true;
document.addEventListener("visibilitychange", listen);
listen();
