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

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.zoom");
  if (!button) return;
  group = members(button);
  viewer.classList.toggle("single", group.length === 1);
  show(group.indexOf(button));
  viewer.showModal();
});

viewer.addEventListener("click", (event) => {
  if (event.target === viewer || event.target.closest("[data-close]")) viewer.close();
  const step = event.target.closest("[data-step]");
  if (step) show(at + Number(step.dataset.step));
});

viewer.addEventListener("close", () => group[at].focus());

// A gallery is one stop of the Tab key; the arrow keys move inside it.
for (const gallery of document.querySelectorAll("[data-group]")) {
  gallery.querySelectorAll("button.zoom").forEach((button, index) => (button.tabIndex = index ? -1 : 0));
}

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  if (viewer.open) return show(at + step);
  const button = event.target.closest("[data-group] button.zoom");
  if (!button) return;
  const all = members(button);
  const next = all[(all.indexOf(button) + step + all.length) % all.length];
  all.forEach((other) => (other.tabIndex = other === next ? 0 : -1));
  next.focus();
  event.preventDefault();
});

// A link to a direction or an effect opens what it is folded into.
function unfold() {
  let place = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  for (; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
}
addEventListener("hashchange", unfold);
unfold();
