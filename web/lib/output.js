import { app } from "../../../scripts/app.js";

const listeners = new WeakMap();

/**
 * Calls `show(output)` with every `ui` result of a node.
 * @param {object} node
 * @param {(output: object) => void} show
 */
export function onOutput(node, show) {
  const before = node.onExecuted;
  node.onExecuted = function (output, ...rest) {
    before?.call(this, output, ...rest);
    show(output ?? {});
  };
  listeners.set(node, show);
}

/**
 * Shows what the frontend still knows of a node that was made anew.
 *
 * It puts the outputs of a tab back a moment after the nodes, and says so to nobody.
 * @param {object} node
 * @param {number[]} [waits] milliseconds before each look
 */
export function repeatOutput(node, [wait, ...others] = [100, 200, 400, 800, 1600]) {
  setTimeout(() => {
    const { graph } = node;
    const key = !graph || graph.isRootGraph !== false ? `${node.id}` : `${graph.id}:${node.id}`;
    const known = app.nodeOutputs?.[key];
    if (known) listeners.get(node)?.(known);
    else if (others.length) repeatOutput(node, others);
  }, wait);
}
