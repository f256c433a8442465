// @ts-check
import { anglesOf, inputsToShow, sideOf } from "../lib/sides.js";
import { text } from "../lib/text.js";
import { cameras } from "./camera_views.js";

const KIND = "TorchRasterPicturesToViews";
const CAMERAS = "TorchRasterCameras";
const PICTURE = /^picture_(\d+)$/;
const OURS = /^\d+ /; // a label that a person gave an input stays
const REROUTES = 64; // one after the other, at most

/** @type {WeakMap<Comfy.Node, Map<string, Comfy.Slot>>} what inputs looked like that are not shown */
const hidden = new WeakMap();

/** @type {WeakSet<Comfy.Node>} */
const waiting = new WeakSet();

/**
 * Has Pictures to Views call its inputs after what their cameras see, and show no more of them than there are cameras.
 *
 * Only labels change: inputs keep the names that workflows are saved with.
 * @param {Comfy.Node} node
 */
export function addPictureLabels(node) {
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
  const names = cameraNames(camerasOf(node));
  const most = Object.keys(node.constructor.nodeData?.input?.optional ?? {}).filter((name) => PICTURE.test(name)).length;
  const connected = Math.max(0, ...node.inputs.map(({ name, link }) => (link == null ? 0 : numberOf(name))));
  showInputs(node, inputsToShow(names && names.length, connected, most));
  for (const [at, slot] of node.inputs.entries()) {
    const number = numberOf(slot.name);
    if (number) setLabel(node, at, names?.[number - 1]);
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
 * @param {number} count of pictures
 */
function showInputs(node, count) {
  const kept = hidden.get(node) ?? new Map();
  hidden.set(node, kept);
  const before = node.inputs.length;
  for (let at = node.inputs.length - 1; numberOf(node.inputs[at].name) > count; at--) {
    kept.set(node.inputs[at].name, node.inputs[at]);
    node.removeInput(at);
  }
  for (let number = node.inputs.filter(({ name }) => numberOf(name)).length + 1; number <= count; number++) {
    const { shape, localized_name } = kept.get(`picture_${number}`) ?? {};
    node.addInput(`picture_${number}`, "IMAGE", { shape, localized_name });
  }
  if (node.inputs.length !== before) node.setSize([node.size[0], node.computeSize()[1]]);
}

/**
 * @param {Comfy.Node} node
 * @param {number} at an input's place
 * @param {string} [label]
 */
function setLabel(node, at, label) {
  const slot = node.inputs[at];
  if (slot.label === label || (slot.label && !OURS.test(slot.label))) return;
  slot.label = label;
  // Nodes 2.0 looks again only at what is another object.
  if (globalThis.LiteGraph?.vueNodesMode) node.inputs[at] = new slot.constructor(slot, node);
}
