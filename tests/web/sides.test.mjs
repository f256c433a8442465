/** `web/lib/sides.js`: what cameras see, in words. */
import assert from "node:assert/strict";
import test from "node:test";

import { anglesOf, inputsToShow, sideOf } from "../../web/lib/sides.js";

test("the cameras of Hunyuan3D see the six sides", () => {
  const cameras = [[0, 0], [90, 0], [180, 0], [270, 0], [0, 90], [180, -90]];
  assert.deepEqual(cameras.map(([a, e]) => sideOf(a, e)), ["front", "right", "back", "left", "top", "bottom"]);
});

test("angles may go round, either way", () => {
  assert.deepEqual([360, -90, 450, -180, 810].map((a) => sideOf(a, 0)), ["front", "left", "right", "back", "right"]);
});

test("any azimuth is from above at the pole", () => {
  assert.deepEqual([sideOf(33, 90), sideOf(-120, -90)], ["top", "bottom"]);
});

test("between the sides there is none", () => {
  assert.deepEqual([[45, 0], [0, 20], [90, -45], [89, 0], [0, 88]].map(([a, e]) => sideOf(a, e)), Array(5).fill(null));
});

test("what rounding does to a side is not seen", () => {
  assert.deepEqual([sideOf(359.9999, 1e-9), sideOf(90.0001, 0), sideOf(0, 89.99)], ["front", "right", "top"]);
});

test("angles are short", () => {
  assert.deepEqual(
    [anglesOf(35, 20), anglesOf(40, 0), anglesOf(51.428571, -12.25), anglesOf(0, 0.04)],
    ["35° +20°", "40°", "51.4° −12.2°", "0°"],
  );
});

test("an input for each camera, and for what is connected", () => {
  assert.equal(inputsToShow(6, 0, 12), 6);
  assert.equal(inputsToShow(4, 7, 12), 7);
  assert.equal(inputsToShow(0, 0, 12), 1);
  assert.equal(inputsToShow(36, 3, 12), 12);
  assert.equal(inputsToShow(null, 2, 12), 12);
});
