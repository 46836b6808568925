// The menu of a narrow screen opens and closes; without this script it simply stands there.
const button = document.getElementById("menu-button");
const menu = document.getElementById("menu");

function setOpen(isOpen) {
  button.setAttribute("aria-expanded", String(isOpen));
  menu.classList.toggle("open", isOpen);
}

if (button && menu) {
  document.documentElement.classList.add("scripted");
  button.hidden = false;
  button.addEventListener("click", () => setOpen(button.getAttribute("aria-expanded") !== "true"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && button.getAttribute("aria-expanded") === "true") {
      setOpen(false);
      button.focus();
    }
  });
}
