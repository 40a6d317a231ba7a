// The map: every text as a point that travels from its position under A to that under B.
import { css } from "./coloring.js";
import { PointLayer } from "./points.js";

const MARGIN = 34;
const LABELED = 40; // texts that are few enough for labels
const TRAILS = 400; // texts that are few enough for a trail each
const REACH = 16; // pixels between a pointer and the point it means

/** Boxes around a point where its label may be: right, left, above, below. */
function spots(x, y, size) {
  const corners = [[x + 11, y], [x - 11 - size, y], [x - size / 2, y - 17], [x - size / 2, y + 17]];
  return corners.map(([left, middle]) => [left - 3, middle - 8, left + size + 3, middle + 8]);
}

export class TextMap {
  constructor(canvas, tip, { select, announce }) {
    Object.assign(this, { canvas, tip, select, announce });
    this.points = null;
    this.at = 0; // 0: instruction A, 1: B
    this.hovered = -1;
    this.selected = -1;
    this.near = new Set();
    this.labelsOn = 1;
    this.layer = new PointLayer();
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.hover(this.hit(event)));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("click", (event) => { const index = this.hit(event); if (index >= 0) this.select(index); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.draw());
  }

  /** Show texts at two sets of positions, each Float32Array of shape (n, 2). */
  show(texts, positions, colors) {
    const { a, b } = positions;
    const bounds = [Infinity, -Infinity, Infinity, -Infinity];
    for (const plane of [a, b]) {
      for (let i = 0; i < plane.length; i += 2) {
        bounds[0] = Math.min(bounds[0], plane[i]);
        bounds[1] = Math.max(bounds[1], plane[i]);
        bounds[2] = Math.min(bounds[2], plane[i + 1]);
        bounds[3] = Math.max(bounds[3], plane[i + 1]);
      }
    }
    this.points = { texts, a, b, bounds, colors };
    this.hovered = -1;
    this.draw();
  }

  recolor(colors) {
    if (this.points) this.points.colors = colors;
    this.draw();
  }

  /** Move to a share of the way from A to B. */
  move(at) {
    this.at = at;
    this.labelsOn = 0;
    clearTimeout(this.settle);
    this.settle = setTimeout(() => this.fade(), 160);
    this.draw();
  }

  fade() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.labelsOn = 1;
    this.labelsOn = Math.min(1, this.labelsOn + 0.12);
    this.draw();
    if (this.labelsOn < 1) this.settle = setTimeout(() => this.fade(), 16);
  }

  mark(selected, near) {
    this.selected = selected;
    this.near = new Set(near);
    this.draw();
  }

  /** Position of a text on the canvas at a share of the way. */
  locate(index, at = this.at) {
    const { a, b, bounds } = this.points;
    const { width, height, scale } = this.frame;
    const x = a[2 * index] + (b[2 * index] - a[2 * index]) * at;
    const y = a[2 * index + 1] + (b[2 * index + 1] - a[2 * index + 1]) * at;
    return [
      width / 2 + (x - (bounds[0] + bounds[1]) / 2) * scale,
      height / 2 - (y - (bounds[2] + bounds[3]) / 2) * scale,
    ];
  }

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(this.canvas); });
  }

  /** Draw onto a canvas, for the screen or for a picture. */
  paint(canvas, density = devicePixelRatio) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !this.points) return;
    const size = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const pen = canvas.getContext("2d");
    pen.setTransform(density, 0, 0, density, 0, 0);
    const { bounds, texts } = this.points;
    const spread = Math.max((bounds[1] - bounds[0]) / Math.max(width - 2 * MARGIN, 1), (bounds[3] - bounds[2]) / Math.max(height - 2 * MARGIN, 1), 1e-9);
    this.frame = { width, height, scale: 1 / spread };
    this.canvas.dataset.at = this.at.toFixed(3);
    pen.clearRect(0, 0, width, height);
    if (texts.length > TRAILS) {
      const radius = texts.length > 2000 ? 2 : 3;
      this.layer.draw(pen, texts.length, (index) => this.locate(index), this.points.colors, radius, density);
    } else {
      this.paintTrails(pen);
      this.paintPoints(pen);
    }
    if (texts.length <= LABELED && this.labelsOn > 0 && width > 480) this.paintLabels(pen);
    this.paintMarked(pen);
  }

  paintTrails(pen) {
    const { texts, colors } = this.points;
    pen.lineWidth = 1;
    pen.globalAlpha = texts.length <= 60 ? 0.28 : 0.12;
    for (let i = 0; i < texts.length; i++) {
      pen.strokeStyle = colors[i];
      pen.beginPath();
      pen.moveTo(...this.locate(i, 0));
      pen.lineTo(...this.locate(i));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  paintPoints(pen) {
    const { texts, colors } = this.points;
    const radius = texts.length > 100 ? 4 : 6;
    pen.globalAlpha = 0.95;
    for (let i = 0; i < texts.length; i++) {
      pen.fillStyle = colors[i];
      pen.beginPath();
      pen.arc(...this.locate(i), radius, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  paintLabels(pen) {
    const { texts } = this.points;
    const { width, height } = this.frame;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = css("--soft");
    pen.globalAlpha = this.labelsOn;
    const taken = texts.map((_, i) => { const [x, y] = this.locate(i); return [x - 8, y - 8, x + 8, y + 8]; });
    for (let i = 0; i < texts.length; i++) {
      if (i === this.selected || i === this.hovered) continue;
      const [x, y] = this.locate(i);
      for (const most of [44, 28]) {
        const label = texts[i].length > most ? `${texts[i].slice(0, most - 1).replace(/[\s,.]+$/, "")}…` : texts[i];
        const size = pen.measureText(label).width;
        const box = spots(x, y, size).find((spot) => {
          const inside = spot[0] > 4 && spot[2] < width - 4 && spot[1] > 4 && spot[3] < height - 4;
          return inside && !taken.some((other) => spot[0] < other[2] && spot[2] > other[0] && spot[1] < other[3] && spot[3] > other[1]);
        });
        if (!box) continue;
        pen.fillText(label, box[0] + 3, box[1] + 8);
        taken.push(box);
        break;
      }
    }
    pen.globalAlpha = 1;
  }

  paintMarked(pen) {
    const { colors, texts } = this.points;
    const ring = (index, size, style, width) => {
      if (index < 0 || index >= texts.length) return;
      const [x, y] = this.locate(index);
      pen.beginPath();
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.lineWidth = width;
      pen.strokeStyle = style;
      pen.stroke();
    };
    if (this.selected >= 0 && this.selected < texts.length) {
      pen.strokeStyle = css("--ink");
      pen.lineWidth = 1;
      pen.globalAlpha = 0.35;
      for (const index of this.near) {
        if (index >= texts.length) continue;
        pen.beginPath();
        pen.moveTo(...this.locate(this.selected));
        pen.lineTo(...this.locate(index));
        pen.stroke();
      }
      pen.globalAlpha = 1;
      const [x, y] = this.locate(this.selected);
      pen.fillStyle = colors[this.selected];
      pen.beginPath();
      pen.arc(x, y, 7, 0, 2 * Math.PI);
      pen.fill();
    }
    ring(this.selected, 11, css("--ink"), 2);
    ring(this.hovered, 10, css("--ink"), 1.5);
  }

  hit(event) {
    if (!this.points || !this.frame) return -1;
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let nearest = REACH * REACH;
    for (let i = 0; i < this.points.texts.length; i++) {
      const [x, y] = this.locate(i);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < nearest) [best, nearest] = [i, distance];
    }
    return best;
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.tip.hidden = index < 0;
    if (index >= 0) {
      const [x, y] = this.locate(index);
      const { width, height } = this.frame;
      const text = this.points.texts[index];
      this.tip.textContent = text.length > 220 ? `${text.slice(0, 219)}…` : text;
      this.tip.style.left = x < width / 2 ? `${x + 16}px` : "auto";
      this.tip.style.right = x < width / 2 ? "auto" : `${width - x + 16}px`;
      this.tip.style.top = y < height / 2 ? `${y + 10}px` : "auto";
      this.tip.style.bottom = y < height / 2 ? "auto" : `${height - y + 10}px`;
    }
    this.draw();
  }

  /** Arrow keys go to the nearest point in a direction; Escape lets go. */
  key(event) {
    const directions = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") this.hover(-1);
    const direction = directions[event.key];
    if (!direction || !this.points) return;
    event.preventDefault();
    const from = this.selected < 0 ? 0 : this.selected;
    const [x, y] = this.locate(from);
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.points.texts.length; i++) {
      const [px, py] = this.locate(i);
      const along = (px - x) * direction[0] + (py - y) * direction[1];
      const aside = Math.abs((px - x) * direction[1]) + Math.abs((py - y) * direction[0]);
      if (i !== from && along > 1 && along + 2 * aside < least) [best, least] = [i, along + 2 * aside];
    }
    if (best < 0) return;
    this.select(best);
    this.announce(this.points.texts[best]);
  }
}
