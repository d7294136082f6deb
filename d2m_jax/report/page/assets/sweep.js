// The page of a sweep: a figure to choose, a gallery, the table of runs.
"use strict";

const state = { view: null, kind: "auto", filters: {} };

function options(pairs, chosen) {
  return pairs.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
}

function select(label, pairs, chosen, act, title = "") {
  const box = make("select", { onchange: (event) => act(event.target.value), title }, ...options(pairs, chosen));
  return make("label", {}, make("span", {}, label), box);
}

function measurePairs() {
  const usable = state.view.x === "round" ? PAGE.measures.filter((m) => PAGE.roundSource.numbers[m.name]) : PAGE.measures;
  return usable.map((m) => [m.name, `${m.group}: ${m.label}`]);
}

// Selects for what stands where, and one for every axis that is left.
function controls() {
  const { view } = state, axes = PAGE.axes.filter((a) => a.swept);
  const pairs = axes.map((a) => [a.field, a.words]);
  const others = (mine) => {
    const taken = ["x", "by", "panel", "worst"].filter((p) => p !== mine).map((p) => view[p]);
    return [["", "nothing"], ...pairs.filter(([field]) => !taken.includes(field))];
  };
  const put = (place) => (value) => choose({ [place]: value });
  const x = [...pairs, ...(PAGE.roundSource.count ? [["round", "round of training"]] : [])];
  const free = axes.filter((a) => ![view.x, view.by, view.panel, view.worst].includes(a.field));
  const repeats = PAGE.axes.filter((a) => a.repeats && a.texts.length > 1);
  document.getElementById("controls").replaceChildren(
    select("Measure (y)", measurePairs(), view.y, put("y")),
    select("Along x", x, view.x, put("x")),
    select("A line each", others("by"), view.by, put("by")),
    select("A panel each", others("panel"), view.panel, put("panel")),
    ...(view.x === "round" ? [] : [select("Worst over", others("worst"), view.worst, put("worst"),
      "in place of the mean: the value of this axis under which the mean is worst")]),
    select("Drawn as", [["auto", "curves"], ["heat", "heat map"]], state.kind, (kind) => { state.kind = kind; redraw(); }),
    ...[...free, ...repeats].map((a) => select(`${a.words} =`,
      [["-1", a.repeats ? "all, as repetitions" : "all, averaged"], ...a.texts.map((t, i) => [String(i), t])],
      String(state.filters[a.field] ?? -1), (code) => { state.filters[a.field] = Number(code); redraw(); })),
  );
}

// A change of the view: what takes an axis that stands elsewhere takes it away from there.
function choose(change) {
  const view = { ...state.view, ...change };
  for (const place of ["by", "panel", "worst"]) {
    if (!(place in change) && view[place] && Object.values(change).includes(view[place])) view[place] = "";
  }
  if (view.x === "round") {
    view.worst = "";
    if (!PAGE.roundSource.numbers[view.y]) view.y = "test_metric";
  }
  for (const field of [view.x, view.by, view.panel, view.worst]) delete state.filters[field];
  state.view = view;
  redraw();
}

async function redraw() {
  controls();
  remember();
  const place = document.getElementById("figure"), { view } = state;
  const rows = figureRows(view, state.filters);
  const kind = state.kind === "heat" && view.x !== "round" ? "heat" : kindOf(view);
  const name = view.panel ? `${kind}_panels` : kind;
  document.getElementById("caption").textContent = sentenceOf(view, kind) + " " + intervalsOf(rows);
  document.getElementById("noise").textContent = verdictOf(view);
  numbersOf(rows);
  if (!rows.length) { place.replaceChildren(make("p", {}, "No run has a number here.")); return; }
  await draw(place, fill(PAGE.templates[name], factsOf(view, kind, rows, place.clientWidth)));
  place.dataset.ready = "yes";
}

function intervalsOf(rows) {
  const counts = rows.map((r) => r.count), most = Math.max(0, ...counts);
  const groups = state.view.x !== "round" && gathered(state.view.x)
    ? ` Values of ${axisOf(state.view.x).words} are gathered into ${GROUPS} groups.` : "";
  if (most < 2) return "One repetition a point: no intervals." + groups;
  const least = Math.min(...counts), said = least === most ? most : `${least} to ${most}`;
  return `Intervals are 95 % of the mean over ${said} repetitions (Student's t).` + groups;
}

// Whether the lines differ by more than noise, over all that is shown.
function verdictOf(view) {
  const measure = measureOf(view.y);
  if (!view.by || view.x === "round" || view.worst) return "";
  const source = PAGE.source, axis = axisOf(view.by);
  const found = [...againstBest(source, setRows(source, filtered(source, state.filters), view.by), view.by, view.y, measure.better || 1)];
  if (found.length < 2) return "";
  const named = (word) => found.filter(([, s]) => s.noise === word).map(([code]) => axis.texts[code]);
  const [best] = named("best"), alike = named("within noise"), worse = named("worse");
  const unknown = named("unknown"), few = "too few repetitions to tell noise";
  if (unknown.length === found.length - 1) return `Over all that is shown, ${best} is ahead; ${few}.`;
  const where = "Over all that is shown", word = measure.better ? "best" : "highest";
  const places = placesApart(source, view, measure);
  const also = places.length ? ` Beyond noise at ${axisOf(view.x).words} = ${places.join(", ")}.` : "";
  if (!worse.length && !unknown.length) return `${where}, all values of ${axis.words} are within noise of the best one (${best}).${also}`;
  return `${where}, ${best} is ${word}` + (alike.length ? `; within noise of it: ${alike.join(", ")}` : "")
    + (unknown.length ? `; not to be told from it, ${few}: ${unknown.join(", ")}` : "")
    + (worse.length ? `; beyond noise: ${worse.join(", ")}` : "") + `.${also}`;
}

// Values of x at which some line is beyond noise of the best one, all values taken together.
function placesApart(source, view, measure) {
  if (!view.x || gathered(view.x)) return [];
  const rows = setRows(source, filtered(source, state.filters), view.by), groups = grouped(rows, (r) => source.codes[view.x][r]);
  const level = 1 - 0.05 / Math.max(groups.size, 1);
  return [...groups].sort(([a], [b]) => a - b).filter(([, own]) =>
    [...againstBest(source, own, view.by, view.y, measure.better || 1, level).values()].some((s) => s.noise === "worse"))
    .map(([code]) => axisOf(view.x).texts[code]);
}

function numbersOf(rows) {
  const { view } = state, style = measureOf(view.y).facts["y.style"];
  const head = [["x", view.x && (view.x === "round" ? "round" : axisOf(view.x).words)],
    ["by", view.by && axisOf(view.by).words], ["panel", view.panel && axisOf(view.panel).words]].filter(([, t]) => t);
  const facts = [["mean", "mean"], ["low", "low"], ["high", "high"], ["count", "repetitions"], ["noise", "against the best here"]];
  const show = (r, k) => (["mean", "low", "high"].includes(k) ? number(style, r[k]) : r[k]);
  const columns = [...head, ...facts];
  const lines = rows.map((r) => make("tr", {}, ...columns.map(([k]) => make("td", {}, String(show(r, k))))));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...columns.map(([, t]) => make("th", { scope: "col" }, t)))),
    make("tbody", {}, ...lines));
  document.getElementById("numbers").replaceChildren(make("div", { class: "scroll", tabindex: 0 }, table));
  document.getElementById("save-numbers").onclick = () =>
    save(`${PAGE.name}-${view.y}.csv`, csv(columns.map(([, t]) => t), rows.map((r) => columns.map(([k]) => r[k]))), "text/csv");
}

// The choice stands in the address, so that a link shows the same figure.
function remember() {
  const facts = { ...state.view, kind: state.kind };
  for (const [field, code] of Object.entries(state.filters)) if (code >= 0) facts[`=${field}`] = axisOf(field).texts[code];
  const text = new URLSearchParams(Object.entries(facts).filter(([, v]) => v)).toString();
  try { history.replaceState(null, "", `#${text}`); } catch { /* a sandboxed frame has no history */ }
}

function recall() {
  const facts = new URLSearchParams(location.hash.slice(1));
  const view = { ...PAGE.view };
  const known = (f) => f === "" || f === "round" || PAGE.axes.some((a) => a.field === f);
  if (facts.get("y") && measureOf(facts.get("y"))) view.y = facts.get("y");
  if (facts.get("x") && known(facts.get("x"))) {
    for (const place of ["x", "by", "panel", "worst"]) view[place] = known(facts.get(place) ?? "") ? facts.get(place) ?? "" : "";
  }
  state.kind = facts.get("kind") === "heat" ? "heat" : PAGE.kind;
  for (const axis of PAGE.axes) {
    const code = axis.texts.indexOf(facts.get(`=${axis.field}`));
    if (code >= 0) state.filters[axis.field] = code;
  }
  state.view = view;
}

// One small figure for every measure that varies, group by group, drawn when it is scrolled to.
function gallery() {
  const place = document.getElementById("gallery");
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting) { watch.unobserve(target); target.drawNow(); }
    }
  }, { rootMargin: "300px" });
  for (const group of PAGE.groups) {
    const boxes = PAGE.gallery.filter((g) => g.group === group.name).map(small);
    if (!boxes.length && !group.same) continue;
    const grid = make("div", { class: "grid" }, ...boxes);
    place.append(make("section", { "aria-label": group.name }, make("h3", {}, group.name), grid,
      make("p", { class: "note" }, group.same)));
    boxes.forEach((box) => watch.observe(box));
  }
}

function small({ view, kind }) {
  const drawing = make("div", { class: "drawing" });
  const title = measureOf(view.y).label + (view.worst ? `, worst ${axisOf(view.worst).words}` : "") + (kind === "heat" ? ", heat map" : "");
  const look = button("Look closer", () => { state.kind = kind === "heat" ? "heat" : "auto"; state.filters = {}; choose(view);
    document.getElementById("explore").scrollIntoView(); }, `Show ${title} in the figure above`);
  const box = make("figure", {}, make("figcaption", {}, make("b", {}, title), make("span", { class: "words" }, ` ${measureOf(view.y).meaning}`)),
    drawing, look);
  box.drawNow = () => {
    const rows = figureRows(view, {});
    const facts = { ...factsOf(view, kind, rows, Math.min(box.clientWidth, 460), true), description: sentenceOf(view, kind) };
    if (kind !== "heat") facts.height = 170;
    return draw(drawing, fill(PAGE.templates[view.panel ? `${kind}_panels` : kind], facts));
  };
  return box;
}

function runsTable() {
  const axisColumns = PAGE.axes.map((a) => ({
    name: a.label, words: a.repeats ? "repetition" : a.follows ? `in step with ${axisOf(a.follows).label}` : a.field,
    numeric: a.is_number, raw: (r) => a.values[PAGE.source.codes[a.field][r]] ?? null,
    show: (r) => a.texts[PAGE.source.codes[a.field][r]],
  }));
  const words = Object.entries(PAGE.words).map(([name, w]) => ({
    name, words: w.meaning, numeric: false, raw: (r) => w.values[w.codes[r]] ?? "", show: (r) => w.values[w.codes[r]] ?? "",
  }));
  const measures = (wanted) => PAGE.measures.filter(wanted).map((m) => ({
    name: m.name, words: m.meaning + (m.unit ? ` (${m.unit})` : ""), numeric: true,
    raw: (r) => PAGE.source.numbers[m.name][r], show: (r) => resultOf(m, r),
  }));
  const place = document.getElementById("runs"), groups = document.getElementById("groups");
  const shown = new Set([PAGE.groups[0].name]);
  const build = () => new Table(place, [...axisColumns, ...words, ...measures((m) => shown.has(m.group) || PAGE.headlines.includes(m.name))],
    PAGE.source.count, { caption: "Runs", open: openRun, name: `${PAGE.name}-runs` });
  groups.append(...PAGE.groups.map((g) => make("label", {}, make("input", { type: "checkbox", checked: shown.has(g.name),
    onchange: (event) => { if (event.target.checked) shown.add(g.name); else shown.delete(g.name); build(); } }), ` ${g.name}`)));
  build();
}

// A measure of one run in words: facts are yes or no.
function resultOf(measure, row) {
  const value = PAGE.source.numbers[measure.name][row];
  if (measure.is_fact && value !== null) return value ? "yes" : "no";
  return number(measure.facts["y.style"], value);
}

// The whole configuration and all results of one run.
function openRun(row) {
  const dialog = document.getElementById("run");
  const set = PAGE.axes.map((a) => [a.field, a.texts[PAGE.source.codes[a.field][row]], ""]);
  const found = PAGE.measures.map((m) => [m.name, resultOf(m, row), m.meaning]);
  const words = Object.entries(PAGE.words).map(([name, w]) => [name, w.values[w.codes[row]] ?? "", w.meaning]);
  const table = (rows, caption) => make("table", {}, make("caption", {}, caption),
    ...rows.map((cells) => make("tr", {}, make("th", { scope: "row" }, cells[0]), ...cells.slice(1).map((c) => make("td", {}, c)))));
  dialog.querySelector(".content").replaceChildren(
    make("p", { class: "note" }, `Run ${PAGE.keys[row]}`), table(set, "What the axes set"), table([...words, ...found], "Results"),
    make("details", {}, make("summary", {}, "The whole configuration"),
      make("pre", {}, JSON.stringify(configOf(row), null, 2))));
  dialog.showModal();
}

function configOf(row) {
  const tree = structuredClone(PAGE.base);
  for (const axis of PAGE.axes) {
    const value = axis.values[PAGE.source.codes[axis.field][row]];
    if (value === null) continue;
    const names = axis.field.split("."), last = names.pop();
    let node = tree;
    for (const name of names) node = node[name] ??= {};
    node[last] = value;
  }
  return tree;
}

function start() {
  PAGE.roundSource = { ...PAGE.rounds, codes: { round: PAGE.rounds.round } };
  for (const axis of PAGE.axes) {
    PAGE.roundSource.codes[axis.field] = PAGE.rounds.run.map((r) => PAGE.source.codes[axis.field][r]);
  }
  recall();
  if (PAGE.axes.some((a) => a.swept) || PAGE.roundSource.count) {
    document.getElementById("save-svg").onclick = () => saveSvg(document.getElementById("figure"), `${PAGE.name}-${state.view.y}`);
    document.getElementById("save-png").onclick = () => savePng(document.getElementById("figure"), `${PAGE.name}-${state.view.y}`);
    redraw();
    let waiting = 0;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 200); });
    gallery();
  }
  runsTable();
  document.documentElement.dataset.ready = "yes";
}
