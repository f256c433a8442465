const STYLE = `
.torch-raster { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; width: 100%; min-width: 0;
  font: 11px/1.35 ui-sans-serif, system-ui, sans-serif; color: var(--input-text, #ddd); text-align: left; cursor: default; }
.torch-raster * { box-sizing: border-box; }
.torch-raster .bar { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; flex: none; }
.torch-raster button, .torch-raster select { font: inherit; color: inherit; height: 20px; padding: 0 6px; cursor: pointer;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px; }
.torch-raster button:hover, .torch-raster select:hover { border-color: var(--input-text, #ddd); }
.torch-raster .quiet { color: var(--descrip-text, #999); }
.torch-raster .stage { flex: 1 1 0; min-height: 0; display: flex; align-items: center; justify-content: center;
  overflow: hidden; background: #0006; border-radius: 4px; container-type: size; }
.torch-raster .stage canvas { width: min(100cqw, 100cqh * var(--ratio, 1)); aspect-ratio: var(--ratio, 1); cursor: crosshair; }
.torch-raster .readout { flex: none; display: grid; grid-template-columns: max-content 1fr; gap: 0 8px; margin: 0;
  align-content: start; min-height: 75px;
  font-variant-numeric: tabular-nums; user-select: text; cursor: text; }
.torch-raster .readout dt { color: var(--descrip-text, #999); }
.torch-raster .readout dd { margin: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.torch-raster table { display: grid; grid-template-columns: fit-content(50%) minmax(0, 1fr); gap: 2px 6px; margin: 2px 0; }
.torch-raster tbody, .torch-raster tr { display: contents; }
.torch-raster td { display: block; padding: 0; min-width: 0; overflow-wrap: anywhere; }
.torch-raster td:first-child { display: flex; align-items: baseline; }
@container (max-width: 310px) {
  .torch-raster table { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .torch-raster td:last-child { padding: 0 0 3px 13px; }
}
.torch-raster .scroll { container-type: inline-size; overflow: auto; min-height: 0; flex: 1 1 0; user-select: text; cursor: text; }
.torch-raster .dot { display: inline-block; flex: none; width: 8px; height: 8px; border-radius: 50%; margin-right: 5px; background: #888; }
.torch-raster .dot.good { background: #3fae5a; }
.torch-raster .dot.fair { background: #c9a227; }
.torch-raster .dot.bad { background: #d9534f; }
.torch-raster pre { margin: 4px 0 0; font: 10px/1.3 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.torch-raster svg { width: 100%; flex: 1 1 0; min-height: 0; display: block; }
`;

const MARGIN = 10; // around an element in the classic canvas

/**
 * An element with attributes and children.
 * @param {string} tag
 * @param {object} [attributes] properties of the element, or `class`
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
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
 * A panel of our own on a node, saved with no workflow.
 *
 * In the classic canvas the frontend gives it at least `height()`; with Nodes 2.0 the element's own height counts.
 * @param {object} node
 * @param {string} name of the widget
 * @param {() => number} height smallest height in the classic canvas
 * @returns {{root: HTMLElement, grow: (width?: number) => void}} the panel, and what to call when it
 *   needs more room, a width included
 */
export function addPanel(node, name, height) {
  if (!document.getElementById("torch-raster-style")) {
    document.head.append(element("style", { id: "torch-raster-style", textContent: STYLE }));
  }
  const root = element("div", { class: "torch-raster" });
  // Dragging, clicking and menus inside the panel are the panel's, not the node's.
  for (const kind of ["pointerdown", "pointerup", "mousedown", "dblclick", "contextmenu"]) {
    root.addEventListener(kind, (event) => event.stopPropagation());
  }
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
