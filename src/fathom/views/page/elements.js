// Elements of the page. Text that comes from a run only ever becomes a text node or an attribute
// that means nothing to a browser, so that a layer called `<img …>` shows as that.

const DRAWN = "http://www.w3.org/2000/svg";

/**
 * Make an element of HTML.
 * @param {string} tag
 * @param {Object<string, unknown>} attributes One that is null, undefined or false is left out, true
 *   stands for an empty one; a function is called for the event of that name.
 * @param {...(Node|string|number|null|undefined|Array)} children Text becomes text, null nothing.
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Make an element of SVG; as `element`.
 * @returns {SVGElement}
 */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(DRAWN, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * Put new children into an element. What had the keyboard's focus has it again, where a new child
 * has the same `data-key`.
 */
export function refill(host, ...children) {
  const key = host.contains(document.activeElement) && document.activeElement.dataset.key;
  host.replaceChildren(...children.flat(Infinity).filter((child) => child));
  if (key) host.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** A name as children of an element, so that a line breaks within words only if it must. */
export const breakable = (name) =>
  name.split(/(?<=[._/-])/u).flatMap((part) => [part, element("wbr")]);

/** Make a section of the page with its heading; `id` is what the contents link to. */
export function section(id, title, ...children) {
  return element("section", { id, "aria-labelledby": `${id}-title` },
    element("h2", { id: `${id}-title` }, title), ...children);
}

/** Make what stands for a run in legends: a patch of its colour, by the class of that. */
export function swatch(series) {
  return element("span", { class: `swatch ${series}`, "aria-hidden": "true" });
}
