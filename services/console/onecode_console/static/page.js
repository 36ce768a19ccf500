// Small comforts of every page: times in the reader's zone, values under the pointer, no double sending.
import "./live.js";

function localTimes() {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });
  for (const one of document.querySelectorAll("time[datetime]")) {
    const shown = format.format(new Date(one.dateTime));
    if (one.hasAttribute("data-absolute")) one.textContent = shown;
    else one.title = shown;
  }
}

function rowsOf(figure) {
  if (!figure.rows) figure.rows = JSON.parse(figure.querySelector("script").textContent);
  return figure.rows;
}

function point(figure, svg, index) {
  const rows = rowsOf(figure);
  const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
  if (!row) return;
  figure.at = rows.indexOf(row);
  const [low, high] = svg.dataset.range.split(" ").map(Number);
  const most = Number(svg.dataset.most) || 1;
  const x = low + (row[0] / most) * (high - low);
  const cursor = svg.querySelector(".cursor");
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
  cursor.removeAttribute("visibility");
  figure.querySelector("output").textContent = row[1];
}

function nearest(figure, svg, clientX) {
  const box = svg.getBoundingClientRect();
  const scale = svg.viewBox.baseVal.width / box.width;
  const [low, high] = svg.dataset.range.split(" ").map(Number);
  const value = ((clientX - box.left) * scale - low) / (high - low) * (Number(svg.dataset.most) || 1);
  const rows = rowsOf(figure);
  let best = 0;
  for (let index = 1; index < rows.length; index += 1) {
    if (Math.abs(rows[index][0] - value) < Math.abs(rows[best][0] - value)) best = index;
  }
  return best;
}

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest?.("svg[data-most]");
  if (svg) { const figure = svg.closest("figure"); point(figure, svg, nearest(figure, svg, event.clientX)); }
});
document.addEventListener("keydown", (event) => {
  const svg = event.target.closest?.("svg[data-most]");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!svg || !step) return;
  event.preventDefault();
  const figure = svg.closest("figure");
  point(figure, svg, (figure.at ?? rowsOf(figure).length) + step);
});
document.addEventListener("submit", (event) => {
  for (const button of event.target.querySelectorAll("button")) setTimeout(() => { button.disabled = true; });
});
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("form button")) button.disabled = false;
});
document.addEventListener("oc:placed", localTimes);
localTimes();
