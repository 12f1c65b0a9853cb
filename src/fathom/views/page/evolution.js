// Saturation of all layers at all steps, as a picture: one row a layer, one column a step.

import { colour, FONT, heat } from "./colours.js";
import { element } from "./elements.js";
import { MARKS } from "./scale.js";
import { called, described } from "./words.js";

const TOP_ROOM = 7, BOTTOM = 36;

/** The picture of one run, with a cursor that mouse and keyboard move. */
export class Evolution {
  /**
   * @param {string} key Tells this picture from that of another run.
   * @param {(layer: string, step: string) => void} choose Called with what the reader chooses.
   */
  constructor(key, choose) {
    this.choose = choose;
    /** The layer and the step that are pointed at: another document has them at other places. */
    this.cursor = null;
    /** How readings of this picture are marked, of `MARKS`. */
    this.marks = new Set();
    this.canvas = element("canvas", {
      role: "img", tabindex: 0, "data-key": `evolution-${key}`,
      keydown: (event) => this.pressed(event),
      pointermove: (event) => this.point(this.at(event)),
      pointerleave: () => this.point(null),
      blur: () => this.point(null),
      focus: () => this.point(this.cell() ?? this.chosen()),
      click: (event) => this.chooseAt(this.at(event)),
    });
    this.told = element("p", { class: "told", "aria-live": "polite" });
    this.host = element("div", { class: "evolution" }, this.canvas, this.told);
  }

  /**
   * @param {import("./page.js").View} view
   * @param {number} run Which of its runs.
   */
  draw(view, run) {
    const recording = view.recordings[run];
    Object.assign(this, { view, run, recording, place: view.places[run] });
    const rows = recording.layers.length, columns = recording.steps.length;
    this.canvas.hidden = !rows || !columns;
    this.marks.clear();
    if (this.canvas.hidden) return;
    const paper = view.recordings.length > 1 ? view.half : view.width;
    const wide = paper ?? this.host.clientWidth;
    if (!wide) return;
    const pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.font = `bold ${FONT}`;
    const names = recording.layers.map((layer) => layer[wide < 500 ? "brief" : "label"]);
    const left = 16 + Math.max(...names.map((name) => pen.measureText(name).width));
    const high = Math.min(Math.max(16 * rows, 90), Math.max(440, Math.min(rows, 1000)));
    this.area = { left, wide: Math.max(wide - left - 14, 40), high };
    const dense = window.devicePixelRatio || 1;
    this.canvas.width = wide * dense;
    this.canvas.height = (TOP_ROOM + high + BOTTOM) * dense;
    this.canvas.style.width = `${wide}px`;
    this.canvas.style.height = `${TOP_ROOM + high + BOTTOM}px`;
    this.canvas.setAttribute("aria-label", `Saturation of ${rows} layers at ${columns} steps of ` +
      `${recording.name}. Arrow keys go through them, Enter chooses one; the table has the numbers.`);
    this.painted = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.paint(this.pen(this.painted), names);
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

  paint(pen, names) {
    const { left, wide, high } = this.area;
    const rows = names.length, columns = this.recording.steps.length;
    pen.fillStyle = colour("--line");
    pen.fillRect(left, 0, wide, high);
    // Smoothed only where many readings share a pixel.
    pen.imageSmoothingEnabled = columns > wide || rows > high;
    pen.drawImage(this.image(), left, 0, wide, high);
    for (const mark of MARKS) this.mark(pen, mark);
    const [text, faint] = [colour("--text"), colour("--faint")];
    const every = Math.ceil(13 / (high / rows));
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    names.forEach((name, row) => {
      const chosen = this.recording.layers[row].name === this.view.layer;
      pen.fillStyle = chosen ? text : faint;
      pen.font = chosen ? `bold ${FONT}` : FONT;
      if (row % every === 0) pen.fillText(name, left - 8, ((row + 0.5) * high) / rows);
    });
    pen.font = FONT;
    this.steps(pen, faint);
    this.marker(pen, text);
  }

  steps(pen, faint) {
    const { left, wide, high } = this.area;
    const { labels } = this.recording;
    const room = Math.max(...labels.map((label) => label.length)) * 7 + 26;
    const every = round(labels.length / Math.max(wide / room, 1));
    pen.fillStyle = faint;
    pen.textAlign = "center";
    for (let column = 0; column < labels.length; column += every)
      pen.fillText(labels[column], left + ((column + 0.5) * wide) / labels.length, high + 11);
    pen.fillText("step", left + wide / 2, high + 27);
  }

  /** A wedge under the step, and beside the layer, that is shown. */
  marker(pen, text) {
    const { left, wide, high } = this.area;
    const x = left + ((this.place + 0.5) * wide) / this.recording.steps.length;
    pen.fillStyle = text;
    pen.beginPath();
    pen.moveTo(x, high);
    pen.lineTo(x - 4, high + 5);
    pen.lineTo(x + 4, high + 5);
    pen.fill();
    const row = this.recording.places.get(this.view.layer);
    if (row === undefined) return;
    const y = ((row + 0.5) * high) / this.recording.layers.length;
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(left - 5, y - 4);
    pen.lineTo(left - 5, y + 4);
    pen.fill();
  }

  /** One pixel a reading; nothing where there is none. */
  image() {
    const { recording, view } = this;
    const wide = recording.steps.length, high = recording.layers.length;
    const small = new OffscreenCanvas(wide, high);
    const pen = small.getContext("2d");
    const picture = pen.createImageData(wide, high);
    for (let row = 0, at = 0; row < high; row++) {
      for (let column = 0; column < wide; column++, at += 4) {
        const value = recording.saturation(view.phase, column, row)
          ?? recording.least(view.phase, column, row);
        if (value !== null) picture.data.set([...heat(value), 255], at);
      }
    }
    pen.putImageData(picture, 0, 0);
    return small;
  }

  /** Hatch the readings of a kind. */
  mark(pen, { name, is, tile }) {
    const { recording, view } = this, { left, wide, high } = this.area;
    const columns = recording.steps.length, rows = recording.layers.length;
    const small = new OffscreenCanvas(columns, rows);
    const mask = small.getContext("2d").createImageData(columns, rows);
    for (let row = 0, at = 3; row < rows; row++)
      for (let column = 0; column < columns; column++, at += 4)
        if (is(recording, view.phase, column, row)) mask.data[at] = 255;
    if (!mask.data.some((each) => each)) return;
    this.marks.add(name);
    small.getContext("2d").putImageData(mask, 0, 0);
    const hatched = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    const over = this.pen(hatched);
    over.imageSmoothingEnabled = pen.imageSmoothingEnabled;
    over.drawImage(small, left, 0, wide, high);
    over.globalCompositeOperation = "source-in";
    over.fillStyle = over.createPattern(tile(), "repeat");
    over.fillRect(left, 0, wide, high);
    pen.save();
    pen.resetTransform();
    pen.drawImage(hatched, 0, 0);
    pen.restore();
  }

  /** @param {?{row: number, column: number}} cell */
  point(cell) {
    this.cursor = cell && {
      layer: this.recording.layers[cell.row].name, step: this.recording.labels[cell.column],
    };
    if (!this.painted) return;
    const { left, wide, high } = this.area, { recording } = this;
    const pen = this.pen(this.canvas);
    pen.save();
    pen.resetTransform();
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.painted, 0, 0);
    pen.restore();
    this.told.textContent = "";
    if (!cell) return;
    const across = wide / recording.steps.length, down = high / recording.layers.length;
    const box = [left + cell.column * across, cell.row * down, Math.max(across, 3), Math.max(down, 3)];
    for (const [style, thick] of [["#000", 4], ["#fff", 2]]) {
      pen.strokeStyle = style;
      pen.lineWidth = thick;
      pen.strokeRect(...box);
    }
    const { name } = recording.layers[cell.row];
    const reading = recording.reading(this.view.phase, cell.column, name);
    this.told.textContent =
      `${called(name)}, step ${recording.labels[cell.column]}: ${described(reading)}`;
  }

  chooseAt({ row, column }) {
    this.choose(this.recording.layers[row].name, this.recording.labels[column]);
  }

  chosen() {
    return { row: this.recording.places.get(this.view.layer) ?? 0, column: this.place };
  }

  /** Where the cursor is; null where what it is at is no longer there. */
  cell() {
    const row = this.recording.places.get(this.cursor?.layer);
    const column = this.recording.labels.indexOf(this.cursor?.step);
    return row === undefined || column < 0 ? null : { row, column };
  }

  at(event) {
    const { left, wide, high } = this.area;
    const box = this.canvas.getBoundingClientRect();
    const within = (share, many) => Math.min(Math.max(Math.floor(share * many), 0), many - 1);
    return {
      row: within((event.clientY - box.top - TOP_ROOM) / high, this.recording.layers.length),
      column: within((event.clientX - box.left - left) / wide, this.recording.steps.length),
    };
  }

  pressed(event) {
    const far = event.shiftKey ? 10 : 1, now = this.cell() ?? this.chosen();
    const move = { ArrowLeft: [0, -far], ArrowRight: [0, far], ArrowUp: [-far, 0],
      ArrowDown: [far, 0], Home: [0, -Infinity], End: [0, Infinity] }[event.key];
    if (move) {
      const within = (value, many) => Math.min(Math.max(value, 0), many - 1);
      this.point({ row: within(now.row + move[0], this.recording.layers.length),
        column: within(now.column + move[1], this.recording.steps.length) });
    } else if (event.key === "Enter" || event.key === " ") this.chooseAt(now);
    else return;
    event.preventDefault();
  }
}

/** The next larger of 1, 2, 5, 10, 20 and so on. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
