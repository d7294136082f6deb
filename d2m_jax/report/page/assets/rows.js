// The rows of a figure and the facts of its template, as rows.py and facts.py make them.
"use strict";

const WORDS = { best: "the best one", "within noise": "within noise", worse: "worse, beyond noise",
  unknown: "too few repetitions to tell" };
const MOST_POINTS = 24; // values of a number along x; more are gathered into groups
const GROUPS = 10;

const axisOf = (field) => PAGE.axes.find((a) => a.field === field);
const measureOf = (name) => PAGE.measures.find((m) => m.name === name);

// Runs, or runs and rounds, as a source of statistics.
function sourceOf(view) {
  if (view.x !== "round") return PAGE.source;
  return PAGE.roundSource;
}

// Rows that the filters {field: code} leave.
function filtered(source, filters) {
  const wanted = Object.entries(filters).filter(([, code]) => code >= 0);
  const rows = [];
  for (let r = 0; r < source.count; r++) {
    if (wanted.every(([f, code]) => source.codes[f][r] === code)) rows.push(r);
  }
  return rows;
}

// A column of codes for a number with many values: groups of equally many values.
function gathered(field) {
  const axis = axisOf(field);
  if (!axis || !axis.is_number || axis.values.length <= MOST_POINTS) return null;
  const known = axis.values.filter((v) => v !== null);
  const edges = Array.from({ length: GROUPS + 1 }, (_, g) => Math.round((g * known.length) / GROUPS));
  const groupOf = known.map((_, i) => edges.findIndex((e) => e > i) - 1);
  const middles = edges.slice(0, -1).map((start, g) => {
    const own = known.slice(start, edges[g + 1]);
    return axis.facts.x["x.scale"] === "log"
      ? Math.exp(mean(own.map(Math.log))) : mean(own);
  });
  return { groupOf, middles };
}

function withGroups(source, field, groups) {
  const codes = source.codes[field].map((c) => (c < groups.groupOf.length ? groups.groupOf[c] : c));
  return { ...source, codes: { ...source.codes, [field]: codes } };
}

function figureRows(view, filters) {
  let source = sourceOf(view);
  const groups = view.x === "round" ? null : gathered(view.x);
  if (groups) source = withGroups(source, view.x, groups);
  const measure = measureOf(view.y), rows = filtered(source, filters);
  const places = [view.x, view.by, view.panel].filter(Boolean);
  const table = (view.worst
    ? worstCase(source, rows, places, view.worst, view.y, measure.better)
    : bands(source, rows, places, view.y)).filter((t) => t.mean !== null);
  const noise = noiseOf(source, rows, view, measure);
  const axis = axisOf(view.x);
  const xOf = (code) => {
    if (view.x === "round") return code;
    if (groups) return groups.middles[code] ?? null;
    return axis.is_number ? axis.values[code] : axis.texts[code];
  };
  const clip = (v) => (v === null ? null : Math.min(Math.max(v, measure.low ?? -Infinity), measure.high ?? Infinity));
  const made = table.map((t) => ({
    x: view.x ? xOf(t.codes[view.x]) : "",
    by: view.by ? axisOf(view.by).texts[t.codes[view.by]] : "",
    panel: view.panel ? axisOf(view.panel).texts[t.codes[view.panel]] : "",
    mean: t.mean, low: clip(t.low), high: clip(t.high), count: t.count,
    noise: WORDS[noise.get(places.map((f) => t.codes[f]).join("|"))] ?? "not compared",
    setting: settingOf(view, filters, t),
  }));
  return made.filter((r) => r.x !== null);
}

// Rows in which a field is set: points that lack it are drawn, and compared with nothing.
function setRows(source, rows, field) {
  const { values } = axisOf(field);
  return rows.filter((r) => values[source.codes[field][r]] !== null);
}

// Place -> how its line stands against the best one there.
function noiseOf(source, rows, view, measure) {
  const found = new Map();
  if (!view.by || view.worst || !measure.better) return found;
  const outer = [view.x, view.panel].filter(Boolean);
  for (const own of grouped(setRows(source, rows, view.by), (r) => outer.map((f) => source.codes[f][r]).join("|")).values()) {
    for (const [code, said] of againstBest(source, own, view.by, view.y, measure.better)) {
      const here = { ...Object.fromEntries(outer.map((f) => [f, source.codes[f][own[0]]])), [view.by]: code };
      found.set([view.x, view.by, view.panel].filter(Boolean).map((f) => here[f]).join("|"), said.noise);
    }
  }
  return found;
}

function settingOf(view, filters, t) {
  const parts = PAGE.axes.filter((a) => ![view.x, view.by, view.panel].includes(a.field)).map((a) => {
    if (a.field === view.worst) return `${a.label} = ${a.texts[t.codes[a.field]]} (the worst)`;
    if (filters[a.field] >= 0) return `${a.label} = ${a.texts[filters[a.field]]}`;
    if (a.texts.length === 1) return `${a.label} = ${a.texts[0]}`;
    const listed = a.texts.slice(0, 6).join(", ") + (a.texts.length > 6 ? ", ..." : "");
    return `${a.label}: ${a.repeats ? "repeats" : "mean over"} ${listed}`;
  });
  return parts.join("; ") || "as the base";
}

// All that a template needs; width is that of the place in pixels.
function factsOf(view, kind, rows, width, small = false) {
  const axis = view.x === "round" ? PAGE.round : axisOf(view.x)?.facts.x ?? PAGE.nothing.x;
  const measure = measureOf(view.y);
  const by = axisOf(view.by)?.facts.by ?? PAGE.nothing.by;
  const panel = axisOf(view.panel)?.facts.panel ?? PAGE.nothing.panel;
  const facts = { ...axis, ...by, ...panel, ...measure.facts, description: sentenceOf(view, kind), size: 45 };
  const domain = by["by.domain"].filter((text) => rows.some((r) => r.by === text));
  facts["by.domain"] = by["by.domain"]; // the same colours whatever is filtered
  facts.band = Math.min(0.16, 0.45 / Math.max(domain.length, 1));
  if (domain.length && by["by.legend"]) facts["by.legend"] = legendOf(by["by.legend"], domain, width, small);
  const top = Math.max(...rows.map((r) => Math.abs(r.mean))) || 1;
  if ("y.signed" in facts) facts["heat.domain"] = [-top, top]; // as far to both sides
  if (small) facts["heat.legend"] = null; // the cells hold the numbers
  return { ...facts, ...sizeOf(kind, rows, width, small), rows: withInk(rows, facts) };
}

// A legend that fits the width; a small figure leaves out its title.
function legendOf(legend, values, width, small) {
  const item = 7 * Math.max(...values.map((v) => v.length)) + 30;
  const columns = Math.max(1, Math.min(values.length, Math.floor((width - (small ? 50 : 180)) / item)));
  return { ...legend, values, columns, ...(small ? { title: null } : {}) };
}

function sizeOf(kind, rows, width, small) {
  const distinct = (name) => new Set(rows.map((r) => r[name])).size;
  const panels = Math.max(distinct("panel"), 1), room = Math.max(width - 90, 200);
  const lines = Math.ceil(panels / Math.max(1, Math.floor(room / 210)));
  const columns = Math.ceil(panels / lines);
  if (kind === "heat") {
    const names = 7 * Math.max(...rows.map((r) => r.by.length)), legend = small ? 0 : 150;
    const wide = (width - names - legend - 60) / columns - 24;
    return { width: Math.max(Math.min(64 * distinct("x"), wide), 90), height: Math.max(30 * distinct("by"), 60), columns };
  }
  if (panels === 1) return { width: room - 20, height: Math.min(360, Math.max(200, 0.45 * room)), columns: 1 };
  return { width: Math.floor(room / columns) - 26, height: 170, columns };
}

function withInk(rows, facts) {
  const means = rows.map((r) => r.mean);
  const low = Math.min(...means), high = Math.max(...means), top = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const dark = (v) => ("y.signed" in facts ? Math.abs(v) > 0.65 * top : high > low && (v - low) / (high - low) < 0.55);
  return rows.map((r) => ({ ...r, dark: dark(r.mean), written: number(facts["y.written"], r.mean),
    said: saidOf(r, facts["y.style"]), floor: r.low ?? r.mean, roof: r.high ?? r.mean }));
}

function saidOf(row, style) {
  const middle = number(style, row.mean);
  return row.low === null ? middle : `${middle} (${number(style, row.low)} to ${number(style, row.high)})`;
}

function sentenceOf(view, kind) {
  const measure = measureOf(view.y), name = (f) => (f === "round" ? "round" : axisOf(f).words);
  let text = measure.label[0].toUpperCase() + measure.label.slice(1) + ": " + measure.meaning;
  if (view.worst) text += `; under the worst ${name(view.worst)}`;
  if (view.x) text += `, over ${name(view.x)}`;
  if (view.by) text += `, a ${kind === "heat" ? "row" : "line"} for each ${name(view.by)}`;
  if (view.panel) text += `, a panel for each ${name(view.panel)}`;
  return text + (measure.better ? `. ${measure.better > 0 ? "More" : "Less"} is better.` : ".");
}

const kindOf = (view) => (view.x === "round" || axisOf(view.x)?.is_number ? "curve" : "dots");
