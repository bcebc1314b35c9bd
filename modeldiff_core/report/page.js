"use strict";
const viewer = document.querySelector("dialog");
const stage = viewer.querySelector(".stage");
let group = [];
let at = 0;

function show(index) {
  at = (index + group.length) % group.length;
  const shown = group[at].querySelector("img");
  const image = new Image();
  image.src = shown.currentSrc || shown.src;
  image.alt = shown.alt;
  image.className = shown.className || (shown.closest("picture") ? "drawing" : "photo");
  stage.replaceChildren(image);
  viewer.querySelector(".caption").textContent = shown.alt;
}

function members(button) {
  const around = button.closest("[data-group]");
  return around ? [...around.querySelectorAll("button.zoom")] : [button];
}

// A gallery is one stop of the Tab key, where one was last; the arrow keys move inside it.
function stop(all, chosen) {
  all.forEach((button) => (button.tabIndex = button === chosen ? 0 : -1));
}
for (const gallery of document.querySelectorAll("[data-group]")) {
  const all = [...gallery.querySelectorAll("button.zoom")];
  stop(all, all[0]);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.zoom");
  if (!button) return;
  group = members(button);
  viewer.classList.toggle("single", group.length === 1);
  show(group.indexOf(button));
  viewer.showModal();
});

viewer.addEventListener("click", (event) => {
  if (event.target === viewer || event.target.closest("[data-close]")) leave();
  const step = event.target.closest("[data-step]");
  if (step) show(at + Number(step.dataset.step));
});

// At once, not on "close", which comes after keys that were pressed meanwhile.
function leave() {
  viewer.close();
  stop(group, group[at]);
  group[at].focus();
}
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  leave();
});

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  if (viewer.open) return show(at + step);
  const button = event.target.closest("[data-group] button.zoom");
  if (!button) return;
  const all = members(button);
  const next = all[(all.indexOf(button) + step + all.length) % all.length];
  stop(all, next);
  next.focus();
  event.preventDefault();
});

// Where a page may not write to the clipboard, the text is selected instead.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => (button.textContent = words), 2000);
});

// A link to a direction or an effect opens what it is folded into.
function unfold() {
  let place = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  for (; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
}
addEventListener("hashchange", unfold);
unfold();

// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
