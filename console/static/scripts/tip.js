// One note for the drawings that the server made, beside the point that it is about. It is for the eye: whoever shows it
// tells screen readers the same.
const MARGIN = 8; // px
const tip = document.createElement("div");
tip.className = "tip";
tip.ariaHidden = "true";
tip.hidden = true;
document.getElementById("main").append(tip);

// `about`: the rectangle of the point, as getBoundingClientRect gives it.
export function showTip(words, about) {
  tip.textContent = words;
  tip.hidden = false;
  const { offsetWidth, offsetHeight } = tip;
  const middle = about.left + about.width / 2 - offsetWidth / 2;
  const left = Math.max(MARGIN, Math.min(middle, document.documentElement.clientWidth - offsetWidth - MARGIN));
  const above = about.top - offsetHeight - MARGIN;
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${(above < 0 ? about.bottom + MARGIN : above) + window.scrollY}px`;
}

export function hideTip() {
  tip.hidden = true;
}

window.addEventListener("resize", hideTip); // what it is about lies elsewhere then
