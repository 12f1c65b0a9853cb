// All numbers of the shown step, a row a layer; a click on a head sorts.

import { link } from "./address.js";
import { series } from "./colours.js";
import { ofStep } from "./probes.js";
import { breakable, element, refill, swatch } from "./elements.js";
import { called, count, dimension, MEANINGS, ratio, share } from "./words.js";

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => (number|string|null)} key What it sorts by; null goes last.
 * @property {(row: Row) => (Node|string)} cell
 * @property {boolean} [words] Text, to the left; else numbers, to the right.
 * @property {?number} [run] The run that it belongs to, where there are several.
 */

/** The table; it keeps its order through news. */
export class LayerTable {
  constructor() {
    this.order = { column: 0, falling: false };
    this.table = element("table", { class: "layers" });
    this.host = element("div", { class: "scroll tall", tabindex: 0, role: "region",
      "aria-label": "All numbers of the layers" }, this.table);
  }

  /** @param {import("./page.js").View} view */
  draw(view) {
    this.view = view;
    const { layers, recordings, phase, places } = view;
    const rows = layers.map((name, place) => ({ name, place, readings: recordings.map((each, run) =>
      each.reading(phase, places[run], name)) }));
    const columns = this.columns();
    const { key } = columns[this.order.column] ?? columns[0];
    rows.sort((a, b) => compared(key(a), key(b), this.order.falling) || a.place - b.place);
    refill(this.table, this.head(columns), element("tbody", {}, rows.map((row) =>
      element("tr", { "aria-current": row.name === view.layer ? "true" : null },
        columns.map((column, place) => element(place === 1 ? "th" : "td",
          { scope: place === 1 ? "row" : null, class: column.words ? null : "number" },
          column.cell(row)))))));
  }

  /** @returns {Column[]} */
  columns() {
    const { recordings } = this.view;
    const first = (row) => row.readings.find((reading) => reading)?.layer ?? this.facts(row.name);
    const shared = [
      { title: "#", key: (row) => row.place, cell: (row) => String(row.place + 1) },
      { title: "layer", words: true, key: (row) => called(row.name), cell: (row) => this.leads(row) },
      { title: "kind", words: true, key: (row) => first(row).kind, cell: (row) => first(row).kind },
    ];
    const [probed, live] = ["probed", "live"].map((kind) => recordings.some((each) => each[kind]));
    const own = recordings.flatMap((each, run) => {
      const of = (name) => (row) => row.readings[run]?.[name] ?? null;
      const full = recordings.length === 1;
      return [
        full && { title: "width", key: of("width"), write: count },
        { title: "dimension", key: ({ readings }) => extentOf(readings[run]), cell: ({ readings }) => extent(readings[run], full) },
        { title: "saturation", key: of("saturation"), cell: (row) => bar(row.readings[run], run) },
        full && { title: "since the start", key: (row) => this.change(row, run),
          cell: (row) => signed(this.change(row, run)) },
        full && { title: "rows", key: of("rows"), write: count },
        full && { title: "rows/width", key: of("rowsPerWidth"), write: ratio },
        full && { title: "samples", key: of("samples"), write: count },
        { title: "status", words: true, key: of("status"), cell: (row) => status(row.readings[run]) },
        probed && { title: `probe${ofStep(each, this.view.places[run])}`, write: share,
          key: (row) => each.probe(this.view.places[run], row.name)?.eval ?? null },
        live && { title: "live probe", write: share,
          key: (row) => each.liveProbe(this.view.places[run], row.name) },
      ].filter((column) => column)
        .map((column) => ({ cell: (row) => column.write(column.key(row)), ...column, run }));
    });
    return [...shared, ...own];
  }

  head(columns) {
    const { recordings } = this.view;
    const own = columns.filter(({ run }) => run === 0).length;
    const runs = recordings.length > 1 && element("tr", {},
      element("td", { colspan: columns.length - own * recordings.length }),
      recordings.map((each, run) => element("th", { colspan: own, scope: "colgroup" },
        swatch(series(run)), each.name)));
    return element("thead", {}, runs || [], element("tr", {}, columns.map((column, place) => {
      const sorted = place === this.order.column;
      const direction = this.order.falling ? "descending" : "ascending";
      return element("th", { scope: "col", "aria-sort": sorted ? direction : null,
        class: column.words ? null : "number" },
      element("button", { type: "button", "data-key": `sort-${place}`, click: () => this.sort(place) },
        column.title));
    })));
  }

  /** Sort by a column: numbers begin with the largest, and the same column again turns round. */
  sort(column) {
    const { words } = this.columns()[column];
    const falling = column === this.order.column ? !this.order.falling : !words && column > 0;
    this.order = { column, falling };
    this.draw(this.view);
  }

  leads(row) {
    const aliases = this.facts(row.name).aliases;
    return [
      element("a", { href: link(this.view.address, { layer: row.name }), "data-key": `row-${row.name}` },
        breakable(called(row.name))),
      aliases.length ? element("span", { class: "faint" }, ` also ${aliases.join(", ")}`) : null,
    ];
  }

  facts(name) {
    const there = this.view.recordings.find((each) => each.places.has(name));
    return there.layers[there.places.get(name)];
  }

  /** What the saturation has changed by since the layer's first reading. */
  change(row, run) {
    const recording = this.view.recordings[run], place = recording.places.get(row.name);
    const now = row.readings[run]?.saturation ?? null;
    if (now === null) return null;
    for (let step = 0; step < recording.steps.length; step++) {
      const then = recording.saturation(this.view.phase, step, place);
      if (then !== null) return now - then;
    }
    return null;
  }
}

function compared(a, b, falling) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return falling ? -order : order;
}

/** What the dimension is, or is at least. */
const extentOf = (reading) => reading?.dimension ?? (reading?.rows ? reading.atLeast : null);

function extent(reading, alone) {
  if (!reading) return "–";
  return alone ? dimension(reading) : `${dimension(reading)} of ${count(reading.width)}`;
}

function bar(reading, run) {
  if (!reading || reading.saturation === null) return "–";
  const filled = element("span", { class: `fill ${series(run)}` });
  filled.style.width = `${100 * reading.saturation}%`;
  return element("span", { class: "gauge" },
    element("span", { class: "track", "aria-hidden": "true" }, filled), share(reading.saturation));
}

function status(reading) {
  if (!reading) return "–";
  return element("span", { class: `status ${reading.status}`, title: MEANINGS[reading.status] },
    reading.status);
}

function signed(value) {
  if (value === null) return "–";
  const text = Math.abs(value).toFixed(3);
  return text === "0.000" ? "0.000" : `${value < 0 ? "−" : "+"}${text}`;
}
