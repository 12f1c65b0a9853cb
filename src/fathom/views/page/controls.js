// What the reader can choose: runs, phase and step.

import { address, link } from "./address.js";
import { MOST, series } from "./colours.js";
import { element, refill, swatch } from "./elements.js";

/** The bar of controls; links where a link will do, so that they open in a new window too. */
export class Controls {
  /** @param {import("./source.js").Source} from */
  constructor(from) {
    this.from = from;
    this.runs = element("div", { class: "control" });
    this.phases = element("nav", { class: "control", "aria-label": "Phase" });
    this.slider = element("input", {
      type: "range", min: 0, "aria-label": "Step", "data-key": "step",
      input: () => this.slide(),
    });
    this.step = element("output", {});
    this.last = element("a", { "data-key": "last" }, "to the last");
    this.others = element("select", { "aria-label": "Compare with", change: () => {
      if (this.others.value) location.hash = link(address(), { runs: [...this.names, this.others.value] });
    }, focus: () => this.offer(), pointerdown: () => this.offer() });
    this.host = element("div", { class: "controls" }, this.phases,
      element("div", { class: "control" }, this.slider, this.step, this.last), this.runs, this.others);
    this.offered = this.sliding = null;
    this.names = [];
  }

  /**
   * @param {import("./page.js").View} view
   * @param {string[]} names All runs that are shown, or waited for.
   */
  draw(view, names) {
    Object.assign(this, { view, names });
    const { recordings, places, phase, phases } = view;
    refill(this.phases, phases.map((each) => element("a", {
      href: link(view.address, { phase: each }), "data-key": `phase-${each}`, class: "choice",
      "aria-current": each === phase ? "true" : null }, each)));
    const [{ labels }] = recordings, [place] = places;
    this.slider.max = Math.max(labels.length - 1, 0);
    this.slider.value = Math.max(place, 0);
    this.slider.setAttribute("aria-valuetext", `step ${labels[place]}`);
    this.slider.disabled = labels.length < 2;
    const isLast = place === labels.length - 1;
    this.step.textContent = labels.length ? `step ${labels[place]}${isLast ? " (the last)" : ""}` : "";
    this.last.href = link(view.address, { step: null });
    this.last.hidden = isLast;
    refill(this.runs, names.length < 2 ? [] : names.map((name, run) => element("span", { class: "run" },
      swatch(series(run)), name, " ",
      element("a", { href: link(view.address, { runs: names.filter((each) => each !== name) }),
        "aria-label": `Leave out ${name}`, "data-key": `leave-${name}` }, "leave out"))));
    if (this.offered === null) this.offer();
  }

  /** Put the step of the slider into the address: once a frame, and not into the history. */
  slide() {
    this.sliding ??= requestAnimationFrame(() => this.slid());
  }

  slid() {
    this.sliding = null;
    const [{ labels }] = this.view.recordings, place = Number(this.slider.value);
    const step = place === labels.length - 1 ? null : labels[place];
    history.replaceState(null, "", link(address(), { step }));
    window.dispatchEvent(new Event("hashchange"));
  }

  /** List the runs that can be compared with those that are shown; where that fails, as before. */
  async offer() {
    this.offered ??= [];
    const found = await this.from.runs().catch(() => null);
    if (!found) {
      if (!this.offered.length) this.offered = null;
      return;
    }
    const others = found.runs.filter(({ name, problem }) => !problem && !this.names.includes(name))
      .map(({ name }) => name);
    if (JSON.stringify(others) !== JSON.stringify(this.offered) || !this.others.children.length)
      this.others.replaceChildren(element("option", { value: "" }, "compare with…"),
        ...others.map((name) => element("option", { value: name }, name)));
    this.offered = others;
    this.others.hidden = !others.length || this.names.length >= MOST;
  }
}
