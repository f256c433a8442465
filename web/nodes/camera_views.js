// @ts-check
import { api } from "../../../scripts/api.js";
import { applies } from "../lib/applies.js";
import { cameraPicture } from "../lib/camera_picture.js";
import { addPanel, element, scrolling } from "../lib/dom.js";
import { greyOut, isLinked } from "../lib/grey_out.js";
import { onOutput } from "../lib/output.js";
import { anglesOf, sideOf } from "../lib/sides.js";
import { text } from "../lib/text.js";

const HEIGHT = 170;
const THUMBNAIL = 68; // with its gap
const MOST_ROWS = 3; // of thumbnails; more are scrolled to
const SIDES = 36; // of the node beside the panel's content

/** @typedef {import("../lib/camera_picture.js").Camera} Camera */

/**
 * What nodes/views.py says of a run.
 * @typedef {object} Ran
 * @property {Record<string, unknown>} settings that it was made with
 * @property {Camera[]} views
 * @property {number} added how many of them, at the end, were chosen for the mesh
 * @property {Picture[]} pictures what the first of them see
 */

/** @typedef {{filename: string, subfolder: string, type: string}} Picture */

/**
 * Where the cameras of Camera Views stand, following its widgets; after a run, what they see and which were added.
 * @param {Comfy.Node} node
 * @param {(node: Comfy.Node) => void} changed called when they may stand elsewhere
 */
export function addCameraPicture(node, changed) {
  /** @type {Ran | null} */
  let ran = null;
  /** @type {Picture[]} */
  let pictures = [];
  const { root, grow } = addPanel(node, "picture", () => HEIGHT + thumbnailsHeight(pictures.length, node.size[0]));
  root.classList.add("camera-views");
  const draw = () => {
    greyOutIdle(node);
    const run = ran && isOf(node, ran.settings) ? ran : null;
    const list = run?.views ?? cameras(node);
    const more = run && pictures.length !== run.pictures.length;
    pictures = run?.pictures ?? [];
    root.replaceChildren(
      cameraPicture(list ?? [], run?.added),
      element("div", { class: "quiet", textContent: caption(node, list, run) }),
      ...(run && pictures.length ? [thumbnails(run)] : []),
    );
    if (more) grow();
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
  const { onConfigure, onConnectionsChange } = node;
  node.onConfigure = function (...values) {
    onConfigure?.apply(this, values);
    draw();
  };
  node.onConnectionsChange = function (...values) {
    onConnectionsChange?.apply(this, values);
    draw();
  };
  onOutput(node, (output) => {
    ran = output.torch_raster_cameras?.[0] ?? null;
    draw();
  });
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

/** @param {Comfy.Node} node */
function greyOutIdle(node) {
  /** @param {string} name */
  const value = (name) => (isLinked(node, name) ? undefined : node.widgets?.find((w) => w.name === name)?.value);
  const mesh = isLinked(node, "mesh");
  greyOut(node, (name) => !applies(name, value, mesh));
}

/**
 * Whether the node is set as it was in a run; what comes by a link is not known here.
 * @param {Comfy.Node} node
 * @param {Record<string, unknown>} settings
 */
function isOf(node, settings) {
  const widgets = (node.widgets ?? []).filter(({ name }) => name in settings && !isLinked(node, name));
  return widgets.every(({ name, value }) => value === settings[name]);
}

/**
 * @param {Comfy.Node} node
 * @param {Camera[] | null} list
 * @param {Ran | null} run
 */
function caption(node, list, run) {
  if (!list) return text("noCameras");
  const said = [`${list.length} ${text("cameras")}`];
  const extra = Number(node.widgets?.find(({ name }) => name === "extra_views")?.value ?? 0);
  if (!run && extra && isLinked(node, "mesh")) said.push(text("upToMore", { n: extra }));
  if (run?.added) said.push(text("ofThemAdded", { n: run.added }));
  const [n, m] = [run?.pictures.length ?? 0, list.length];
  if (n && n < m) said.push(text("fewerPictures", { n, m }));
  return said.join(", ");
}

/**
 * @param {number} count
 * @param {number} width of the node
 */
function thumbnailsHeight(count, width) {
  const columns = Math.max(1, Math.floor((width - SIDES) / THUMBNAIL));
  return THUMBNAIL * Math.min(MOST_ROWS, Math.ceil(count / columns));
}

/** @param {Ran} run */
function thumbnails({ views, added, pictures }) {
  const made = pictures.map((picture, number) => {
    const [azimuth, elevation] = views[number];
    const side = sideOf(azimuth, elevation);
    const title = `${number + 1} ${side ? `${text(side)}, ` : ""}${anglesOf(azimuth, elevation)}`;
    const query = new URLSearchParams({ ...picture });
    return element(
      "figure",
      { title, class: number < views.length - added ? "" : "added" },
      element("img", { src: api.apiURL(`/view?${query}`), alt: title, draggable: false }),
      element("figcaption", { textContent: `${number + 1}` }),
    );
  });
  return scrolling("thumbnails", ...made);
}
