// A run document, read: what `fathom.views.document` packs is unpacked here.

import { called, STATUSES } from "./words.js";

const KINDS = { u1: [Uint8Array, 255], u2: [Uint16Array, 65535], f4: [Float32Array, NaN] };

/**
 * @typedef {object} Reading
 * @property {object} layer Its `name`, `kind`, `module`, `width` and `aliases`.
 * @property {?number} width
 * @property {?number} dimension null where a sketch does not tell it.
 * @property {?number} atLeast
 * @property {?number} saturation
 * @property {?number} least What it is at least, where it is not known itself.
 * @property {string} status
 * @property {?number} rows
 * @property {?number} rowsPerWidth
 * @property {?number} samples null of another step than the last.
 */

/** A run, as one document tells it. */
export class Recording {
  /** @param {object} document What `run_document` returns. */
  constructor(document) {
    this.document = document;
    this.name = document.name;
    /** The steps as they are written; one may be too large for a number of JavaScript. */
    this.labels = document.steps.map(String);
    this.steps = document.steps.map(Number);
    this.layers = document.layers;
    this.places = new Map(this.layers.map((layer, place) => [layer.name, place]));
    this.phases = Object.fromEntries(Object.entries(document.phases).map(([phase, packed]) => {
      const dimension = unpacked(packed.dimension);
      return [phase, {
        ...packed,
        dimension,
        at_least: packed.at_least ? unpacked(packed.at_least) : dimension,
        status: unpacked(packed.status),
        rows: unpacked(packed.rows),
      }];
    }));
    const { probes, live_probes: live } = document;
    this.probed = probes && { ...probes, numbers: probes.steps.map(Number),
      held: shares(probes.eval), train: shares(probes.train) };
    this.live = live ? shares(live) : null;
  }

  /** The place, among the steps that were probed, of a step or of the last before it; or -1. */
  probedAt(step) {
    return this.probed ? this.probed.numbers.findLastIndex((each) => each <= this.steps[step]) : -1;
  }

  /**
   * What the probe of a layer found at a step, or at the last before it that was probed.
   * @returns {?{eval: ?number, train: ?number, converged: boolean}}
   */
  probe(step, name) {
    const at = this.probedAt(step), place = this.places.get(name);
    if (at < 0 || place === undefined) return null;
    const found = this.probed.held(at, place);
    return found === null ? null : { eval: found, train: this.probed.train(at, place),
      converged: !this.probed.unconverged[at].includes(place) };
  }

  /** The eval accuracy of a layer's live probe, or null. */
  liveProbe(step, name) {
    const place = this.places.get(name);
    return this.live && place !== undefined && step >= 0 ? this.live(step, place) : null;
  }

  /**
   * Find a step.
   * @param {?string} step As the address has it; null for the last.
   * @returns {number} Its place, or that of the last before it; -1 of an empty run.
   */
  place(step) {
    const last = this.steps.length - 1;
    const exact = step === null ? last : this.labels.indexOf(step);
    if (exact >= 0 || last < 0) return exact;
    const after = this.steps.findIndex((each) => each > Number(step));
    return after < 0 ? last : Math.max(after - 1, 0);
  }

  /** The saturation of a layer by its place, or null. */
  saturation(phase, step, layer) {
    const dimension = this.phases[phase]?.dimension(step, layer) ?? null;
    const width = this.layers[layer].width;
    return dimension === null || !width ? null : dimension / width;
  }

  /** What the saturation is at least, where it is not known; null where it is, or nothing is. */
  least(phase, step, layer) {
    const packed = this.phases[phase], width = this.layers[layer].width;
    if (!packed || !width || packed.dimension(step, layer) !== null) return null;
    const least = packed.rows(step, layer) ? packed.at_least(step, layer) : null;
    return least ? least / width : null;
  }

  /** The status of a reading, or null. */
  status(phase, step, layer) {
    return STATUSES[this.phases[phase]?.status(step, layer)] ?? null;
  }

  /** @returns {?Reading} Of a layer by its name; null where there is none. */
  reading(phase, step, name) {
    const [packed, place] = [this.phases[phase], this.places.get(name)];
    const status = packed && place !== undefined && step >= 0 ? packed.status(step, place) : null;
    if (status === null) return null;
    const layer = this.layers[place];
    const rows = packed.rows(step, place);
    return {
      layer,
      width: layer.width,
      dimension: packed.dimension(step, place),
      atLeast: packed.at_least(step, place),
      saturation: this.saturation(phase, step, place),
      least: this.least(phase, step, place),
      status: STATUSES[status],
      rows,
      rowsPerWidth: rows === null || !layer.width ? null : rows / layer.width,
      samples: step === this.steps.length - 1 ? packed.samples[place] : null,
    };
  }

  /** The average saturation of a step, or null. */
  average(phase, step) {
    return this.phases[phase]?.average[step] ?? null;
  }
}

/** @returns {(row: number, column: number) => ?number} */
function unpacked({ type, rows, columns, data }) {
  const [Kind, none] = KINDS[type];
  const values = new Kind(Uint8Array.from(atob(data), (each) => each.charCodeAt(0)).buffer);
  return (row, column) => {
    const value = values[(rows === 1 ? 0 : row) * columns + column];
    return value === none || Number.isNaN(value) ? null : value;
  };
}

/**
 * As `packed_shares` packs them.
 * @param {number} [below] The least that there may be.
 */
export function shares(packed, below = 0) {
  const whole = unpacked(packed);
  return (row, column) => {
    const value = whole(row, column);
    return value === null ? null : value / 10000 + below;
  };
}

/**
 * The layers of several runs in one order: that of the first run, and a layer that it lacks behind
 * the one that it follows elsewhere.
 * @param {Recording[]} recordings
 * @returns {string[]}
 */
export function joined(recordings) {
  const names = recordings[0].layers.map((layer) => layer.name);
  for (const { layers } of recordings.slice(1)) {
    const there = new Set(names);
    const first = layers.find(({ name }) => there.has(name));
    let at = first ? names.indexOf(first.name) : names.length;
    for (const { name } of layers) {
      if (there.has(name)) at = names.indexOf(name) + 1;
      else names.splice(at++, 0, name);
    }
  }
  return names;
}

/**
 * The short names of layers, of which no two are alike.
 * @param {Recording[]} recordings
 * @param {string[]} layers Names.
 * @returns {string[]}
 */
export function labelled(recordings, layers) {
  const labels = layers.map((name) => {
    const { layers, places } = recordings.find((each) => each.places.has(name));
    return layers[places.get(name)].label;
  });
  // Each run tells its own layers apart, not those of another run.
  return labels.map((label, place) =>
    labels.indexOf(label) === labels.lastIndexOf(label) ? label : called(layers[place]));
}

/** What the short names of each run leave out at their beginning. */
export const prefixes = (recordings) =>
  [...new Set(recordings.map((each) => each.document.prefix).filter((prefix) => prefix))];
