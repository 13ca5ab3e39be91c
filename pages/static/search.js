// Searches as the visitor types: fetches the results of the form and puts them into the
// page, under the address that the form would lead to. Without this script, the button
// of the form does the same.

import { announce, localize } from "./app.js";

const form = document.querySelector("[data-search]");
const results = document.getElementById("results");
const patience = 220; // milliseconds from the last key to the search
const slow = 600; // milliseconds after which the page says that it is searching
const timeout = 20_000; // milliseconds after which a search is given up

/** address returns where the form leads, without parameters for empty fields. */
function address() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const ranged = name === "from" || name === "until";
    if (value.trim() && !(ranged && form.when.value !== "range")) asked.set(name, value.trim());
  }
  return "/recordings" + (asked.size ? `?${asked}` : "");
}

let shown = location.pathname + location.search;
let asking;
let timer = 0;

/** find fetches the results of the form. It drops an earlier search that is still running. */
async function find() {
  clearTimeout(timer);
  const to = address();
  if (to === shown && !results.classList.contains("stale")) return;
  asking?.abort();
  const mine = asking = new AbortController();
  results.classList.add("stale");
  const late = setTimeout(() => {
    results.setAttribute("aria-busy", "true");
    announce("Searching");
  }, slow);
  const never = setTimeout(() => mine.abort(new Error("no answer came")), timeout);
  try {
    const headers = { Accept: "text/html, application/json" }; // JSON: answers 401 instead of redirecting to the sign-in
    const answer = await fetch(`${to}${to.includes("?") ? "&" : "?"}part=results`, { signal: mine.signal, headers });
    if ([401, 403].includes(answer.status)) return location.assign(to); // the whole page says why
    if (!answer.ok && answer.status !== 400) throw new Error(String(answer.status));
    put(await answer.text(), to);
  } catch (error) {
    if (error.name !== "AbortError") trouble();
  } finally {
    clearTimeout(late);
    clearTimeout(never);
  }
}

/** put shows results, and gives the page the search's address, to share or come back to. */
function put(html, to) {
  shown = to;
  history.replaceState(null, "", to);
  results.innerHTML = html;
  results.classList.remove("stale");
  results.removeAttribute("aria-busy");
  localize(results);
  announce(results.querySelector("[data-status]")?.textContent.trim() ?? "");
}

/** trouble leaves the earlier results and says that they are old. */
function trouble() {
  const word = results.querySelector("[data-status]");
  results.removeAttribute("aria-busy");
  if (word) word.textContent = "The service did not respond. These are the earlier results; trying again.";
  timer = setTimeout(find, 3000);
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(find, patience);
}

/** fold shows the days of a range only if a range is chosen. */
function fold() {
  form.querySelector("[data-range]").hidden = form.when.value !== "range";
}

form.addEventListener("input", event => {
  fold();
  suggest(event.target);
  soon();
});
form.addEventListener("submit", event => {
  event.preventDefault();
  find();
});
document.addEventListener("serviceback", () => { if (results.classList.contains("stale")) find(); });

// Suggestions are values that occur in recordings, of the chosen tenant if there is one.
const lists = { tenant: "tenants", agent: "agents", skill: "skills", tag: "tags" };
let suggesting;

async function suggest(field) {
  const list = document.getElementById(lists[field.name] ?? "");
  if (!list) return;
  suggesting?.abort();
  suggesting = new AbortController();
  const asked = new URLSearchParams({ field: field.name, prefix: field.value, tenant: form.tenant.value });
  try {
    const answer = await fetch(`/recordings/suggest?${asked}`, { headers: { Accept: "application/json" }, signal: suggesting.signal });
    if (!answer.ok) return;
    list.replaceChildren(...(await answer.json()).map(({ value, label }) => new Option(label ?? value, value)));
  } catch { /* no suggestions then */ }
}

for (const name of Object.keys(lists)) form[name].addEventListener("focus", event => suggest(event.target), { once: true });

// The keys: / goes to the search, j and k move through the results.
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    form.party.focus();
    form.party.select();
  }
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const links = [...results.querySelectorAll(".result-link")];
  const at = links.indexOf(document.activeElement) + step;
  links[Math.min(Math.max(at, 0), links.length - 1)]?.focus();
});

// A browser that comes back to this page may restore the form's fields; the address decides.
addEventListener("pageshow", () => {
  const asked = new URLSearchParams(location.search);
  for (const field of form.elements) {
    if (field.name && field.value !== (asked.get(field.name) ?? "")) field.value = asked.get(field.name) ?? (field.tagName === "SELECT" ? field.options[0].value : "");
  }
  if ((asked.has("from") || asked.has("until")) && !asked.get("when")) form.when.value = "range";
  shown = location.pathname + location.search;
  fold();
});

fold();
