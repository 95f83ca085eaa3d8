// A plane of points. They are written straight into the pixels of a canvas, so that 60,000 of them
// are drawn again while one moves a slider; a second canvas above has what follows the pointer.

import { NONE } from "./store.js";

const FLAG = [230, 0, 126]; // magenta, which no class has: the label was flipped
// Whether a point at x, y lies within a mark of radius 1; one mark a class, as colours may be few.
const SHAPES = [
  (x, y) => x * x + y * y <= 1,
  (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.85,
  (x, y) => Math.abs(x) + Math.abs(y) <= 1.15,
  (x, y) => y <= 0.8 && y >= 1.9 * Math.abs(x) - 1,
  (x, y) => -y <= 0.8 && -y >= 1.9 * Math.abs(x) - 1,
  (x, y) => Math.min(Math.abs(x), Math.abs(y)) <= 0.35 && Math.max(Math.abs(x), Math.abs(y)) <= 1.1,
];
const RING = (x, y) => Math.abs(Math.hypot(x, y) - 0.85) <= 0.15;
const TOO_MANY = 10000; // points, beyond which marks are too small to differ in shape
const NEAR = 12; // pixels from the pointer within which a point is meant

/** The pixels of a mark: dx, dy, and how much of it is covered (by 4 x 4 points); and so on. */
function stamp(inside, radius) {
  const pixels = [];
  const reach = Math.ceil(radius * 1.2);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      let hits = 0;
      for (let i = 0; i < 16; i++) {
        const x = dx + ((i & 3) - 1.5) / 4;
        const y = dy + ((i >> 2) - 1.5) / 4;
        if (inside(x / radius, y / radius)) hits += 1;
      }
      if (hits) pixels.push(dx, dy, hits / 16);
    }
  }
  return pixels;
}

/** A canvas as large as its box in the page, its context, and its size in pixels of the page. */
export function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height, ratio };
}

/** Colours of the page's theme, as the style sheet has them. */
export function look(element) {
  const style = getComputedStyle(element);
  const [ink, ground, faint] = ["color", "backgroundColor", "borderTopColor"].map((k) => style[k]);
  return { ink, ground, faint, font: `11px ${style.fontFamily}` };
}

export class Plot {
  /**
   * below: the canvas of the points; above: that of the pointer, which hears.
   * places(epoch): x, y [N] in 0..1 and more; frame(context, plot): draws axes around them.
   */
  constructor(store, below, above, { places, frame, limits, margins }) {
    Object.assign(this, { store, below, above, places, frame, limits, margins });
    Object.assign(this, { at: {}, lasso: [] });
    above.onpointerdown = (event) => this.press(event);
    above.onpointermove = (event) => this.move(event);
    above.onpointerup = (event) => this.release(event);
    above.onpointerleave = () => store.hover(-1);
    above.onkeydown = (event) => this.key(event);
  }

  /** Page pixels within the canvas, of values x and y. */
  across(x) {
    const { width, margins: [left, right], limits: { x: [low, high] } } = this;
    return left + ((x - low) / (high - low)) * (width - left - right);
  }

  down(y) {
    const { height, margins: [, , top, bottom], limits: { y: [low, high] } } = this;
    return height - bottom - ((y - low) / (high - low)) * (height - top - bottom);
  }

  draw() {
    const { store, below } = this;
    const { n, view } = store;
    const { context, width, height, ratio } = fitted(below);
    if (!width || !height) return;
    if (this.at.asked !== view.epoch) this.at = { ...this.places(view.epoch), asked: view.epoch };
    Object.assign(this, { width, height });
    this.px = Float32Array.from(this.at.x, (x) => this.across(x));
    this.py = Float32Array.from(this.at.y, (y) => this.down(y));
    const theme = look(below);
    const image = new ImageData(below.width, below.height);
    const size = { pixels: new Uint32Array(image.data.buffer), w: below.width, h: below.height };
    const [red, green, blue] = theme.ground.match(/\d+/g);
    size.pixels.fill((255 << 24) | (blue << 16) | (green << 8) | red);
    const radius = ratio * Math.max(1.5, 5.2 - 0.75 * Math.log10(n));
    const stamps = (r) => SHAPES.map((shape) => stamp(shape, r));
    const [small, large] = [stamps(radius), stamps(radius * 1.35)];
    const ring = stamp(RING, radius + 1.6 * ratio);
    const put = (row, marks, share) => {
      const label = store.coloured(row);
      const shape = n > TOO_MANY || label === NONE ? 0 : label % SHAPES.length;
      this.put(size, row, marks[shape], store.rgb(label), share, ratio);
      if (store.flipped(row)) this.put(size, row, ring, FLAG, share, ratio);
    };
    for (let row = 0; row < n; row++) {
      if (store.shown[row] && !store.selected[row]) put(row, small, store.count ? 0.25 : 0.85);
    }
    for (let row = 0; row < n; row++) {
      if (store.shown[row] && store.selected[row]) put(row, large, 1);
    }
    context.putImageData(image, 0, 0);
    context.font = theme.font;
    this.frame(context, this, theme);
    this.over();
  }

  /** One mark, laid over what is there; share: how far it covers it. */
  put({ pixels, w, h }, row, mark, [red, green, blue], share, ratio) {
    const x = Math.round(this.px[row] * ratio);
    const y = Math.round(this.py[row] * ratio);
    if (!(x >= 0 && x < w && y >= 0 && y < h)) return; // nor where a place is missing
    for (let k = 0; k < mark.length; k += 3) {
      const [across, down] = [x + mark[k], y + mark[k + 1]];
      if (across < 0 || across >= w || down < 0 || down >= h) continue;
      const at = down * w + across;
      const under = pixels[at];
      const part = mark[k + 2] * share;
      const r = under & 255;
      const g = (under >> 8) & 255;
      const b = (under >> 16) & 255;
      const [r2, g2, b2] = [r + (red - r) * part, g + (green - g) * part, b + (blue - b) * part];
      pixels[at] = (255 << 24) | (b2 << 16) | (g2 << 8) | r2;
    }
  }

  /** What lies above the points: medoids, the sample in focus, the one hovered, the lasso. */
  over() {
    const { store, above, px, py } = this;
    const { medoids, meta, view } = store;
    const { context, width, height } = fitted(above);
    context.clearRect(0, 0, width, height);
    if (!px) return;
    const { ink, ground } = look(this.below);
    const circle = (row, radius, line, colour, fill) => {
      if (Number.isNaN(px[row])) return;
      context.beginPath();
      context.arc(px[row], py[row], radius, 0, 7);
      Object.assign(context, { lineWidth: line, strokeStyle: colour, fillStyle: fill ?? "#0000" });
      context.fill();
      context.stroke();
    };
    const classes = meta.classes.length;
    for (let c = 0; medoids && c < classes; c++) {
      const row = medoids[view.epoch * classes + c];
      if (row < 0 || !store.shown[row]) continue;
      circle(row, 6.5, 2.5, ink, store.css(c));
    }
    for (const row of [view.focus, store.hovered].filter((one) => store.shown[one])) {
      circle(row, 9, 4.5, ground);
      circle(row, 9, 2, ink);
    }
    if (this.lasso.length > 1) {
      context.beginPath();
      for (const [x, y] of this.lasso) context.lineTo(x, y);
      context.closePath();
      Object.assign(context, { lineWidth: 1.5, strokeStyle: ink });
      context.stroke();
    }
  }

  /** The shown sample nearest to a place in the canvas, or -1. */
  nearest(x, y) {
    let [best, row] = [NEAR * NEAR, -1];
    for (let i = 0; i < this.px.length; i++) {
      const far = (this.px[i] - x) ** 2 + (this.py[i] - y) ** 2;
      if (far < best && this.store.shown[i]) [best, row] = [far, i];
    }
    return row;
  }

  /** Rows of the shown samples within a polygon, which is filled to see what pixels are its own. */
  within(polygon) {
    const { width, height, px, py, store } = this;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    for (const [x, y] of polygon) context.lineTo(x, y);
    context.fill("evenodd");
    const { data } = context.getImageData(0, 0, width, height);
    const filled = (row) => data[4 * (Math.floor(py[row]) * width + Math.floor(px[row])) + 3] > 127;
    return [...px.keys()].filter((row) => store.shown[row] && filled(row));
  }

  press(event) {
    this.above.setPointerCapture(event.pointerId);
    this.lasso = [[event.offsetX, event.offsetY]];
  }

  move(event) {
    const point = [event.offsetX, event.offsetY];
    if (!this.lasso.length) return this.store.hover(this.px ? this.nearest(...point) : -1);
    this.lasso.push(point);
    this.over();
  }

  release(event) {
    const { store, lasso } = this;
    this.lasso = [];
    const more = event.shiftKey || event.ctrlKey || event.metaKey;
    const moved = lasso.some(([x, y]) => Math.hypot(x - lasso[0][0], y - lasso[0][1]) > 4);
    const row = moved || !lasso.length ? -1 : this.nearest(...lasso[0]);
    if (moved) store.select(this.within(lasso), event.altKey ? "take" : more ? "add" : "only");
    if (row >= 0) store.select([row], more ? "toggle" : "only");
    if (row >= 0) store.change({ focus: row });
    this.over();
  }

  /** Arrows lead from the sample in focus to the nearest one on that side. */
  key(event) {
    const side = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!side[event.key]) return;
    event.preventDefault();
    const [sx, sy] = side[event.key];
    const { store, px, py } = this;
    const { focus } = store.view;
    const begin = !store.shown[focus] || Number.isNaN(px[focus]); // with the first of the gallery
    let [best, row] = [Infinity, begin ? store.ordered()[0] ?? -1 : focus];
    for (let i = 0; !begin && i < px.length; i++) {
      const [dx, dy] = [px[i] - px[focus], py[i] - py[focus]];
      const [ahead, aside] = [dx * sx + dy * sy, Math.abs(dx * sy + dy * sx)];
      const far = ahead + 2 * aside;
      if (store.shown[i] && ahead > 0.5 && aside <= ahead && far < best) [best, row] = [far, i];
    }
    store.change({ focus: row });
  }
}
