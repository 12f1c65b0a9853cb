// The average saturation and the user's own metrics over the steps.

import { again, colour, seriesColour } from "./colours.js";
import { element } from "./elements.js";
import { panel } from "./lines.js";
import { number, share, WORDS } from "./words.js";

const METRIC_HIGH = 190;

/** A panel for the average and one for each metric. */
export class MetricsView {
  /** @param {(step: string) => void} choose Called with the step that the reader chooses. */
  constructor(choose) {
    this.choose = choose;
    this.figures = new Map();
    this.host = element("div", { class: "panels" });
  }

  /** @param {import("./page.js").View} view */
  draw(view) {
    this.view = view;
    const { recordings } = view;
    const names = new Set(recordings.flatMap((each) => Object.keys(each.document.metrics)));
    const wanted = [averages(recordings), ...[...names].map((name) => metric(recordings, name))]
      .filter(({ lines }) => lines.length);
    for (const [key, figure] of this.figures)
      if (!wanted.some((each) => each.key === key)) {
        figure.host.remove();
        this.figures.delete(key);
      }
    // All are in their place before the first is measured.
    wanted.forEach((each) => this.host.append(this.figure(each).host));
    wanted.forEach((each) => this.drawOne(each, this.figure(each)));
  }

  figure({ key, title }) {
    if (!this.figures.has(key)) {
      const plot = element("div", { class: "panel", role: "img" });
      const told = element("p", { class: "told" });
      this.figures.set(key, { plot, told,
        host: element("figure", {}, element("figcaption", {}, title), plot, told) });
    }
    return this.figures.get(key);
  }

  drawOne({ title, lines, form, range }, { plot, told }) {
    const { recordings, places } = this.view;
    const joined = uPlot.join(lines.map(({ run, values }) => [recordings[run].steps, values]));
    const [xs, ...values] = joined;
    const shown = lines.map(({ run }) => recordings[run].labels[places[run]]);
    const alike = new Set(shown).size === 1;
    const tell = (at) => {
      const step = at === null ? shown[0] : label(recordings, xs[at]);
      const parts = lines.map((line, place) => {
        const value = at === null ? line.values[places[line.run]] : values[place][at];
        const own = at === null && !alike ? ` at step ${shown[place]}` : "";
        return `${line.name}${form(value ?? null)}${own}`;
      });
      told.textContent = (at === null && !alike ? "" : `Step ${step}: `) + parts.join(", ");
    };
    if (values.every((each) => each.every((value) => value === null || value === undefined))) {
      plot.replaceChildren(element("p", { class: "faint" }, "No finite number."));
      plot.setAttribute("aria-label", `${title}: no finite number`);
      told.textContent = "";
      return;
    }
    plot.setAttribute("aria-label", `${title} over ${xs.length} steps`);
    panel(plot, {
      xs, height: METRIC_HIGH, width: this.view.half ?? plot.clientWidth,
      lines: values.map((each, place) => ({ values: each, dashed: lines[place].dashed,
        dotted: again(lines[place].run), colour: seriesColour(lines[place].run) })),
      x: { label: WORDS.step },
      y: { label: "", range },
      marks: () => [{ x: recordings[0].steps[places[0]], colour: colour("--faint") }],
      point: tell,
      choose: (at) => this.choose(label(recordings, xs[at])),
    });
    tell(null);
  }
}

const label = (recordings, step) => {
  const one = recordings.find((each) => each.steps.includes(step));
  return one.labels[one.steps.indexOf(step)];
};

function averages(recordings) {
  const lines = recordings.flatMap((each, run) => Object.entries(each.phases).map(([phase, { average }]) =>
    ({ run, values: average, dashed: phase === "train",
      name: `${recordings.length > 1 ? `${each.name} ` : ""}${phase} ` })));
  const dashed = lines.some((line) => line.dashed) ? " (train dashed)" : "";
  return { key: `average${dashed}`, title: `Average saturation${dashed}`, lines, form: share, range: [0, 1] };
}

function metric(recordings, name) {
  const lines = recordings.flatMap((each, run) => Object.hasOwn(each.document.metrics, name)
    ? [{ run, values: each.document.metrics[name],
      name: recordings.length > 1 ? `${each.name} ` : "" }] : []);
  return { key: `metric ${name}`, title: name, lines, form: number };
}
