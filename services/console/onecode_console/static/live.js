// Keep the changing part of a page fresh: the server draws it again, here it is only put in place.
// What a person is doing (an open dialog, a field with focus, text marked) is never swapped away.
import { listen } from "./stream.js";

const STALE_MS = 20_000;
const REST_MS = 900;
const region = document.querySelector("[data-live]");
const bar = document.querySelector("#stale");
let fresh = performance.now();
let timer = 0;
let running = false;

function busy() {
  const active = document.activeElement;
  const typing = region.contains(active) && active.matches("input, textarea, select");
  const marked = getSelection();
  const selecting = marked && !marked.isCollapsed && region.contains(marked.anchorNode);
  return typing || selecting || region.querySelector(":popover-open") !== null;
}

function place(html) {
  const open = [...region.querySelectorAll("details[open][id]")].map((one) => one.id);
  const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
  region.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus();
  document.dispatchEvent(new CustomEvent("oc:placed"));
}

async function refresh() {
  clearTimeout(timer);
  timer = 0;
  if (running || document.hidden) return;
  running = true;
  try {
    const where = new URL(location.href);
    where.searchParams.set("part", "live");
    const answer = await fetch(where, { headers: { "X-OneCode-Background": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) { location.reload(); return; }
    if (!answer.ok) return;
    const html = await answer.text();
    fresh = performance.now();
    if (!busy()) place(html);
  } catch {
    // The server is away; the bar says so, and the next turn tries again.
  } finally {
    running = false;
    again();
  }
}

function again() {
  const every = Number(region.dataset.every || region.querySelector("[data-every]")?.dataset.every || 0);
  if (every && !timer) timer = setTimeout(refresh, every * 1000);
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, REST_MS);
}

function look() {
  const seconds = Math.round((performance.now() - fresh) / 1000);
  const watched = Boolean(region.dataset.every || region.querySelector("[data-every]"));
  const stale = watched && !document.hidden && seconds * 1000 > STALE_MS;
  if (bar.hidden === stale) bar.hidden = !stale;
  if (stale) bar.textContent = bar.dataset.text.replace("{seconds}", seconds);
  for (const button of document.querySelectorAll("[data-fresh]")) button.toggleAttribute("inert", stale);
}

if (region) {
  const topics = (region.dataset.topics || "").split(",").filter(Boolean);
  listen(topics, (message) => {
    if (message.name === "closed") return;
    if (message.name !== "open") soon();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { fresh = performance.now(); soon(); } });
  setInterval(look, 2000);
  again();
}
