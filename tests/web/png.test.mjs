/** `web/lib/png.js`: every byte, whatever the filters, or an error. */
import assert from "node:assert/strict";
import test from "node:test";

import { decodePng } from "../../web/lib/png.js";
import { arrayBuffer, encodePng, noise } from "./files.mjs";

const [WIDTH, HEIGHT] = [7, 5];
const BYTES = { "8-bit RGBA": [8, 6, 4], "8-bit RGB": [8, 2, 3], "16-bit RGB": [16, 2, 6], "16-bit RGBA": [16, 6, 8] };
const FILTERS = { none: () => 0, up: () => 2, mixed: (row) => (row % 2 ? 0 : 2) };

function picture(name = "8-bit RGBA") {
  const [depth, kind, step] = BYTES[name];
  return { width: WIDTH, depth, kind, bytes: noise(WIDTH * HEIGHT * step) };
}

for (const name of Object.keys(BYTES)) {
  for (const [filter, choose] of Object.entries(FILTERS)) {
    test(`${name}, filter ${filter}`, async () => {
      const made = picture(name);
      const found = await decodePng(arrayBuffer(encodePng(made, choose)));
      assert.deepEqual([found.width, found.height], [WIDTH, HEIGHT]);
      assert.deepEqual(found.bytes, made.bytes);
    });
  }
}

test("pixels without alpha keep their colours", async () => {
  const made = picture();
  for (let at = 3; at < made.bytes.length; at += 4) made.bytes[at] = 0;
  assert.deepEqual((await decodePng(arrayBuffer(encodePng(made)))).bytes, made.bytes);
});

test("data in several chunks", async () => {
  const made = picture();
  assert.deepEqual((await decodePng(arrayBuffer(encodePng(made, () => 2, 4)))).bytes, made.bytes);
});

for (const filter of [1, 3, 4, 5]) {
  test(`filter ${filter} is refused, even in the last row`, async () => {
    const file = arrayBuffer(encodePng(picture(), (row) => (row === HEIGHT - 1 ? filter : 2)));
    await assert.rejects(decodePng(file), { message: `PNG filter ${filter}, expected none or up` });
  });
}

test("a file that ends too early is refused, wherever it ends", async () => {
  const file = encodePng(picture());
  const end = file.indexOf("IEND") - 8; // after the data; from there on, check sum and all, nothing is read
  for (let length = 0; length < end; length++) {
    await assert.rejects(decodePng(arrayBuffer(file.subarray(0, length))), `${length} of ${file.length} bytes`);
  }
  await decodePng(arrayBuffer(file.subarray(0, end)));
});

test("a picture of another kind is refused", async () => {
  const message = "not a PNG of the inspector";
  for (const [at, byte] of [[25, 0], [25, 3], [25, 2], [24, 16], [19, WIDTH + 1], [23, HEIGHT + 1], [23, HEIGHT - 1]]) {
    const file = encodePng(picture());
    file[at] = byte; // in the header: bits, kind, width, height
    await assert.rejects(decodePng(arrayBuffer(file)), { message }, `${byte} at ${at}`);
  }
});

test("what is no PNG is refused", async () => {
  for (const text of ["", "GIF89a", "<!DOCTYPE html><title>404: Not Found</title>", "x".repeat(1000)]) {
    await assert.rejects(decodePng(arrayBuffer(Buffer.from(text))), text);
  }
});
