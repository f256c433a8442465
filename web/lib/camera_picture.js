// @ts-check
import { text } from "./text.js";

const SIZE = 160;
const RADIUS = 68;
const TILT = 22; // degrees from which the picture looks down on the mesh
const TURN = -28; // degrees by which it looks from the side

const BLUE = "#4a90d9";
const ORANGE = "#e08a2c";

/** @typedef {[azimuth: number, elevation: number, weight: number]} Camera */

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

/**
 * @param {Camera[]} list
 * @param {number} [added] how many at its end a run has chosen
 */
export function cameraPicture(list, added = 0) {
  const horizon = Array.from({ length: 37 }, (_, number) => onSphere(10 * number, 0).slice(0, 2).join(" ")).join(",");
  const box = `${-SIZE / 2} ${-SIZE / 2} ${SIZE} ${SIZE}`;
  const svg = shape("svg", { viewBox: box, "data-cameras": list.length, "data-added": added });
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
    const fill = number < list.length - added ? BLUE : ORANGE;
    svg.append(shape("circle", { cx, cy, r: size, fill, opacity }));
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
