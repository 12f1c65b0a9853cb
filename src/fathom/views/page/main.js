// Where the page begins: it shows what the address says, and again whenever that changes.

import { address } from "./address.js";
import { element } from "./elements.js";
import { Header } from "./header.js";
import { RunPage } from "./page.js";
import { RunList } from "./runs.js";
import { source } from "./source.js";

const from = source();
const header = new Header(() => shown?.draw?.());
const body = element("div", {});
let shown = null;
document.getElementById("fathom").replaceChildren(header.host, body);

/** The runs that the address names; of a report, which has no list, all that it holds. */
async function names() {
  const { runs } = address();
  return runs.length || from.live ? runs : (await from.runs()).runs.map(({ name }) => name);
}

async function show() {
  const wanted = await names();
  if (shown && JSON.stringify(wanted) === JSON.stringify(shown.asked ?? [])) {
    shown.draw?.();
    return;
  }
  shown?.close();
  shown = wanted.length ? new RunPage(body, from, header, wanted) : new RunList(body, from, header);
}

window.addEventListener("hashchange", show);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown?.draw?.());
window.addEventListener("beforeprint", () => paper(true));
window.addEventListener("afterprint", () => paper(false));
show();

/** Paper is white whatever the theme. */
function paper(printing) {
  document.documentElement.toggleAttribute("data-print", printing);
  shown?.print?.(printing);
}
