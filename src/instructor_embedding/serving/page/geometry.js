// Vectors to coordinates, cosines and agreement; plain functions that the worker runs.

/** A generator of numbers in [0, 1), the same for the same seed. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** Scale the rows of a matrix (n, d) to unit norm, in place. */
export function normalize(rows, n, d) {
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = i * d; j < (i + 1) * d; j++) sum += rows[j] * rows[j];
    const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0;
    for (let j = i * d; j < (i + 1) * d; j++) rows[j] *= scale;
  }
  return rows;
}

function centered(rows, n, d) {
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) mean[j] += rows[i * d + j] / n;
  const result = new Float32Array(n * d);
  for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) result[i * d + j] = rows[i * d + j] - mean[j];
  return result;
}

/**
 * Joint PCA of two sets of vectors of the same texts.
 *
 * Each set is centered about its own mean, so that what all texts share under an instruction does not count. The axes
 * are those of greatest variance in both sets together, so a point's way from A to B is a change in the same plane.
 */
export function jointMap(a, b, n, d) {
  const sets = [centered(a, n, d), centered(b, n, d)];
  const axes = principal(sets, n, d, 2);
  let total = 0;
  let covered = 0;
  for (const rows of sets) for (let i = 0; i < n * d; i++) total += rows[i] * rows[i];
  const positions = sets.map((rows) => {
    const plane = new Float32Array(2 * n);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < 2; k++) {
        let sum = 0;
        for (let j = 0; j < d; j++) sum += rows[i * d + j] * axes[k][j];
        plane[2 * i + k] = sum;
        covered += sum * sum;
      }
    }
    return plane;
  });
  return { a: positions[0], b: positions[1], explained: total > 0 ? covered / total : 0 };
}

/** The first `count` principal axes of several centered matrices, by subspace iteration. */
function principal(sets, n, d, count) {
  const width = Math.min(count + 4, d);
  const draw = random(7);
  let basis = Array.from({ length: width }, () => Float64Array.from({ length: d }, () => draw() - 0.5));
  const rounds = n * d > 500_000 ? 12 : 40;
  for (let round = 0; round < rounds; round++) basis = orthonormal(basis.map((axis) => covariance(sets, axis, n, d)), d);
  const images = basis.map((axis) => covariance(sets, axis, n, d));
  const small = basis.map((row) => images.map((column) => dot(row, column, d)));
  const vectors = symmetricEigenvectors(small);
  return vectors.slice(0, count).map((weights) => {
    const axis = new Float64Array(d);
    weights.forEach((weight, position) => { for (let j = 0; j < d; j++) axis[j] += weight * basis[position][j]; });
    let largest = 0;
    for (let j = 0; j < d; j++) if (Math.abs(axis[j]) > Math.abs(axis[largest])) largest = j;
    return axis[largest] < 0 ? axis.map((value) => -value) : axis;
  });
}

function covariance(sets, axis, n, d) {
  const result = new Float64Array(d);
  for (const rows of sets) {
    for (let i = 0; i < n; i++) {
      let sum = 0;
      const start = i * d;
      for (let j = 0; j < d; j++) sum += rows[start + j] * axis[j];
      for (let j = 0; j < d; j++) result[j] += sum * rows[start + j];
    }
  }
  return result;
}

function dot(x, y, d) {
  let sum = 0;
  for (let j = 0; j < d; j++) sum += x[j] * y[j];
  return sum;
}

function orthonormal(rows, d) {
  for (let i = 0; i < rows.length; i++) {
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < i; k++) {
        const shared = dot(rows[i], rows[k], d);
        for (let j = 0; j < d; j++) rows[i][j] -= shared * rows[k][j];
      }
    }
    const length = Math.sqrt(dot(rows[i], rows[i], d));
    if (length > 1e-12) for (let j = 0; j < d; j++) rows[i][j] /= length;
    else rows[i].fill(0);
  }
  return rows;
}

/** Eigenvectors of a small symmetric matrix, largest eigenvalue first (Jacobi's rotations). */
export function symmetricEigenvectors(input) {
  const size = input.length;
  const m = input.map((row) => [...row]);
  const v = input.map((_, i) => input.map((__, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        if (Math.abs(m[p][q]) < 1e-15) continue;
        const angle = 0.5 * Math.atan2(2 * m[p][q], m[q][q] - m[p][p]);
        const c = Math.cos(angle);
        const s = Math.sin(angle);
        for (let k = 0; k < size; k++) [m[k][p], m[k][q]] = [c * m[k][p] - s * m[k][q], s * m[k][p] + c * m[k][q]];
        for (let k = 0; k < size; k++) [m[p][k], m[q][k]] = [c * m[p][k] - s * m[q][k], s * m[p][k] + c * m[q][k]];
        for (let k = 0; k < size; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
      }
    }
  }
  const order = m.map((_, i) => i).sort((x, y) => m[y][y] - m[x][x]);
  return order.map((column) => v.map((row) => row[column]));
}

/** Cosines of the texts numbered in `order` with each other, from unit rows: Float32Array of shape (m, m). */
export function cosines(rows, d, order) {
  const m = order.length;
  const result = new Float32Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let k = i; k < m; k++) {
      let sum = 0;
      const x = order[i] * d;
      const y = order[k] * d;
      for (let j = 0; j < d; j++) sum += rows[x + j] * rows[y + j];
      result[i * m + k] = result[k * m + i] = sum;
    }
  }
  return result;
}

/** The `k` texts nearest to text `query`, itself left out: {index, cosine}, nearest first. */
export function nearest(rows, n, d, query, k) {
  const best = [];
  for (let i = 0; i < n; i++) {
    if (i === query) continue;
    let cosine = 0;
    for (let j = 0; j < d; j++) cosine += rows[i * d + j] * rows[query * d + j];
    if (best.length < k || cosine > best[best.length - 1].cosine) {
      let position = best.length;
      while (position > 0 && best[position - 1].cosine < cosine) position--;
      best.splice(position, 0, { index: i, cosine });
      if (best.length > k) best.pop();
    }
  }
  return best;
}

const SAMPLE = 600; // texts whose neighbors are looked at

/**
 * How often the nearest texts share a text's label, under both instructions, with 95 % intervals by bootstrap.
 *
 * `difference` is B less A on the same texts; `noise` is true where its interval has zero in it. `chance` is what
 * vectors without meaning would get.
 */
export function agreement(a, b, labels, n, d, k = 5) {
  const labeled = [];
  for (let i = 0; i < n; i++) if (labels[i] >= 0) labeled.push(i);
  if (labeled.length < 4) return null;
  const draw = random(11);
  const queries = labeled.length <= SAMPLE ? labeled : shuffled(labeled, draw).slice(0, SAMPLE);
  const counts = new Map();
  for (const i of labeled) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
  let chance = 0;
  for (const count of counts.values()) chance += (count / labeled.length) * ((count - 1) / (labeled.length - 1));
  const neighbors = Math.min(k, labeled.length - 1);
  const subsets = [a, b].map((rows) => subset(rows, labeled, d));
  const index = new Map(labeled.map((text, position) => [text, position]));
  const hits = subsets.map((rows) => queries.map((query) => {
    const near = nearest(rows, labeled.length, d, index.get(query), neighbors);
    return near.filter((entry) => labels[labeled[entry.index]] === labels[query]).length / neighbors;
  }));
  const both = hits[1].map((value, position) => value - hits[0][position]);
  const [first, second, difference] = [...hits, both].map((values) => interval(values, random(13)));
  return { a: first, b: second, difference, noise: difference.low <= 0 && difference.high >= 0, chance, neighbors, queries: queries.length };
}

function subset(rows, order, d) {
  const result = new Float32Array(order.length * d);
  order.forEach((row, position) => result.set(rows.subarray(row * d, (row + 1) * d), position * d));
  return result;
}

function shuffled(values, draw) {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const other = Math.floor(draw() * (i + 1));
    [result[i], result[other]] = [result[other], result[i]];
  }
  return result;
}

function interval(values, draw) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const means = new Float64Array(1000);
  for (let round = 0; round < means.length; round++) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[Math.floor(draw() * values.length)];
    means[round] = sum / values.length;
  }
  means.sort();
  return { value: mean, low: means[25], high: means[974] };
}
