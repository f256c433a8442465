// @ts-check
import { decodePng } from "./png.js";

const RETRIES = [200, 400, 800, 1600, 3200];

/**
 * What a node's `ui` result says of its pictures; see nodes/host/inspector.py.
 * @typedef {object} Entry
 * @property {string} subfolder of the temp folder, with all files
 * @property {number} width of the raster
 * @property {number} height of the raster
 * @property {number} step every how many pixels one is kept
 * @property {number[]} faces how many there are of each mesh
 * @property {number} total of pictures, also those that were not kept
 * @property {PictureEntry[]} pictures
 */

/**
 * @typedef {object} PictureEntry
 * @property {number} mesh
 * @property {number} view
 * @property {number} layer
 * @property {string} ids a file, as the next two
 * @property {string} weights
 * @property {string} [depth]
 * @property {Value} [value]
 */

/**
 * What Interpolate Attributes made: numbers between `low` and `high`, one to a pixel (`grey`) or three.
 * @typedef {{file: string, grey: boolean, low: number, high: number}} Value
 */

/** @typedef {"ids" | "weights" | "depth" | "value"} Plane */
/** @typedef {Plane | "mask"} Kind */

/** One picture of a run. Its planes are fetched when they are first needed, and kept. */
export class Picture {
  /** @type {Partial<Record<Plane, DataView>>} */
  planes = {};

  /**
   * @param {Entry} entry
   * @param {PictureEntry} picture one of `entry.pictures`
   * @param {(route: string) => Promise<Response>} fetchRoute asks ComfyUI's server
   */
  constructor(entry, picture, fetchRoute) {
    this.entry = entry;
    this.picture = picture;
    this.fetchRoute = fetchRoute;
    this.width = Math.ceil(entry.width / entry.step);
    this.height = Math.ceil(entry.height / entry.step);
  }

  /**
   * What can be shown of it, the most telling first.
   * @returns {Kind[]}
   */
  get kinds() {
    const { value, depth } = this.picture;
    /** @type {Kind[]} */
    const all = ["value", "ids", "depth", "mask", "weights"];
    return all.filter((kind) => (kind !== "value" || value) && (kind !== "depth" || depth));
  }

  /** Fetches everything that reading a pixel needs. */
  async load() {
    const { picture } = this;
    await Promise.all([
      this.need("ids", picture.ids),
      this.need("weights", picture.weights),
      this.need("depth", picture.depth),
      this.need("value", picture.value?.file),
    ]);
  }

  /**
   * @param {Plane} kind
   * @param {string} [name] of its file
   */
  async need(kind, name) {
    if (name && !this.planes[kind]) this.planes[kind] = await this.fetchPlane(name);
  }

  /**
   * @param {string} name of a file
   * @returns {Promise<DataView>}
   */
  async fetchPlane(name) {
    const query = new URLSearchParams({ filename: name, subfolder: this.entry.subfolder, type: "temp" });
    for (let tried = 0; ; tried++) {
      const response = await this.fetchRoute(`/view?${query}`);
      if (response.ok) {
        const { width, height, bytes } = await decodePng(await response.arrayBuffer());
        if (width !== this.width || height !== this.height) throw new Error(`${name}: not the size of the raster`);
        return new DataView(bytes.buffer);
      }
      // All but a run's first picture are written while the next nodes work.
      if (tried >= RETRIES.length) throw new Error(`${name}: ${response.status}`);
      await new Promise((resolve) => setTimeout(resolve, RETRIES[tried]));
    }
  }

  /**
   * @param {Plane} kind
   * @returns {DataView} as it was loaded
   */
  plane(kind) {
    const found = this.planes[kind];
    if (!found) throw new Error(`${kind}: not loaded`);
    return found;
  }

  /**
   * What the run found at a pixel of the picture.
   * @param {number} x column
   * @param {number} y row
   * @returns {{x: number, y: number, face: number, weights: number[], depth: number | null, value: number[] | null}}
   *   x and y in the raster; `face` counts from 1, 0 is background
   */
  read(x, y) {
    const { entry, picture } = this;
    const at = y * this.width + x;
    const face = this.plane("ids").getUint32(at * 4);
    const b0 = this.plane("weights").getUint16(at * 4) / 65535;
    const b1 = this.plane("weights").getUint16(at * 4 + 2) / 65535;
    return {
      x: x * entry.step,
      y: y * entry.step,
      face,
      weights: face ? [b0, b1, Math.max(0, 1 - b0 - b1)] : [0, 0, 0],
      depth: face && picture.depth ? this.plane("depth").getFloat32(at * 4) : null,
      value: picture.value ? valueAt(picture.value, this.plane("value"), at) : null,
    };
  }

  /**
   * The picture as colours.
   * @param {Kind} kind one of `kinds`
   * @returns {ImageData}
   */
  paint(kind) {
    const image = new ImageData(this.width, this.height);
    const words = new Uint32Array(image.data.buffer);
    const color = this.colors(kind);
    for (let at = 0; at < words.length; at++) words[at] = color(at);
    return image;
  }

  /**
   * A function from a pixel's number to its colour as a little-endian RGBA word.
   * @param {Kind} kind one of `kinds`
   * @returns {(at: number) => number}
   */
  colors(kind) {
    const { value } = this.picture;
    const ids = this.plane("ids");
    /** @param {number} at */
    const id = (at) => ids.getUint32(at * 4);
    if (kind === "ids") return (at) => faceColor(id(at));
    if (kind === "weights") {
      const weights = this.plane("weights");
      return (at) => {
        const b0 = weights.getUint16(at * 4), b1 = weights.getUint16(at * 4 + 2);
        return id(at) ? word(b0 >> 8, b1 >> 8, Math.max(0, 65535 - b0 - b1) >> 8) : 0xff000000;
      };
    }
    if (kind === "depth") {
      const depth = this.plane("depth");
      const far = this.range(depth, Math.max, -Infinity), near = this.range(depth, Math.min, Infinity);
      return (at) => {
        const unit = id(at) ? (far - depth.getFloat32(at * 4)) / Math.max(far - near, 1e-12) : 0;
        return word(unit * 255, unit * 255, unit * 255);
      };
    }
    if (kind === "value" && value) {
      // Numbers beyond 0..1 (encoding "raw") are shown between the lowest and the highest.
      const values = this.plane("value");
      const scale = 255 / (value.high - value.low);
      return (at) => {
        const [r, g, b] = valueAt(value, values, at).map((number) => (number - value.low) * scale);
        return word(r, g ?? r, b ?? r);
      };
    }
    return (at) => (id(at) ? 0xffffffff : 0xff000000);
  }

  /**
   * The lowest or the highest number of a plane where something is drawn.
   * @param {DataView} plane
   * @param {(one: number, other: number) => number} pick
   * @param {number} start
   */
  range(plane, pick, start) {
    const ids = this.plane("ids");
    let best = start;
    for (let at = 0; at < this.width * this.height; at++) {
      if (ids.getUint32(at * 4)) best = pick(best, plane.getFloat32(at * 4));
    }
    return best;
  }
}

/**
 * @param {Value} value
 * @param {DataView} plane
 * @param {number} at a pixel's number
 * @returns {number[]} one of all channels, or three
 */
function valueAt({ grey, low, high }, plane, at) {
  if (grey) return [plane.getFloat32(at * 4)];
  const scale = (high - low) / 65535;
  return [0, 2, 4].map((byte) => low + plane.getUint16(at * 6 + byte) * scale);
}

/**
 * The colour that the node's output `face_ids` gives a face (see `face_colors` in rasterizer/rendering/attributes.py).
 * @param {number} face
 */
function faceColor(face) {
  if (!face) return 0xff000000;
  /** @param {number} step */
  const channel = (step) => 25.5 + 0.9 * ((Math.imul(face, step) >>> 8) & 255);
  return word(channel(2654435761), channel(2246822519), channel(3266489917));
}

/**
 * @param {number} r 0..255, as the others
 * @param {number} g
 * @param {number} b
 */
function word(r, g, b) {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}
