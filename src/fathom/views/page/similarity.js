// How alike layers are to each other, or to themselves at other steps: a matrix in colours.

import { heat } from "./colours.js";
import { address, link } from "./address.js";
import { element, refill } from "./elements.js";
import { HeatMap } from "./heatmap.js";
import { shares } from "./recording.js";
import { heatBar } from "./scale.js";
import { called } from "./words.js";

// Of a cell, in pixels; with values in it from this size on.
const SMALLEST = 4, LARGEST = 40, WRITTEN_FROM = 34, WIDEST = 640;

// A table of more cells than this would be slow, and nobody reads it.
const MOST_CELLS = 10000;

const LEAST_ALIKE = -3;

/** The matrices of one run, one at a time. */
export class SimilarityView {
  /** @param {string} key Tells it from that of another run. */
  constructor(key) {
    this.key = key;
    this.choices = element("nav", { class: "control", "aria-label": "Similarity" });
    this.title = element("p", {});
    this.map = new SimilarityMap(`similarity-${key}`);
    this.scale = element("div", {});
    this.table = element("div", { class: "scroll tall", tabindex: 0, role: "region",
      "aria-label": "All values of the similarity" });
    this.all = element("details", { toggle: () => this.fill() },
      element("summary", { "data-key": `similarity-all-${key}` }, "All values"), this.table);
    this.host = element("div", {}, this.choices, this.title, this.scale, this.map.host, this.all);
  }

  /**
   * @param {import("./page.js").View} view
   * @param {number} run Which of its runs.
   */
  draw(view, run) {
    const { similarities } = view.recordings[run].document;
    const found = similarities.find(({ name }) => name === view.address.similarity) ?? similarities[0];
    refill(this.choices, similarities.length < 2 ? [] : similarities.map(({ name }) => element("a", {
      href: link(view.address, { similarity: name }), class: "choice", "data-key": `similarity-to-${name}`,
      "aria-current": name === found.name ? "true" : null }, name)));
    refill(this.title, found.title, found.notes.map((note) => `; ${note}`));
    refill(this.scale, element("p", { class: "legend" }, heatBar(found.measure)));
    // News of the training change nothing here, and would close what is open.
    this.isOther = this.found !== found;
    this.found = found;
    this.map.draw(view, run, found);
    if (this.isOther) this.fill();
  }

  /** Fill the table when it is opened: it may be long. */
  fill() {
    if (!this.all.open) {
      this.table.replaceChildren();
      return;
    }
    const { rows, columns } = this.found;
    if (rows.names.length * columns.names.length > MOST_CELLS) {
      refill(this.table, element("p", {}, "Too many for a table. Point at the picture, or read " +
        "them from fathom.open_run(…).similarities()."));
      return;
    }
    refill(this.table, element("table", { class: "matrix" },
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, `${rows.title} \\ ${columns.title}`),
        columns.names.map((name) => element("th", { scope: "col", class: "number" }, called(name))))),
      element("tbody", {}, rows.names.map((name, row) => element("tr", {},
        element("th", { scope: "row" }, called(name)),
        columns.names.map((_, column) =>
          element("td", { class: "number" }, threeDigits(this.map.alike(row, column)))))))));
  }
}

const threeDigits = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));

/** One matrix. */
class SimilarityMap extends HeatMap {
  constructor(key) {
    super(key, (layer) => {
      if (this.view.layers.includes(layer)) location.hash = link(address(), { layer });
    });
  }

  draw(view, run, found) {
    this.view = view;
    if (this.found !== found) this.alike = shares(found.values, LEAST_ALIKE);
    this.found = found;
    const { rows, columns } = found;
    const wide = (view.recordings.length > 1 ? view.half : view.width) ?? this.host.clientWidth;
    if (!wide) return;
    const cell = Math.min(Math.max(Math.min(wide - 220, WIDEST) / columns.names.length, SMALLEST), LARGEST);
    const upright = columns.title !== "step";
    this.show({
      wide, upright, most: cell * columns.names.length,
      high: Math.max(Math.min(cell, upright ? cell : 20) * rows.names.length, 60),
      rows: { ...rows, chosen: rows.names.indexOf(view.layer) },
      columns: { ...columns, chosen: upright ? columns.names.indexOf(view.layer) : -1 },
      label: `${found.title}: ${rows.names.length} by ${columns.names.length}. Arrow keys go through ` +
        "the values, Enter chooses a layer; below is a table.",
    });
  }

  value(row, column) {
    return this.alike(row, column);
  }

  said(row, column) {
    const { rows, columns, measure } = this.found;
    const value = this.alike(row, column), other = columns.names[column];
    const at = columns.title === "step" ? `at step ${other} and at the last` : `and ${called(other)}`;
    return `${called(rows.names[row])} ${at}: ` + (value === null ? "constant, so without a similarity"
      : `${measure} ${threeDigits(value)}`);
  }

  /** The values, where there is room for them. */
  over(pen) {
    const { left, wide, high } = this.area, many = [this.rows.names.length, this.columns.names.length];
    const [down, across] = [high / many[0], wide / many[1]];
    if (across < WRITTEN_FROM || down < 14) return;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let row = 0; row < many[0]; row++)
      for (let column = 0; column < many[1]; column++) {
        const value = this.alike(row, column);
        if (value === null) continue;
        const [red, green, blue] = heat(value);
        pen.fillStyle = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 * 255 ? "#000" : "#fff";
        pen.fillText(value.toFixed(2).replace("-0.00", "0.00").replace("-", "−"),
          left + (column + 0.5) * across, (row + 0.5) * down);
      }
  }
}
