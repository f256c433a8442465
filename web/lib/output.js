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
 * @param {object} node
 */
export function repeatOutput(node) {
  const known = app.nodeOutputs ?? {};
  const graph = node.graph;
  const key = !graph || graph.isRootGraph !== false ? `${node.id}` : `${graph.id}:${node.id}`;
  if (known[key]) listeners.get(node)?.(known[key]);
}
