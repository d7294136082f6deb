// The page of one market: fixed figures, tables, and the vote of a round that can be chosen.
"use strict";

// The nodes of a round, set by set, in lines of `per_line`.
function votesOf(number) {
  const { votes } = PAGE, rows = [], lines = [], count = new Map();
  votes.round.forEach((round, at) => {
    if (round !== number) return;
    const set = votes.set[at], own = count.get(set) ?? 0;
    const place = own % votes.per_line;
    if (place === 0) lines.push(`set ${set}` + "\u200b".repeat(own / votes.per_line));
    count.set(set, own + 1);
    const node = votes.node[at];
    rows.push({ line: lines.at(-1), place, node, set, fate: votes.kinds[votes.fate[at]], behaviour: votes.behaviour[node] });
  });
  return { rows, lines, fates: votes.kinds.filter((kind) => rows.some((r) => r.fate === kind)) };
}

function describeRound(number, rows) {
  const { votes } = PAGE, at = number - 1, digest = votes.digest[at];
  const end = digest < 0 ? "nothing was accepted" : digest > 0 ? "a wrong result was accepted" : "the right result was accepted";
  const parts = votes.kinds.map((kind) => [rows.filter((r) => r.fate === kind).length, kind])
    .filter(([n]) => n).map(([n, kind]) => `${n} ${kind}`);
  const sets = votes.attempts[at];
  return `Round ${number}: ${sets} ${sets === 1 ? "set" : "sets"}, ${votes.executions[at]} executions, `
    + `${Math.round(votes.latency[at]).toLocaleString("en")} s; ${end}` + (parts.length ? `. Nodes by their votes: ${parts.join("; ")}.` : ".");
}

async function showRound(number) {
  const { rows, lines, fates } = votesOf(number);
  document.getElementById("round").value = number;
  document.getElementById("round-said").textContent = number;
  const said = describeRound(number, rows);
  document.getElementById("vote-said").textContent = said;
  const place = document.getElementById("vote-figure");
  await draw(place, fill(PAGE.vote, { rows, lines, fates, description: said }));
  place.dataset.round = number;
}

// Rounds worth a look: with a wrong result, without any, and those with most sets.
function jumps() {
  const { digest, attempts } = PAGE.votes, found = [];
  const add = (text, test) => digest.forEach((d, at) => { if (found.length < 40 && test(d, at)) found.push([at + 1, `${text}: round ${at + 1}`]); });
  add("wrong result", (d) => d > 0);
  add("no result", (d) => d < 0);
  const most = Math.max(...attempts);
  add(`most sets (${most})`, (d, at) => attempts[at] === most);
  const box = document.getElementById("jump");
  box.replaceChildren(...found.map(([value, text]) => make("option", { value }, text)));
  box.onchange = () => showRound(Number(box.value));
}

function fillTable(name) {
  const { columns, words, numeric, rows } = PAGE.tables[name];
  const show = (value, at) => {
    if (value === null) return "";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (!numeric[at]) return String(value);
    return Number.isInteger(value) ? value.toLocaleString("en") : number(",.3~f", value);
  };
  const made = columns.map((column, at) => ({ name: column, words: words[at], numeric: numeric[at],
    raw: (r) => rows[r][at], show: (r) => show(rows[r][at], at) }));
  new Table(document.getElementById(`table-${name}`), made, rows.length, { caption: name, name: `${PAGE.name}-${name}` });
}

function savers(place, name) {
  place.after(make("div", { class: "bar" }, button("Save SVG", () => saveSvg(place, `${PAGE.name}-${name}`)),
    button("Save PNG", () => savePng(place, `${PAGE.name}-${name}`))));
}

async function startVotes() {
  const slider = document.getElementById("round");
  slider.max = PAGE.votes.digest.length;
  slider.oninput = () => showRound(Number(slider.value));
  jumps();
  await showRound(PAGE.votes.first);
  savers(document.getElementById("vote-figure"), "vote");
}

async function start() {
  Object.keys(PAGE.tables).forEach(fillTable);
  for (const [name, spec] of Object.entries(PAGE.figures)) {
    const place = document.getElementById(`figure-${name}`);
    await draw(place, spec);
    savers(place, name);
  }
  if (PAGE.votes) await startVotes();
  document.documentElement.dataset.ready = "yes";
}
