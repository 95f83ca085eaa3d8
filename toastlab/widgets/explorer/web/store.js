// The data of an explorer, and what is chosen of them. Nothing here touches the page.
//
// Letters: N samples, E epochs, K classes. A row is the number of a sample, 0..N-1. `meta` and the
// arrays are described in toastlab/widgets/explorer/data.py.

export const NONE = 65535; // a label, a prediction or a place that is not known
const NO_CURVE = 255; // a probability that is not known; the others are 0..254
const GREY = [136, 136, 136]; // of a class that is not known

/** What is shown and selected. `listen` is told "view", "selection" or "hover" after a change. */
export class Store {
  constructor(meta, buffers) {
    Object.assign(this, { meta, n: meta.samples, view: meta.view, hovered: -1 });
    Object.assign(this, { listeners: [], sorted: {} });
    for (const [name, kind] of Object.entries(meta.arrays)) {
      const { buffer = buffers[name], byteOffset = 0, byteLength } = buffers[name];
      // copied: what came with a message may begin at any byte
      const bytes = new Uint8Array(buffer, byteOffset, byteLength).slice();
      this[name] = new globalThis[kind](bytes.buffer);
    }
    this.ids = this.ids && new TextDecoder().decode(this.ids).split("\0");
    const { choices } = meta;
    const score = (_, s) => this.scores.subarray(s * this.n, (s + 1) * this.n);
    this.scores = Object.fromEntries(choices.score.map((name, s) => [name, score(name, s)]));
    this.shown = new Uint8Array(this.n);
    this.replace(new Uint8Array(this.n));
    this.filter();
  }

  listen(hear) { this.listeners.push(hear); }
  tell(what) { for (const hear of this.listeners) hear(what); }

  /** Changes a part of the view, but for what is none: it may be from a link. */
  change(part) {
    const { choices, classes, epochs } = this.meta;
    const whole = (x, low, end) => Number.isInteger(x) && x >= low && x < end;
    const good = ([name, x]) => {
      if (choices[name]) return choices[name].includes(x);
      if (name === "epoch") return whole(x, 0, epochs);
      if (name === "focus") return whole(x, -1, this.n);
      if (name === "hidden") return Array.isArray(x) && x.every((c) => whole(c, 0, classes.length));
      return ["low", "high"].includes(name) && (x === null || Number.isFinite(x));
    };
    this.view = { ...this.view, ...Object.fromEntries(Object.entries(part).filter(good)) };
    this.filter();
    this.tell("view");
  }

  hover(row) {
    if (row === this.hovered) return;
    this.hovered = row;
    this.tell("hover");
  }

  /** how: "only" these rows, "add" them, "take" them away, or "toggle" each. */
  select(rows, how = "only") {
    const mask = how === "only" ? new Uint8Array(this.n) : this.selected;
    for (const row of rows) mask[row] = how === "take" ? 0 : how === "toggle" ? 1 - mask[row] : 1;
    this.replace(mask);
  }

  replace(mask) {
    this.selected = mask;
    this.count = mask.reduce((sum, one) => sum + one, 0);
    this.tell("selection");
  }

  filter() {
    const { low, high, hidden, region } = this.view;
    const score = this.scores[this.view.score];
    const place = this.meta.choices.region.indexOf(region);
    const other = { all: () => true, wrong: (x) => this.wrong(x), flipped: (x) => this.flipped(x) };
    const within = other[region] ?? ((row) => this.region[row] === place);
    for (let row = 0; row < this.n; row++) {
      const x = score[row]; // one that is missing lies within no bound
      const inside = (low === null || x >= low) && (high === null || x <= high);
      this.shown[row] = inside && !hidden.includes(this.label[row]) && within(row) ? 1 : 0;
    }
  }

  flipped(row) {
    return Boolean(this.clean) && this.clean[row] !== NONE && this.clean[row] !== this.label[row];
  }

  wrong(row) {
    const prediction = this.predicted(row);
    return prediction !== NONE && prediction !== this.label[row];
  }

  /** The class predicted after an epoch (by default the view's), NONE where it is not known. */
  predicted(row, epoch = this.view.epoch) {
    return this.prediction ? this.prediction[epoch * this.n + row] : NONE;
  }

  /** Probability of the sample's own label after an epoch, NaN where it is not known. */
  probability(row, epoch = this.view.epoch) {
    const p = this.curve ? this.curve[epoch * this.n + row] : NO_CURVE;
    return p === NO_CURVE ? NaN : p / 254;
  }

  /** The class that gives a sample its colour. */
  coloured(row) {
    if (this.view.colour === "prediction") return this.predicted(row);
    return (this.view.colour === "clean label" ? this.clean : this.label)[row];
  }

  rgb(label) { return this.meta.palette[label] ?? GREY; }
  css(label) { return `rgb(${this.rgb(label)})`; }
  id(row) { return this.ids ? this.ids[row] : `row ${row}`; }
  name(label) { return this.meta.classes[label] ?? "not known"; }

  /** Rows that are shown and, if any are selected, selected; sorted by the score of the view. */
  ordered() {
    const { order, score } = this.view;
    const [sign, x] = [order === "up" ? 1 : -1, this.scores[score]];
    const key = (row) => (Number.isNaN(x[row]) ? Infinity : sign * x[row]);
    const rows = () => [...x.keys()].sort((a, b) => key(a) - key(b) || a - b);
    this.sorted[score + order] ??= rows(); // once: of many samples it takes a while
    const chosen = (row) => this.shown[row] && (!this.count || this.selected[row]);
    return this.sorted[score + order].filter(chosen);
  }

  /** All that is chosen as JSON, the selection as rows; and back. */
  state() {
    const selected = [...this.selected.keys()].filter((row) => this.selected[row]);
    return JSON.stringify({ view: this.view, selected });
  }

  restore(state) {
    const { view, selected } = JSON.parse(state);
    this.change(view);
    this.select(selected.filter((row) => row in this.selected));
  }

  /** Variability and confidence [N] up to an epoch: x and y of the data map. */
  mapAt(epoch) {
    const { n, curve, scores } = this;
    const last = !curve || epoch === this.meta.epochs - 1; // the table has it
    if (last) return { x: scores.variability, y: scores.confidence };
    const [x, y] = [new Float32Array(n).fill(NaN), new Float32Array(n).fill(NaN)];
    for (let row = 0; row < n; row++) {
      let [count, sum, squares] = [0, 0, 0];
      for (let at = row; at <= epoch * n + row; at += n) {
        if (curve[at] === NO_CURVE) continue;
        count += 1;
        sum += curve[at] / 254;
        squares += (curve[at] / 254) ** 2;
      }
      if (count) y[row] = sum / count;
      if (count) x[row] = Math.sqrt(Math.max(0, squares / count - y[row] ** 2));
    }
    return { x, y };
  }

  /** The last layout made at or before an epoch (before all of them, the first), and its epoch. */
  layoutAt(epoch) {
    const { n, places } = this;
    const made = this.meta.placeEpochs;
    const which = Math.max(0, made.filter((e) => e <= epoch).length - 1);
    const value = (axis) => (_, row) => {
      const place = places[2 * (which * n + row) + axis];
      return place === NONE ? NaN : place / 65534;
    };
    const [x, y] = [0, 1].map((axis) => Float32Array.from({ length: n }, value(axis)));
    return { x, y, epoch: made[which] };
  }
}
