// What a run was recorded with, and what was not recorded.

import { series } from "./colours.js";
import { element, swatch } from "./elements.js";
import { called, count, listed, several } from "./words.js";

/** The settings and versions of all runs beside each other; what differs is marked. */
export function settings(recordings) {
  const rows = new Map();
  recordings.forEach(({ document: { facts, settings, sessions } }, run) => {
    const all = { ...facts, ...settings, ...(sessions > 1 ? { sessions } : {}) };
    for (const [name, value] of Object.entries(all)) {
      if (!rows.has(name)) rows.set(name, recordings.map(() => null));
      rows.get(name)[run] = written(value);
    }
  });
  if (!rows.size) return element("p", {}, "None are kept of this run.");
  const many = recordings.length > 1;
  const head = many && element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "setting"),
    recordings.map(({ name }, run) => element("th", { scope: "col" }, swatch(series(run)), name))));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Settings" },
    element("table", { class: "settings" }, head || [],
      element("tbody", {}, [...rows].map(([name, values]) => {
        const differs = new Set(values).size > 1;
        return element("tr", { class: differs ? "differs" : null },
          element("th", { scope: "row" }, name, differs ? element("span", {}, " differs") : null),
          values.map((value) => element("td", {}, value ?? "–")));
      }))));
}

/** What is missing of a run, as a list; never empty. */
export function missing({ document, steps }) {
  const items = [];
  const { recorded, unobserved, disabled, gaps, damaged, left_out: leftOut } = document;
  if (recorded > steps.length)
    items.push(`Of ${several(recorded, "recorded step")}, ${count(steps.length)} are shown, evenly ` +
      "spread, and the last.");
  for (const [reason, names] of byReason(unobserved))
    items.push(`Asked for, but not observed${reason && ` (${reason})`}: ${listed(names)}.`);
  for (const [reason, names] of byReason(disabled))
    items.push(`Switched off: ${listed(names)}. ${reason}`);
  for (const { text, layers } of gaps)
    items.push(`${text}: ${listed(layers)}.`);
  if (damaged?.length)
    items.push(`Damaged on disk, and left out: ${listed(damaged)}.`);
  if (leftOut.length)
    items.push(`Analyses that are damaged, or too large for this page, are left out: ${listed(leftOut)}.`);
  return items.length ? element("ul", {}, items.map((item) => element("li", {}, item)))
    : element("p", {}, steps.length
      ? "Nothing: every layer that was asked for is here, at every step." : "Nothing is recorded yet.");
}

/** @returns {Map<string, string[]>} */
function byReason(reasons) {
  const found = new Map();
  for (const [name, reason] of Object.entries(reasons))
    found.set(reason, [...(found.get(reason) ?? []), called(name)]);
  return found;
}

function written(value) {
  if (value === null) return "none";
  if (Array.isArray(value)) return value.length ? value.map(written).join(", ") : "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
