// @ts-check
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const PREFIX = "TorchRaster";
const WIDGET = "$$node-text-preview"; // the frontend's, for texts that a node sends
const SIDES = 56;
const ABOVE_AND_BELOW = 22;
const LINE = 18;
const LETTER = 6.2; // a little more than most are wide; the frontend breaks lines within words

/**
 * Makes room in the classic canvas for what a node of ours says: the frontend shows two lines of it, below a small
 * node's frame.
 *
 * With Nodes 2.0 nodes grow by themselves.
 */
export function followTexts() {
  api.addEventListener("progress_text", () => {
    if (!globalThis.LiteGraph?.vueNodesMode) requestAnimationFrame(makeRoom); // when the widget is there
  });
}

function makeRoom() {
  for (const node of (app.canvas?.graph ?? app.graph)?.nodes ?? []) {
    const ours = node.comfyClass?.startsWith(PREFIX);
    const widget = ours ? node.widgets?.find(({ name }) => name === WIDGET) : undefined;
    if (!widget?.options) continue;
    widget.options.getMinHeight = () => textHeight(`${widget.value ?? ""}`, node.size[0]);
    const [, least] = node.computeSize();
    if (node.size[1] < least) node.setSize([node.size[0], least]);
    node.graph?.setDirtyCanvas(true, true);
  }
}

/**
 * @param {string} text
 * @param {number} width of the node
 */
function textHeight(text, width) {
  const letters = Math.max(8, Math.floor((width - SIDES) / LETTER));
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.trim().length / letters)), 0);
  return ABOVE_AND_BELOW + LINE * Math.max(2, lines);
}
