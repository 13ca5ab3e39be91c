// The progress of runs, live: the page tells it without this too, as of when it
// was loaded.

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

// What was at work and is not any more leaves a way to how it stands now.
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

// A stream that nobody sees would keep a connection from the tabs that are seen.
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

// A stream that was broken off comes again by itself, one that was refused does not. Why
// it was is told by the page's own address: what passes by itself is waited for.
async function refused() {
  stream = null;
  let status = 503;
  try {
    ({ status } = await fetch("/completeness", { method: "HEAD", headers: { Accept: "application/json" }, cache: "no-store" }));
  } catch { /* the service is away, which app.js tells */ }
  if (status < 400 || status === 429 || status >= 500) setTimeout(listen, 5000);
  else outOfDate();
}

for (const link of document.querySelectorAll(".no-script")) link.hidden = true;
document.addEventListener("visibilitychange", listen);
listen();
