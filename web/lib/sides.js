// @ts-check
/** What a camera sees of a mesh, in words; azimuth 0 is the front (+Z), 90 is seen from +X, elevation 90 from above. */

const AROUND = /** @type {const} */ (["front", "right", "back", "left"]);
const NEAR = 0.5; // degrees that nobody sees

/** @typedef {(typeof AROUND)[number] | "top" | "bottom"} Side */

/**
 * The side that a camera looks at squarely; null between sides.
 * @param {number} azimuth degrees
 * @param {number} elevation degrees
 * @returns {Side | null}
 */
export function sideOf(azimuth, elevation) {
  if (Math.abs(elevation - 90) < NEAR) return "top";
  if (Math.abs(elevation + 90) < NEAR) return "bottom";
  if (Math.abs(elevation) >= NEAR) return null;
  const quarter = Math.round(azimuth / 90);
  return Math.abs(azimuth - 90 * quarter) < NEAR ? AROUND[((quarter % 4) + 4) % 4] : null;
}

/**
 * A camera's angles as people read them: `35° +20°`, or `35°` at the mesh's own height.
 * @param {number} azimuth degrees
 * @param {number} elevation degrees
 */
export function anglesOf(azimuth, elevation) {
  const [around, up] = [azimuth, elevation].map((degrees) => Math.round(10 * degrees) / 10);
  return up ? `${around}° ${up > 0 ? "+" : "−"}${Math.abs(up)}°` : `${around}°`;
}

/**
 * How many inputs to show: one a camera, never fewer than what is connected, never none and never more than there are.
 * @param {number | null} cameras null where nobody knows
 * @param {number} connected number of the last input that has a link
 * @param {number} most
 */
export function inputsToShow(cameras, connected, most) {
  return cameras === null ? most : Math.min(most, Math.max(1, cameras, connected));
}
