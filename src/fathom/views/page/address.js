// What is shown stands in the address, behind the #, so that every view has a link.

const CHOSEN = ["probes", "projection", "similarity"];

/**
 * @typedef {object} Address
 * @property {string[]} runs Names; none for the list, or for all runs of a report.
 * @property {?string} phase null for the usual one.
 * @property {?string} step null for the last, also when there is a later one.
 * @property {?string} layer null for the first.
 * @property {?string} probes `off` where they are not drawn.
 * @property {?string} projection The name of a curve; null for that of the step.
 * @property {?string} similarity The name of one; null for the first.
 */

/** @returns {Address} What the address says. */
export function address() {
  const said = new URLSearchParams(location.hash.slice(1));
  return {
    runs: [...new Set(said.getAll("run"))],
    phase: said.get("phase"),
    step: said.get("step"),
    layer: said.get("layer"),
    ...Object.fromEntries(CHOSEN.map((name) => [name, said.get(name)])),
  };
}

/**
 * Write an address as a link.
 * @param {Address} from
 * @param {Partial<Address>} changes
 * @returns {string}
 */
export function link(from, changes = {}) {
  const { runs, ...others } = { ...from, ...changes };
  const said = new URLSearchParams(runs.map((run) => ["run", run]));
  for (const name of ["phase", "step", "layer", ...CHOSEN])
    if ((others[name] ?? null) !== null) said.set(name, others[name]);
  return `#${said}`;
}
