// The explorer: two planes, a gallery and one sample, which show the same choice.
//
// `render` is what anywidget calls; a page without a kernel calls `mount` itself.

import { Store } from "./store.js";
import { Plot } from "./plot.js";
import { digits, gallery, imagesOf, make, mark, sample, words } from "./parts.js";

const HINT = "drag round points or click one to select; Shift adds, Alt takes away; arrows move";
const plane = `<section><header><h3></h3><span></span></header><div class="tl-plane">
  <canvas></canvas><canvas tabindex="0" role="application"></canvas></div></section>`;
const BODY = `<div class="tl-bar"><span class="tl-time"><button name="play">▶ Play</button>
    <input type="range" name="epoch" min="0" aria-label="epoch"><output></output></span>
  <button name="some">Select all shown</button><button name="none" title="Escape">Clear</button>
  <button name="csv">CSV</button><button name="png">PNG</button><button name="link"></button></div>
<div class="tl-bar"><label>colour <select name="colour"></select></label>
  <label>region <select name="region"></select></label>
  <label>score <select name="score"></select></label>
  <label>from <input type="number" name="low" step="any"></label>
  <label>to <input type="number" name="high" step="any"></label>
  <label>gallery <select name="order"></select></label></div>
<div class="tl-bar tl-chips" role="group" aria-label="classes">
  <button name="classes">all / none</button></div>
<p role="status"></p>
<div class="tl-grid">${plane}${plane}
  <section><header><h3>Gallery</h3><span></span><button aria-label="page before">‹</button>
    <button aria-label="next page">›</button></header>
    <div class="tl-tiles" role="listbox" tabindex="0" aria-multiselectable="true"
      aria-label="Images of the selection; arrows move, Enter selects"></div></section>
  <section><header><h3>Sample</h3><span aria-live="polite"></span></header>
    <div class="tl-sample"><canvas width="96" height="96"></canvas><dl></dl></div>
    <canvas class="tl-curve" role="img"></canvas>
    <p>Probability of its label; each point in the colour of the class predicted then.</p></section>
</div><div class="tl-tip" hidden></div>`;
let made = 0;

/** Builds an explorer in `root` and returns its store; page: there is no kernel. */
export function mount(root, meta, buffers, page = false) {
  const store = new Store(meta, buffers);
  store.key = `tl-${made++}`;
  root.className = "tl-explorer";
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys stay out
  root.innerHTML = BODY; // ours alone; what is in the data comes as text, never as HTML
  const [find, drawImage] = [(at) => root.querySelector(at), imagesOf(store, buffers)];
  const [map, layout, tiles, one] = root.querySelectorAll("section");
  layout.hidden = !store.places;
  const planes = [planeIn(map, store, "Data map", {
    places: (epoch) => store.mapAt(epoch),
    limits: { x: [-0.01, 0.52], y: [-0.02, 1.02] }, margins: [40, 8, 6, 34], frame: mapFrame,
  })];
  if (store.places) planes.push(planeIn(layout, store, meta.placesTitle, {
    places: (epoch) => store.layoutAt(epoch),
    limits: { x: [-0.03, 1.03], y: [-0.03, 1.03] }, margins: [8, 8, 6, 6], frame: layoutFrame,
  }));
  const { agree, play } = controls(find, store, page, () => savePicture(root));
  const parts = [agree, gallery(tiles, store, drawImage), sample(one, store, drawImage)];
  const [tip, status] = [find(".tl-tip"), find("[role=status]")];
  let asked = 0;
  function soon() {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      for (const plot of planes) plot.draw();
      for (const draw of parts) draw();
      status.textContent = summary(store);
    });
  }
  store.listen((what) => {
    if (what !== "hover") return soon();
    for (const plot of planes) plot.over();
    const row = store.hovered;
    if ((tip.hidden = row < 0)) return;
    const picture = make("canvas", { width: 84, height: 84, hidden: !store.tile });
    drawImage(picture, row);
    const about = make("dl", {}, ...words(store, row, [store.view.score]));
    tip.replaceChildren(picture, make("div", {}, make("b", {}, store.id(row)), about));
  });
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left + 12, event.clientY - box.top + 12];
    const turned = x + tip.offsetWidth > box.width ? tip.offsetWidth + 24 : 0; // at the right edge
    tip.style.transform = `translate(${Math.max(0, x - turned)}px, ${y}px)`;
  });
  root.addEventListener("keydown", (event) => {
    const { focus } = store.view;
    const typing = /^(INPUT|SELECT|BUTTON)$/.test(event.target.tagName);
    if (event.key === "Escape" && store.count) store.select([]);
    else if (event.key === "Escape") store.change({ focus: -1 });
    else if (event.key === " " && !typing) play();
    else if (event.key === "Enter" && !typing && focus >= 0) {
      store.select([focus], event.shiftKey ? "toggle" : "only");
    } else return;
    event.preventDefault();
  });
  new ResizeObserver(soon).observe(root);
  root.addEventListener("transitionend", soon); // of the ground's colour: another theme
  return store;
}

function planeIn(section, store, title, how) {
  const [below, above] = section.querySelectorAll("canvas");
  const marks = [store.medoids && "circles: medoids", store.clean && "rings: label flipped"];
  section.querySelector("h3").textContent = title;
  section.querySelector("span").textContent = marks.filter(Boolean).join("; ");
  Object.assign(above, { title: HINT, ariaLabel: `${title}: ${HINT}` });
  return new Plot(store, below, above, how);
}

function summary(store) {
  const shown = store.shown.reduce((sum, one) => sum + one, 0);
  const flipped = store.ordered().filter((row) => store.flipped(row)).length;
  const [some, every, chosen] = [shown, store.n, store.count].map(digits);
  const all = `${some} of ${every} samples shown, ${chosen} selected`;
  return store.clean ? `${all}; flipped labels in the gallery: ${digits(flipped)}.` : `${all}.`;
}

/** Axes of the data map, and the largest variability that each confidence allows. */
function mapFrame(context, plot, { ink, faint }) {
  const [x, y] = [(v) => plot.across(v), (v) => plot.down(v)];
  Object.assign(context, { fillStyle: ink, strokeStyle: faint, lineWidth: 1, textAlign: "center" });
  for (const v of [0, 0.1, 0.2, 0.3, 0.4, 0.5]) context.fillText(v, x(v), plot.height - 20);
  context.fillText("variability of its label's probability", x(0.25), plot.height - 5);
  for (const v of [0, 0.5, 1]) context.fillText(v, 28, y(v) + 4);
  context.beginPath();
  for (let m = 0; m <= 1.001; m += 0.01) context.lineTo(x(Math.sqrt(Math.abs(m - m * m))), y(m));
  context.stroke();
  context.translate(11, y(0.5));
  context.rotate(-Math.PI / 2);
  context.fillText("confidence: its mean", 0, 0);
}

function layoutFrame(context, plot, { ink }) {
  if (plot.at.epoch === plot.store.view.epoch) return;
  Object.assign(context, { fillStyle: ink, textAlign: "left" });
  context.fillText(`layout of epoch ${plot.at.epoch + 1}`, 8, plot.height - 8);
}

/** Binds the fields and buttons, by name; returns what shows the view in them, and Play. */
function controls(find, store, page, picture) {
  const { choices, classes, epochs, words: texts } = store.meta;
  const named = (name) => find(`[name=${name}]`);
  const press = (name, onclick) => Object.assign(named(name), { onclick });
  named("epoch").max = epochs - 1;
  find(".tl-time").hidden = epochs < 2;
  const fields = [...Object.keys(choices), "low", "high", "epoch"].map(named);
  for (const field of fields) {
    const option = (value) => make("option", { value }, texts[value] ?? value);
    field.append(...(choices[field.name] ?? []).map(option));
    const number = () => (field.value === "" ? null : Number(field.value));
    const read = choices[field.name] ? () => field.value : number;
    const change = () => store.change({ [field.name]: read() });
    field[field.type === "range" ? "oninput" : "onchange"] = change;
    field.onblur = () => agree();
  }
  const boxes = classes.map((name, label) => {
    const box = make("input", { type: "checkbox" });
    box.onchange = () => {
      const others = store.view.hidden.filter((c) => c !== label);
      store.change({ hidden: box.checked ? others : [...others, label] });
    };
    find(".tl-chips").append(make("label", {}, box, mark(store, label), name));
    return box;
  });
  const every = () => (store.view.hidden.length ? [] : [...classes.keys()]);
  press("classes", () => store.change({ hidden: every() }));
  press("some", () => store.select(store.ordered()));
  press("none", () => store.select([]));
  press("csv", () => download(new Blob([table(store)], { type: "text/csv" }), "samples.csv"));
  press("png", picture);
  press("link", () => {
    if (page) location.hash = encodeURIComponent(store.state());
    const value = page ? location.href : store.state();
    const field = make("input", { readOnly: true, ariaLabel: "state", value });
    find("[role=status]").replaceChildren("Copied, if the browser allows it: ", field);
    field.select();
    navigator.clipboard?.writeText(field.value).catch(() => {});
  }).textContent = page ? "Link" : "State";
  let clock = 0;
  function play() {
    const running = clock;
    clearInterval(clock);
    clock = 0;
    if (!running && store.view.epoch === epochs - 1) store.change({ epoch: 0 });
    if (!running) clock = setInterval(step, 400);
    named("play").textContent = running ? "▶ Play" : "❚❚ Pause";
  }
  function step() {
    if (store.view.epoch < epochs - 1) store.change({ epoch: store.view.epoch + 1 });
    if (store.view.epoch === epochs - 1) play(); // which ends it
  }
  press("play", play);
  const agree = () => {
    const still = (field) => !field.matches("[type=number]:focus"); // nobody types in it
    for (const field of fields.filter(still)) field.value = store.view[field.name] ?? "";
    boxes.forEach((box, label) => { box.checked = !store.view.hidden.includes(label); });
    find("output").textContent = `epoch ${store.view.epoch + 1} of ${epochs}`;
  };
  return { agree, play };
}

/** The samples of the gallery as CSV, in its order. */
function table(store) {
  const { choices, epochs } = store.meta;
  const cells = (row) => {
    const labels = [store.label[row], store.predicted(row, epochs - 1), store.clean?.[row]];
    const scores = choices.score.map((name) => store.scores[name][row]);
    return [store.id(row), ...labels.map((label) => store.name(label)), ...scores];
  };
  const head = ["id", "label", "prediction", "clean_label", ...choices.score];
  const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
  const lines = [head, ...store.ordered().map(cells)].map((line) => line.map(quoted).join(","));
  return `${lines.join("\n")}\n`;
}

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** What is seen, as a PNG: every canvas at its place, and the words. */
function savePicture(root) {
  const [ratio, all] = [window.devicePixelRatio || 1, root.getBoundingClientRect()];
  const sheet = new OffscreenCanvas(all.width * ratio, all.height * ratio);
  const context = sheet.getContext("2d");
  const { backgroundColor, color, fontFamily } = getComputedStyle(root);
  context.scale(ratio, ratio);
  Object.assign(context, { fillStyle: backgroundColor, font: `12px ${fontFamily}` });
  context.fillRect(0, 0, all.width, all.height);
  context.fillStyle = color;
  for (const part of root.querySelectorAll("canvas, h3, header span, .tl-tiles span, dt, dd, p")) {
    const { left, top, width, height } = part.getBoundingClientRect();
    const [x, y] = [left - all.left, top - all.top];
    if (part.tagName !== "CANVAS") context.fillText(part.textContent, x, y + 12, width);
    else if (width) context.drawImage(part, x, y, width, height);
  }
  sheet.convertToBlob().then((blob) => download(blob, "explorer.png"));
}

export default {
  render({ model, el }) {
    const root = make("div");
    el.append(root);
    const store = mount(root, model.get("meta"), model.get("arrays"));
    const hear = () => {
      const { buffer, byteOffset, byteLength } = model.get("selection");
      const mask = new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength));
      if (!mask.every((one, row) => one === store.selected[row])) store.replace(mask);
      const [ours, theirs] = [store.view, model.get("view")].map((view) => JSON.stringify(view));
      if (ours !== theirs) store.change(model.get("view"));
    };
    hear();
    model.on("change:selection change:view", hear);
    store.listen((what) => {
      if (what === "view") model.set("view", store.view);
      if (what === "selection") model.set("selection", store.selected.slice());
      if (what !== "hover") model.save_changes();
    });
    return () => model.off("change:selection change:view", hear);
  },
};
