// How well each instruction separates the column that colors the map.
const percent = (value) => `${Math.round(100 * value)} %`;
const width = (value) => `${(100 * value).toFixed(1)}%`;

/** Fill the box: a bar per instruction, its 95 % interval, chance, and whether the difference may be noise. */
export function drawSeparation(box, column, result, groups) {
  box.replaceChildren();
  if (!column) return;
  const title = document.createElement("h3");
  title.textContent = `Does it separate “${column}”?`;
  box.append(title);
  if (!result) {
    box.append(paragraph("Too few texts have a value in this column."));
    return;
  }
  if (groups.names.length > result.queries / 2) {
    box.append(paragraph("The column has too many different values to say."));
    return;
  }
  const bars = document.createElement("div");
  bars.className = "bars";
  for (const side of ["a", "b"]) bars.append(...bar(side, result[side], result.chance));
  box.append(bars, verdict(result), note(result, groups));
}

function bar(side, { value, low, high }, chance) {
  const badge = Object.assign(document.createElement("span"), { className: `badge ${side}`, textContent: side.toUpperCase() });
  const track = document.createElement("div");
  track.className = `bar ${side}`;
  const fill = document.createElement("b");
  fill.style.width = width(value);
  const whisker = document.createElement("em");
  whisker.style.left = width(low);
  whisker.style.width = width(Math.max(high - low, 0.004));
  const tick = document.createElement("s");
  tick.style.left = width(chance);
  track.append(fill, whisker, tick);
  const text = Object.assign(document.createElement("span"), { className: "value", textContent: percent(value) });
  text.title = `95 % interval: ${percent(low)} to ${percent(high)}`;
  return [badge, track, text];
}

function verdict({ difference, noise }) {
  const line = document.createElement("p");
  const better = difference.value > 0 ? "B" : "A";
  const strong = document.createElement("strong");
  const size = Math.abs(100 * difference.value).toFixed(0);
  strong.textContent = noise ? "The difference may be noise." : `${better} is better by ${size} points.`;
  const interval = `95 % interval of B − A: ${(100 * difference.low).toFixed(0)} to ${(100 * difference.high).toFixed(0)}.`;
  line.append(strong, ` ${interval}`);
  return line;
}

function note({ neighbors, queries, chance }, groups) {
  const kinds = groups.kind === "numbers" ? " Numbers count as four groups of equal size." : "";
  return paragraph(
    `Share of a text's ${neighbors} nearest that have its value, over ${queries} texts; dotted: chance, ${percent(chance)}.${kinds}`,
  );
}

const paragraph = (text) => Object.assign(document.createElement("p"), { textContent: text });
