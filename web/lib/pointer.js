// @ts-check
import { app } from "../../../scripts/app.js";

const LEFT = 0;

/**
 * Shares the pointer between a panel and what lies under it.
 *
 * Pressing the left button inside is the panel's. The other buttons and the wheel do what they do beside it: the
 * middle one moves the canvas, the right one opens the node's menu, the wheel zooms, unless it scrolls the panel.
 * With Nodes 2.0 the panel is part of the node, and events need only be let through; in the classic canvas it lies
 * above the canvas, which must be told.
 * @param {HTMLElement} root of the panel
 */
export function sharePointer(root) {
  for (const kind of ["pointerdown", "pointerup", "mousedown", "dblclick"]) {
    root.addEventListener(kind, (event) => {
      if (/** @type {MouseEvent} */ (event).button === LEFT) event.stopPropagation();
    });
  }
  root.addEventListener("pointerdown", (event) => {
    if (isClassic() && event.button !== LEFT && !isSelected(root)) app.canvas?.processMouseDown?.(event);
  });
  root.addEventListener("contextmenu", (event) => {
    // What somebody has selected is there to be copied, for which there is the browser's own menu.
    if (isSelected(root)) event.stopPropagation();
    else if (isClassic()) event.preventDefault();
  });
  root.addEventListener(
    "wheel",
    (event) => {
      if (scrolls(event.target, root)) event.stopPropagation();
      else if (isClassic()) app.canvas?.processMouseWheel?.(event);
    },
    { passive: false },
  );
}

function isClassic() {
  return !globalThis.LiteGraph?.vueNodesMode;
}

/** @param {HTMLElement} root */
function isSelected(root) {
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && root.contains(selection.anchorNode));
}

/**
 * Whether the wheel moves something between the pointer and the end of the panel.
 * @param {EventTarget | null} target
 * @param {HTMLElement} root
 */
function scrolls(target, root) {
  for (let at = target; at instanceof Element && root.contains(at); at = at.parentElement) {
    if (at.scrollHeight > at.clientHeight && getComputedStyle(at).overflowY === "auto") return true;
  }
  return false;
}
