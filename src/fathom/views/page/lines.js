// A panel of lines, drawn by uPlot in the colours of the page.

import { colour, FONT } from "./colours.js";
import { number } from "./words.js";

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

const WHOLE = Array.from({ length: 19 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();

// An axis is at least this part of its largest number long. Ticks that lie closer together than
// numbers do make uPlot look for the next one for ever.
const SHORTEST = 1e-12;

// Of a line that is neither dashed nor dotted, dotted, dashed, and both.
const DASHES = [[undefined, [2, 3]], [[6, 4], [6, 3, 2, 3]]];

/** What is drawn in each element now. */
const plots = new WeakMap();

/**
 * @typedef {object} Axis
 * @property {string} label
 * @property {boolean} [log]
 * @property {[number, number]} [range] Both ends; a linear axis finds its own.
 * @property {string[]} [names] What is written at 0, 1 and so on in place of numbers.
 */

/**
 * @typedef {object} Line
 * @property {(?number)[]} values One for each x.
 * @property {string} colour
 * @property {boolean} [dashed]
 * @property {boolean} [dotted]
 * @property {number} [thick] In pixels.
 * @property {boolean} [bare] Without a point at each x.
 */

/**
 * Draw a panel into an element, in place of what is there.
 * @param {HTMLElement} host
 * @param {object} spec
 * @param {number[]} spec.xs Ascending.
 * @param {Line[]} spec.lines
 * @param {Axis} spec.x
 * @param {Axis} spec.y
 * @param {number} spec.width
 * @param {number} spec.height
 * @param {() => {x?: number, y?: number, colour: string}[]} [spec.marks] Straight lines across.
 * @param {(place: ?number) => void} [spec.point] Called with the x that the mouse is at.
 * @param {(place: number) => void} [spec.choose] Called with the x that is clicked.
 */
export function panel(host, spec) {
  const { xs, lines, width, height } = spec;
  const dense = xs.length > 60;
  const plot = new uPlot({
    width,
    height,
    legend: { show: false },
    padding: [10, 12, 0, 0],
    cursor: { drag: { x: false, y: false }, y: false },
    scales: { x: { time: false, ...scaled(spec.x, xs) }, y: scaled(spec.y) },
    // Steps and ranks are whole numbers, and so are their ticks.
    axes: [{ ...axis(spec.x, 30), ...(spec.x.log ? {} : { incrs: WHOLE }) }, axis(spec.y, 50)],
    series: [{}, ...lines.map((line) => ({
      stroke: line.colour,
      width: line.thick ?? 1.75,
      dash: DASHES[Number(line.dashed ?? false)][Number(line.dotted ?? false)],
      spanGaps: true,
      points: { show: !dense && !line.bare, size: 5, fill: line.colour },
    }))],
    hooks: {
      draw: [(drawing) => (spec.marks?.() ?? []).forEach((mark) => across(drawing, mark))],
      setCursor: [(drawing) => spec.point?.(drawing.cursor.idx ?? null)],
      ready: [(drawing) => drawing.over.addEventListener("click", () => {
        if (drawing.cursor.idx !== null) spec.choose?.(drawing.cursor.idx);
      })],
    },
  }, [xs, ...lines.map((line) => line.values)]);
  // The one before listens to the window until it is told not to.
  plots.get(host)?.destroy();
  plots.set(host, plot);
  host.replaceChildren(plot.root);
}

function scaled({ log, range }, xs = null) {
  if (range) return { distr: log ? 3 : 1, range: () => range };
  if (!xs) return {};
  const [low, high] = [xs[0] ?? 0, xs.at(-1) ?? 1];
  // A single step still needs an axis that has a length.
  const size = Math.max(Math.abs(low), Math.abs(high));
  const least = low === high ? Math.max(2, size * 1e-6) : size * SHORTEST;
  const room = Math.max(least - (high - low), 0) / 2;
  return { range: () => [low - room, high + room] };
}

function axis({ label, log, names }, size) {
  const [faint, line] = [colour("--faint"), colour("--line")];
  const filter = (drawing, ticks) => (log ? decades(drawing, ticks, size) : ticks);
  return {
    label, size, font: FONT, labelFont: FONT, labelSize: 18, labelGap: 0, gap: 4, stroke: faint,
    grid: { stroke: line, width: 1, filter }, ticks: { stroke: line, width: 1, size: 4, filter }, filter,
    space: size > 40 ? 28 : 56,
    values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : names ? names[tick] ?? "" : log ? power(tick) : number(tick))),
  };
}

/** Leave the ticks of a logarithmic axis that are not too close: powers of ten, or some of them. */
function decades({ bbox }, ticks, size) {
  const length = (size > 40 ? bbox.height : bbox.width) / (window.devicePixelRatio || 1);
  const many = Math.log10(ticks.at(-1) / ticks[0]);
  const every = Math.ceil((many * (size > 40 ? 26 : 50)) / length);
  return ticks.map((tick) => {
    const exponent = Math.round(Math.log10(tick));
    const isPower = Math.abs(tick / 10 ** exponent - 1) < 1e-6;
    const isBetween = size <= 40 && many < 2.5 && /^[25]/.test(tick.toPrecision(1));
    return (isPower && exponent % every === 0) || isBetween ? tick : null;
  });
}

/** Write a tick of a logarithmic axis. */
function power(tick) {
  if (tick >= 1 && tick <= 10000) return number(tick);
  const exponent = Math.round(Math.log10(tick));
  return `10${[...String(exponent)].map((sign) => RAISED[sign]).join("")}`;
}

function across(drawing, { x, y, colour: stroke }) {
  const { ctx: pen, bbox } = drawing;
  const at = x === undefined ? drawing.valToPos(y, "y", true) : drawing.valToPos(x, "x", true);
  pen.save();
  pen.beginPath();
  pen.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  pen.clip();
  pen.strokeStyle = stroke;
  pen.lineWidth = window.devicePixelRatio || 1;
  pen.setLineDash([6, 4]);
  pen.beginPath();
  if (x === undefined) {
    pen.moveTo(bbox.left, at);
    pen.lineTo(bbox.left + bbox.width, at);
  } else {
    pen.moveTo(at, bbox.top);
    pen.lineTo(at, bbox.top + bbox.height);
  }
  pen.stroke();
  pen.restore();
}
