// Where a part of a page could not be renewed, a notice above it says so: what stands there would look as if it were new.
const words = document.getElementById("part-failed");

function noticeOf(part) {
  const before = part.previousElementSibling;
  return before?.classList.contains("part-failed") ? before : null;
}

function partOf(event) {
  const part = event.detail.target;
  return part.closest("table") ?? part; // a paragraph can't stand between rows
}

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const part = partOf(event);
    if (!noticeOf(part)) part.before(words.content.cloneNode(true));
  });
}
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.detail.isError) noticeOf(partOf(event))?.remove();
});
