// @ts-check
import { addPanel, element } from "../lib/dom.js";
import { text } from "../lib/text.js";

const HEIGHT = 170;
const SIZE = 160;
const RADIUS = 68;
const TILT = 22; // degrees from which the picture looks down on the mesh
const TURN = -28; // degrees by which it looks from the side

/** @typedef {[azimuth: number, elevation: number, weight: number]} Camera */

/**
 * Where the cameras of Camera Views stand, following its widgets.
 * @param {Comfy.Node} node
 * @param {(node: Comfy.Node) => void} changed called when they may stand elsewhere
 */
export function addCameraPicture(node, changed) {
  const { root } = addPanel(node, "picture", () => HEIGHT);
  root.classList.add("camera-views");
  const draw = () => {
    const list = cameras(node);
    const caption = list ? `${list.length} ${text("cameras")}` : text("noCameras");
    root.replaceChildren(picture(list ?? []), element("div", { class: "quiet", textContent: caption }));
    changed(node);
  };
  for (const widget of node.widgets ?? []) {
    const before = widget.callback;
    widget.callback = function (...values) {
      const result = before?.apply(this, values);
      draw();
      return result;
    };
  }
  const configured = node.onConfigure;
  node.onConfigure = function (...values) {
    configured?.apply(this, values);
    draw();
  };
  draw();
}

/**
 * The cameras as the node will make them; null where it would refuse the lists.
 * @param {Comfy.Node} node
 * @returns {Camera[] | null}
 */
export function cameras(node) {
  /** @param {string} name */
  const value = (name) => node.widgets?.find((widget) => widget.name === name)?.value;
  const preset = `${value("preset")}`;
  if (preset === "turntable") {
    const count = Math.max(1, Number(value("views")) || 1);
    return Array.from({ length: count }, (_, number) => [(360 * number) / count, 0, 1]);
  }
  if (preset !== "custom") return node.constructor.nodeData?.input?.required?.preset?.[1]?.views?.[preset] ?? null;
  const lists = ["azimuths", "elevations", "weights"].map((name) => numbers(value(name)));
  const [azimuths, elevations, weights] = lists;
  const count = azimuths.length;
  if (lists.some((list) => list.some(Number.isNaN) || ![1, count].includes(list.length))) return null;
  // One elevation or weight may serve all views.
  return azimuths.map((azimuth, at) => [azimuth, elevations[at] ?? elevations[0], weights[at] ?? weights[0]]);
}

/** @param {unknown} list */
function numbers(list) {
  const words = String(list ?? "").replaceAll(";", ",").trim().replace(/,$/, "").split(",");
  return words.map((word) => (word.trim() ? Number(word) : NaN));
}

/**
 * A point around the mesh (Y up, azimuth 0 toward +Z) in the picture.
 * @param {number} x
 * @param {number} y
 * @param {number} z
 * @returns {[x: number, y: number, depth: number]}
 */
function project(x, y, z) {
  const [turn, tilt] = [TURN, TILT].map((degrees) => (degrees * Math.PI) / 180);
  const side = x * Math.cos(turn) + z * Math.sin(turn);
  const toward = z * Math.cos(turn) - x * Math.sin(turn);
  const up = y * Math.cos(tilt) - toward * Math.sin(tilt);
  return [side, -up, toward * Math.cos(tilt) + y * Math.sin(tilt)];
}

/**
 * @param {number} azimuth
 * @param {number} elevation
 */
function onSphere(azimuth, elevation, radius = RADIUS) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  return project(radius * Math.cos(e) * Math.sin(a), radius * Math.sin(e), radius * Math.cos(e) * Math.cos(a));
}

/** @param {Camera[]} list */
function picture(list) {
  const horizon = Array.from({ length: 37 }, (_, number) => onSphere(10 * number, 0).slice(0, 2).join(" ")).join(",");
  const svg = shape("svg", { viewBox: `${-SIZE / 2} ${-SIZE / 2} ${SIZE} ${SIZE}`, "data-cameras": list.length });
  const line = { fill: "none", stroke: "currentColor", "stroke-width": 0.6 };
  svg.append(shape("circle", { r: RADIUS, ...line, opacity: 0.35 }));
  svg.append(shape("polyline", { points: horizon, ...line, opacity: 0.5 }));
  const [x, y] = onSphere(0, 0, 30);
  svg.append(shape("line", { x1: 0, y1: 0, x2: x, y2: y, stroke: "#d9534f", "stroke-width": 2 }));
  svg.append(label(x + 3, y + 9, text("front"), { fill: "#d9534f" }));
  svg.append(shape("circle", { r: 12, fill: "currentColor", opacity: 0.5 }));
  const heaviest = Math.max(...list.map(([, , weight]) => weight), 1e-6);
  const spots = list.map(([azimuth, elevation, weight], number) => {
    return { number, weight, at: onSphere(azimuth, elevation) };
  });
  spots.sort((one, other) => one.at[2] - other.at[2]); // far ones first
  for (const { number, weight, at } of spots) {
    const opacity = at[2] < 0 ? 0.55 : 1;
    const [cx, cy] = at;
    svg.append(shape("line", { x1: cx, y1: cy, x2: cx * 0.3, y2: cy * 0.3, ...line, opacity: opacity * 0.4 }));
    const size = 3.5 + 3 * Math.sqrt(Math.max(0, weight) / heaviest);
    svg.append(shape("circle", { cx, cy, r: size, fill: "#4a90d9", opacity }));
    if (list.length <= 24) svg.append(label(cx + size + 1, cy + 3, `${number + 1}`, { opacity }));
  }
  return svg;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} words
 * @param {Record<string, string | number>} attributes
 */
function label(x, y, words, attributes) {
  const made = shape("text", { x, y, "font-size": 9, fill: "currentColor", ...attributes });
  made.textContent = words;
  return made;
}

/**
 * @param {keyof SVGElementTagNameMap} tag
 * @param {Record<string, string | number>} attributes
 */
function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, `${value}`);
  return made;
}
