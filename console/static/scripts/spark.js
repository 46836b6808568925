// A small line over time (console/frame/spark.py) answers as a chart does: the day and the number under the pointer are
// shown; with the keys one goes from day to day, and is told. The listeners serve all lines of the page, however many.
import { stepOf } from "./chart_keys.js";
import { hideTip, showTip } from "./tip.js";

const mark = document.createElementNS("http://www.w3.org/2000/svg", "circle"); // of the point that is shown
mark.setAttribute("r", "3");
const told = document.createElement("p");
told.className = "unseen";
told.setAttribute("role", "status");
document.getElementById("main").append(told);
let at = -1;

const lineOf = (node) => node?.closest?.("svg.spark") ?? null;
const wordsOf = (line) => line.dataset.said.split("|");

function show(line, place) {
  const { points } = line.querySelector("polyline");
  at = Math.min(Math.max(place, 0), points.numberOfItems - 1);
  const point = points.getItem(at);
  mark.setAttribute("cx", point.x);
  mark.setAttribute("cy", point.y);
  line.append(mark);
  showTip(wordsOf(line)[at], mark.getBoundingClientRect());
}

function close() {
  at = -1;
  mark.remove();
  hideTip();
  told.textContent = "";
}

document.addEventListener("pointermove", (event) => {
  const line = lineOf(event.target);
  if (!line) return;
  const { left, width } = line.getBoundingClientRect();
  show(line, Math.round(((event.clientX - left) / width) * (wordsOf(line).length - 1)));
});
document.addEventListener("pointerout", (event) => {
  const isLeft = lineOf(event.target) && lineOf(event.relatedTarget) !== lineOf(event.target);
  if (isLeft && event.pointerType !== "touch") close(); // a finger that is lifted has read nothing yet
});
document.addEventListener("keydown", (event) => {
  const line = lineOf(event.target);
  if (!line) return;
  if (event.key === "Escape") close();
  const step = stepOf(event);
  if (step === undefined) return;
  event.preventDefault();
  const from = mark.parentNode === line ? at : -1;
  show(line, from < 0 && step < 0 ? 0 : from + step);
  told.textContent = wordsOf(line)[at];
});
document.addEventListener("focusout", (event) => {
  if (lineOf(event.target)) close();
});
