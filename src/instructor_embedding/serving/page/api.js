// Calls to the server: facts, named instructions, vectors.
const BATCH = 128; // texts of a request
const AT_ONCE = 3; // requests at a time
const REMEMBERED = 40_000; // vectors

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let key = "";
const vectors = new Map();

export function setKey(value) { key = value; }

async function call(path, body, signal) {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  for (let attempt = 0; ; attempt++) {
    const reply = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body), signal } : { headers, signal });
    if (reply.ok) return reply;
    if (reply.status === 429 && attempt < 8) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * Number(reply.headers.get("retry-after") ?? 1)));
      if (!signal?.aborted) continue;
    }
    const detail = await reply.json().catch(() => ({}));
    throw new ServerError(detail.error?.message ?? detail.error ?? `the server answered ${reply.status}`, reply.status);
  }
}

export const info = async () => (await call("/info")).json();
export const instructions = async (model) => (await call(`/instructions?model=${encodeURIComponent(model)}`)).json();

/** Vectors of texts under one instruction, Float32Array of shape (n, dimension); those seen before are not asked again. */
export async function encode(model, instruction, texts, signal, progress) {
  const name = (text) => `${model}\u0000${instruction}\u0000${text}`;
  const distinct = [...new Set(texts)];
  const rowOf = new Map(distinct.map((text) => [text, vectors.get(name(text))]));
  const missing = distinct.filter((text) => !rowOf.get(text));
  if (vectors.size + missing.length > REMEMBERED) vectors.clear();
  const batches = [];
  for (let first = 0; first < missing.length; first += BATCH) batches.push(missing.slice(first, first + BATCH));
  let done = distinct.length - missing.length;
  let truncated = 0;
  const work = async () => {
    for (let batch = batches.shift(); batch; batch = batches.shift()) {
      const body = { model, input: batch, instruction, encoding_format: "base64" };
      const reply = await (await call("/v1/embeddings", body, signal)).json();
      reply.data.forEach((entry, position) => {
        const row = floats(entry.embedding);
        rowOf.set(batch[position], row);
        vectors.set(name(batch[position]), row);
      });
      truncated += reply.usage.truncated;
      done += batch.length;
      progress(done / distinct.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const dimension = rowOf.get(texts[0]).length;
  const rows = new Float32Array(texts.length * dimension);
  texts.forEach((text, position) => rows.set(rowOf.get(text), position * dimension));
  return { rows, dimension, truncated };
}

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
