// The saturation of every layer at one step, as bars in execution order.

import { series } from "./colours.js";
import { drawn, element, refill, swatch } from "./elements.js";
import { probeKeys, probeLines, probesSaid, showsProbes } from "./probes.js";
import { labelled, prefixes } from "./recording.js";
import { called, count, described, dimension, share, WORDS } from "./words.js";

const HEIGHT = 230, TOP = 36, AXIS = 46, LETTER = 6.6;

/** The chart; it draws itself anew for every view and keeps the keyboard's layer in it. */
export class LayerChart {
  /** @param {(layer: string) => void} choose Called with the layer that the reader chooses. */
  constructor(choose) {
    this.choose = choose;
    /** The layer that is pointed at, by name: another snapshot may have it at another place. */
    this.cursor = null;
    this.legend = element("div", { class: "legend" });
    this.axis = drawn("svg", { class: "axis", "aria-hidden": "true" });
    this.plot = drawn("svg", {
      class: "bars", role: "listbox", tabindex: 0, "data-key": "layer-chart",
      "aria-label": "Layers by saturation. Arrow keys go through them, Enter chooses one.",
      keydown: (event) => this.pressed(event),
      pointermove: (event) => this.point(this.at(event)),
      pointerleave: () => this.point(null),
      blur: () => this.point(null),
      focus: () => this.point(this.chosen() ?? 0),
      click: (event) => this.choose(this.view.layers[this.at(event)]),
    });
    this.scroll = element("div", { class: "scroll" }, this.plot);
    this.details = element("div", { class: "details" });
    this.host = element("div", {}, this.legend,
      element("div", { class: "chart" }, this.axis, this.scroll), this.details);
  }

  /** @param {import("./page.js").View} view */
  draw(view) {
    this.view = view;
    const { layers, recordings } = view;
    this.readings = layers.map((name) =>
      recordings.map((each, run) => each.reading(view.phase, view.places[run], name)));
    const width = (view.width ?? this.host.clientWidth) - AXIS;
    // On paper nothing scrolls.
    const least = view.width ? 0 : Math.max(4, 3 * recordings.length + 1);
    this.slot = Math.min(Math.max(width / layers.length, least), 160);
    const wide = this.slot * layers.length;
    const [flat, labels, names] = this.labels();
    const deep = TOP + HEIGHT + (flat ? 24 : names * LETTER + 14);
    sized(this.plot, wide, deep);
    sized(this.axis, AXIS, deep);
    this.axis.replaceChildren(...ticks(showsProbes(view)));
    refill(this.plot,
      drawn("defs", {}, recordings.map((_, run) => hatch(run))),
      drawn("g", { "aria-hidden": "true" }, rules(wide), this.marks("chosen"), this.marks("cursor")),
      layers.map((_, place) => this.option(place)),
      drawn("g", { "aria-hidden": "true" },
        probeLines(view, this.slot, (value) => TOP + HEIGHT * (1 - value))),
      drawn("g", { "aria-hidden": "true" }, this.averages(wide), labels,
        recordings.length === 1 ? this.readings.map(([one], place) => one && this.figures(one, place)) : []),
    );
    this.drawLegend();
    this.point(document.activeElement === this.plot ? this.pointed() : null);
  }

  /** One layer: its bars, and what a screen reader says of it. */
  option(place) {
    const readings = this.readings[place], name = this.view.layers[place];
    const { recordings, outputs } = this.view;
    const said = recordings.map((each, run) =>
      (recordings.length > 1 ? `${each.name}: ` : "") + this.said(each, run, place));
    const chosen = name === this.view.layer;
    return drawn("g",
      { role: "option", id: `layer-${place}`, "aria-selected": String(chosen),
        "aria-label": `${called(name)}: ${said.join("; ")}` },
      readings.map((reading, run) =>
        reading && this.bar(reading, place, run, outputs[run] === name)));
  }

  /** A reading in words, and what probes make of it. */
  said(recording, run, place) {
    const probes = probesSaid(recording, this.view.places[run], this.view.layers[place]);
    return described(this.readings[place][run]) + (probes && `; ${probes}`);
  }

  bar(reading, place, run, isOutput) {
    const gap = this.slot > 6 ? Math.min(0.22 * this.slot, 14) : 1;
    const thick = Math.max((this.slot - gap) / this.view.recordings.length, 0.4);
    const high = reading.saturation ?? reading.least ?? 0;
    const style = barStyle(reading, isOutput);
    const tall = Math.max(HEIGHT * high, style === "unread" ? 4 : 1);
    return drawn("rect", {
      class: `bar ${style} ${series(run)}`,
      fill: style === "provisional" || style === "coarse" ? `url(#${style}-${run})` : null,
      x: place * this.slot + gap / 2 + run * thick, y: TOP + HEIGHT - tall,
      width: Math.max(thick - (thick > 5 ? 1 : 0), 0.4), height: tall,
    });
  }

  /** The numbers over a bar, where there is room for them. */
  figures(reading, place) {
    const of = `${dimension(reading)}/${count(reading.width)}`;
    const high = reading.saturation ?? reading.least ?? 0;
    const x = (place + 0.5) * this.slot, y = TOP + HEIGHT * (1 - high);
    const value = reading.saturation === null ? "" : share(reading.saturation);
    return drawn("g", {},
      this.slot > 36 ? drawn("text", { class: "figure", x, y: y - (this.ofs ? 17 : 5) }, value) : null,
      this.ofs ? drawn("text", { class: "figure faint", x, y: y - 5 }, of) : null);
  }

  /** @returns {[boolean, SVGElement[], number]} Whether names lie flat, they, and their length. */
  labels() {
    const names = labelled(this.view.recordings, this.view.layers);
    const longest = Math.max(...names.map((name) => [...name].length));
    const flat = longest * LETTER + 8 < this.slot;
    const every = flat ? 1 : Math.ceil(14 / this.slot);
    const widest = Math.max(0, ...this.readings.map(([one]) =>
      one ? `${dimension(one)}/${count(one.width)}`.length : 0));
    this.ofs = this.slot > 40 && widest * 5.6 + 2 < this.slot;
    const shown = names.map((name, place) => {
      if (place % every) return null;
      const x = (place + 0.5) * this.slot, y = TOP + HEIGHT + (flat ? 17 : 8);
      const known = { class: this.view.layers[place] === this.view.layer ? "name chosen" : "name" };
      return flat
        ? drawn("text", { ...known, x, y, "text-anchor": "middle" }, name)
        : drawn("text", { ...known, "text-anchor": "end", "dominant-baseline": "central",
          transform: `translate(${x} ${y}) rotate(-90)` }, name);
    });
    return [flat, shown, longest];
  }

  averages(wide) {
    return this.view.recordings.map((each, run) => {
      const average = each.average(this.view.phase, this.view.places[run]);
      const y = TOP + HEIGHT * (1 - average);
      return average === null ? null
        : drawn("line", { class: `average ${series(run)}`, x1: 0, x2: wide, y1: y, y2: y });
    });
  }

  marks(kind) {
    const place = kind === "chosen" ? this.chosen() : null;
    const mark = drawn("rect", { class: kind, x: (place ?? 0) * this.slot, y: TOP - 4,
      width: this.slot, height: HEIGHT + 4, visibility: place === null ? "hidden" : "visible" });
    this[kind === "chosen" ? "chosenMark" : "cursorMark"] = mark;
    return mark;
  }

  drawLegend() {
    const { recordings, phase, places } = this.view;
    const used = new Set(this.readings.flatMap((readings, place) => readings.map((reading, run) =>
      reading && barStyle(reading, this.view.outputs[run] === this.view.layers[place]))));
    refill(this.legend,
      recordings.map((each, run) => element("span", { class: "key" }, swatch(series(run)),
        recordings.length > 1 ? `${each.name}: ` : "", WORDS.average, " ",
        element("b", {}, share(each.average(phase, places[run]))), dash(run))),
      probeKeys(this.view),
      prefixes(recordings).map((prefix) =>
        element("span", { class: "key" }, "names without ", element("b", {}, prefix))),
      Object.entries(STYLES).filter(([style]) => used.has(style)).map(([style, meaning]) =>
        element("span", { class: "key" }, pattern(style), meaning)));
  }

  /** Point at the layer at a place: mark it, and tell its numbers below. */
  point(place) {
    this.cursor = place === null ? null : this.view.layers[place];
    const shown = place ?? this.chosen();
    this.cursorMark.setAttribute("visibility", place === null ? "hidden" : "visible");
    if (place !== null) this.cursorMark.setAttribute("x", place * this.slot);
    const focused = document.activeElement === this.plot && place !== null;
    if (focused) this.plot.setAttribute("aria-activedescendant", `layer-${place}`);
    else this.plot.removeAttribute("aria-activedescendant");
    refill(this.details, shown === null ? "" : this.told(shown));
  }

  told(place) {
    const { recordings, outputs, layers } = this.view;
    const facts = this.readings[place].find((reading) => reading)?.layer;
    const of = facts && [facts.kind, facts.module].filter((word) => word).join(", ");
    const output = outputs.includes(layers[place]) ? "; the output layer, not in the average" : "";
    return [
      element("div", {}, element("b", {}, called(layers[place])), of ? ` (${of}${output})` : ""),
      recordings.map((each, run) => element("div", {}, swatch(series(run)),
        recordings.length > 1 ? `${each.name}: ` : "", this.said(each, run, place))),
    ].flat();
  }

  chosen() {
    return this.placeOf(this.view.layer);
  }

  /** Where the cursor is; of a layer that is no longer there, where the choice is. */
  pointed() {
    return this.placeOf(this.cursor) ?? this.chosen() ?? 0;
  }

  placeOf(layer) {
    const place = this.view.layers.indexOf(layer);
    return place < 0 ? null : place;
  }

  at(event) {
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    return Math.min(Math.max(Math.floor(x / this.slot), 0), this.view.layers.length - 1);
  }

  pressed(event) {
    const last = this.view.layers.length - 1, now = this.pointed();
    const there = { ArrowLeft: now - 1, ArrowRight: now + 1, ArrowUp: now - 1, ArrowDown: now + 1,
      PageUp: now - 10, PageDown: now + 10, Home: 0, End: last }[event.key];
    if (there !== undefined) {
      this.point(Math.min(Math.max(there, 0), last));
      this.reveal();
    } else if (event.key === "Enter" || event.key === " ") this.choose(this.view.layers[now]);
    else return;
    event.preventDefault();
  }

  /** Scroll sideways until the cursor can be seen. */
  reveal() {
    const left = this.pointed() * this.slot, { scrollLeft, clientWidth } = this.scroll;
    if (left < scrollLeft) this.scroll.scrollLeft = left - this.slot;
    else if (left + this.slot > scrollLeft + clientWidth)
      this.scroll.scrollLeft = left + 2 * this.slot - clientWidth;
  }
}

/** What a bar may look like beside a full one, and what that means. */
const STYLES = {
  provisional: "provisional: too few rows, the dimension is too low",
  coarse: "coarse: the dimension is too high",
  bound: "at least so much: the layer is too wide to tell",
  unread: "no rows",
  output: "output layer, not in the average",
};

function barStyle(reading, isOutput) {
  if (reading.saturation === null) return reading.least === null ? "unread" : "bound";
  if (reading.status === "provisional" || reading.status === "coarse") return reading.status;
  return isOutput ? "output" : "full";
}

function pattern(style) {
  const fill = style === "provisional" || style === "coarse" ? `url(#${style}-0)` : null;
  return drawn("svg", { class: "pattern", width: 16, height: 12, "aria-hidden": "true" },
    drawn("rect", { class: `bar ${style} ${series(0)}`, fill, x: 1, y: 1, width: 14, height: 10 }));
}

function hatch(run) {
  const made = (id, ...lines) => drawn("pattern",
    { id: `${id}-${run}`, class: `${series(run)}`, width: 5, height: 5,
      patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, ...lines);
  const stroke = (attributes) => drawn("line", { class: "stroke", ...attributes });
  return [
    made("provisional", stroke({ x1: 0, x2: 0, y1: 0, y2: 5 })),
    made("coarse", stroke({ x1: 0, x2: 0, y1: 0, y2: 5 }), stroke({ x1: 0, x2: 5, y1: 0, y2: 0 })),
  ];
}

function dash(run) {
  return drawn("svg", { class: "pattern", width: 22, height: 12, "aria-hidden": "true" },
    drawn("line", { class: `average ${series(run)}`, x1: 2, x2: 22, y1: 6, y2: 6 }));
}

const SHARES = [0, 0.25, 0.5, 0.75, 1];

function ticks(probed) {
  return [
    ...SHARES.map((each) => drawn("text", { class: "tick", x: AXIS - 6, y: TOP + HEIGHT * (1 - each),
      "text-anchor": "end", "dominant-baseline": "central" }, String(each))),
    drawn("text", { class: "tick", "text-anchor": "middle",
      transform: `translate(9 ${TOP + HEIGHT / 2}) rotate(-90)` },
    WORDS.saturation + (probed ? " and accuracy" : "")),
  ];
}

function rules(wide) {
  return SHARES.map((each) => drawn("line", { class: "rule", x1: 0, x2: wide,
    y1: TOP + HEIGHT * (1 - each), y2: TOP + HEIGHT * (1 - each) }));
}

function sized(svg, width, height) {
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
}
