// The spectrum of one layer: its eigenvalues, and what share of the variance they add up to.

import { again, colour, series, seriesColour } from "./colours.js";
import { element, refill, swatch } from "./elements.js";
import { link } from "./address.js";
import { panel } from "./lines.js";
import { called, count, number, several, WORDS } from "./words.js";

const SPECTRUM_HIGH = 260, KEPT = 200, DECADES = 12;

/** The section's contents; it fetches what it shows. */
export class SpectrumView {
  /** @param {import("./source.js").Source} from */
  constructor(from) {
    this.from = from;
    this.known = new Map();
    this.words = element("div", { class: "words", "aria-live": "polite" });
    this.values = element("div", { class: "panel", role: "img" });
    this.shares = element("div", { class: "panel", role: "img" });
    this.panels = element("div", { class: "panels" },
      element("figure", {}, element("figcaption", {}, "Eigenvalues"), this.values),
      element("figure", {}, element("figcaption", {}, "Cumulative share of the variance"), this.shares));
    this.host = element("div", {}, this.words, this.panels);
  }

  /** @param {import("./page.js").View} view */
  draw(view) {
    this.view = view;
    if (this.questions().every(({ key }) => this.known.has(key))) this.paint();
    else if (!this.busy) this.load();
  }

  /** What to ask for, of each run that has a reading. */
  questions() {
    const { recordings, places, phase, layer } = this.view;
    return recordings.flatMap((each, run) => {
      if (!each.reading(phase, places[run], layer)) return [];
      const question = [each.name, phase, layer, each.labels[places[run]]];
      return [{ run, question, key: JSON.stringify([...question, each.document.times[places[run]]]) }];
    });
  }

  /** Fetch what the view of this moment needs; by then there may be another one. */
  async load() {
    this.busy = true;
    await Promise.all(this.questions().filter(({ key }) => !this.known.has(key))
      .map(async ({ question, key }) => {
        this.known.set(key, await this.from.spectrum(...question).catch((error) => ({ error })));
      }));
    this.busy = false;
    if (this.questions().every(({ key }) => this.known.has(key))) this.paint();
    else this.load();
    for (const key of this.known.keys()) if (this.known.size > KEPT) this.known.delete(key);
  }

  paint() {
    const found = this.questions().map(({ run, key, question }) =>
      ({ run, asked: question[3], ...this.known.get(key) }));
    // What could not be had now is asked for again another time.
    for (const { key } of this.questions()) if (this.known.get(key).error) this.known.delete(key);
    const there = found.filter(({ error }) => !error);
    const { recordings, layer } = this.view;
    const lines = found.map((each) => element("p", {}, swatch(series(each.run)),
      recordings.length > 1 ? `${recordings[each.run].name}: ` : "",
      each.error ? each.error.message : said(each)));
    refill(this.words, element("h3", {}, called(layer)),
      lines.length ? lines : element("p", {}, "This layer has no reading in this phase at this step."),
      this.embedded(there));
    const [shown] = [there.filter(({ value }) => value.length)];
    this.panels.hidden = !shown.length;
    if (shown.length) this.paintPanels(shown);
  }

  /** A report holds the spectra of some steps: lead to them. */
  embedded([first]) {
    if (!first?.steps) return null;
    return element("p", { class: "faint" }, "This report holds the spectra of ",
      first.steps.length > 1 ? "steps " : "step ", first.steps.flatMap((step, place) => [
        place ? ", " : "",
        element("a", { href: link(this.view.address, { step }), "data-key": `spectrum-${step}` }, step),
      ]), ".");
  }

  paintPanels(shown) {
    const widest = Math.max(...shown.map(({ width }) => width), 2);
    const top = Math.max(...shown.map(({ value }) => value[0]), Number.MIN_VALUE);
    const positive = shown.flatMap(({ value }) => value.filter((each) => each > 0));
    const low = Math.max(Math.min(...positive, top), top * 10 ** -DECADES);
    const decades = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(top) + 0.01)];
    const rank = { label: "rank", log: true, range: [1, widest] };
    const marks = () => shown.flatMap(({ run, dimension }) =>
      dimension ? [{ x: dimension, colour: seriesColour(run) }] : []);
    this.lines(this.values, shown, { x: rank, marks, of: (each) => each.value.map(above0),
      y: { label: WORDS.eigenvalue, log: true, range: decades } });
    this.lines(this.shares, shown, { x: rank, of: (each) => each.share,
      marks: () => [...marks(), { y: shown[0].threshold, colour: colour("--faint") }],
      y: { label: "share", range: [0, 1.02] } });
    const about = `of ${called(this.view.layer)}: ${shown.map(said).join(" ")}`;
    this.values.setAttribute("aria-label", `Eigenvalues ${about}`);
    this.shares.setAttribute("aria-label", `Cumulative share of the variance ${about}`);
  }

  lines(host, shown, { of, ...spec }) {
    const [xs, ...values] = shown.length === 1 ? [shown[0].rank, of(shown[0])]
      : uPlot.join(shown.map((each) => [each.rank, of(each)]));
    panel(host, { ...spec, xs, height: SPECTRUM_HIGH, width: this.view.half ?? host.clientWidth,
      lines: values.map((each, place) =>
        ({ values: each, dotted: again(shown[place].run), colour: seriesColour(shown[place].run) })) });
  }
}

const above0 = (value) => (value > 0 ? value : null);

/** One spectrum in a sentence. */
function said({ width, rows, status, dimension, at_least, captured, threshold, step, asked }) {
  const share = `${number(100 * threshold)}% of the variance`;
  const after = `${several(rows, "row")}, ${status}` +
    (step === asked ? "" : `; step ${step}, the nearest that this report holds`);
  if (dimension === null && at_least !== null && rows)
    return `More than ${count(at_least - 1)} of ${several(width, "direction")} carry ${share}; ` +
      `the sketch holds ${number(100 * captured)}% of it (${after}).`;
  if (dimension === null) return `It is not known how many of ${width} directions carry ${share} (${after}).`;
  return `${count(dimension)} of ${several(width, "direction")} ${dimension === 1 ? "carries" : "carry"} ` +
    `${share} (${after}).`;
}
