// Means, intervals, worst cases and noise, as d2m_jax/sweep/selection.py computes them.
// A source has `codes[field][row]` (an index of a value of an axis, or a number for `round`),
// `numbers[measure][row]` (null: missing) and `count`. Rows are indices.
"use strict";

const REPEATS = ["data.seed", "seed"];

// The quantile of Student's t for a whole number of degrees of freedom, by bisection of the exact
// distribution (Abramowitz and Stegun 26.7.3 and 26.7.4), p > 0.5.
function tQuantile(p, freedom) {
  let low = 0, high = Math.PI / 2;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (tCentral(middle, freedom) < 2 * p - 1) low = middle; else high = middle;
  }
  return Math.sqrt(freedom) * Math.tan((low + high) / 2);
}

// P(|T| < sqrt(freedom) tan(angle)).
function tCentral(angle, freedom) {
  const sine = Math.sin(angle), cosine = Math.cos(angle);
  const odd = freedom % 2;
  if (freedom === 1) return (2 * angle) / Math.PI;
  let term = odd ? cosine : 1, sum = term;
  for (let k = odd ? 3 : 2; k < freedom; k += 2) {
    term *= (cosine * cosine * (k - 1)) / k;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
}

function mean(values) {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function deviation(values) {
  const middle = mean(values);
  return Math.sqrt(values.reduce((a, v) => a + (v - middle) ** 2, 0) / (values.length - 1));
}

function grouped(rows, keyOf) {
  const groups = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (groups.has(key)) groups.get(key).push(row); else groups.set(key, [row]);
  }
  return groups;
}

// The column whose values are independent repetitions; "" if there is none.
function unitOf(source, rows, fields) {
  const free = REPEATS.filter((f) => source.codes[f] && !fields.includes(f));
  const varied = free.find((f) => new Set(rows.map((r) => source.codes[f][r])).size > 1);
  return varied ?? free[0] ?? "";
}

// Repetition -> mean over its rows; those without any number are left out.
function unitMeans(source, rows, unit, measure) {
  const numbers = source.numbers[measure], found = new Map();
  for (const [key, own] of grouped(rows, (r) => (unit ? source.codes[unit][r] : r))) {
    const known = own.map((r) => numbers[r]).filter((v) => v !== null);
    if (known.length) found.set(key, mean(known));
  }
  return found;
}

// One object per combination of the fields: codes, mean, low, high, count, rows.
function bands(source, rows, fields, measure, confidence = 0.95) {
  const unit = unitOf(source, rows, fields);
  const groups = grouped(rows, (r) => fields.map((f) => source.codes[f][r]).join("|"));
  return [...groups.values()].map((own) => {
    const means = [...unitMeans(source, own, unit, measure).values()], n = means.length;
    const codes = Object.fromEntries(fields.map((f) => [f, source.codes[f][own[0]]]));
    if (!n) return { codes, mean: null, low: null, high: null, count: 0, rows: own };
    const middle = mean(means);
    const half = n > 1
      ? (tQuantile(0.5 + confidence / 2, n - 1) * deviation(means)) / Math.sqrt(n) : null;
    return { codes, mean: middle, low: half === null ? null : middle - half,
      high: half === null ? null : middle + half, count: n, rows: own };
  });
}

// The value of `over` under which the mean is worst; nothing where one of them has no result.
function worstCase(source, rows, fields, over, measure, better) {
  const wanted = new Set(rows.map((r) => source.codes[over][r]));
  const table = bands(source, rows, [...fields, over], measure);
  const groups = grouped(table, (t) => fields.map((f) => t.codes[f]).join("|"));
  return [...groups.values()].map((own) => {
    const known = own.filter((t) => t.mean !== null);
    const judged = new Set(known.map((t) => t.codes[over])).size === wanted.size;
    if (!judged) return { ...own[0], mean: null, low: null, high: null, count: 0 };
    const sign = better < 0 ? -1 : 1;
    return known.reduce((a, b) => (sign * b.mean < sign * a.mean ? b : a));
  });
}

// Half the width of the interval of a mean difference; null where nothing can be said. Differences
// that are all the same have no spread to judge by: their number decides, by a sign test.
function marginOf(apart, level) {
  const n = apart.length;
  if (n < 2) return null;
  const low = Math.min(...apart), high = Math.max(...apart);
  if (high - low <= 1e-6 * Math.max(Math.abs(low), Math.abs(high))) return 0.5 ** n <= 1 - level ? 0 : null;
  return (tQuantile(level, n - 1) * deviation(apart)) / Math.sqrt(n);
}

// Code of `by` -> {gap, margin, noise}: against the best one, over the same repetitions.
function againstBest(source, rows, by, measure, better, confidence = 0.95) {
  const unit = unitOf(source, rows, [by]);
  const table = bands(source, rows, [by], measure).filter((t) => t.mean !== null);
  table.sort((a, b) => (better < 0 ? a.mean - b.mean : b.mean - a.mean));
  const pairs = Math.max((table.length * (table.length - 1)) / 2, 1);
  const found = new Map();
  if (!table.length) return found;
  const means = table.map((t) => unitMeans(source, t.rows, unit, measure));
  table.forEach((t, i) => {
    const apart = unit ? [...means[i].keys()].filter((k) => means[0].has(k))
      .map((k) => means[0].get(k) - means[i].get(k)) : [];
    const gap = apart.length ? Math.abs(mean(apart)) : Math.abs(table[0].mean - t.mean);
    const level = 1 - (1 - confidence) / (2 * pairs);
    const margin = gap ? marginOf(apart, level) : 0;
    let noise = "best";
    if (i > 0) noise = margin === null ? "unknown" : gap <= margin ? "within noise" : "worse";
    found.set(t.codes[by], { gap, margin, noise });
  });
  return found;
}
