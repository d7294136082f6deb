// A table that sorts by a click and filters by what is typed under every name.
"use strict";

const PAGE_SIZE = 40;
const WIDE = ["why", "reason"];

// What a filter means: ">0.9", "<= 3", "= 2" compare numbers, "2..6" is a range, else part of a word.
function matcher(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return null;
  const compared = wanted.match(/^(>=|<=|>|<|=)\s*(-?[\d.eE+-]+)$/);
  if (compared) {
    const bound = Number(compared[2]);
    const holds = { ">": (v) => v > bound, "<": (v) => v < bound, ">=": (v) => v >= bound,
      "<=": (v) => v <= bound, "=": (v) => v === bound }[compared[1]];
    return (raw) => raw !== null && raw !== "" && Number.isFinite(Number(raw)) && holds(Number(raw));
  }
  const range = wanted.match(/^(-?[\d.]+)\.\.(-?[\d.]+)$/);
  if (range) return (raw) => raw !== null && raw >= Number(range[1]) && raw <= Number(range[2]);
  return (raw, shown) => String(shown).toLowerCase().includes(wanted);
}

// Long names may break behind their dots and underscores.
function breakable(text) {
  return text.replace(/([._])/g, "$1\u200b");
}

// columns: {name, words, raw(row), show(row), numeric}; open(row): what a chosen row does, or null.
class Table {
  constructor(place, columns, count, { caption, open = null, name = "table" }) {
    Object.assign(this, { place, columns, count, open, name, size: PAGE_SIZE, caption });
    this.filters = columns.map(() => "");
    this.order = { column: -1, descending: false };
    this.build();
    this.fresh();
  }

  build() {
    this.status = make("p", { class: "note", role: "status", "aria-live": "polite" });
    this.heads = this.columns.map((column, at) => {
      const sort = make("button", { type: "button", class: "sort", onclick: () => this.sort(at) },
        column.name.replaceAll("_", " "));
      const input = make("input", { type: "search", placeholder: column.numeric ? ">0.9" : "filter",
        "aria-label": `filter ${column.name}`, size: 8,
        oninput: (event) => { this.filters[at] = event.target.value; this.size = PAGE_SIZE; this.fresh(); } });
      return make("th", { scope: "col", class: column.numeric ? "number" : WIDE.includes(column.name) ? "wide" : "" }, sort,
        make("div", { class: "words" }, breakable(column.words)), input);
    });
    this.body = make("tbody");
    const table = make("table", {}, make("caption", {}, this.caption),
      make("thead", {}, make("tr", {}, ...this.heads)), this.body);
    this.more = button("Show more rows", () => { this.size += 4 * PAGE_SIZE; this.fresh(); });
    const bar = make("div", { class: "bar" },
      button("Clear filters", () => this.clear()), button("Save as CSV", () => this.save()));
    this.place.replaceChildren(bar, this.status,
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": this.caption }, table), this.more);
  }

  chosen() {
    const tests = this.filters.map(matcher);
    const rows = [];
    for (let row = 0; row < this.count; row++) {
      if (tests.every((t, at) => !t || t(this.columns[at].raw(row), this.columns[at].show(row)))) rows.push(row);
    }
    const { column, descending } = this.order;
    if (column < 0) return rows;
    const raw = this.columns[column].raw, sign = descending ? -1 : 1;
    const last = (v) => v === null || v === "" || v === undefined;
    return rows.sort((a, b) => {
      const x = raw(a), y = raw(b);
      if (last(x) || last(y)) return last(x) - last(y);
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
  }

  fresh() {
    const rows = this.chosen(), shown = rows.slice(0, this.size);
    this.body.replaceChildren(...shown.map((row) => this.line(row)));
    this.more.hidden = shown.length === rows.length;
    this.status.textContent = `${rows.length.toLocaleString("en")} of ${this.count.toLocaleString("en")} rows`
      + (this.more.hidden ? "" : `, the first ${shown.length} shown`)
      + (this.open ? ". Choose a row to see its whole configuration." : ".");
    this.heads.forEach((head, at) => {
      const way = this.order.descending ? "descending" : "ascending";
      head.setAttribute("aria-sort", this.order.column === at ? way : "none");
    });
  }

  line(row) {
    const cells = this.columns.map((c, at) => {
      const text = c.show(row);
      const inner = at === 0 && this.open
        ? make("button", { type: "button", class: "open", onclick: () => this.open(row) }, text) : text;
      return make("td", { class: c.numeric ? "number" : "" }, inner);
    });
    const line = make("tr", {}, ...cells);
    if (this.open) {
      line.classList.add("opens");
      line.addEventListener("click", (event) => { if (!event.target.closest("button")) this.open(row); });
    }
    return line;
  }

  sort(at) {
    const again = this.order.column === at;
    this.order = { column: at, descending: again ? !this.order.descending : this.columns[at].numeric };
    this.fresh();
  }

  clear() {
    this.filters = this.columns.map(() => "");
    this.heads.forEach((head) => { head.querySelector("input").value = ""; });
    this.fresh();
  }

  save() {
    const names = this.columns.map((c) => c.name);
    save(`${this.name}.csv`, csv(names, this.chosen().map((r) => this.columns.map((c) => c.raw(r)))), "text/csv");
  }
}
