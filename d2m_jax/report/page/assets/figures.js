// Fills the templates of charts.py, draws them, offers them as files.
"use strict";

const MISSING = Symbol("missing");

// As `charts.fill`: "@name" becomes the fact of that name; what has no fact is left out.
function fill(template, facts) {
  if (Array.isArray(template)) {
    return template.map((item) => fill(item, facts)).filter((v) => v !== MISSING);
  }
  if (template && typeof template === "object") {
    const pairs = Object.entries(template).map(([k, v]) => [k, fill(v, facts)]);
    return Object.fromEntries(pairs.filter(([, v]) => v !== MISSING));
  }
  if (typeof template === "string" && template.startsWith("@")) {
    const name = template.slice(1);
    return name in facts ? facts[name] : MISSING;
  }
  return template;
}

// A number in one of the formats that the measures use, as `figures.short` writes it.
function number(style, value) {
  if (value === null || value === undefined) return "-";
  const sign = style.startsWith("+") && value > 0 ? "+" : "", size = Math.abs(value);
  if (style.endsWith("~s")) {
    const [factor, letter] = [[1e6, "M"], [1e3, "k"]].find(([f]) => size >= f) ?? [1, ""];
    return `${sign}${Number((value / factor).toPrecision(3))}${letter}`;
  }
  if (style.endsWith(".0f")) return sign + Math.round(value).toLocaleString("en");
  if (style === ".2f" || style === ".3f") return value.toFixed(Number(style[1]));
  const digits = size === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(digits, 20) });
}

async function draw(place, spec) {
  const found = await vegaEmbed(place, spec, { actions: false, renderer: "svg", ast: false });
  place.vegaView = found.view;
  const svg = place.querySelector("svg");
  if (svg) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", spec.description);
  }
  return found.view;
}

function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function saveSvg(place, name) {
  save(`${name}.svg`, await place.vegaView.toSVG(), "image/svg+xml");
}

async function savePng(place, name) {
  const link = document.createElement("a");
  link.href = await place.vegaView.toImageURL("png", 3);
  link.download = `${name}.png`;
  link.click();
}

function csv(columns, rows) {
  const cell = (v) => (/[",\n]/.test(String(v ?? "")) ? `"${String(v).replaceAll('"', '""')}"` : v ?? "");
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

// A small element maker: make("p", {class: "note"}, "text", child, ...).
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function button(text, act, title = "") {
  return make("button", { type: "button", onclick: act, title }, text);
}
