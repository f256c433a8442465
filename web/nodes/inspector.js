// @ts-check
import { api } from "../../../scripts/api.js";
import { addPanel, element } from "../lib/dom.js";
import { Picture } from "../lib/fragments.js";
import { fillWindow, savePicture } from "../lib/full_size.js";
import { onOutput } from "../lib/output.js";
import { text } from "../lib/text.js";

const EMPTY_HEIGHT = 24;
const HEIGHT = 370;

/** @typedef {import("../lib/fragments.js").Entry} Entry */
/** @typedef {{x: number, y: number}} Pixel of the picture */
/** @typedef {typeof AXES[number]} Axis */

const AXES = /** @type {const} */ (["mesh", "view", "layer"]);

/**
 * The raster inspector on Rasterize and Interpolate Attributes: it shows what the run found at every pixel.
 * @param {Comfy.Node} node
 */
export function addInspector(node) {
  let filled = false;
  const { root, grow } = addPanel(node, "inspector", () => (filled ? HEIGHT : EMPTY_HEIGHT));
  root.classList.add("inspector");
  const view = new Inspector(root, () => `${node.title ?? node.type ?? ""}`);
  onOutput(node, (output) => {
    /** @type {Entry | undefined} */
    const entry = output.torch_raster_inspector?.[0];
    if (!entry?.pictures?.length) return;
    const first = !filled;
    filled = true;
    view.open(entry);
    if (first) grow();
  });
}

class Inspector {
  /** @type {Picture[]} */
  pictures = [];

  /** @type {Picture | null} the one that is shown */
  picture = null;

  /** @type {import("../lib/fragments.js").Kind | null} */
  kind = null;

  /** @type {Pixel | null} */
  pinned = null;

  /** @type {Record<Axis, number>} */
  chosen = { mesh: 0, view: 0, layer: 0 };

  /** @type {ImageData | null} */
  image = null;

  turn = 0; // of what is loaded: answers may come in any order

  button = element("button", { type: "button", title: text("show"), onclick: () => this.cycle() });
  pickers = element("span", { class: "bar" });
  full = element("button", { type: "button", title: text("fullTitle"), textContent: text("full") });
  keep = element("button", { type: "button", title: text("saveTitle"), textContent: text("save") });
  canvas = element("canvas", { width: 1, height: 1 });
  readout = element("dl", { class: "readout" });
  note = element("div", { class: "quiet", hidden: true });

  /**
   * @param {HTMLElement} root
   * @param {() => string} title of the node
   */
  constructor(root, title) {
    this.root = root;
    this.title = title;
    this.full.onclick = () => fillWindow(root, this.full);
    this.keep.onclick = () => this.save();
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.say(this.pinned));
    this.canvas.addEventListener("click", (event) => this.pin(event));
    root.append(element("div", { class: "quiet", textContent: text("runToInspect") }));
  }

  /**
   * Shows a run; what was chosen and pinned stays where the new pictures have it.
   * @param {Entry} entry
   */
  open(entry) {
    if (!this.pictures.length) this.build();
    this.pictures = entry.pictures.map((picture) => new Picture(entry, picture, (route) => api.fetchApi(route)));
    this.pickers.replaceChildren(...AXES.flatMap((axis) => this.picker(axis)));
    const notes = [];
    if (entry.step > 1) notes.push(text("everyPixel", { n: entry.step }));
    if (entry.total > entry.pictures.length) {
      notes.push(text("fewerPictures", { n: entry.pictures.length, m: entry.total }));
    }
    this.note.textContent = notes.join("; ");
    this.note.hidden = !notes.length;
    this.select();
  }

  /** In place of the request to run the workflow. */
  build() {
    this.root.replaceChildren(
      element("div", { class: "bar" }, this.button, this.pickers, this.full, this.keep),
      element("div", { class: "stage" }, this.canvas),
      this.readout,
      this.note,
    );
  }

  /**
   * A list of the numbers of an axis, where there are several.
   * @param {Axis} axis
   */
  picker(axis) {
    const numbers = [...new Set(this.pictures.map(({ picture }) => picture[axis]))];
    if (!numbers.includes(this.chosen[axis])) this.chosen[axis] = numbers[0];
    if (numbers.length < 2) return [];
    const list = element("select", { title: text(axis), name: axis });
    list.append(...numbers.map((n) => element("option", { value: `${n}`, textContent: `${text(axis)} ${n + 1}` })));
    list.value = `${this.chosen[axis]}`;
    list.onchange = () => {
      this.chosen[axis] = Number(list.value);
      this.select();
    };
    return [list];
  }

  /** Loads and shows the chosen picture. */
  async select() {
    const turn = ++this.turn;
    const chosen = this.pictures.find(({ picture }) => AXES.every((axis) => picture[axis] === this.chosen[axis]));
    const picture = chosen ?? this.pictures[0];
    try {
      await picture.load();
    } catch {
      if (turn === this.turn) this.readout.replaceChildren(element("dd", { textContent: text("unreadable") }));
      return;
    }
    if (turn !== this.turn) return;
    this.picture = picture;
    if (!this.kind || !picture.kinds.includes(this.kind)) this.kind = picture.kinds[0];
    if (this.pinned && (this.pinned.x >= picture.width || this.pinned.y >= picture.height)) this.pinned = null;
    this.paint(picture, this.kind);
    this.say(this.pinned);
  }

  cycle() {
    if (!this.picture || !this.kind) return;
    const { kinds } = this.picture;
    this.kind = kinds[(kinds.indexOf(this.kind) + 1) % kinds.length];
    this.paint(this.picture, this.kind);
  }

  /**
   * @param {Picture} picture
   * @param {import("../lib/fragments.js").Kind} kind
   */
  paint(picture, kind) {
    const { canvas } = this;
    this.button.textContent = text(kind);
    this.root.dataset.kind = kind;
    this.image = picture.paint(kind);
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.style.setProperty("--ratio", `${picture.width / picture.height}`);
    canvas.style.imageRendering = picture.width < 512 ? "pixelated" : "auto"; // enlarged or made smaller
    this.mark();
  }

  /** The picture as it is, without the ring of the pinned pixel, as a file. */
  save() {
    if (!this.image || !this.picture || !this.kind) return;
    const { picture } = this.picture;
    const several = AXES.filter((axis) => new Set(this.pictures.map((other) => other.picture[axis])).size > 1);
    const places = several.map((axis) => `${text(axis)} ${picture[axis] + 1}`);
    savePicture(this.image, [this.title(), text(this.kind), ...places].join(" "));
  }

  /** The picture, and a ring around the pinned pixel. */
  mark() {
    const context = this.canvas.getContext("2d");
    if (!context || !this.image) return;
    context.putImageData(this.image, 0, 0);
    if (!this.pinned) return;
    const radius = Math.max(4, this.canvas.width / 64);
    for (const { color, width } of [{ color: "#000", width: 3 }, { color: "#fff", width: 1 }]) {
      context.beginPath();
      context.arc(this.pinned.x + 0.5, this.pinned.y + 0.5, radius, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = (width * radius) / 6;
      context.stroke();
    }
  }

  /**
   * The pixel under the pointer; the canvas may be zoomed.
   * @param {MouseEvent} event
   * @returns {Pixel}
   */
  pixel(event) {
    const box = this.canvas.getBoundingClientRect();
    /**
     * @param {number} at 0..1
     * @param {number} size
     */
    const cell = (at, size) => Math.min(size - 1, Math.max(0, Math.floor(at * size)));
    return {
      x: cell((event.clientX - box.left) / box.width, this.canvas.width),
      y: cell((event.clientY - box.top) / box.height, this.canvas.height),
    };
  }

  /** @param {MouseEvent} event */
  hover(event) {
    if (this.picture && !this.pinned) this.say(this.pixel(event));
  }

  /** @param {MouseEvent} event */
  pin(event) {
    if (!this.picture) return;
    this.pinned = this.pinned ? null : this.pixel(event);
    this.say(this.pinned ?? this.pixel(event));
    this.mark();
  }

  /** @param {Pixel | null} at */
  say(at) {
    if (!this.picture) return;
    if (!at) {
      this.readout.replaceChildren(element("dt", { textContent: text("hover") }));
      return;
    }
    const found = this.picture.read(at.x, at.y);
    const { entry, picture } = this.picture;
    const rows = [
      [text("pixel"), `${found.x}, ${found.y}${this.pinned ? ` (${text("pinned")})` : ""}`],
      [text("face"), found.face ? `${found.face} ${text("of")} ${entry.faces[picture.mesh]}` : text("background")],
      [text("weights"), found.face ? found.weights.map((weight) => weight.toFixed(4)).join(", ") : "–"],
    ];
    if (picture.depth) rows.push([text("depth"), found.depth === null ? "–" : number(found.depth)]);
    if (found.value) rows.push([text("value"), found.value.map(number).join(", ")]);
    this.readout.replaceChildren(
      ...rows.flatMap(([name, content]) => [
        element("dt", { textContent: name }),
        element("dd", { textContent: content, title: content }),
      ]),
    );
    this.root.dataset.face = `${found.face}`;
  }
}

/** @param {number} value */
function number(value) {
  return String(Number(value.toPrecision(6)));
}
