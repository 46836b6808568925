// What a part that was renewed tells for elsewhere (data-told: an id) is shown there, if that is still on the page.
document.addEventListener("htmx:afterSwap", (event) => {
  for (const told of event.target.querySelectorAll("[data-told]")) {
    const shown = document.getElementById(told.dataset.told);
    if (!shown) continue;
    shown.textContent = told.textContent;
    shown.className = told.className;
  }
});
