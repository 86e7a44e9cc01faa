"use strict";
const SVG = "http://www.w3.org/2000/svg";
const stacks = new Map();
let chosen = null;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  return made;
}

class Stack {
  constructor(figure) {
    this.figure = figure;
    this.data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    this.drawing = figure.querySelector(".drawing");
    this.image = figure.querySelector("image");
    this.outlines = figure.querySelector(".outlines");
    this.names = figure.querySelector(".names");
    this.slider = figure.querySelector('input[type="range"]');
    this.position = figure.querySelector(".position");
    this.slider.max = this.data.slices.length - 1;
    this.at = Math.floor((this.data.slices.length - 1) / 2);
    this.outlines.setAttribute("transform", `scale(${this.data.scale[0]} ${this.data.scale[1]})`);
    this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
    this.drawing.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.show(this.at + Math.sign(event.deltaY));
    }, { passive: false });
    figure.addEventListener("keydown", (event) => {
      if (event.target instanceof HTMLInputElement) return;
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.show(this.at + step);
    });
    for (const choice of figure.querySelectorAll(".choices input")) choice.addEventListener("change", () => this.show(this.at));
    this.show(this.at);
  }

  show(wanted) {
    const { slices, series, layers, positions, every } = this.data;
    this.at = Math.min(Math.max(wanted, 0), slices.length - 1);
    this.slider.value = this.at;
    const picked = this.figure.querySelector('input[type="radio"]:checked');
    const one = series[picked ? Number(picked.value) : 0];
    this.image.setAttribute("href", one.images[this.at]);
    this.drawing.classList.toggle("light", one.light);
    this.position.textContent = `slice ${this.at * every + 1} of ${(slices.length - 1) * every + 1}, ${positions[this.at]}`;
    const shown = new Set([...this.figure.querySelectorAll('input[type="checkbox"]:checked')].map((box) => Number(box.value)));
    const on = (layer, value) => chosen !== null && chosen.stack === this && chosen.layer === layers[layer].name && chosen.value === value;
    const colour = (layer, value) => layers[layer].colours[value] ?? layers[layer].colour;
    this.outlines.replaceChildren(...slices[this.at].o.filter((each) => shown.has(each[0]) || on(each[0], each[1])).map(
      ([layer, value, d]) => element("path", { d, stroke: colour(layer, value), class: on(layer, value) ? "on" : "" })));
    this.names.replaceChildren(...slices[this.at].t.filter((each) => shown.has(each[0]) || on(each[0], each[1])).map(
      ([layer, value, text, x, y]) => element("text", { x, y, fill: colour(layer, value) }, text)));
  }
}

function go(from) {
  const { slice, layer, value } = from.dataset;
  const target = from.dataset.go ?? from.getAttribute("href").slice(1);
  for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
  for (const row of document.querySelectorAll("tr[data-go]")) {
    if (row.dataset.go === target && row.dataset.layer === layer && row.dataset.value === value) row.classList.add("chosen");
  }
  const stack = stacks.get(target);
  if (stack) {
    chosen = { stack, layer, value: Number(value) };
    stack.show(Math.round(Number(slice) / stack.data.every));
    stack.figure.focus({ preventScroll: true });
    stack.figure.scrollIntoView({ block: "nearest" });
    return;
  }
  for (const path of document.querySelectorAll('path[data-layer="shapes"]')) path.classList.toggle("on", path.dataset.value === value);
  const found = document.querySelector(`path[data-layer="shapes"][data-value="${Number(value)}"]`);
  if (found) found.closest("figure").scrollIntoView({ block: "nearest" });
}

for (const figure of document.querySelectorAll("figure.stack")) stacks.set(figure.id, new Stack(figure));
document.addEventListener("click", (event) => {
  const from = event.target.closest("tr[data-go], a[data-slice]");
  if (!from) return;
  event.preventDefault();
  go(from);
});
const button = document.querySelector(".copy");
button.addEventListener("click", async () => {
  const text = document.querySelector(".reasoning");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
});
