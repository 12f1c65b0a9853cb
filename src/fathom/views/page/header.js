// The top of the page: what is shown, whether it moves, and the theme.

import { applyTheme, nextTheme, theme } from "./colours.js";
import { element, refill } from "./elements.js";
import { time } from "./words.js";

/** The header, which outlives the pages below it. */
export class Header {
  /** @param {() => void} changed Called when the colours are others. */
  constructor(changed) {
    this.title = element("h1", {}, "fathom");
    this.state = element("p", { class: "state" });
    this.lost = element("p", { class: "lost", role: "status" });
    this.back = element("a", { href: "#", class: "back", hidden: true }, "all runs");
    this.themes = element("button", { type: "button", class: "theme", click: () => {
      applyTheme(nextTheme(theme()));
      this.nameTheme();
      changed();
    } });
    applyTheme(theme());
    this.nameTheme();
    this.host = element("header", {}, element("div", { class: "top" },
      element("span", { class: "brand" }, "fathom"), this.back, this.themes),
    this.title, this.state, this.lost);
  }

  /**
   * Say what is shown.
   * @param {{title: string, live: boolean, updated?: number, made?: number, notes?: string[], back?: boolean}} what
   */
  say({ title, live, updated, made, notes = [], back = false }) {
    document.title = `${title} · fathom`;
    this.title.textContent = title;
    this.back.hidden = !back;
    refill(this.state, [
      live && element("span", { class: "live" }, "live"),
      ...notes.map((note) => element("span", {}, note)),
      updated !== undefined && element("span", {}, "last update ", time(updated)),
      made !== undefined && element("span", {}, "report of ", time(made)),
    ]);
  }

  /** Say why there is no connection to the server; nothing where there is one. */
  connected(problem) {
    if (this.lost.textContent !== problem) this.lost.textContent = problem;
  }

  nameTheme() {
    this.themes.textContent = `theme: ${theme()}`;
  }
}
