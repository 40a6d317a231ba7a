// The two heat maps: cosines of every pair of texts, in the same order and on the same scale.
import { css, ramp } from "./coloring.js";

export const MOST = 160; // texts in a heat map

export class HeatMaps {
  constructor(canvases, note, { announce, scale, low, high }) {
    Object.assign(this, { canvases, note, announce, scale, lowText: low, highText: high });
    this.data = null;
    this.cell = null;
    for (const canvas of canvases) {
      canvas.addEventListener("pointermove", (event) => this.point(canvas, event));
      canvas.addEventListener("pointerleave", () => this.read(null));
      canvas.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.draw()).observe(canvas);
    }
  }

  /** Show cosines `a` and `b`, Float32Array of shape (m, m), of the texts numbered in `order`. */
  show(a, b, order, texts, groups) {
    this.data = { a, b, order, texts, groups, range: sharedRange(a, b, order.length) };
    this.cell = null;
    this.read(null);
    this.draw();
  }

  draw() {
    if (!this.data) return;
    const { a, b, range } = this.data;
    this.paint(this.canvases[0], a);
    this.paint(this.canvases[1], b);
    this.lowText.textContent = range[0].toFixed(2);
    this.highText.textContent = range[1].toFixed(2);
    const pen = this.scale.getContext("2d");
    for (let x = 0; x < this.scale.width; x++) {
      pen.fillStyle = `rgb(${ramp(x / (this.scale.width - 1)).join(" ")})`;
      pen.fillRect(x, 0, 1, this.scale.height);
    }
  }

  paint(canvas, values) {
    const { order, groups, range: [low, high] } = this.data;
    const m = order.length;
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!side) return;
    canvas.width = side;
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
    const pixels = new ImageData(m, m);
    for (let i = 0; i < m * m; i++) {
      const [red, green, blue] = ramp((values[i] - low) / (high - low));
      pixels.data.set([red, green, blue, 255], 4 * i);
    }
    const small = new OffscreenCanvas(m, m);
    small.getContext("2d").putImageData(pixels, 0, 0);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
    pen.fillStyle = css("--panel");
    for (let i = 1; groups && i < m; i++) {
      if (groups[i] === groups[i - 1]) continue;
      const line = Math.max(1, devicePixelRatio);
      pen.fillRect((i / m) * canvas.width - line / 2, 0, line, canvas.height);
      pen.fillRect(0, (i / m) * canvas.height - line / 2, canvas.width, line);
    }
    if (this.cell) {
      const [row, column] = this.cell;
      pen.strokeStyle = css("--b");
      pen.lineWidth = 2 * devicePixelRatio;
      pen.strokeRect((column / m) * canvas.width, (row / m) * canvas.height, canvas.width / m, canvas.height / m);
    }
  }

  point(canvas, event) {
    if (!this.data) return;
    const m = this.data.order.length;
    const box = canvas.getBoundingClientRect();
    const clamp = (value) => Math.min(Math.max(Math.floor(value * m), 0), m - 1);
    this.read([clamp((event.clientY - box.top) / box.height), clamp((event.clientX - box.left) / box.width)]);
  }

  key(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!this.data || !steps[event.key]) return;
    event.preventDefault();
    const m = this.data.order.length;
    const [row, column] = this.cell ?? [0, 0];
    const step = this.cell ? steps[event.key] : [0, 0];
    this.read([(row + step[0] + m) % m, (column + step[1] + m) % m]);
    this.announce(this.note.textContent);
  }

  /** Show a cell's texts and cosines. */
  read(cell) {
    if (String(cell) === String(this.cell) && cell) return;
    this.cell = cell;
    if (!this.data) return;
    const { a, b, order, texts } = this.data;
    const all = order.length === texts.length ? "" : ` ${order.length} of ${texts.length} texts are shown.`;
    if (!cell) {
      this.note.textContent = `Point at a cell to read a pair.${all}`;
    } else {
      const [row, column] = cell;
      const at = row * order.length + column;
      const strong = (text, name = "") => Object.assign(document.createElement("b"), { textContent: text, className: name });
      const short = (text) => (text.length > 110 ? `${text.slice(0, 109)}…` : text);
      this.note.replaceChildren(
        strong(`A ${a[at].toFixed(3)}`, "va"), " · ", strong(`B ${b[at].toFixed(3)}`, "vb"), " — ",
        strong(short(texts[order[row]])), " and ", strong(short(texts[order[column]])),
      );
    }
    this.draw();
  }
}

/** The range of colors for both maps: from the 2nd to the 99th percentile of the cosines of different texts. */
function sharedRange(a, b, m) {
  const values = [];
  for (let i = 0; i < m; i++) for (let k = 0; k < i; k++) values.push(a[i * m + k], b[i * m + k]);
  values.sort((x, y) => x - y);
  const low = values[Math.floor(0.02 * values.length)] ?? 0;
  const high = values[Math.floor(0.99 * (values.length - 1))] ?? 1;
  return high - low > 1e-3 ? [low, high] : [low - 0.01, low + 0.01];
}

/** Which texts a heat map shows, and in what order: by group, evenly taken where there are too many. */
export function heatOrder(count, labels) {
  let order = Array.from({ length: count }, (_, index) => index);
  if (labels) order.sort((x, y) => (labels[x] < 0) - (labels[y] < 0) || labels[x] - labels[y] || x - y);
  if (count > MOST) order = Array.from({ length: MOST }, (_, index) => order[Math.floor((index * count) / MOST)]);
  return order;
}
