// A word's definition is shown where the word stands: going to its page would take away what is typed in a form.
const box = document.getElementById("definition");

function show(word) {
  box.querySelector("b").textContent = word.classList.contains("term") ? word.ariaLabel : word.textContent;
  box.querySelector("p").textContent = word.title;
  box.querySelector("a").href = word.href;
  box.showPopover();
  const { left, top, bottom } = word.getBoundingClientRect();
  const below = bottom + box.offsetHeight < window.innerHeight;
  box.style.left = `${Math.max(8, Math.min(left, window.innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${below ? bottom + 4 : Math.max(8, top - box.offsetHeight - 4)}px`;
  box.querySelector("a").focus();
}

document.addEventListener("click", (event) => {
  const word = event.target.closest("a.word, a.term");
  const wantsPage = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!word || wantsPage || !box?.showPopover) return;
  event.preventDefault();
  show(word);
});
