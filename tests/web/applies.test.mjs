/** `web/lib/applies.js`: which settings of Camera Views do something. */
import assert from "node:assert/strict";
import test from "node:test";

import { applies } from "../../web/lib/applies.js";

const NAMES = [
  "preset", "azimuths", "elevations", "weights", "views",
  "projection", "ortho_scale", "distance", "fov", "extra_views",
];

/** What does something, given the settings. */
function used(settings, mesh = false) {
  return NAMES.filter((name) => applies(name, (key) => ({ extra_views: 0, ...settings })[key], mesh));
}

test("Hunyuan3D's presets need no lists", () => {
  for (const preset of ["hunyuan3d-2", "hunyuan3d-2.1", "one of a later version"]) {
    const expected = ["preset", "projection", "ortho_scale", "distance"];
    assert.deepEqual(used({ preset, projection: "orthographic" }), expected);
  }
});

test("custom takes the lists", () => {
  const found = used({ preset: "custom", projection: "orthographic" });
  assert.deepEqual(found.slice(0, 4), ["preset", "azimuths", "elevations", "weights"]);
  assert(!found.includes("views"));
});

test("a turntable takes their number", () => {
  assert.deepEqual(used({ preset: "turntable", projection: "orthographic" }).slice(0, 2), ["preset", "views"]);
});

test("perspective takes an angle in place of a scale", () => {
  const found = used({ preset: "hunyuan3d-2", projection: "perspective" });
  assert.deepEqual(found, ["preset", "projection", "distance", "fov"]);
});

test("extra views need a mesh", () => {
  assert(used({ preset: "custom" }, true).includes("extra_views"));
  assert(!used({ preset: "custom" }, false).includes("extra_views"));
});

test("extra views that a node would refuse can be taken back", () => {
  assert(used({ extra_views: 3 }, false).includes("extra_views"));
});

test("what comes by a link may be anything", () => {
  assert.deepEqual(used({ preset: undefined, projection: undefined }, true), NAMES);
});
