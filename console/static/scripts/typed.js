// What is typed in a part (data-keeps-typed) while a button of it is on its way isn't lost: the answer, which doesn't know
// it, is not shown, and the button is pressed again by itself. A form is sent whole, so that pressing anew is enough.
const held = new WeakMap(); // a request -> what the part's fields held when it was sent

function heldBy(part) {
  const fields = part.querySelectorAll("input:not([type=hidden]), textarea, select");
  return JSON.stringify([...fields].map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
}

document.addEventListener("htmx:beforeSend", (event) => {
  const part = event.detail.target;
  if (part.matches("[data-keeps-typed]")) held.set(event.detail.xhr, heldBy(part));
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target, isError, requestConfig } = event.detail;
  if (isError || !held.has(xhr) || !target.matches("[data-keeps-typed]") || held.get(xhr) === heldBy(target)) return;
  event.detail.shouldSwap = false;
  const version = target.querySelector("[name=version]");
  const answer = new DOMParser().parseFromString(xhr.responseText, "text/html");
  if (version) version.value = answer.querySelector(`#${target.id} [name=version]`).value;
  htmx.trigger(requestConfig.elt, requestConfig.triggeringEvent.type);
});
