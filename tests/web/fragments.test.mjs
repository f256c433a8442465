/** `web/lib/fragments.js`: what the inspector says of a pixel, and how it shows a picture. */
import assert from "node:assert/strict";
import test from "node:test";

import { Picture } from "../../web/lib/fragments.js";
import { arrayBuffer, encodePng } from "./files.mjs";

/** Node.js has none. */
globalThis.ImageData = class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
};

const [WIDTH, HEIGHT] = [3, 2];
const IDS = [0, 1, 2, 0x01020304, 0xfffffffe, 0];
const WEIGHTS = [[0, 0], [65535, 0], [13107, 26214], [1, 2], [40000, 40000], [500, 600]];
const DEPTHS = [9, 1.5, 2.5, 3.5, 1.625, 0.5]; // exact as float32; those of the background count for nothing
const VALUES = [[0, 0, 0], [65535, 0, 1], [1, 2, 3], [4, 5, 6], [7, 8, 9], [65535, 65535, 65535]];
const GREYS = [0, 0.25, -1.5, 2.5, 1, 0];

const ENTRY = { version: 1, subfolder: "torch_raster", width: WIDTH, height: HEIGHT, step: 1, faces: [7], total: 1 };
const PICTURE = { mesh: 0, view: 0, layer: 0, ids: "a_ids.png", weights: "a_weights.png" };
const DEPTH = { depth: "a_depth.png" };
const VALUE = { value: { file: "a_value.png", grey: false, low: -1, high: 3 } };
const GREY = { value: { file: "a_grey.png", grey: true, low: -1.5, high: 2.5 } };

/** A plane as a file: pixels are packed one after the other. */
function plane(items, bytes, pack, width = WIDTH) {
  const data = Buffer.alloc(items.length * bytes);
  items.forEach((item, at) => pack(data, item, at * bytes));
  const [depth, kind] = bytes === 6 ? [16, 2] : [8, 6];
  return arrayBuffer(encodePng({ width, depth, kind, bytes: data }));
}

const word = (data, item, at) => data.writeUInt32BE(item, at);
const float = (data, item, at) => data.writeFloatBE(item, at);
const shorts = (data, item, at) => item.forEach((part, number) => data.writeUInt16BE(part, at + 2 * number));

const FILES = {
  "a_ids.png": plane(IDS, 4, word),
  "a_weights.png": plane(WEIGHTS, 4, shorts),
  "a_depth.png": plane(DEPTHS, 4, float),
  "a_value.png": plane(VALUES, 6, shorts),
  "a_grey.png": plane(GREYS, 4, float),
  "turned_ids.png": plane(IDS, 4, word, HEIGHT),
};

/** A server with these files; `asked` collects the names. */
function server(asked = []) {
  return async (route) => {
    const { pathname, searchParams } = new URL(route, "http://localhost");
    assert.equal(pathname, "/view");
    assert.deepEqual([searchParams.get("subfolder"), searchParams.get("type")], ["torch_raster", "temp"]);
    asked.push(searchParams.get("filename"));
    return new Response(FILES[searchParams.get("filename")]);
  };
}

async function loaded(parts = {}, entry = {}) {
  const made = new Picture({ ...ENTRY, ...entry }, { ...PICTURE, ...parts }, server());
  await made.load();
  return made;
}

/** Every pixel as [red, green, blue, alpha]. */
function pixels(picture, kind) {
  const image = picture.paint(kind);
  assert.deepEqual([image.width, image.height], [WIDTH, HEIGHT]);
  return Array.from({ length: WIDTH * HEIGHT }, (_, at) => [...image.data.slice(4 * at, 4 * at + 4)]);
}

test("reads every pixel", async () => {
  const picture = await loaded({ ...DEPTH, ...VALUE });
  for (const [at, face] of IDS.entries()) {
    const [x, y] = [at % WIDTH, Math.floor(at / WIDTH)];
    const [b0, b1] = WEIGHTS[at].map((code) => code / 65535);
    assert.deepEqual(picture.read(x, y), {
      x,
      y,
      face,
      weights: face ? [b0, b1, Math.max(0, 1 - b0 - b1)] : [0, 0, 0],
      depth: face ? DEPTHS[at] : null,
      value: VALUES[at].map((code) => -1 + code * (4 / 65535)),
    });
  }
});

test("barycentrics add up to 1, and none is below 0", async () => {
  const picture = await loaded();
  assert.deepEqual(picture.read(1, 0).weights, [1, 0, 0]);
  assert.deepEqual(picture.read(2, 0).weights.map((weight) => weight.toFixed(6)), ["0.200000", "0.400000", "0.400000"]);
  assert.equal(picture.read(1, 1).weights[2], 0); // rounded, the two others exceed 1
});

test("a picture without depth and value says so", async () => {
  const { depth, value } = (await loaded()).read(1, 0);
  assert.deepEqual([depth, value], [null, null]);
});

test("a value of one channel is what the node made, bit for bit", async () => {
  const picture = await loaded(GREY);
  for (const [at, grey] of GREYS.entries()) {
    assert.deepEqual(picture.read(at % WIDTH, Math.floor(at / WIDTH)).value, [grey]);
  }
});

test("a thinned picture is as large as what is kept, and counts in pixels of the raster", async () => {
  for (const [width, height] of [[9, 6], [7, 4]]) {
    const picture = await loaded({}, { width, height, step: 3 });
    assert.deepEqual([picture.width, picture.height], [WIDTH, HEIGHT]);
    const { x, y, face } = picture.read(2, 1);
    assert.deepEqual([x, y, face], [6, 3, IDS[5]]);
  }
});

test("kinds are those that there is a plane for, the most telling first", () => {
  const kinds = (parts) => new Picture(ENTRY, { ...PICTURE, ...parts }, server()).kinds;
  assert.deepEqual(kinds({}), ["ids", "mask", "weights"]);
  assert.deepEqual(kinds(DEPTH), ["ids", "depth", "mask", "weights"]);
  assert.deepEqual(kinds({ ...DEPTH, ...VALUE }), ["value", "ids", "depth", "mask", "weights"]);
});

test("paints faces", async () => {
  const found = pixels(await loaded(), "ids");
  const steps = [2654435761n, 2246822519n, 3266489917n]; // of face_colors, there without the limits of 32 bits
  IDS.forEach((face, at) => {
    const hashed = steps.map((step) => Number(((BigInt(face) * step) >> 8n) & 255n));
    const color = face ? hashed.map((channel) => Math.floor(25.5 + 0.9 * channel)) : [0, 0, 0];
    assert.deepEqual(found[at], [...color, 255], `face ${face}`);
  });
});

test("paints the mask", async () => {
  const shades = pixels(await loaded(), "mask");
  assert.deepEqual(shades, IDS.map((face) => (face ? [255, 255, 255, 255] : [0, 0, 0, 255])));
});

test("paints barycentrics", async () => {
  assert.deepEqual(pixels(await loaded(), "weights"), [
    [0, 0, 0, 255],
    [255, 0, 0, 255],
    [51, 102, 102, 255],
    [0, 0, 255, 255],
    [156, 156, 0, 255],
    [0, 0, 0, 255],
  ]);
});

test("paints depth between the nearest and the farthest that is drawn", async () => {
  const shades = pixels(await loaded(DEPTH), "depth");
  assert.deepEqual(shades, [0, 255, 127, 0, 239, 0].map((shade) => [shade, shade, shade, 255]));
});

test("paints values between the lowest and the highest", async () => {
  assert.deepEqual(pixels(await loaded(VALUE), "value")[1], [255, 0, 0, 255]);
  assert.deepEqual(pixels(await loaded(VALUE), "value")[5], [255, 255, 255, 255]);
  const shades = pixels(await loaded(GREY), "value");
  assert.deepEqual(shades, [95, 111, 0, 255, 159, 95].map((shade) => [shade, shade, shade, 255]));
});

test("asks for each plane once", async () => {
  const asked = [];
  const picture = new Picture(ENTRY, { ...PICTURE, ...DEPTH, ...VALUE }, server(asked));
  for (let time = 0; time < 2; time++) {
    await picture.load();
    assert.deepEqual([...asked].sort(), ["a_depth.png", "a_ids.png", "a_value.png", "a_weights.png"]);
  }
});

test("a plane of another size is refused", async () => {
  const picture = new Picture(ENTRY, { ...PICTURE, ids: "turned_ids.png" }, server());
  await assert.rejects(picture.load(), { message: "turned_ids.png: not the size of the raster" });
});

/** Loads from a server that has the ids only when it is asked for them for the time that is given. */
async function patient(t, time) {
  const waits = [];
  t.mock.method(globalThis, "setTimeout", (resume, wait) => {
    waits.push(wait);
    queueMicrotask(resume);
  });
  const serve = server();
  let tries = 0;
  const picture = new Picture(ENTRY, PICTURE, async (route) => {
    return route.includes("a_ids.png") && ++tries < time ? new Response(null, { status: 404 }) : serve(route);
  });
  const outcome = await picture.load().then(() => "loaded", ({ message }) => message);
  return { outcome, tries, waits };
}

test("waits longer and longer for what is still being written", async (t) => {
  assert.deepEqual(await patient(t, 1), { outcome: "loaded", tries: 1, waits: [] });
  assert.deepEqual(await patient(t, 4), { outcome: "loaded", tries: 4, waits: [200, 400, 800] });
  const waits = [200, 400, 800, 1600, 3200];
  assert.deepEqual(await patient(t, 6), { outcome: "loaded", tries: 6, waits });
  assert.deepEqual(await patient(t, 7), { outcome: "a_ids.png: 404", tries: 6, waits });
});

test("what failed can be asked for again", async () => {
  const serve = server();
  let broken = true;
  const picture = new Picture(ENTRY, PICTURE, async (route) => {
    if (broken && route.includes("a_weights.png")) throw new TypeError("Failed to fetch");
    return serve(route);
  });
  await assert.rejects(picture.load(), { message: "Failed to fetch" });
  broken = false;
  await picture.load();
  assert.equal(picture.read(1, 0).face, 1);
});
