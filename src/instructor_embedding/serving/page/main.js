// Ties the page together: what is on screen follows from `state`.
import * as api from "./api.js";
import { calls, tabs } from "./call.js";
import { colorsOf, drawLegend, grouping } from "./coloring.js";
import { saveCsv, saveParquet, savePicture } from "./download.js";
import * as example from "./example.js";
import { HeatMaps, heatOrder } from "./heat.js";
import { TextMap } from "./map.js";
import { drawNeighbors, looked } from "./neighbors.js";
import { drawSeparation } from "./separation.js";
import * as tables from "./table.js";

const $ = (id) => document.getElementById(id);
const state = { model: "", table: example.table(), text: 0, color: 2, a: example.A, b: example.B, query: 0, positions: null, keyed: false };
const geometry = startWorker();
const announce = (text) => { $("live").textContent = text; };
const map = new TextMap($("map"), $("tip"), { select: selectQuery, announce });
const heat = new HeatMaps([$("heat-a"), $("heat-b")], $("heat-note"), { announce, scale: $("heat-scale"), low: $("heat-low"), high: $("heat-high") });
const showCall = tabs([$("tab-python"), $("tab-curl"), $("tab-cli")], $("code"), currentCalls);
let running = null;
let timer = 0;

function startWorker() {
  const worker = new Worker("/page/worker.js", { type: "module" });
  const waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error)); else resolve(result);
  };
  return (task, values, transfer = []) => new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ id: count, task, values }, transfer);
  });
}

const texts = () => state.table.rows.map((row) => row[state.text]);
const colorValues = () => (state.color < 0 ? null : state.table.rows.map((row) => row[state.color]));

function say(message) {
  $("message").hidden = !message;
  $("message").textContent = message ?? "";
}

/** Compute the vectors of what is on screen, then show everything. */
async function refresh() {
  running?.abort();
  const mine = running = new AbortController();
  const all = texts();
  if (all.length < 2) { say("Two texts at least, please: one per line."); return; }
  const shares = { a: 0, b: 0 };
  const progress = (side) => (share) => { shares[side] = share; drawProgress((shares.a + shares.b) / 2); };
  const late = setTimeout(() => drawProgress(0), 150);
  try {
    const [a, b] = await Promise.all(["a", "b"].map((side) => api.encode(state.model, state[side], all, mine.signal, progress(side))));
    if (mine.signal.aborted) return;
    const values = { a: a.rows, b: b.rows, n: all.length, d: a.dimension };
    state.positions = await geometry("load", values, [a.rows.buffer, b.rows.buffer]);
    if (mine.signal.aborted) return;
    say(a.truncated + b.truncated ? "Some texts are longer than the model reads and were truncated." : null);
    await show(all);
  } catch (error) {
    if (error.name !== "AbortError" && !mine.signal.aborted) report(error);
  } finally {
    clearTimeout(late);
    if (running === mine) drawProgress(null);
  }
}

function report(error) {
  if (error.status === 401) {
    $("key-field").hidden = false;
    state.keyed = true;
    say("This server needs an API key: enter it at the top of the page.");
    $("key").focus();
  } else say(`The server could not do it: ${error.message}`);
}

function drawProgress(share) {
  const bar = $("progress");
  bar.hidden = share === null;
  bar.setAttribute("aria-valuenow", String(Math.round(100 * (share ?? 0))));
  bar.firstElementChild.style.width = `${Math.max(4, 100 * (share ?? 0))}%`;
}

async function show(all) {
  const groups = grouping(colorValues());
  const colors = colorsOf(groups, all.length);
  state.query = Math.min(state.query, all.length - 1);
  map.show(all, state.positions, colors);
  $("explained").textContent = `They hold ${Math.round(100 * state.positions.explained)} % of it.`;
  drawLegend($("legend"), groups);
  $("count").textContent = state.table.total > all.length ? `the first ${all.length.toLocaleString("en")} of ${state.table.total.toLocaleString("en")}` : `${all.length.toLocaleString("en")} texts`;
  for (const side of ["a", "b"]) {
    for (const caption of document.querySelectorAll(`.shown-${side}`)) caption.textContent = state[side] || "no instruction";
  }
  drawQueries(all);
  showCall();
  const order = heatOrder(all.length, groups?.labels);
  const [cosines, scores] = await Promise.all([
    geometry("heat", { order }),
    groups ? geometry("agreement", { labels: groups.labels }) : null,
    showNeighbors(all, colors),
  ]);
  heat.show(cosines.a, cosines.b, order, all, groups && order.map((index) => groups.labels[index]));
  drawSeparation($("separation"), groups && state.table.columns[state.color], scores, groups);
  document.body.dataset.shown = String(Number(document.body.dataset.shown ?? 0) + 1);
}

async function showNeighbors(all = texts(), colors = colorsOf(grouping(colorValues()), all.length)) {
  const near = await geometry("neighbors", { query: state.query, k: looked(all.length) });
  drawNeighbors({ a: $("neighbors-a"), b: $("neighbors-b") }, near, all, colors, selectQuery);
  map.mark(state.query, near[map.at < 0.5 ? "a" : "b"].slice(0, 3).map((entry) => entry.index));
  $("query").value = String(state.query);
}

function selectQuery(index) {
  state.query = index;
  showNeighbors();
}

function drawQueries(all) {
  const options = all.slice(0, 1000).map((text, index) => new Option(text.length > 90 ? `${text.slice(0, 89)}…` : text, index));
  if (state.query >= 1000) options.push(new Option(all[state.query].slice(0, 90), state.query));
  $("query").replaceChildren(...options);
}

function currentCalls() {
  const file = ["typed", "example"].includes(state.table.name) ? null : state.table.name;
  const column = state.table.columns[state.text];
  return calls({ model: state.model, a: state.a, b: state.b, texts: texts(), file, column, keyed: state.keyed });
}

function useTable(table) {
  state.table = table;
  state.text = tables.textColumn(table);
  state.color = tables.colorColumn(table, state.text);
  state.query = 0;
  const names = table.columns.map((name, index) => [name, index]);
  $("text-column").replaceChildren(...names.map(([name, index]) => new Option(name, index)));
  $("text-column").value = String(state.text);
  drawColorOptions();
  $("texts").value = texts().join("\n").slice(0, 200_000);
  refresh();
}

function drawColorOptions() {
  const names = state.table.columns.map((name, index) => [name, index]).filter(([, index]) => index !== state.text);
  $("color-column").replaceChildren(new Option("nothing", -1), ...names.map(([name, index]) => new Option(name, index)));
  $("color-column").value = String(state.color);
}

/** Texts that were typed keep the columns of the rows they come from. */
function useTyped() {
  const rows = new Map(state.table.rows.map((row) => [row[state.text].replaceAll("\n", " "), row]));
  const lines = $("texts").value.split("\n").filter((line) => line.trim()).slice(0, tables.MOST);
  const blank = () => state.table.columns.map(() => "");
  state.table = {
    ...state.table,
    name: "typed",
    total: lines.length,
    rows: lines.map((line) => rows.get(line) ?? Object.assign(blank(), { [state.text]: line })),
  };
  refresh();
}

function soon(action) {
  clearTimeout(timer);
  timer = setTimeout(action, 450);
}

async function openFile(file) {
  try {
    if (file.size > 50_000_000) throw new Error(`${file.name} is larger than 50 MB; take a part of it`);
    useTable(tables.parse(await file.text(), file.name));
  } catch (error) {
    say(error.message);
  }
}

function wire() {
  for (const side of ["a", "b"]) {
    const input = $(`instruction-${side}`);
    input.value = state[side];
    input.addEventListener("input", () => soon(() => { state[side] = input.value; refresh(); }));
  }
  $("swap").addEventListener("click", () => {
    [state.a, state.b] = [state.b, state.a];
    $("instruction-a").value = state.a;
    $("instruction-b").value = state.b;
    refresh();
  });
  $("texts").addEventListener("input", () => soon(useTyped));
  $("example").addEventListener("click", () => useTable(example.table()));
  $("file").addEventListener("change", (event) => { if (event.target.files[0]) openFile(event.target.files[0]); event.target.value = ""; });
  $("text-column").addEventListener("change", (event) => {
    state.text = Number(event.target.value);
    if (state.color === state.text) state.color = -1;
    drawColorOptions();
    $("texts").value = texts().join("\n");
    refresh();
  });
  $("color-column").addEventListener("change", (event) => { state.color = Number(event.target.value); if (state.positions) show(texts()); });
  $("query").addEventListener("change", (event) => selectQuery(Number(event.target.value)));
  $("model").addEventListener("change", (event) => { state.model = event.target.value; refresh(); });
  $("key-form").addEventListener("submit", (event) => event.preventDefault());
  $("key").addEventListener("change", (event) => { api.setKey(event.target.value); start(); });
  $("copy").addEventListener("click", copy);
  const exported = (action) => () => { if (state.positions) action(); };
  $("export-png").addEventListener("click", exported(() => savePicture(map)));
  $("export-csv").addEventListener("click", exported(() => saveCsv(state)));
  $("export-parquet").addEventListener("click", exported(() => saveParquet(state)));
  document.addEventListener("theme", () => { if (state.positions) show(texts()); });
  wireTravel();
  wireDrop();
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("code").textContent);
  } catch { // no permission, or not a secure address
    const range = document.createRange();
    range.selectNodeContents($("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  $("copy").textContent = "Copied";
  announce("Copied");
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
}

function wireTravel() {
  const slider = $("travel");
  const text = () => { slider.setAttribute("aria-valuetext", `${Math.round(slider.value / 10)} % of the way to B`); };
  slider.addEventListener("input", () => { stop(); map.move(slider.value / 1000); text(); });
  slider.addEventListener("change", () => { if (state.positions) showNeighbors(); });
  let frame = 0;
  const stop = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    $("play").firstElementChild.textContent = "▶";
  };
  $("play").addEventListener("click", () => {
    if (frame) { stop(); return; }
    const [from, to] = slider.value < 500 ? [slider.value / 1000, 1] : [slider.value / 1000, 0];
    const begin = performance.now();
    const length = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : 1800 * Math.abs(to - from);
    $("play").firstElementChild.textContent = "❚❚";
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - begin) / length));
      const eased = share < 0.5 ? 4 * share ** 3 : 1 - (-2 * share + 2) ** 3 / 2;
      const at = from + (to - from) * eased;
      slider.value = String(Math.round(1000 * at));
      map.move(at);
      text();
      if (share < 1) frame = requestAnimationFrame(step); else { stop(); showNeighbors(); }
    };
    frame = requestAnimationFrame(step);
  });
  text();
}

function wireDrop() {
  let depth = 0;
  const over = (change) => { depth += change; $("drop").hidden = depth < 1; };
  addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(0);
    const file = event.dataTransfer.files[0];
    const text = event.dataTransfer.getData("text");
    if (file) openFile(file);
    else if (text) useTable(tables.fromLines(text));
  });
}

async function start() {
  try {
    const { models } = await api.info();
    $("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
    $("model-field").hidden = models.length < 2;
    state.model = models[0].id;
    const named = await api.instructions(state.model);
    $("published").replaceChildren(...named.map((row) => Object.assign(document.createElement("option"), {
      value: row.instruction, label: row.side === "text" ? row.name : `${row.name}, ${row.side}`,
    })));
    useTable(state.table);
  } catch (error) {
    report(error);
  }
}

wire();
start();
