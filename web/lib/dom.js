// @ts-check
import { sharePointer } from "./pointer.js";

const MARGIN = 10; // around an element in the classic canvas

/**
 * An element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<HTMLElementTagNameMap[Tag]> & {class?: string}} [attributes] properties of the element, or `class`
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  const { class: names, ...others } = attributes;
  if (names) made.className = names;
  Object.assign(made, others);
  made.append(...children);
  return made;
}

/**
 * A part of a panel that may be scrolled. Nodes 2.0 leaves the wheel to it once it was clicked.
 * @param {string} name class of its own
 * @param {...(Node | string)} children
 */
export function scrolling(name, ...children) {
  const made = element("div", { class: name, tabIndex: 0 }, ...children);
  made.dataset.captureWheel = "true";
  return made;
}

/**
 * Puts the panels' stylesheet into the page.
 * @returns {Promise<void>} settles when it is there, or cannot be had: a panel without it is better than none
 */
export function loadStyle() {
  return new Promise((resolve) => {
    const href = new URL("../torch_raster.css", import.meta.url).href;
    const settled = () => resolve();
    document.head.append(element("link", { rel: "stylesheet", href, onload: settled, onerror: settled }));
  });
}

/**
 * A panel of our own on a node, saved with no workflow.
 *
 * In the classic canvas the frontend gives it at least `height()`; with Nodes 2.0 the element's own height counts.
 * @param {Comfy.Node} node
 * @param {string} name of the widget
 * @param {() => number} height smallest height in the classic canvas
 * @returns {{root: HTMLElement, grow: (width?: number) => void}} the panel, and what to call when it
 *   needs more room, a width included
 */
export function addPanel(node, name, height) {
  const root = element("div", { class: "torch-raster" });
  sharePointer(root);
  const widget = node.addDOMWidget(name, "torch_raster_panel", root, {
    serialize: false,
    hideInPanel: true,
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: () => height() + 2 * MARGIN,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  const fit = () => {
    root.style.minHeight = `${height()}px`;
  };
  fit();
  return {
    root,
    grow(wide = 0) {
      fit();
      const [width, least] = node.computeSize();
      node.setSize([Math.max(node.size[0], width, wide), Math.max(node.size[1], least)]);
      node.graph?.setDirtyCanvas(true, true);
    },
  };
}

/**
 * Puts text on the clipboard, also on pages without HTTPS, where browsers offer no clipboard object.
 * @param {string} text
 * @returns {Promise<boolean>} whether it worked
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { value: text });
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
