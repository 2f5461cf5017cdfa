"use strict";
// The view is a rectangle of the picture, its viewBox: moving and zooming change nothing else, so
// it costs the same with 5 boxes and with 5,000.
const svg = document.querySelector("#view svg");
const boxes = Array.from(svg.querySelectorAll(".box"));
const search = document.getElementById("search");
const count = document.getElementById("count");
const about = document.getElementById("about");
const paper = svg.viewBox.baseVal;
const whole = { x: 0, y: 0, width: paper.width, height: paper.height };
let view = { ...whole };

function show() {
  svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
}

// What of the picture is under a point of the screen. The picture keeps its proportions.
function at(event) {
  const point = new DOMPoint(event.clientX, event.clientY);
  return point.matrixTransform(svg.getScreenCTM().inverse());
}

function zoom(factor, centre) {
  const width = Math.min(Math.max(view.width * factor, 200), whole.width * 4);
  const scale = width / view.width;
  view = {
    x: centre.x - (centre.x - view.x) * scale,
    y: centre.y - (centre.y - view.y) * scale,
    width,
    height: view.height * scale,
  };
  show();
}

function middle() {
  return { x: view.x + view.width / 2, y: view.y + view.height / 2 };
}

function lookAt(box) {
  const frame = box.getBBox();
  const width = Math.max(frame.width * 4, 600);
  const height = width * (svg.clientHeight / svg.clientWidth || 1);
  view = {
    x: frame.x + frame.width / 2 - width / 2,
    y: frame.y + frame.height / 2 - height / 2,
    width,
    height,
  };
  show();
}

function choose(box) {
  for (const one of boxes) one.classList.toggle("chosen", one === box);
  about.textContent = box.dataset.text;
}

// Every word must be in it, in any order; an empty search finds all.
function find() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = boxes.filter((box) => {
    const text = box.dataset.text.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    box.classList.toggle("faded", !fits);
    return fits;
  });
  count.textContent = words.length ? `${found.length} of ${boxes.length}` : "";
  if (words.length && found.length) {
    lookAt(found[0]);
    choose(found[0]);
  }
}

search.addEventListener("input", find);
document.getElementById("closer").addEventListener("click", () => zoom(0.8, middle()));
document.getElementById("farther").addEventListener("click", () => zoom(1.25, middle()));
document.getElementById("whole").addEventListener("click", () => {
  view = { ...whole };
  show();
});
svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.15 : 0.87, at(event));
}, { passive: false });

let held = null;
svg.addEventListener("pointerdown", (event) => {
  held = at(event);
});
svg.addEventListener("pointermove", (event) => {
  if (!held || !event.buttons) return;
  const here = at(event);
  view.x += held.x - here.x;
  view.y += held.y - here.y;
  show();
});
addEventListener("pointerup", () => {
  held = null;
});

for (const box of boxes) {
  box.addEventListener("click", () => choose(box));
  box.addEventListener("focus", () => choose(box));
}
addEventListener("keydown", (event) => {
  if (event.target === search) {
    if (event.key === "Escape") {
      search.value = "";
      find();
    }
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (event.key === "+") zoom(0.8, middle());
  else if (event.key === "-") zoom(1.25, middle());
  else if (event.key === "0") document.getElementById("whole").click();
});
