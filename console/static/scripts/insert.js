// Buttons with data-insert put their words into the text that was last written in.
let last = null;
document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-insert-into]")) last = event.target;
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-insert]");
  const target = last?.isConnected ? last : document.querySelector("[data-insert-into]");
  if (!button || !target) return;
  target.setRangeText(button.dataset.insert, target.selectionStart, target.selectionEnd, "end");
  target.dispatchEvent(new Event("input", { bubbles: true }));
  target.focus();
});
