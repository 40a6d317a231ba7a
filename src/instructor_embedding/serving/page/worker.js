// Runs geometry beside the page, on the vectors that were loaded last.
import * as geometry from "./geometry.js";

let loaded = null;

const tasks = {
  load({ a, b, n, d }) {
    loaded = { a: geometry.normalize(a, n, d), b: geometry.normalize(b, n, d), n, d };
    return geometry.jointMap(loaded.a, loaded.b, n, d);
  },
  heat({ order }) {
    return { a: geometry.cosines(loaded.a, loaded.d, order), b: geometry.cosines(loaded.b, loaded.d, order) };
  },
  neighbors({ query, k }) {
    const { a, b, n, d } = loaded;
    return { a: geometry.nearest(a, n, d, query, k), b: geometry.nearest(b, n, d, query, k) };
  },
  agreement({ labels }) {
    const { a, b, n, d } = loaded;
    return geometry.agreement(a, b, labels, n, d);
  },
};

onmessage = ({ data: { id, task, values } }) => {
  try {
    postMessage({ id, result: tasks[task](values) });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
};
