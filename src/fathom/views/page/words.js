// How names, numbers and times are written.

/** The statuses of a reading, in the order in which documents number them. */
export const STATUSES = ["provisional", "settling", "settled", "coarse"];

/** What a status means, for whoever points at it. */
export const MEANINGS = {
  provisional: "fewer than 10 rows per width: the dimension is too low",
  settling: "fewer than 20 rows per width: the dimension may still rise",
  settled: "enough rows to trust the dimension",
  coarse: "the type of the activations is too coarse: the dimension is too high",
};

/** What quantities are called. */
export const WORDS = {
  saturation: "saturation",
  intrinsic_dimension: "intrinsic dimension",
  average: "average saturation",
  step: "step",
  layer: "layer, in execution order",
  eigenvalue: "eigenvalue (squared activation units)",
  share: "cumulative share of the variance",
};

/** A layer's name; the model itself has none. */
export const called = (layer) => layer || "(model)";

/** A saturation or another share, or a dash. */
export const share = (value) => (value === null ? "–" : value.toFixed(3));

const WHOLE_FORM = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A whole number. */
export const count = (value) => (value === null ? "–" : WHOLE_FORM.format(value));

/** A count that may be a fraction while it is small. */
export const ratio = (value) =>
  value === null ? "–" : value >= 10 ? count(value) : value.toFixed(1);

/** Any number, with four digits that count. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3);
  return value.toLocaleString("en-US", { maximumSignificantDigits: Math.max(4, digits(size)) });
}

const digits = (size) => (size >= 1 ? Math.floor(Math.log10(size)) + 1 : 0);

/** The dimension of a reading: a number, a lower bound, or a dash. */
export function dimension(reading) {
  if (reading.dimension !== null) return count(reading.dimension);
  return reading.atLeast === null || !reading.rows ? "–" : `> ${count(reading.atLeast - 1)}`;
}

/** A reading in one line. */
export function described(reading) {
  if (!reading) return "no reading";
  const of = `${dimension(reading)} of ${count(reading.width)}`;
  const known = reading.saturation === null ? of : `saturation ${share(reading.saturation)}, ${of}`;
  return `${known}, ${reading.status}, ${count(reading.rows)} rows, ` +
    `${ratio(reading.rowsPerWidth)} per width`;
}

/**
 * A moment in the reader's own time, as an element.
 * @param {?(number|string)} moment In seconds since 1970, or as ISO 8601 has it.
 */
export function time(moment) {
  const node = document.createElement("time");
  const date = new Date(typeof moment === "number" ? moment * 1000 : moment);
  if (moment === null || Number.isNaN(date.getTime())) {
    node.textContent = "at an unknown time";
    return node;
  }
  const two = (part) => String(part).padStart(2, "0");
  node.dateTime = date.toISOString();
  node.textContent = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return node;
}

/** Some of a long list of names. */
export function listed(names, most = 8) {
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return names.slice(0, most).map(called).join(", ") + more;
}

/** One or many of a thing. */
export const several = (many, one, more = `${one}s`) => `${count(many)} ${many === 1 ? one : more}`;
