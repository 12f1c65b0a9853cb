// The accuracy of probes, as lines over the bars of the layer chart.

import { link } from "./address.js";
import { series } from "./colours.js";
import { drawn, element } from "./elements.js";
import { share } from "./words.js";

// Narrower than this, in pixels, the dots of layers would run into each other.
const DOTTED_FROM = 9;

/** What is drawn of a run, in the order of the legend. */
const LINES = {
  eval: "probe, eval accuracy",
  train: "probe, train accuracy",
  live: "live probe, eval accuracy",
  model: "accuracy of the model itself",
};

/** Whether any run that is shown was probed. */
export const hasProbes = ({ recordings }) => recordings.some((each) => each.probed || each.live);

/** Whether the lines are wanted. */
export const showsProbes = (view) => hasProbes(view) && view.address.probes !== "off";

/** What the lines of a run go through, one a layer; of several runs those of train are too many. */
function values({ recordings, places, layers }, run) {
  const each = recordings[run], step = places[run], at = each.probedAt(step);
  const found = layers.map((name) => each.probe(step, name));
  const model = at < 0 ? null : each.probed.model[at];
  return {
    eval: found.map((probe) => probe?.eval ?? null),
    train: found.map((probe) => (recordings.length === 1 ? probe?.train ?? null : null)),
    live: layers.map((name) => each.liveProbe(step, name)),
    model: layers.map(() => model),
  };
}

const isThere = (line) => line.some((value) => value !== null);

/**
 * The lines.
 * @param {import("./page.js").View} view
 * @param {number} slot The width of a layer.
 * @param {(share: number) => number} y
 */
export function probeLines(view, slot, y) {
  if (!showsProbes(view)) return [];
  return view.recordings.map((_, run) => Object.entries(values(view, run)).map(([kind, line]) => {
    if (!isThere(line)) return null;
    if (kind === "model") {
      const at = { x1: 0, x2: slot * line.length, y1: y(line[0]), y2: y(line[0]) };
      return drawn("line", { class: named(view, run, kind), ...at });
    }
    const path = line.map((value, place) => (value === null ? "" :
      `${(line[place - 1] ?? null) === null ? "M" : "L"}${(place + 0.5) * slot} ${y(value)}`)).join("");
    const alone = (place) => (line[place - 1] ?? null) === null && (line[place + 1] ?? null) === null;
    return [
      drawn("path", { class: "halo", d: path }),
      drawn("path", { class: named(view, run, kind), d: path }),
      line.map((value, place) => value !== null && (slot > DOTTED_FROM || alone(place))
        && dot(named(view, run, kind), kind, (place + 0.5) * slot, y(value))),
    ];
  })).flat(Infinity).filter((each) => each);
}

const named = ({ recordings }, run, kind) =>
  `probe ${kind} ${recordings.length > 1 ? series(run) : "single"}`;

function dot(look, kind, x, y) {
  if (kind === "live") return drawn("circle", { class: `${look} dot`, cx: x, cy: y, r: 3.2 });
  return kind === "eval" ? drawn("rect", { class: `${look} dot`, x: x - 3, y: y - 3, width: 6, height: 6 })
    : null;
}

/** What the lines mean, and a link that takes them away or brings them back. */
export function probeKeys(view) {
  if (!hasProbes(view)) return [];
  const shown = showsProbes(view);
  return [
    ...(shown ? view.recordings.flatMap((each, run) => keysOf(view, each, run)) : []),
    element("a", { class: "choice toggle", "data-key": "probes",
      href: link(view.address, { probes: shown ? "off" : null }) }, shown ? "hide probes" : "show probes"),
  ];
}

function keysOf(view, each, run) {
  const whose = view.recordings.length > 1 ? `${each.name}: ` : "";
  const at = each.probedAt(view.places[run]);
  if (each.probed && at < 0 && !each.live)
    return [element("span", { class: "key" }, `${whose}probed from step ${each.probed.steps[0]} on`)];
  return Object.entries(values(view, run)).filter(([, line]) => isThere(line)).map(([kind, line]) =>
    element("span", { class: "key" },
      drawn("svg", { class: "pattern", width: 26, height: 12, "aria-hidden": "true" },
        drawn("line", { class: named(view, run, kind), x1: 1, x2: 25, y1: 6, y2: 6 }),
        dot(named(view, run, kind), kind, 13, 6) ?? []),
      `${whose}${LINES[kind]}${kind === "live" ? "" : ofStep(each, view.places[run])}`,
      kind === "model" ? element("b", {}, share(line[0])) : null));
}

/** Of which step the probes are. */
export function ofStep(recording, step) {
  const at = recording.probedAt(step);
  return at < 0 ? "" : ` (step ${recording.probed.steps[at]}${recording.probed.legacy[at] ? ", legacy" : ""})`;
}

/** The accuracies of a layer in words; empty where there are none. */
export function probesSaid(recording, step, name) {
  const probe = recording.probe(step, name), live = recording.liveProbe(step, name);
  return [
    probe && `probe${ofStep(recording, step)}: eval ${share(probe.eval)}, train ${share(probe.train)}` +
      (probe.converged ? "" : ", not converged"),
    live !== null && `live probe ${share(live)}`,
  ].filter((each) => each).join("; ");
}
