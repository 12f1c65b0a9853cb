// The colours of the page stand in page.css. Canvases cannot read those, so they ask here.

const CIVIDIS = [
  "00224e", "002e6a", "1a386f", "32436d", "434e6c", "535a6d", "61656f", "6f7073", "7d7c78",
  "8c8878", "9b9476", "aba072", "bcae6c", "cdbb63", "dec958", "f0d846", "fee838",
].map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

// How many colours there are. They come round a second time, and are marked then.
const SERIES = 7;

/** How many runs can be told apart. */
export const MOST = 2 * SERIES;

/** The colour of a custom property such as `--text`, as it is now. */
export function colour(property) {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * The colour of a saturation in [0, 1]: cividis, even to every colour vision.
 * @returns {[number, number, number]} Red, green and blue, each of 255.
 */
export function heat(value) {
  const at = Math.min(Math.max(value, 0), 1) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  return CIVIDIS[low].map((from, part) => from + (at - low) * (CIVIDIS[low + 1][part] - from));
}

/** What is written on canvases. */
export const FONT = "11px system-ui, sans-serif";

const THEMES = ["auto", "light", "dark"];

/** The theme that the reader chose: `auto`, `light` or `dark`. */
export function theme() {
  try {
    const kept = localStorage.getItem("fathom-theme");
    return THEMES.includes(kept) ? kept : "auto";
  } catch {
    return "auto"; // a file opened from disk need not have a storage
  }
}

/** Change it; `auto` is as the system has it. */
export function applyTheme(chosen) {
  try {
    localStorage.setItem("fathom-theme", chosen);
  } catch {
    // Then it lasts as long as the page.
  }
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

/** The theme after this one. */
export const nextTheme = (chosen) => THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];

/** Whether a run has the colour of one before it, so that its lines are dotted. */
export const again = (run) => run >= SERIES;

/** The class that gives an element the colour of a run. */
export const series = (run) => `series-${run % SERIES}${again(run) ? " again" : ""}`;

/** That colour, for canvases. */
export const seriesColour = (run) => colour(`--series-${run % SERIES}`);
