// The two lists of nearest texts, with what moved marked.
export const SHOWN = 6;
const LOOKED = 60; // ranks of the other list that are known

/** What a rank under one instruction is beside the rank under the other: {text, kind, spoken}. */
export function movement(rank, other) {
  if (other < 0) return { text: "new", kind: "new", spoken: `not among the nearest ${SHOWN} under the other` };
  if (other > rank) return { text: `▲ ${other - rank}`, kind: "up", spoken: `up ${other - rank} from ${other + 1}` };
  if (other < rank) return { text: `▼ ${rank - other}`, kind: "down", spoken: `down ${rank - other} from ${other + 1}` };
  return { text: "=", kind: "down", spoken: "the same rank" };
}

export const looked = (count) => Math.min(LOOKED, count - 1);

/** Fill both lists; `near` has {index, cosine} for each, nearest first. */
export function drawNeighbors(lists, near, texts, colors, select) {
  for (const [side, other] of [["a", "b"], ["b", "a"]]) {
    const rankOf = new Map(near[other].map((entry, rank) => [entry.index, rank]));
    const items = near[side].slice(0, SHOWN).map((entry, rank) => {
      const before = rankOf.get(entry.index) ?? -1;
      return item(entry, rank, movement(rank, before < SHOWN ? before : -1), texts, colors, select);
    });
    lists[side].replaceChildren(...items);
  }
}

function item(entry, rank, moved, texts, colors, select) {
  const button = document.createElement("button");
  button.type = "button";
  const text = texts[entry.index];
  const span = (name, content) => Object.assign(document.createElement("span"), { className: name, textContent: content });
  const body = span("text", "");
  const dot = document.createElement("i");
  dot.style.background = colors[entry.index];
  body.append(dot, text.length > 160 ? `${text.slice(0, 159)}…` : text);
  const mark = document.createElement("span");
  const shown = Object.assign(document.createElement("b"), { className: `mark ${moved.kind}`, textContent: moved.text });
  shown.setAttribute("aria-hidden", "true");
  mark.append(shown, span("sr", `, ${moved.spoken}`));
  button.append(span("rank", rank + 1), body, span("cosine", entry.cosine.toFixed(2)), mark);
  button.addEventListener("click", () => select(entry.index));
  const row = document.createElement("li");
  row.append(button);
  return row;
}
