// What every page does in the browser: it writes times and numbers for the reader's
// locale, makes the copy buttons work, and says when the service is away. Every page
// works without it.

// A time in a tenant's zone, which may differ from the reader's, names the zone, unless
// the text around it does.
const inWords = { year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };
const formats = {
  moment: { dateStyle: "medium", timeStyle: "medium" },
  momentIn: { ...inWords, second: "2-digit", timeZoneName: "short" },
  minute: { dateStyle: "medium", timeStyle: "short" },
  minuteIn: { ...inWords, timeZoneName: "short" },
  day: { dateStyle: "medium" },
  clock: { timeStyle: "medium" },
  whole: { dateStyle: "full", timeStyle: "long" }, // the tooltip
};

// made caches formatters: making one takes longer than writing a page of times with it.
const made = new Map();

function once(name, make) {
  if (!made.has(name)) made.set(name, make());
  return made.get(name);
}

function formatTime(at, form, timeZone) {
  return once(`${form} ${timeZone}`, () => new Intl.DateTimeFormat(undefined, { ...formats[form], timeZone })).format(at);
}

/** localize rewrites the <time> and <data> elements below root for the reader's locale. */
export function localize(root = document) {
  for (const element of root.querySelectorAll("time[data-form]")) {
    const at = new Date(element.dateTime);
    const { form, zone } = element.dataset; // the zone is the tenant's; without one it is the reader's own
    if (!formats[form] || Number.isNaN(at.getTime())) continue;
    try {
      element.textContent = formatTime(at, form, zone);
      element.title = formatTime(at, "whole", zone);
    } catch {
      // This browser does not know the zone: what the server wrote stays.
    }
  }
  for (const element of root.querySelectorAll("data[data-form]")) {
    element.textContent = element.dataset.form === "bytes" ? formatBytes(Number(element.value)) : formatNumber(Number(element.value));
  }
}

/** formatNumber writes a number for the reader's locale. */
export function formatNumber(n) {
  return once("number", () => new Intl.NumberFormat()).format(n);
}

const byteUnits = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"];

/** formatBytes writes a number of bytes for the reader's locale. */
export function formatBytes(n) {
  let unit = 0;
  while (Math.abs(n) >= 1000 && unit < byteUnits.length - 1) {
    n /= 1000;
    unit++;
  }
  if (!unit) return `${formatNumber(n)} B`;
  return once(byteUnits[unit], () => new Intl.NumberFormat(undefined, {
    style: "unit", unit: byteUnits[unit], unitDisplay: "short", maximumFractionDigits: 1,
  })).format(n);
}

/** announce has screen readers say a text. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

// A button with data-copy="ID" copies the text of the element with that id.
function copyButtons() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const result = await copy(document.getElementById(button.dataset.copy)) ? "Copied" : "Selected: copy it by hand";
      button.textContent = result;
      announce(result);
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
}

// copy copies the text of an element. Browsers offer navigator.clipboard only over TLS or
// on localhost, and may refuse it.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

// A second click does not send a form again while it is on its way: the answer to the
// first, which may be a key that is shown once, would be lost.
const patience = 5000; // milliseconds
const sent = new WeakMap();

document.addEventListener("submit", event => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (performance.now() - (sent.get(form) ?? -patience) < patience) event.preventDefault();
  else sent.set(form, performance.now());
});

// The banner says that the service is away, and that it is back.
const banner = document.getElementById("banner");
let away = false;
let past = false; // the page is out of date for good
let timer = 0;

// serviceAway says that the service is not responding, and asks until it does.
function serviceAway() {
  if (!away) {
    away = true;
    banner.className = "banner";
    banner.textContent = "The service is not responding. This page stays as it is and keeps trying.";
    banner.hidden = false;
  }
  ask(1500);
}

function serviceBack() {
  if (!away) return;
  away = false;
  banner.className = "banner ok";
  banner.textContent = "The service is back.";
  setTimeout(() => { if (!away && !past) banner.hidden = true; }, 3000);
  document.dispatchEvent(new Event("serviceback"));
}

/** outOfDate says that the page is no longer kept up to date: its visitor is no longer signed in, or may not see it. */
export function outOfDate() {
  past = true;
  const link = document.createElement("a");
  link.href = location.pathname + location.search;
  link.textContent = "Reload";
  banner.className = "banner";
  banner.replaceChildren("This page is no longer kept up to date: your session has ended, someone else has signed in, or your access has changed. ", link);
  banner.hidden = false;
}

// ask checks after a while whether the service responds, and whether the same visitor is
// signed in as when the page was made. A hidden tab does not check.
function ask(after) {
  clearTimeout(timer);
  timer = setTimeout(look, after);
}

async function look() {
  if (document.hidden || past) return;
  try {
    const answer = await fetch("/alive", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(String(answer.status)); // a proxy responds in its place
    if ((answer.headers.get("X-Visitor") ?? "") !== (document.body.dataset.visitor ?? "")) return outOfDate();
    serviceBack();
    ask(20000);
  } catch {
    serviceAway();
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(100); });
window.addEventListener("offline", () => ask(100));
window.addEventListener("online", () => ask(100));

// After signing in, a visitor comes to the place in the page that the link named.
for (const form of document.querySelectorAll("form[action='/sign-in']")) form.action += location.hash;

localize();
copyButtons();
ask(20000);
