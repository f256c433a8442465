import { api } from "../../../scripts/api.js";
import { addPanel, element } from "../lib/dom.js";
import { Picture } from "../lib/fragments.js";
import { onOutput } from "../lib/output.js";
import { text } from "../lib/text.js";

const EMPTY_HEIGHT = 24;
const HEIGHT = 370;

/**
 * The raster inspector on Rasterize and Interpolate Attributes: it shows what the run found at every pixel.
 * @param {object} node
 */
export function addInspector(node) {
  let filled = false;
  const { root, grow } = addPanel(node, "inspector", () => (filled ? HEIGHT : EMPTY_HEIGHT));
  root.classList.add("inspector");
  const view = new Inspector(root);
  onOutput(node, (output) => {
    const entry = output.torch_raster_inspector?.[0];
    if (!entry?.pictures?.length) return;
    const first = !filled;
    filled = true;
    view.open(entry);
    if (first) grow();
  });
}

class Inspector {
  constructor(root) {
    this.root = root;
    this.kind = null;
    this.chosen = { mesh: 0, view: 0, layer: 0 };
    this.pinned = null;
    this.turn = 0; // of what is loaded: answers may come in any order
    root.append(element("div", { class: "quiet", textContent: text("runToInspect") }));
  }

  /** Shows a run; what was chosen and pinned stays where the new pictures have it. */
  open(entry) {
    const ask = (route) => api.fetchApi(route);
    this.pictures = entry.pictures.map((picture) => new Picture(entry, picture, ask));
    this.entry = entry;
    if (!this.canvas) this.build();
    this.pickers.replaceChildren(...["mesh", "view", "layer"].flatMap((axis) => this.picker(axis)));
    const notes = [];
    if (entry.step > 1) notes.push(text("everyPixel", { n: entry.step }));
    if (entry.total > entry.pictures.length) {
      notes.push(text("fewerPictures", { n: entry.pictures.length, m: entry.total }));
    }
    this.note.textContent = notes.join("; ");
    this.note.hidden = !notes.length;
    this.select();
  }

  build() {
    this.button = element("button", { type: "button", title: text("show"), onclick: () => this.cycle() });
    this.pickers = element("span", { class: "bar" });
    this.canvas = element("canvas", { width: 1, height: 1 });
    this.readout = element("dl", { class: "readout" });
    this.note = element("div", { class: "quiet", hidden: true });
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.say(this.pinned));
    this.canvas.addEventListener("click", (event) => this.pin(event));
    this.root.replaceChildren(
      element("div", { class: "bar" }, this.button, this.pickers),
      element("div", { class: "stage" }, this.canvas),
      this.readout,
      this.note,
    );
  }

  /** A list of the numbers of an axis, where there are several. */
  picker(axis) {
    const numbers = [...new Set(this.pictures.map(({ picture }) => picture[axis]))];
    if (!numbers.includes(this.chosen[axis])) this.chosen[axis] = numbers[0];
    if (numbers.length < 2) return [];
    const list = element("select", { title: text(axis), name: axis });
    list.append(...numbers.map((n) => element("option", { value: n, textContent: `${text(axis)} ${n + 1}` })));
    list.value = this.chosen[axis];
    list.onchange = () => {
      this.chosen[axis] = Number(list.value);
      this.select();
    };
    return [list];
  }

  /** Loads and shows the chosen picture. */
  async select() {
    const turn = ++this.turn;
    const matches = ({ picture }) => ["mesh", "view", "layer"].every((axis) => picture[axis] === this.chosen[axis]);
    const picture = this.pictures.find(matches) ?? this.pictures[0];
    try {
      await picture.load();
    } catch {
      if (turn === this.turn) this.readout.replaceChildren(element("dd", { textContent: text("unreadable") }));
      return;
    }
    if (turn !== this.turn) return;
    this.picture = picture;
    if (!picture.kinds.includes(this.kind)) this.kind = picture.kinds[0];
    if (this.pinned && (this.pinned.x >= picture.width || this.pinned.y >= picture.height)) this.pinned = null;
    this.paint();
    this.say(this.pinned);
  }

  cycle() {
    if (!this.picture) return;
    const { kinds } = this.picture;
    this.kind = kinds[(kinds.indexOf(this.kind) + 1) % kinds.length];
    this.paint();
  }

  paint() {
    const { canvas, picture } = this;
    this.button.textContent = text(this.kind);
    this.root.dataset.kind = this.kind;
    this.image = picture.paint(this.kind);
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.style.setProperty("--ratio", picture.width / picture.height);
    canvas.style.imageRendering = picture.width < 512 ? "pixelated" : "auto"; // enlarged or made smaller
    this.mark();
  }

  /** The picture, and a ring around the pinned pixel. */
  mark() {
    const context = this.canvas.getContext("2d");
    context.putImageData(this.image, 0, 0);
    if (!this.pinned) return;
    const radius = Math.max(4, this.canvas.width / 64);
    for (const [color, width] of [["#000", 3], ["#fff", 1]]) {
      context.beginPath();
      context.arc(this.pinned.x + 0.5, this.pinned.y + 0.5, radius, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = (width * radius) / 6;
      context.stroke();
    }
  }

  /** The pixel under the pointer; the canvas may be zoomed. */
  pixel(event) {
    const box = this.canvas.getBoundingClientRect();
    const cell = (at, size) => Math.min(size - 1, Math.max(0, Math.floor(at * size)));
    return {
      x: cell((event.clientX - box.left) / box.width, this.canvas.width),
      y: cell((event.clientY - box.top) / box.height, this.canvas.height),
    };
  }

  hover(event) {
    if (this.picture && !this.pinned) this.say(this.pixel(event));
  }

  pin(event) {
    if (!this.picture) return;
    this.pinned = this.pinned ? null : this.pixel(event);
    this.say(this.pinned ?? this.pixel(event));
    this.mark();
  }

  say(at) {
    if (!this.picture) return;
    if (!at) {
      this.readout.replaceChildren(element("dt", { textContent: text("hover") }));
      return;
    }
    const found = this.picture.read(at.x, at.y);
    const faces = this.entry.faces[this.picture.picture.mesh];
    const rows = [
      [text("pixel"), `${found.x}, ${found.y}${this.pinned ? ` (${text("pinned")})` : ""}`],
      [text("face"), found.face ? `${found.face} ${text("of")} ${faces}` : text("background")],
      [text("weights"), found.face ? found.weights.map((weight) => weight.toFixed(4)).join(", ") : "–"],
    ];
    if (this.picture.picture.depth) rows.push([text("depth"), found.depth === null ? "–" : number(found.depth)]);
    if (found.value) rows.push([text("value"), found.value.map(number).join(", ")]);
    this.readout.replaceChildren(
      ...rows.flatMap(([name, content]) => [
        element("dt", { textContent: name }),
        element("dd", { textContent: content, title: content }),
      ]),
    );
    this.root.dataset.face = found.face;
  }
}

function number(value) {
  return String(Number(value.toPrecision(6)));
}
