// What the page tells at its top stays when a part has the whole page renewed, until something else is told.
const KEY = "told:" + location.pathname;
const told = document.getElementById("told");
const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
sessionStorage.removeItem(KEY);

if (told && !told.children.length) {
  for (const [className, words] of kept) {
    const line = document.createElement("p");
    line.className = className;
    line.textContent = words;
    line.setAttribute("role", "status");
    told.append(line);
  }
}
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (!told || event.detail.xhr.getResponseHeader("HX-Refresh") !== "true") return;
  sessionStorage.setItem(KEY, JSON.stringify([...told.children].map((line) => [line.className, line.textContent])));
});
