// Writes a parquet file: required columns of doubles or UTF-8 text, plain, uncompressed, one row group.
// Layout: "PAR1", one data page per column, the metadata in thrift's compact protocol, its length, "PAR1".
const TYPES = { double: 5, text: 6 };
const LIST = 9;
const STRUCT = 12;
const I32 = 5;
const I64 = 6;
const BINARY = 8;

class Thrift {
  constructor() {
    this.bytes = [];
    this.last = [0];
  }

  varint(value) {
    let rest = BigInt(value);
    while (rest > 127n) {
      this.bytes.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.bytes.push(Number(rest));
  }

  field(id, type) {
    const step = id - this.last[this.last.length - 1];
    this.bytes.push((step << 4) | type);
    this.last[this.last.length - 1] = id;
  }

  zigzag(value) { this.varint(value >= 0 ? 2 * value : -2 * value - 1); }
  i32(id, value) { this.field(id, I32); this.zigzag(value); }
  i64(id, value) { this.field(id, I64); this.zigzag(value); }
  string(id, value) { this.field(id, BINARY); this.rawString(value); }

  rawString(value) {
    const encoded = new TextEncoder().encode(value);
    this.varint(encoded.length);
    this.bytes.push(...encoded);
  }

  struct(id, fill) { this.field(id, STRUCT); this.inside(fill); }
  inside(fill) { this.last.push(0); fill(this); this.bytes.push(0); this.last.pop(); }

  list(id, type, items, write) {
    this.field(id, LIST);
    if (items.length < 15) this.bytes.push((items.length << 4) | type);
    else { this.bytes.push(0xf0 | type); this.varint(items.length); }
    items.forEach(write);
  }
}

function plain(column) {
  if (column.type === "double") return new Uint8Array(Float64Array.from(column.values).buffer);
  const encoded = column.values.map((value) => new TextEncoder().encode(value));
  const result = new Uint8Array(encoded.reduce((sum, value) => sum + 4 + value.length, 0));
  const view = new DataView(result.buffer);
  let at = 0;
  for (const value of encoded) {
    view.setUint32(at, value.length, true);
    result.set(value, at + 4);
    at += 4 + value.length;
  }
  return result;
}

function pageHeader(size, count) {
  const thrift = new Thrift();
  thrift.inside((header) => {
    header.i32(1, 0); // data page
    header.i32(2, size);
    header.i32(3, size);
    header.struct(5, (page) => {
      page.i32(1, count);
      page.i32(2, 0); // plain
      page.i32(3, 3); // levels: run length, of which required columns have none
      page.i32(4, 3);
    });
  });
  return Uint8Array.from(thrift.bytes);
}

/** Return the file as bytes; `columns` are {name, type: "double" or "text", values}. */
export function parquet(columns) {
  const count = columns[0].values.length;
  const magic = new TextEncoder().encode("PAR1");
  const pieces = [magic];
  let offset = magic.length;
  const chunks = columns.map((column) => {
    const body = plain(column);
    const header = pageHeader(body.length, count);
    pieces.push(header, body);
    const chunk = { column, offset, size: header.length + body.length };
    offset += chunk.size;
    return chunk;
  });
  const footer = metadata(columns, chunks, count);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, footer.length, true);
  return new Blob([...pieces, footer, length, magic], { type: "application/vnd.apache.parquet" });
}

function metadata(columns, chunks, count) {
  const thrift = new Thrift();
  thrift.inside((file) => {
    file.i32(1, 1);
    const schema = [null, ...columns];
    file.list(2, STRUCT, schema, (column) => file.inside((element) => {
      if (!column) {
        element.string(4, "schema");
        element.i32(5, columns.length);
        return;
      }
      element.i32(1, TYPES[column.type]);
      element.i32(3, 0); // required
      element.string(4, column.name);
      if (column.type === "text") element.i32(6, 0); // UTF-8
    }));
    file.i64(3, count);
    file.list(4, STRUCT, [chunks], (group) => file.inside((row) => {
      row.list(1, STRUCT, group, (chunk) => row.inside((entry) => {
        entry.i64(2, chunk.offset);
        entry.struct(3, (meta) => {
          meta.i32(1, TYPES[chunk.column.type]);
          meta.list(2, I32, [0], (encoding) => meta.zigzag(encoding));
          meta.list(3, BINARY, [chunk.column.name], (name) => meta.rawString(name));
          meta.i32(4, 0); // uncompressed
          meta.i64(5, count);
          meta.i64(6, chunk.size);
          meta.i64(7, chunk.size);
          meta.i64(9, chunk.offset);
        });
      }));
      row.i64(2, group.reduce((sum, chunk) => sum + chunk.size, 0));
      row.i64(3, count);
    }));
    file.string(6, "instructor-embedding playground");
  });
  return Uint8Array.from(thrift.bytes);
}
