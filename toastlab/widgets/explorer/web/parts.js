// What stands beside the planes: images, the gallery, the curve and the words of one sample.

import { NONE } from "./store.js";
import { fitted, look } from "./plot.js";

const TILES = 60; // images on a page of the gallery
const TILE = 72; // pixels from one image to the next
export const MARKS = "●■◆▲▼✚"; // of the classes, in the order of the shapes in plot.js
export const digits = (x) => x.toLocaleString("en");

/** An element with its properties and children; text is never read as HTML. */
export function make(tag, about = {}, ...children) {
  const element = Object.assign(document.createElement(tag), about);
  element.append(...children);
  return element;
}

/** The mark of a class in its colour. */
export function mark(store, label) {
  const text = MARKS[label === NONE ? 0 : label % MARKS.length];
  const element = make("span", { ariaHidden: "true" }, `${text} `);
  element.style.color = store.css(label);
  return element;
}

/** Draws images of samples, cut out of sheets of many; each is decoded when it is first needed. */
export function imagesOf({ meta, tile }, buffers) {
  const sheets = [];
  return async function draw(canvas, row) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    canvas.row = row;
    if (!tile || tile[row] < 0) return;
    const { width, height, columns, each } = meta.images;
    const [which, at] = [Math.floor(tile[row] / each), tile[row] % each];
    sheets[which] ??= createImageBitmap(new Blob([buffers[`sheet${which}`]]));
    const sheet = await sheets[which];
    if (canvas.row !== row) return; // meanwhile another one was asked for
    const scale = Math.min(canvas.width / width, canvas.height / height);
    const [w, h] = [width * scale, height * scale];
    const from = [(at % columns) * width, Math.floor(at / columns) * height, width, height];
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(sheet, ...from, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
  };
}

/** A sample in words, with the scores of these names. */
export function words(store, row, scores) {
  const { meta } = store;
  const pair = (name, ...what) => [make("dt", {}, name), make("dd", {}, ...what)];
  const named = (name, label) => pair(name, mark(store, label), store.name(label));
  const parts = named("label", store.label[row]);
  if (store.flipped(row)) parts.push(...named("true label", store.clean[row]));
  if (store.prediction) parts.push(...named("predicted", store.predicted(row)));
  const p = store.probability(row);
  if (p >= 0) parts.push(...pair("p of label", p.toFixed(2)));
  for (const name of scores) {
    const value = store.scores[name][row];
    if (!Number.isNaN(value)) parts.push(...pair(meta.words[name], Number(value.toPrecision(3))));
  }
  return parts;
}

/** Fills the section with images of what is selected, or else shown; returns what draws them. */
export function gallery(section, store, drawImage) {
  const [box, note] = ["[role=listbox]", "header span"].map((at) => section.querySelector(at));
  const [back, on] = section.querySelectorAll("button");
  let [page, rows] = [0, []];
  back.onclick = () => { page -= 1; draw(); };
  on.onclick = () => { page += 1; draw(); };
  const tiles = Array.from({ length: TILES }, (_, i) => {
    const picture = make("canvas", { width: 56, height: 56, hidden: !store.tile });
    const tile = make("div", { role: "option", id: `${store.key}-${i}` }, picture, make("span"));
    tile.onpointerenter = () => store.hover(rows[page * TILES + i]);
    tile.onpointerleave = () => store.hover(-1);
    tile.onclick = (event) => {
      const row = rows[page * TILES + i];
      if (event.shiftKey || event.ctrlKey || event.metaKey) store.select([row], "toggle");
      store.change({ focus: row });
    };
    return tile;
  });
  box.append(...tiles);
  box.onkeydown = (event) => {
    const columns = Math.max(1, Math.floor(box.clientWidth / TILE));
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!step || !rows.length) return;
    event.preventDefault();
    const at = rows.indexOf(store.view.focus);
    const next = at < 0 ? page * TILES : Math.max(0, Math.min(rows.length - 1, at + step));
    page = Math.floor(next / TILES);
    store.change({ focus: rows[next] });
  };
  function draw() {
    rows = store.ordered();
    page = Math.max(0, Math.min(page, Math.ceil(rows.length / TILES) - 1));
    const first = page * TILES;
    const some = rows.slice(first, first + TILES);
    tiles.forEach((tile, i) => {
      tile.hidden = i >= some.length;
      if (!tile.hidden) show(tile, some[i]);
    });
    box.setAttribute("aria-activedescendant", tiles[some.indexOf(store.view.focus)]?.id ?? "");
    const range = rows.length ? `${first + 1}–${first + some.length} of ` : "";
    note.textContent = `${range}${digits(rows.length)} ${store.count ? "selected" : "shown"}`;
    back.disabled = page === 0;
    on.disabled = first + TILES >= rows.length;
  }
  function show(tile, row) {
    drawImage(tile.firstChild, row);
    const label = store.name(store.label[row]);
    const text = store.wrong(row) ? `${label} → ${store.name(store.predicted(row))}` : label;
    tile.lastChild.textContent = text;
    tile.ariaLabel = `${store.id(row)}: ${text}${store.flipped(row) ? ", label flipped" : ""}`;
    tile.ariaSelected = String(store.selected[row] === 1);
    tile.classList.toggle("tl-flipped", store.flipped(row));
    tile.classList.toggle("tl-focus", row === store.view.focus);
  }
  return draw;
}

/** Fills the section with one sample: image, words, and the curve of its label's probability. */
export function sample(section, store, drawImage) {
  const { choices, epochs } = store.meta;
  const [picture, curve] = section.querySelectorAll("canvas");
  const [about, title, note] = ["dl", "header span", "p"].map((at) => section.querySelector(at));
  curve.hidden = note.hidden = epochs < 2 || !store.curve;
  const [left, right, top, bottom] = [34, 10, 8, 30];
  const x = (epoch) => left + (epoch / (epochs - 1)) * (curve.clientWidth - left - right);
  const y = (p) => curve.clientHeight - bottom - p * (curve.clientHeight - top - bottom);
  curve.onclick = ({ offsetX }) => {
    store.change({ epoch: Math.round((offsetX - left) / (x(1) - left)) });
  };
  function line(context, values, style) {
    Object.assign(context, { lineWidth: 1.5, ...style });
    context.beginPath();
    values.forEach((p, e) => { if (p >= 0) context.lineTo(x(e), y(p)); });
    context.stroke();
  }
  function axes(context, { ink, faint, font }) {
    Object.assign(context, { font, fillStyle: ink, textAlign: "right" });
    for (const p of [0, 0.5, 1]) {
      line(context, Array(epochs).fill(p), { strokeStyle: faint, lineWidth: 1 });
      context.fillText(p, left - 6, y(p) + 4);
    }
    context.textAlign = "center";
    const every = Math.ceil(epochs / 8);
    for (let e = 0; e < epochs; e += every) context.fillText(e + 1, x(e), y(0) + 14);
    context.fillText("epoch", (x(0) + x(epochs - 1)) / 2, y(0) + 27);
    context.fillRect(x(store.view.epoch) - 0.5, top, 1, y(0) - top);
  }
  return function draw() {
    const row = store.view.focus;
    [about.hidden, picture.hidden] = [row < 0, row < 0 || !store.tile];
    title.textContent = row < 0 ? "click a point or an image" : store.id(row);
    about.replaceChildren(...(row < 0 ? [] : words(store, row, choices.score)));
    if (row >= 0) drawImage(picture, row);
    if (curve.hidden) return;
    const { context, width, height } = fitted(curve);
    context.clearRect(0, 0, width, height);
    axes(context, look(curve));
    if (row < 0) return;
    const values = Array.from({ length: epochs }, (_, e) => store.probability(row, e));
    line(context, values, { strokeStyle: store.css(store.label[row]), lineWidth: 2 });
    values.forEach((p, e) => {
      if (!(p >= 0)) return;
      context.fillStyle = store.css(store.predicted(row, e));
      context.beginPath();
      context.arc(x(e), y(p), 3.5, 0, 7);
      context.fill();
    });
    const end = values[epochs - 1].toFixed(2);
    curve.ariaLabel = `${store.id(row)}: its label has probability ${end} after the last epoch`;
  };
}
