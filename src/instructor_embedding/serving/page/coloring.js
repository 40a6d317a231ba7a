// Colors of points by a column, and the ramp of heat maps, in both themes.
const LIGHT = ["#c2276b", "#008573", "#7d55c7", "#a87400", "#4f6d8f", "#8a4b2d", "#5f7f1c", "#b0559e", "#00799b", "#6b6257"];
const DARK = ["#ff7db0", "#4fd8c1", "#bda1ff", "#f3c250", "#9fbbdd", "#e0a184", "#b4d766", "#f0a2e4", "#6fd0f0", "#c9bfb2"];
const RAMP = {
  light: [[247, 246, 243], [208, 226, 222], [134, 188, 190], [62, 136, 160], [30, 82, 128], [22, 34, 74]],
  dark: [[18, 23, 29], [22, 44, 66], [24, 82, 106], [42, 132, 132], [134, 190, 128], [246, 238, 170]],
};

export const dark = () => document.documentElement.dataset.theme === "dark";
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Color of a share between 0 and 1 on the ramp of heat maps, as [red, green, blue]. */
export function ramp(share) {
  const stops = RAMP[dark() ? "dark" : "light"];
  const scaled = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(scaled), stops.length - 2);
  return stops[low].map((value, channel) => Math.round(value + (stops[low + 1][channel] - value) * (scaled - low)));
}

/**
 * What a column says of each text: `labels` for groups (-1: none), `names` of the groups, and, for numbers, `shares`.
 * Numbers with many values are colored on a ramp and grouped into four of equal size.
 */
export function grouping(values) {
  if (!values) return null;
  const present = values.filter((value) => value !== "");
  const distinct = [...new Set(present)];
  const numeric = distinct.length > 10 && present.every((value) => value.trim() !== "" && Number.isFinite(Number(value)));
  if (numeric) return quarters(values);
  const counts = new Map();
  for (const value of present) counts.set(value, (counts.get(value) ?? 0) + 1);
  const names = [...counts.keys()].sort((x, y) => counts.get(y) - counts.get(x) || (x < y ? -1 : 1));
  const index = new Map(names.map((name, position) => [name, position]));
  return { kind: "names", names, labels: values.map((value) => index.get(value) ?? -1) };
}

function quarters(values) {
  const numbers = values.map((value) => (value === "" ? NaN : Number(value)));
  const sorted = numbers.filter((value) => !Number.isNaN(value)).sort((x, y) => x - y);
  const edges = [0.25, 0.5, 0.75].map((share) => sorted[Math.floor(share * sorted.length)]);
  const low = sorted[0];
  const high = sorted[sorted.length - 1];
  const labels = numbers.map((value) => (Number.isNaN(value) ? -1 : edges.filter((edge) => value >= edge).length));
  const shares = numbers.map((value) => (high > low ? (value - low) / (high - low) : 0.5));
  return { kind: "numbers", names: ["lowest quarter", "second", "third", "highest quarter"], labels, shares, low, high };
}

/** Color of each text as a css string. */
export function colorsOf(groups, count) {
  const palette = dark() ? DARK : LIGHT;
  const none = css("--soft");
  if (!groups) return new Array(count).fill(palette[1]);
  if (groups.kind === "numbers") {
    return groups.shares.map((share) => (Number.isNaN(share) ? none : `rgb(${ramp(0.25 + 0.75 * share).join(" ")})`));
  }
  return groups.labels.map((label) => (label < 0 || label >= palette.length ? none : palette[label]));
}

/** Fill the legend. */
export function drawLegend(list, groups) {
  list.replaceChildren();
  if (!groups) return;
  if (groups.kind === "numbers") {
    const item = document.createElement("li");
    const bar = document.createElement("i");
    bar.className = "ramp";
    const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${ramp(0.25 + 0.75 * share).join(" ")})`);
    bar.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    item.append(String(groups.low), bar, String(groups.high));
    list.append(item);
    return;
  }
  const palette = dark() ? DARK : LIGHT;
  const shown = groups.names.slice(0, palette.length);
  for (const [position, name] of shown.entries()) list.append(entry(palette[position], name));
  if (groups.names.length > shown.length) list.append(entry(css("--soft"), `${groups.names.length - shown.length} more`));
}

function entry(color, name) {
  const item = document.createElement("li");
  const dot = document.createElement("i");
  dot.style.background = color;
  item.append(dot, name.length > 24 ? `${name.slice(0, 23)}…` : name);
  return item;
}
