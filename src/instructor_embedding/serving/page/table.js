// Tables: from csv, tsv, json lines or plain lines to columns and rows.
export const MOST = 5000; // rows that are shown

/** Parse a file's text; the format follows from the name, else from the content. */
export function parse(text, name) {
  const clean = text.replace(/^\uFEFF/, "");
  const ending = name.toLowerCase().split(".").pop();
  if (ending === "jsonl" || ending === "ndjson") return fromJsonLines(clean, name);
  if (ending === "txt") return fromLines(clean, name);
  return fromDelimited(clean, name, ending === "tsv" || firstLine(clean).includes("\t") ? "\t" : delimiter(clean));
}

export function fromLines(text, name = "typed") {
  const rows = text.split(/\r?\n/).filter((line) => line.trim()).map((line) => [line]);
  return limited({ name, columns: ["text"], rows });
}

function fromJsonLines(text, name) {
  const records = text.split(/\r?\n/).filter((line) => line.trim()).map((line, index) => {
    try {
      const value = JSON.parse(line);
      return typeof value === "object" && value !== null && !Array.isArray(value) ? value : { text: String(value) };
    } catch {
      throw new Error(`${name}, line ${index + 1}: not JSON`);
    }
  });
  const columns = [...new Set(records.flatMap(Object.keys))];
  const shown = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value));
  return limited({ name, columns, rows: records.map((record) => columns.map((column) => shown(record[column]))) });
}

function fromDelimited(text, name, separator) {
  const records = delimited(text, separator).filter((row) => row.some((cell) => cell.trim()));
  if (records.length < 2) throw new Error(`${name} needs a line of column names and at least one row`);
  const columns = records[0].map((column, index) => column.trim() || `column ${index + 1}`);
  const rows = records.slice(1).map((row) => columns.map((_, index) => row[index] ?? ""));
  return limited({ name, columns, rows });
}

/** Split csv as RFC 4180 has it: quotes may hold separators, quotes (doubled) and line breaks. */
export function delimited(text, separator) {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') { cell += '"'; i++; } else quoted = false;
    } else if (character === '"' && cell === "") quoted = true;
    else if (character === separator) { row.push(cell); cell = ""; } else if (character === "\n" || character === "\r") {
      if (character === "\r" && text[i + 1] === "\n") i++;
      row.push(cell);
      rows.push(row);
      row = [];
      cell = "";
    } else cell += character;
  }
  if (quoted) throw new Error("a quote is not closed at the end of the file");
  if (cell || row.length) { row.push(cell); rows.push(row); }
  return rows;
}

const firstLine = (text) => text.slice(0, text.indexOf("\n") >>> 0);

function delimiter(text) {
  const line = firstLine(text);
  return line.split(";").length > line.split(",").length ? ";" : ",";
}

function limited(table) {
  if (!table.rows.length) throw new Error(`${table.name} has no texts`);
  return { ...table, total: table.rows.length, rows: table.rows.slice(0, MOST) };
}

const NAMES = ["text", "sentence", "content", "comment", "review", "title", "question", "query", "document", "body", "message"];

/** Guess which column holds the texts: by its name, else the one with the longest values. */
export function textColumn(table) {
  const lower = table.columns.map((column) => column.toLowerCase());
  for (const name of NAMES) if (lower.includes(name)) return lower.indexOf(name);
  const sample = table.rows.slice(0, 200);
  const lengths = table.columns.map((_, column) => sample.reduce((sum, row) => sum + row[column].length, 0));
  return lengths.indexOf(Math.max(...lengths));
}

/** Guess which column to color by: the last one with few different values. */
export function colorColumn(table, text) {
  const candidates = table.columns.map((_, column) => column).filter((column) => column !== text);
  const few = candidates.filter((column) => {
    const values = new Set(table.rows.map((row) => row[column]));
    return values.size > 1 && values.size <= Math.max(10, table.rows.length / 5);
  });
  return few.length ? few[few.length - 1] : -1;
}
