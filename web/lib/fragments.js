import { decodePng } from "./png.js";

const RETRIES = [200, 400, 800, 1600, 3200];

/** One picture of a run. Its planes are fetched when they are first needed, and kept. */
export class Picture {
  /**
   * @param {object} entry what the node's `ui` result says of all its pictures
   * @param {object} picture one of `entry.pictures`
   * @param {(route: string) => Promise<Response>} fetchRoute asks ComfyUI's server
   */
  constructor(entry, picture, fetchRoute) {
    this.entry = entry;
    this.picture = picture;
    this.fetchRoute = fetchRoute;
    this.width = Math.ceil(entry.width / entry.step);
    this.height = Math.ceil(entry.height / entry.step);
    this.planes = {};
  }

  /** What can be shown of it, the most telling first. */
  get kinds() {
    const { picture } = this;
    return [...(picture.value ? ["value"] : []), "ids", ...(picture.depth ? ["depth"] : []), "mask", "weights"];
  }

  /** Fetches everything that reading a pixel needs. */
  async load() {
    const { picture } = this;
    const names = { ids: picture.ids, weights: picture.weights, depth: picture.depth, value: picture.value?.file };
    const wanted = Object.entries(names).filter(([kind, name]) => name && !this.planes[kind]);
    await Promise.all(wanted.map(async ([kind, name]) => (this.planes[kind] = await this.plane(name))));
  }

  async plane(name) {
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
   * What the run found at a pixel of the picture.
   * @param {number} x column
   * @param {number} y row
   * @returns {{x: number, y: number, face: number, weights: number[], depth: ?number, value: ?number[]}}
   *   x and y in the raster; `face` counts from 1, 0 is background
   */
  read(x, y) {
    const { planes, entry } = this;
    const at = y * this.width + x;
    const face = planes.ids.getUint32(at * 4);
    const b0 = planes.weights.getUint16(at * 4) / 65535;
    const b1 = planes.weights.getUint16(at * 4 + 2) / 65535;
    return {
      x: x * entry.step,
      y: y * entry.step,
      face,
      weights: face ? [b0, b1, Math.max(0, 1 - b0 - b1)] : [0, 0, 0],
      depth: face && planes.depth ? planes.depth.getFloat32(at * 4) : null,
      value: planes.value ? this.value(at) : null,
    };
  }

  value(at) {
    const { value } = this.picture;
    const plane = this.planes.value;
    if (value.grey) return [plane.getFloat32(at * 4)];
    const scale = (value.high - value.low) / 65535;
    return [0, 2, 4].map((byte) => value.low + plane.getUint16(at * 6 + byte) * scale);
  }

  /**
   * The picture as colours.
   * @param {string} kind one of `kinds`
   * @returns {ImageData}
   */
  paint(kind) {
    const image = new ImageData(this.width, this.height);
    const words = new Uint32Array(image.data.buffer);
    const color = this.colors(kind);
    for (let at = 0; at < words.length; at++) words[at] = color(at);
    return image;
  }

  /** A function from a pixel's number to its colour as a little-endian RGBA word. */
  colors(kind) {
    const { planes, picture } = this;
    const id = (at) => planes.ids.getUint32(at * 4);
    if (kind === "ids") return (at) => faceColor(id(at));
    if (kind === "mask") return (at) => (id(at) ? 0xffffffff : 0xff000000);
    if (kind === "weights") {
      return (at) => {
        const b0 = planes.weights.getUint16(at * 4), b1 = planes.weights.getUint16(at * 4 + 2);
        return id(at) ? word(b0 >> 8, b1 >> 8, Math.max(0, 65535 - b0 - b1) >> 8) : 0xff000000;
      };
    }
    if (kind === "depth") {
      const far = this.range(planes.depth, Math.max, -Infinity), near = this.range(planes.depth, Math.min, Infinity);
      return (at) => {
        const unit = id(at) ? (far - planes.depth.getFloat32(at * 4)) / Math.max(far - near, 1e-12) : 0;
        return word(unit * 255, unit * 255, unit * 255);
      };
    }
    // Numbers beyond 0..1 (encoding "raw") are shown between the lowest and the highest.
    const { low, high } = picture.value, scale = 255 / (high - low);
    return (at) => {
      const [r, g, b] = this.value(at).map((number) => (number - low) * scale);
      return word(r, g ?? r, b ?? r);
    };
  }

  range(plane, pick, start) {
    let best = start;
    for (let at = 0; at < this.width * this.height; at++) {
      if (this.planes.ids.getUint32(at * 4)) best = pick(best, plane.getFloat32(at * 4));
    }
    return best;
  }
}

/** The colour that the node's output `face_ids` gives a face (see `face_colors` in rasterizer/rendering/attributes.py). */
function faceColor(face) {
  if (!face) return 0xff000000;
  const channel = (step) => 25.5 + 0.9 * ((Math.imul(face, step) >>> 8) & 255);
  return word(channel(2654435761), channel(2246822519), channel(3266489917));
}

function word(r, g, b) {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}
