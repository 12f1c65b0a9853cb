// Numbers in colours: rows of layers, with a cursor that mouse and keyboard move.

import { colour, FONT, heat } from "./colours.js";
import { element } from "./elements.js";

const TOP_ROOM = 7;

/**
 * @typedef {object} Side Of a picture: the rows, or the columns.
 * @property {string[]} names Each different; the cursor keeps to them through news.
 * @property {string[]} labels
 * @property {string} title
 * @property {number} chosen A place, or -1.
 */

/** A picture; whoever extends it says what its cells are. */
export class HeatMap {
  /**
   * @param {string} key Tells this picture from others on the page.
   * @param {(row: string, column: string) => void} choose Called with the names that are chosen.
   */
  constructor(key, choose) {
    this.choose = choose;
    /** The names that are pointed at: another document has them at other places. */
    this.cursor = null;
    this.canvas = element("canvas", {
      role: "img", tabindex: 0, "data-key": key,
      keydown: (event) => this.pressed(event),
      pointermove: (event) => this.point(this.at(event)),
      pointerleave: () => this.point(null),
      blur: () => this.point(null),
      focus: () => this.point(this.cell() ?? this.chosen()),
      click: (event) => this.chooseAt(this.at(event)),
    });
    this.told = element("p", { class: "told", "aria-live": "polite" });
    this.host = element("div", { class: "heatmap" }, this.canvas, this.told);
  }

  /** @returns {?number} What a cell is coloured by, in [0, 1]. */
  value() { return null; }

  /** @returns {string} What is told of a cell. */
  said() { return ""; }

  /** Draw over the cells. */
  over() {}

  /**
   * Draw anew.
   * @param {object} spec
   * @param {Side} spec.rows
   * @param {Side} spec.columns
   * @param {string} spec.label For screen readers.
   * @param {number} spec.wide Of all, in pixels.
   * @param {number} spec.high Of the cells.
   * @param {number} [spec.most] Of the cells, across.
   * @param {boolean} [spec.upright] Whether the labels of columns stand.
   */
  show({ rows, columns, label, wide, high, most = Infinity, upright = false }) {
    Object.assign(this, { rows, columns, upright });
    const pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.font = `bold ${FONT}`;
    const longest = (labels) => Math.max(...labels.map((each) => pen.measureText(each).width));
    const left = 16 + longest(rows.labels);
    const bottom = 36 + (upright ? longest(columns.labels) - 6 : 0);
    this.area = { left, wide: Math.max(Math.min(wide - left - 14, most), 40), high };
    const dense = window.devicePixelRatio || 1;
    const [across, down] = [upright ? left + this.area.wide + 14 : wide, TOP_ROOM + high + bottom];
    this.canvas.width = across * dense;
    this.canvas.height = down * dense;
    this.canvas.style.width = `${across}px`;
    this.canvas.style.height = `${down}px`;
    this.canvas.setAttribute("aria-label", label);
    this.painted = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.paint(this.pen(this.painted));
    this.point(document.activeElement === this.canvas ? this.cell() : null);
  }

  /** A pen for a canvas, whose origin is the upper left corner of the picture. */
  pen(canvas) {
    const pen = canvas.getContext("2d");
    const dense = window.devicePixelRatio || 1;
    pen.setTransform(dense, 0, 0, dense, 0, TOP_ROOM * dense);
    pen.font = FONT;
    return pen;
  }

  paint(pen) {
    const { left, wide, high } = this.area;
    const rows = this.rows.names.length, columns = this.columns.names.length;
    pen.fillStyle = colour("--line");
    pen.fillRect(left, 0, wide, high);
    // Smoothed only where many cells share a pixel.
    pen.imageSmoothingEnabled = columns > wide || rows > high;
    pen.drawImage(this.image(), left, 0, wide, high);
    this.over(pen);
    const [text, faint] = [colour("--text"), colour("--faint")];
    const every = Math.ceil(13 / (high / rows));
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    this.rows.labels.forEach((name, row) => {
      const chosen = row === this.rows.chosen;
      pen.fillStyle = chosen ? text : faint;
      pen.font = chosen ? `bold ${FONT}` : FONT;
      if (row % every === 0) pen.fillText(name, left - 8, ((row + 0.5) * high) / rows);
    });
    pen.font = FONT;
    this.below(pen, faint);
    this.marker(pen, text);
  }

  /** The labels of the columns. */
  below(pen, faint) {
    const { left, wide, high } = this.area, { labels, title } = this.columns;
    const room = this.upright ? 13 : Math.max(...labels.map((each) => each.length)) * 7 + 26;
    const many = labels.length / Math.max(wide / room, 1);
    const every = this.upright ? Math.ceil(many) : round(many);
    pen.fillStyle = faint;
    pen.textAlign = this.upright ? "right" : "center";
    for (let column = 0; column < labels.length; column += every) {
      pen.save();
      pen.translate(left + ((column + 0.5) * wide) / labels.length, high + (this.upright ? 8 : 11));
      if (this.upright) pen.rotate(-Math.PI / 2);
      pen.fillText(labels[column], 0, 0);
      pen.restore();
    }
    if (this.upright) return;
    pen.fillText(title, left + wide / 2, high + 27);
  }

  /** A wedge under the column, and beside the row, that is chosen. */
  marker(pen, text) {
    const { left, wide, high } = this.area;
    pen.fillStyle = text;
    if (this.columns.chosen >= 0) {
      const x = left + ((this.columns.chosen + 0.5) * wide) / this.columns.names.length;
      wedge(pen, [x, high], [x - 4, high + 5], [x + 4, high + 5]);
    }
    if (this.rows.chosen >= 0) {
      const y = ((this.rows.chosen + 0.5) * high) / this.rows.names.length;
      wedge(pen, [left, y], [left - 5, y - 4], [left - 5, y + 4]);
    }
  }

  /** One pixel a cell; nothing where there is no number. */
  image() {
    const wide = this.columns.names.length, high = this.rows.names.length;
    const small = new OffscreenCanvas(wide, high);
    const pen = small.getContext("2d");
    const picture = pen.createImageData(wide, high);
    for (let row = 0, at = 0; row < high; row++) {
      for (let column = 0; column < wide; column++, at += 4) {
        const value = this.value(row, column);
        if (value !== null) picture.data.set([...heat(value), 255], at);
      }
    }
    pen.putImageData(picture, 0, 0);
    return small;
  }

  /** @param {?{row: number, column: number}} cell */
  point(cell) {
    this.cursor = cell && { row: this.rows.names[cell.row], column: this.columns.names[cell.column] };
    if (!this.painted) return;
    const { left, wide, high } = this.area;
    const pen = this.pen(this.canvas);
    pen.save();
    pen.resetTransform();
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.painted, 0, 0);
    pen.restore();
    this.told.textContent = "";
    if (!cell) return;
    const across = wide / this.columns.names.length, down = high / this.rows.names.length;
    const box = [left + cell.column * across, cell.row * down, Math.max(across, 3), Math.max(down, 3)];
    for (const [style, thick] of [["#000", 4], ["#fff", 2]]) {
      pen.strokeStyle = style;
      pen.lineWidth = thick;
      pen.strokeRect(...box);
    }
    this.told.textContent = this.said(cell.row, cell.column);
  }

  chooseAt({ row, column }) {
    this.choose(this.rows.names[row], this.columns.names[column]);
  }

  chosen() {
    return { row: Math.max(this.rows.chosen, 0), column: Math.max(this.columns.chosen, 0) };
  }

  /** Where the cursor is; null where what it is at is no longer there. */
  cell() {
    const row = this.rows.names.indexOf(this.cursor?.row);
    const column = this.columns.names.indexOf(this.cursor?.column);
    return row < 0 || column < 0 ? null : { row, column };
  }

  at(event) {
    const { left, wide, high } = this.area;
    const box = this.canvas.getBoundingClientRect();
    const within = (share, many) => Math.min(Math.max(Math.floor(share * many), 0), many - 1);
    return {
      row: within((event.clientY - box.top - TOP_ROOM) / high, this.rows.names.length),
      column: within((event.clientX - box.left - left) / wide, this.columns.names.length),
    };
  }

  pressed(event) {
    const far = event.shiftKey ? 10 : 1, now = this.cell() ?? this.chosen();
    const move = { ArrowLeft: [0, -far], ArrowRight: [0, far], ArrowUp: [-far, 0],
      ArrowDown: [far, 0], Home: [0, -Infinity], End: [0, Infinity] }[event.key];
    if (move) {
      const within = (value, many) => Math.min(Math.max(value, 0), many - 1);
      this.point({ row: within(now.row + move[0], this.rows.names.length),
        column: within(now.column + move[1], this.columns.names.length) });
    } else if (event.key === "Enter" || event.key === " ") this.chooseAt(now);
    else return;
    event.preventDefault();
  }
}

function wedge(pen, ...corners) {
  pen.beginPath();
  corners.forEach((corner, place) => (place ? pen.lineTo(...corner) : pen.moveTo(...corner)));
  pen.fill();
}

/** The next larger of 1, 2, 5, 10, 20 and so on. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
