// The list of runs.

import { link } from "./address.js";
import { MOST } from "./colours.js";
import { breakable, element, refill } from "./elements.js";
import { count, share, time } from "./words.js";

/** The page that lists the runs of a folder, and sets out to compare some. */
export class RunList {
  /**
   * @param {HTMLElement} host
   * @param {import("./source.js").Source} from
   * @param {import("./header.js").Header} header
   */
  constructor(host, from, header) {
    Object.assign(this, { host, from, header });
    this.chosen = new Set();
    this.compare = element("p", { class: "compare" });
    this.table = element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Runs" });
    host.replaceChildren(element("main", {}, this.compare, this.table));
    this.end = from.follow([], {
      run: () => {},
      runs: () => this.load(),
      connected: (problem) => {
        header.connected(problem);
        if (!problem) this.load();
      },
    });
    this.load();
  }

  close() {
    this.end();
    this.closed = true;
  }

  /** Fetch the list; of many news during one, once more. */
  async load() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const { title, runs, left_out: leftOut } = await this.from.runs();
      if (!this.closed) this.fill(title, runs);
      if (!this.closed && leftOut) {
        this.table.append(element("p", {}, "There are more runs below this folder than are listed "
          + "here. Serve one of the folders in it to see the rest."));
      }
    } catch (error) {
      if (!this.closed && !this.drawn) refill(this.table, element("p", {}, error.message));
    }
    this.busy = false;
    if (this.again) {
      this.again = false;
      this.load();
    }
  }

  fill(title, runs) {
    this.drawn = true;
    this.header.say({ title: title || "Runs", live: false });
    const there = new Set(runs.filter(({ problem }) => !problem).map(({ name }) => name));
    this.chosen.forEach((name) => there.has(name) || this.chosen.delete(name));
    refill(this.table, runs.length ? this.list(runs)
      : element("p", {}, "There is no run here yet. It will show itself when one begins."));
    this.offer(runs.length);
  }

  list(runs) {
    const heads = ["compare", "run", "average saturation", "last step", "steps", "layers", "model",
      "started", "last update"];
    return element("table", { class: "runs" },
      element("thead", {}, element("tr", {}, heads.map((head, place) =>
        element("th", { scope: "col", class: NUMBERS.has(place) ? "number" : null }, head)))),
      element("tbody", {}, runs.map((run) => element("tr", {},
        element("td", {}, run.problem ? null : this.box(run.name)),
        element("th", { scope: "row" },
          element("a", { href: link(NOTHING, { runs: [run.name] }), "data-key": `run-${run.name}` },
            breakable(run.name)),
          run.live ? element("span", { class: "live" }, "live") : null),
        run.problem ? element("td", { class: "free", colspan: 7 }, run.problem) : [
          element("td", { class: "number" }, share(run.average ?? null)),
          element("td", { class: "number" }, String(run.last_step ?? "–")),
          element("td", { class: "number" }, count(run.recorded ?? null)),
          element("td", { class: "number" }, count(run.layers ?? null)),
          element("td", { class: "free" }, run.model ? breakable(run.model) : "–"),
          element("td", {}, run.started ? time(run.started) : "–"),
          element("td", {}, run.updated ? time(run.updated) : "–"),
        ]))));
  }

  box(name) {
    return element("input", { type: "checkbox", "aria-label": `Compare ${name}`,
      "data-key": `box-${name}`, checked: this.chosen.has(name),
      change: (event) => {
        if (event.target.checked) this.chosen.add(name);
        else this.chosen.delete(name);
        this.offer();
      } });
  }

  /** Offer to compare what is chosen. */
  offer() {
    const names = [...this.chosen];
    if (names.length > MOST) {
      refill(this.compare, `${names.length} runs are chosen; ${MOST} can be told apart on a page.`);
      return;
    }
    refill(this.compare, names.length > 1
      ? element("a", { class: "button", "data-key": "compare", href: link(NOTHING, { runs: names }) },
        `Compare ${names.length} runs`)
      : "Choose a run to see it, or two and more to compare them.");
  }
}

const NOTHING = { runs: [], phase: null, step: null, layer: null };
const NUMBERS = new Set([2, 3, 4, 5]);
