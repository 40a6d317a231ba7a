// Exports: the map as a picture, the texts with their coordinates as csv or parquet.
import { css } from "./coloring.js";
import { parquet } from "./parquet.js";

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The table on screen with four more columns: x and y under each instruction. */
function columns({ table, positions }) {
  const axis = (plane, offset) => Array.from(table.rows, (_, index) => plane[2 * index + offset]);
  return [
    ...table.columns.map((name, column) => ({ name, type: "text", values: table.rows.map((row) => row[column]) })),
    { name: "x_a", type: "double", values: axis(positions.a, 0) },
    { name: "y_a", type: "double", values: axis(positions.a, 1) },
    { name: "x_b", type: "double", values: axis(positions.b, 0) },
    { name: "y_b", type: "double", values: axis(positions.b, 1) },
  ];
}

export function saveParquet(state) { save(parquet(columns(state)), "instruction-map.parquet"); }

export function saveCsv(state) {
  const all = columns(state);
  const cell = (value) => (/[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const lines = [all.map((column) => cell(column.name)).join(",")];
  for (let row = 0; row < state.table.rows.length; row++) lines.push(all.map((column) => cell(column.values[row])).join(","));
  save(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }), "instruction-map.csv");
}

export function savePicture(map) {
  const canvas = document.createElement("canvas");
  map.paint(canvas, 2);
  const pen = canvas.getContext("2d");
  pen.globalCompositeOperation = "destination-over";
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.fillStyle = css("--panel");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, "instruction-map.png"));
  map.draw();
}
