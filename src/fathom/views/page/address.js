// What is shown stands in the address, behind the #, so that every view has a link.

/**
 * @typedef {object} Address
 * @property {string[]} runs Names; none for the list, or for all runs of a report.
 * @property {?string} phase null for the usual one.
 * @property {?string} step null for the last, also when there is a later one.
 * @property {?string} layer null for the first.
 */

/** @returns {Address} What the address says. */
export function address() {
  const said = new URLSearchParams(location.hash.slice(1));
  return {
    runs: [...new Set(said.getAll("run"))],
    phase: said.get("phase"),
    step: said.get("step"),
    layer: said.get("layer"),
  };
}

/**
 * Write an address as a link.
 * @param {Address} from
 * @param {Partial<Address>} changes
 * @returns {string}
 */
export function link(from, changes = {}) {
  const { runs, phase, step, layer } = { ...from, ...changes };
  const said = new URLSearchParams(runs.map((run) => ["run", run]));
  for (const [name, value] of Object.entries({ phase, step, layer }))
    if (value !== null) said.set(name, value);
  return `#${said}`;
}
