// @ts-check
import { anglesOf, inputsToShow, sideOf } from "../lib/sides.js";
import { text } from "../lib/text.js";
import { cameras } from "./camera_views.js";

const KIND = "TorchRasterPicturesToViews";
const CAMERAS = "TorchRasterCameras";
const PICTURE = /^picture_(\d+)$/;
const REROUTES = 64; // one after the other, at most

/** @typedef {Pick<Comfy.Slot, "shape" | "localized_name">} Look */

/** @type {WeakMap<Comfy.Node, Map<string, Look>>} what a node's picture inputs look like by themselves, by their names */
const looks = new WeakMap();

/** @type {WeakSet<Comfy.Node>} */
const waiting = new WeakSet();

/**
 * Has Pictures to Views call its inputs after what their cameras see, and show no more of them than there are cameras.
 *
 * Only what is read there changes: inputs keep the names that workflows are saved with, and labels of a person's own.
 * @param {Comfy.Node} node
 */
export function addPictureLabels(node) {
  const pictures = node.inputs.filter(({ name }) => PICTURE.test(name));
  looks.set(node, new Map(pictures.map(({ name, shape, localized_name }) => [name, { shape, localized_name }])));
  const { onConfigure, onConnectionsChange } = node;
  node.onConfigure = function (...values) {
    onConfigure?.apply(this, values);
    follow(node);
  };
  node.onConnectionsChange = function (...values) {
    onConnectionsChange?.apply(this, values);
    follow(node);
  };
}

/**
 * A Camera Views has changed: whoever is connected to it follows.
 * @param {Comfy.Node} from
 */
export function followCameras(from) {
  for (const node of from.graph?.nodes ?? []) if (node.comfyClass === KIND) follow(node);
}

/**
 * Soon, and once: while a workflow is read, links come before the widgets of the nodes at their other end.
 * @param {Comfy.Node} node
 */
function follow(node) {
  if (waiting.has(node)) return;
  waiting.add(node);
  queueMicrotask(() => {
    waiting.delete(node);
    if (node.graph) show(node);
  });
}

/** @param {Comfy.Node} node */
function show(node) {
  const own = looks.get(node) ?? new Map();
  const names = cameraNames(camerasOf(node));
  const connected = Math.max(0, ...node.inputs.map(({ name, link }) => (link == null ? 0 : numberOf(name))));
  showInputs(node, own, inputsToShow(names && names.length, connected, own.size));
  for (const [at, { name }] of node.inputs.entries()) {
    const number = numberOf(name);
    if (number) setName(node, at, names?.[number - 1] ?? own.get(name)?.localized_name);
  }
  node.graph?.setDirtyCanvas(true, true);
}

/**
 * @param {string} name of an input
 * @returns {number} of its camera, from 1; 0 if it is no picture
 */
function numberOf(name) {
  return Number(PICTURE.exec(name)?.[1] ?? 0);
}

/**
 * The Camera Views that a node's cameras come from, if it is one.
 * @param {Comfy.Node} node
 * @returns {Comfy.Node | null}
 */
function camerasOf(node) {
  let from = node.getInputNode(node.inputs.findIndex(({ name }) => name === "cameras"));
  for (let hops = 0; from && hops < REROUTES && from.type === "Reroute"; hops++) from = from.getInputNode(0);
  return from?.comfyClass === CAMERAS ? from : null;
}

/**
 * @param {Comfy.Node | null} from
 * @returns {string[] | null} null where nobody knows before the run
 */
function cameraNames(from) {
  const list = from && cameras(from);
  if (!from || !list) return null;
  const names = list.map(([azimuth, elevation]) => {
    const side = sideOf(azimuth, elevation);
    return side ? text(side) : anglesOf(azimuth, elevation);
  });
  const extra = Number(from.widgets?.find(({ name }) => name === "extra_views")?.value ?? 0);
  const chosen = from.inputs?.some(({ name, link }) => name === "mesh" && link != null) ? extra : 0;
  names.push(...Array.from({ length: chosen }, () => text("added")));
  return names.map((name, number) => `${number + 1} ${name}`);
}

/**
 * Takes inputs from the end, or puts them back there: links keep their places.
 * @param {Comfy.Node} node
 * @param {Map<string, Look>} own how each looks
 * @param {number} count of pictures
 */
function showInputs(node, own, count) {
  const before = node.inputs.length;
  for (let at = before - 1; numberOf(node.inputs[at].name) > count; at--) node.removeInput(at);
  for (let number = node.inputs.filter(({ name }) => numberOf(name)).length + 1; number <= count; number++) {
    const name = `picture_${number}`;
    node.addInput(name, "IMAGE", { ...own.get(name) });
  }
  if (node.inputs.length !== before) node.setSize([node.size[0], node.computeSize()[1]]);
}

/**
 * Every frontend shows the name in the person's language, not every one the label.
 * @param {Comfy.Node} node
 * @param {number} at an input's place
 * @param {string} [name]
 */
function setName(node, at, name) {
  const slot = node.inputs[at];
  if (slot.localized_name === name) return;
  slot.localized_name = name;
  // Nodes 2.0 looks again only at what is another object.
  if (globalThis.LiteGraph?.vueNodesMode) node.inputs[at] = new slot.constructor(slot, node);
}
