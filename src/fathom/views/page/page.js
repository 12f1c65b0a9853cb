// One run, or several beside each other.

import { address, link } from "./address.js";
import { MOST, series } from "./colours.js";
import { element, refill, section, swatch } from "./elements.js";
import { Evolution } from "./evolution.js";
import { missing, settings } from "./facts.js";
import { LayerChart } from "./layers.js";
import { MetricsView } from "./metrics.js";
import { ProjectionView } from "./projection.js";
import { joined, Recording } from "./recording.js";
import { scale } from "./scale.js";
import { SimilarityView } from "./similarity.js";
import { SpectrumView } from "./spectrum.js";
import { LayerTable } from "./table.js";
import { Controls } from "./controls.js";
import { several } from "./words.js";

// What fits on a sheet of A4 and of Letter, and half of that, in pixels of CSS.
const PAPER = 690, HALF = 335;

/**
 * @typedef {object} View What all parts of the page show.
 * @property {import("./address.js").Address} address
 * @property {Recording[]} recordings The runs that are there.
 * @property {number[]} places The step that is shown, of each run.
 * @property {string} phase
 * @property {string[]} layers Of all runs, in execution order.
 * @property {?string} layer The one that is chosen.
 * @property {(?string)[]} outputs The output layer of each run.
 * @property {?number} width On paper alone, where nothing can be measured.
 * @property {?number} half Of two panels beside each other, on paper.
 */

/** The page of some runs; `show` follows the address, news come by themselves. */
export class RunPage {
  /**
   * @param {HTMLElement} host
   * @param {import("./source.js").Source} from
   * @param {import("./header.js").Header} header
   * @param {string[]} names
   */
  constructor(host, from, header, names) {
    Object.assign(this, { host, from, header, asked: names, names: names.slice(0, MOST) });
    this.recordings = new Map();
    this.problems = new Map();
    this.loading = new Set();
    this.announced = new Map();
    this.build();
    this.resized = new ResizeObserver(() => {
      // A window that is being closed or hidden has no width for a moment.
      const wide = this.main.clientWidth;
      if (wide && wide !== this.measured) this.draw();
    });
    this.resized.observe(this.main);
    this.end = from.follow(this.names, {
      run: (name, stamp) => this.announce(name, stamp),
      runs: () => {
        this.problems.forEach((_, name) => this.announce(name, null));
        this.controls.offer();
      },
      connected: (problem) => header.connected(problem),
    });
    this.names.forEach((name) => this.load(name));
  }

  close() {
    this.end();
    this.resized.disconnect();
    this.closed = true;
  }

  build() {
    const at = (changes) => { location.hash = link(address(), changes); };
    this.controls = new Controls(this.from);
    this.findings = element("div", { class: "columns" });
    this.chart = new LayerChart((layer) => at({ layer }));
    this.evolutions = new PerRun(this.names, (name) =>
      new Evolution(name, (layer, step) => at({ layer, step })));
    this.projections = new PerRun(this.names, (name) => new ProjectionView(name));
    this.similarities = new PerRun(this.names, (name) => new SimilarityView(name));
    this.spectrum = new SpectrumView(this.from);
    this.metrics = new MetricsView((step) => at({ step }));
    this.table = new LayerTable();
    this.settings = element("div", {});
    this.missing = element("div", { class: "columns" });
    this.scale = element("div", {});
    this.words = section("words", "In words", this.findings);
    this.drawings = [
      section("layers", "Saturation by layer", this.chart.host),
      section("spectrum", "Spectrum", this.spectrum.host),
      section("evolution", "Evolution", this.scale, this.evolutions.host),
      section("metrics", "Metrics", this.metrics.host),
      section("projection", "Projection", this.projections.host),
      section("similarity", "Similarity", this.similarities.host),
      section("table", "All numbers", this.table.host),
    ];
    this.rest = [
      section("settings", "Settings and versions", this.settings),
      section("missing", "What was not recorded", this.missing, this.from.live
        ? element("p", { class: "faint" }, "Damaged records are looked for by fathom report alone.") : []),
    ];
    this.message = element("p", { class: "message", role: "status" }, "Loading…");
    this.main = element("main", {}, this.message, this.controls.host, this.words, this.drawings,
      this.rest);
    for (const part of [this.controls.host, this.words, ...this.drawings, ...this.rest])
      part.hidden = true;
    this.host.replaceChildren(this.main);
  }

  /** Take in that a run is now as of this stamp; null where there is none to compare. */
  announce(name, stamp) {
    if (this.loading.has(name)) this.announced.set(name, stamp);
    else if (this.recordings.get(name)?.document.stamp !== stamp) this.load(name);
  }

  /** Fetch a run; where there was news during that, and it does not tell them, once more. */
  async load(name) {
    this.loading.add(name);
    try {
      this.recordings.set(name, new Recording(await this.from.run(name)));
      this.problems.delete(name);
    } catch (error) {
      const waits = error.status === 404 && this.from.live;
      this.problems.set(name, waits ? `There is no run ${name} now; it shows when it begins.`
        : error.message);
      if (error.status === 404) this.recordings.delete(name);
    }
    this.loading.delete(name);
    if (this.closed) return;
    if (this.announced.has(name)) {
      const stamp = this.announced.get(name);
      this.announced.delete(name);
      this.announce(name, stamp);
    }
    if (this.loading.size === 0 || this.recordings.size === this.names.length) this.draw();
  }

  /** Print: light, as wide as paper, and nothing scrolls. */
  print(printing) {
    this.printing = printing;
    this.draw();
  }

  /** @returns {View} */
  view() {
    const at = address();
    const recordings = this.names.flatMap((name) => this.recordings.get(name) ?? []);
    const phases = ["eval", "train"].filter((phase) => recordings.some((each) => each.phases[phase]));
    const phase = phases.includes(at.phase) ? at.phase : phases[0] ?? null;
    const places = recordings.map((each) => each.place(at.step));
    const layers = joined(recordings)
      .filter((name) => recordings.some((each, run) => at.layer === name
        || each.reading(phase, places[run], name) || !each.phases[phase]));
    return {
      address: { ...at, runs: address().runs },
      recordings, places, phase, phases, layers,
      layer: layers.includes(at.layer) ? at.layer : layers[0] ?? null,
      outputs: recordings.map((each) => each.document.output_layer),
      width: this.printing ? PAPER : null,
      half: this.printing ? HALF : null,
    };
  }

  /** Draw all anew; nothing is drawn before there is a run. */
  draw() {
    const said = this.names.flatMap((name) => this.problems.get(name) ?? []);
    if (this.asked.length > MOST)
      said.unshift(`Of ${this.asked.length} runs the first ${MOST} are shown: no more can be told apart.`);
    this.message.hidden = !said.length && this.recordings.size > 0;
    this.message.textContent = said.join(" ") || "Loading…";
    const view = this.recordings.size ? this.view() : null;
    this.head(view);
    this.measured = this.main.clientWidth;
    const hasLayers = Boolean(view?.layers.length);
    for (const part of [this.controls.host, this.words, ...this.rest]) part.hidden = !view;
    for (const part of this.drawings) part.hidden = !hasLayers;
    if (!view) return;
    const hasMetrics = view.recordings.some((each) => each.steps.length);
    const [, , , metrics, projection, similarity] = this.drawings;
    metrics.hidden = !hasMetrics;
    projection.hidden = !hasLayers || !view.recordings.some(hasProjections);
    similarity.hidden = !hasLayers || !view.recordings.some(hasSimilarities);
    this.controls.draw(view, this.names);
    this.drawWords(view);
    if (hasLayers) {
      this.chart.draw(view);
      this.spectrum.draw(view);
      const drawnNow = this.evolutions.draw(view, () => true);
      refill(this.scale, scale(new Set(drawnNow.flatMap(({ marks }) => [...marks]))));
      this.projections.draw(view, hasProjections);
      this.similarities.draw(view, hasSimilarities);
      this.table.draw(view);
    }
    if (hasMetrics) this.metrics.draw(view);
    refill(this.settings, settings(view.recordings));
    refill(this.missing, view.recordings.map((each, run) => titled(view, run, missing(each))));
  }

  head(view) {
    const live = (view?.recordings ?? []).some((each) => each.document.live);
    const times = (view?.recordings ?? []).map((each) => each.document.times.at(-1) ?? null)
      .filter((time) => time !== null);
    const { made } = this.from;
    const one = view?.recordings.length === 1 && view.recordings[0];
    this.header.say({
      title: this.names.join(" and "), live, made, back: this.from.live,
      updated: times.length ? Math.max(...times) : undefined,
      notes: one ? [one.document.facts.model, several(one.document.recorded, "step"),
        several(one.layers.length, "layer")].filter((note) => note) : [],
    });
  }

  drawWords(view) {
    refill(this.findings, view.recordings.map((each, run) => {
      const found = each.phases[view.phase]?.findings ?? [{ kind: "unobserved", text:
        each.steps.length ? "No layer has a reading." : "Nothing is recorded yet." }];
      const last = view.places[run] === each.steps.length - 1;
      return titled(view, run,
        last ? null : element("p", { class: "faint" },
          `Of the last step, ${each.labels.at(-1)}; step ${each.labels[view.places[run]]} is shown.`),
        element("ul", { class: "findings" }, found.map(({ kind, text }) =>
          element("li", { class: kind }, text))));
    }));
  }
}

const hasProjections = ({ document }) => document.projections.length > 0;
const hasSimilarities = ({ document }) => document.similarities.length > 0;

/** A part of the page that each run has for itself. */
class PerRun {
  /**
   * @param {string[]} names Of the runs.
   * @param {(name: string) => {host: HTMLElement, draw: (view: View, run: number) => void}} make
   */
  constructor(names, make) {
    this.parts = new Map(names.map((name) => [name, make(name)]));
    this.host = element("div", { class: "columns" });
    this.shown = [];
  }

  /** Draw those of the runs that have one; returns them. */
  draw(view, has) {
    const runs = view.recordings.flatMap((each, run) => (has(each) ? [run] : []));
    const parts = runs.map((run) => this.parts.get(view.recordings[run].name));
    // Only when they are others: to move a picture would take the focus from it.
    const same = this.among === view.recordings.length && parts.length === this.shown.length
      && parts.every((each, at) => each === this.shown[at]);
    if (!same)
      this.host.replaceChildren(...parts.map(({ host }, at) => titled(view, runs[at], host)));
    [this.shown, this.among] = [parts, view.recordings.length];
    parts.forEach((each, at) => each.draw(view, runs[at]));
    return parts;
  }
}

/** What belongs to one run; with its name, where there are several. */
function titled(view, run, ...children) {
  const { recordings } = view;
  return element("div", {}, recordings.length > 1
    ? element("h3", {}, swatch(series(run)), recordings[run].name) : null, ...children);
}
