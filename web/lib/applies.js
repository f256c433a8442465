// @ts-check
/** Which settings of Camera Views do something. */

/** @type {Record<string, [setting: string, value: string]>} what each setting is for; the others always count */
const FOR = {
  azimuths: ["preset", "custom"],
  elevations: ["preset", "custom"],
  weights: ["preset", "custom"],
  views: ["preset", "turntable"],
  ortho_scale: ["projection", "orthographic"],
  fov: ["projection", "perspective"],
};

/**
 * Whether a setting changes anything.
 * @param {string} name
 * @param {(name: string) => unknown} value of a setting; undefined where nobody knows it before the run
 * @param {boolean} mesh whether one is connected
 */
export function applies(name, value, mesh) {
  // Set without a mesh, extra views are refused: they must stay within reach.
  if (name === "extra_views") return mesh || value(name) !== 0;
  if (!(name in FOR)) return true;
  const [setting, wanted] = FOR[name];
  return [wanted, undefined].includes(/** @type {string | undefined} */ (value(setting)));
}
