// The key to the pictures of evolution: the colours, and the marks over them.

import { heat } from "./colours.js";
import { element } from "./elements.js";

/**
 * A tile of parallel lines, dark and light beside each other: to be seen on every colour.
 * @param {number} size How far apart they are.
 * @param {boolean} crossed Whether others cross them.
 */
function hatching(size, crossed) {
  const tile = new OffscreenCanvas(size, size), pen = tile.getContext("2d");
  for (let x = 0; x < size; x++) {
    for (const [style, at] of [["#000a", x], ["#fffa", x + 1]]) {
      pen.fillStyle = style;
      pen.fillRect(at % size, size - 1 - x, 1, 1);
      if (crossed) pen.fillRect(at % size, x, 1, 1);
    }
  }
  return tile;
}

function dots() {
  const tile = new OffscreenCanvas(6, 6), pen = tile.getContext("2d");
  for (const [style, at] of [["#000c", 1], ["#fffc", 3]]) {
    pen.fillStyle = style;
    pen.fillRect(at, at, 2, 2);
  }
  return tile;
}

const hasStatus = (status) => (recording, phase, step, layer) =>
  recording.status(phase, step, layer) === status
    && recording.saturation(phase, step, layer) !== null;

/** How readings are marked whose colour is not all there is to know; as the bars are. */
export const MARKS = [
  { name: "provisional", is: hasStatus("provisional"), tile: () => hatching(7, false),
    meaning: "provisional: too few rows, the dimension is too low" },
  { name: "coarse", is: hasStatus("coarse"), tile: () => hatching(7, true),
    meaning: "coarse: the dimension is too high" },
  { name: "bound", tile: dots, meaning: "at least so much: the layer is too wide to tell",
    is: (recording, phase, step, layer) => recording.least(phase, step, layer) !== null },
];

function hatched({ tile }) {
  const canvas = element("canvas", { width: 24, height: 12, class: "sample", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  pen.fillStyle = `rgb(${heat(0.5).map(Math.round).join(",")})`;
  pen.fillRect(0, 0, 24, 12);
  pen.fillStyle = pen.createPattern(tile(), "repeat");
  pen.fillRect(0, 0, 24, 12);
  return canvas;
}

/** What colours from 0 to 1 mean. */
export function heatBar(what) {
  const canvas = element("canvas", { width: 128, height: 1, class: "heat", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  for (let x = 0; x < 128; x++) {
    pen.fillStyle = `rgb(${heat(x / 127).map(Math.round).join(",")})`;
    pen.fillRect(x, 0, 1, 1);
  }
  return element("span", { class: "key" }, `${what} 0`, canvas, "1");
}

/**
 * The key to the colours of saturation, and to the marks that are there.
 * @param {Set<string>} marks Their names.
 */
export function scale(marks) {
  return element("p", { class: "legend" },
    heatBar("saturation"),
    element("span", { class: "key" }, element("span", { class: "swatch none" }), "no reading"),
    MARKS.filter(({ name }) => marks.has(name)).map((mark) =>
      element("span", { class: "key" }, hatched(mark), mark.meaning)));
}
