// @ts-check
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const HISTORY = 16; // runs to look through

/**
 * A run in the server's history, as far as it matters here.
 * @typedef {object} Run
 * @property {[unknown, unknown, Record<string, {class_type: string}>]} prompt number, id and nodes
 * @property {Record<string, Comfy.Output>} outputs
 */

/** @type {WeakMap<Comfy.Node, (output: Comfy.Output) => void>} */
const listeners = new WeakMap();

/** @type {WeakSet<Comfy.Node>} */
const shown = new WeakSet();

/**
 * Calls `show(output)` with every `ui` result of a node.
 * @param {Comfy.Node} node
 * @param {(output: Comfy.Output) => void} show
 */
export function onOutput(node, show) {
  /** @param {Comfy.Output} output */
  const listener = (output) => {
    shown.add(node);
    show(output);
  };
  const before = node.onExecuted;
  node.onExecuted = function (output, ...rest) {
    before?.call(this, output, ...rest);
    if (output) listener(output);
  };
  listeners.set(node, listener);
}

/**
 * Shows what nodes made anew gave in an earlier run where this run takes it from the cache.
 *
 * Servers do so themselves since ComfyUI 0.19 (`has_intermediate_output` of the nodes). Older ones keep only the last
 * result of a node, so the last one in the history is the one in use.
 */
export function followCache() {
  /** @type {Comfy.NodeId[]} */
  let cached = [];
  api.addEventListener("execution_cached", ({ detail }) => (cached = detail.nodes ?? []));
  api.addEventListener("execution_success", async () => {
    const graph = app.rootGraph ?? app.graph;
    const nodes = cached.flatMap((id) => graph.getNodeById(id) ?? []);
    const empty = nodes.filter((node) => listeners.has(node) && !shown.has(node));
    cached = [];
    if (!empty.length) return;
    const response = await api.fetchApi(`/history?max_items=${HISTORY}`);
    /** @type {Run[]} */
    const runs = response.ok ? Object.values(await response.json()).reverse() : [];
    for (const node of empty) {
      const run = runs.find(({ prompt, outputs }) => {
        return outputs[node.id] && prompt[2][node.id]?.class_type === node.comfyClass;
      });
      if (run && !shown.has(node)) listeners.get(node)?.(run.outputs[node.id]);
    }
  });
}

/**
 * Shows what the frontend still knows of a node that was made anew.
 *
 * It puts the outputs of a tab back a moment after the nodes, and says so to nobody.
 * @param {Comfy.Node} node
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
