// The drawing of NESL (console/segments/nesl_flow.py) answers as a chart does: what a box or an arrow says is shown beside
// it, and what it touches stands out. It is one stop of the Tab key; arrows go from a box to the steps that leave it and on
// to the next box, Enter opens the list of those people. A screen reader reads the same from the link that has the focus.
import { stepOf } from "./chart_keys.js";
import { hideTip, showTip } from "./tip.js";

const statesOf = (part) => part.dataset.states.split(" ");
const isBox = (part) => statesOf(part).length === 1;

function touches(one, other) {
  return one === other || (isBox(one) !== isBox(other) && statesOf(one).some((name) => statesOf(other).includes(name)));
}

for (const drawing of document.querySelectorAll("svg[data-flow]")) {
  const parts = [...drawing.querySelectorAll("[data-states]")];
  const links = parts.filter((part) => part.hasAttribute("href"));
  const partOf = (event) => event.target.closest("[data-states]");

  function show(part) {
    for (const one of parts) one.classList.toggle("aside", !touches(one, part));
    showTip(part.getAttribute("aria-label"), part.querySelector("text").getBoundingClientRect());
  }
  function close() {
    for (const one of parts) one.classList.remove("aside");
    hideTip();
  }

  drawing.addEventListener("pointerover", (event) => (partOf(event) ? show(partOf(event)) : close()));
  drawing.addEventListener("pointerleave", close);
  drawing.addEventListener("focusin", (event) => show(partOf(event)));
  drawing.addEventListener("focusout", close);
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    const step = stepOf(event);
    const from = links.indexOf(partOf(event));
    if (step === undefined || from < 0) return;
    event.preventDefault();
    const to = links[Math.min(Math.max(from + step, 0), links.length - 1)];
    links[from].setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
    to.focus();
  });
}
