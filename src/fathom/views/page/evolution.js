// Saturation of all layers at all steps, as a picture: one row a layer, one column a step.

import { HeatMap } from "./heatmap.js";
import { MARKS } from "./scale.js";
import { called, described } from "./words.js";

/** The picture of one run. */
export class Evolution extends HeatMap {
  /**
   * @param {string} key Tells this picture from that of another run.
   * @param {(layer: string, step: string) => void} choose Called with what the reader chooses.
   */
  constructor(key, choose) {
    super(`evolution-${key}`, choose);
    /** How readings of this picture are marked, of `MARKS`. */
    this.marks = new Set();
  }

  /**
   * @param {import("./page.js").View} view
   * @param {number} run Which of its runs.
   */
  draw(view, run) {
    const recording = view.recordings[run];
    Object.assign(this, { view, recording });
    const { layers, labels } = recording, rows = layers.length;
    this.canvas.hidden = !rows || !labels.length;
    this.marks.clear();
    if (this.canvas.hidden) return;
    const paper = view.recordings.length > 1 ? view.half : view.width;
    const wide = paper ?? this.host.clientWidth;
    if (!wide) return;
    this.show({
      wide,
      high: Math.min(Math.max(16 * rows, 90), Math.max(440, Math.min(rows, 1000))),
      rows: { names: layers.map(({ name }) => name), title: "layer",
        labels: layers.map((layer) => layer[wide < 500 ? "brief" : "label"]),
        chosen: recording.places.get(view.layer) ?? -1 },
      columns: { names: labels, labels, title: "step", chosen: view.places[run] },
      label: `Saturation of ${rows} layers at ${labels.length} steps of ` +
        `${recording.name}. Arrow keys go through them, Enter chooses one; the table has the numbers.`,
    });
  }

  value(row, column) {
    const { recording, view } = this;
    return recording.saturation(view.phase, column, row) ?? recording.least(view.phase, column, row);
  }

  said(row, column) {
    const { name } = this.recording.layers[row];
    const reading = this.recording.reading(this.view.phase, column, name);
    return `${called(name)}, step ${this.recording.labels[column]}: ${described(reading)}`;
  }

  over(pen) {
    for (const mark of MARKS) this.mark(pen, mark);
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
}
