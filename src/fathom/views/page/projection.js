// Accuracy while layers are projected onto ever more of their directions.

import { link } from "./address.js";
import { colour } from "./colours.js";
import { breakable, drawn, element, refill } from "./elements.js";
import { panel } from "./lines.js";
import { called, count, number, share } from "./words.js";

const CURVE_HIGH = 300;

/** The curves of one run, one at a time. */
export class ProjectionView {
  /** @param {string} key Tells it from that of another run. */
  constructor(key) {
    this.key = key;
    /** The layer whose line is brought out, by name, while it is pointed at. */
    this.pointed = null;
    this.choices = element("nav", { class: "control", "aria-label": "Projection" });
    this.words = element("p", {});
    this.legend = element("div", { class: "legend" });
    this.plot = element("div", { class: "panel", role: "img" });
    this.told = element("p", { class: "told" });
    this.table = element("table", { class: "matrix", pointerleave: () => this.bring(null),
      pointerover: (event) => this.bring(event.target.closest("tr")?.dataset.layer ?? null),
      focusin: (event) => this.bring(event.target.closest("tr")?.dataset.layer ?? null),
      focusout: () => this.bring(null) });
    this.host = element("div", {}, this.choices, this.words, this.legend, this.plot, this.told,
      element("div", { class: "scroll tall", tabindex: 0, role: "region",
        "aria-label": "Accuracy while projected" }, this.table));
  }

  /**
   * @param {import("./page.js").View} view
   * @param {number} run Which of its runs.
   */
  draw(view, run) {
    const recording = view.recordings[run];
    const { projections: curves } = recording.document;
    Object.assign(this, { view, curve: curveOf(view, recording, view.places[run]) });
    const { name, phase, baseline, random, layers } = this.curve;
    refill(this.choices, curves.length < 2 ? [] : curves.map((each) => element("a", {
      href: link(view.address, { projection: each.name }), class: "choice",
      "data-key": `projection-to-${each.name}`,
      "aria-current": each === this.curve ? "true" : null }, each.name)));
    refill(this.words, name === "now" ? "Measured at a moment that is no step of the run"
      : `Measured at ${name}`, phase ? `, onto directions of the ${phase} phase` : "", ".");
    this.scored = layers.filter(({ accuracy }) => accuracy);
    refill(this.legend, key("whole", "all layers projected"),
      random && key("random", "all, onto random directions"),
      element("span", { class: "key" }, sample("baseline"), "not projected ", element("b", {}, number(baseline))),
      this.scored.length ? [key("single", "the layer that is chosen, alone"),
        key("others", "each of the others, alone")] : []);
    const known = [baseline, ...this.curve.all, ...(random ?? []),
      ...this.scored.flatMap(({ accuracy }) => accuracy)].filter((each) => each !== null);
    this.isShare = known.every((each) => each >= 0 && each <= 1);
    this.write = this.isShare ? share : number;
    this.fill();
    this.paint();
  }

  /** Bring out the line of a layer; of none, that of the layer that is chosen. */
  bring(layer) {
    if (layer === this.pointed) return;
    this.pointed = layer;
    this.paint();
  }

  paint() {
    const { thresholds, all, random, baseline } = this.curve, { view } = this;
    const shown = this.scored.find(({ name }) => name === (this.pointed ?? view.layer));
    const others = this.scored.filter((each) => each !== shown);
    const line = (values, property, options) => ({ values, colour: colour(property), ...options });
    const lines = [
      ...others.map(({ accuracy }) => line(accuracy, "--faint", { thick: 0.6, bare: true })),
      ...(random ? [line(random, "--text", { thick: 1.75, dashed: true })] : []),
      line(all, "--text", { thick: 3.25 }),
      ...(shown ? [line(shown.accuracy, "--series-1", { thick: 2.25 })] : []),
    ];
    this.plot.setAttribute("aria-label", `Accuracy over ${thresholds.length} thresholds; the table ` +
      "has the numbers");
    const [width, last] = [view.half ?? this.host.clientWidth, thresholds.length - 1];
    panel(this.plot, {
      // Thresholds lie ever closer to 1: at even distances, all of them are read.
      xs: thresholds.map((_, place) => place), lines, width: Math.min(width, 760), height: CURVE_HIGH,
      x: { label: "share of the variance that is kept", names: thresholds.map(String),
        range: [-0.1, Math.max(last, 1) + 0.1] },
      y: { label: "accuracy", range: this.isShare ? [-0.02, 1.02] : undefined },
      marks: () => (baseline === null ? [] : [{ y: baseline, colour: colour("--faint") }]),
      point: (at) => this.tell(at ?? last, shown),
    });
    this.tell(last, shown);
  }

  tell(at, shown) {
    const { thresholds, all, random } = this.curve;
    const parts = [`all layers ${this.write(all[at])}`, random && `random directions ${this.write(random[at])}`,
      shown && `${called(shown.name)} alone ${this.write(shown.accuracy[at])}, ` +
        `${count(shown.dimensions[at])} of ${count(shown.width)} directions`];
    this.told.textContent = `At ${thresholds[at]}: ${parts.filter((part) => part).join("; ")}`;
  }

  /** A row a layer, with the fewest directions that lose no more than 0.01. */
  fill() {
    const { thresholds, all, random } = this.curve, { view } = this;
    const cells = (values) => values.map((each) => element("td", { class: "number" }, this.write(each)));
    const together = (title, values) => element("tr", {}, element("th", { scope: "row" }, title),
      element("td", {}), element("td", {}), cells(values));
    const each = ({ name, needed, width, accuracy }) => element("tr", { "data-layer": name,
      "aria-current": name === view.layer ? "true" : null },
    element("th", { scope: "row" }, view.layers.includes(name) ? element("a",
      { href: link(view.address, { layer: name }), "data-key": `projected-${this.key}-${name}` },
      breakable(called(name))) : called(name)),
    element("td", { class: "number" }, count(needed)), element("td", { class: "number" }, count(width)),
    cells(accuracy));
    refill(this.table, element("thead", {}, element("tr", {},
      element("th", { scope: "col" }, "projected"),
      element("th", { scope: "col", class: "number", title: NEEDED }, "needed"),
      ["width", ...thresholds].map((head) => element("th", { scope: "col", class: "number" }, String(head))))),
    element("tbody", {}, together("all layers", all),
      random ? together("all, random directions", random) : [], this.scored.map(each)));
  }
}

const NEEDED = "The fewest directions tried that lose at most 0.01";

/** The curve that is asked for; else that of the step, or the last before it, or the first. */
function curveOf(view, recording, step) {
  const { projections: curves } = recording.document, now = recording.steps[step];
  return curves.find(({ name }) => name === view.address.projection)
    ?? curves.findLast((each) => each.step !== null && Number(each.step) <= now) ?? curves[0];
}

const sample = (kind) => drawn("svg", { class: "pattern", width: 26, height: 12, "aria-hidden": "true" },
  drawn("line", { class: `curve ${kind}`, x1: 1, x2: 25, y1: 6, y2: 6 }));

const key = (kind, meaning) => element("span", { class: "key" }, sample(kind), meaning);
