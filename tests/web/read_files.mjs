/**
 * Reads what `nodes/host/inspector.py` has written, for a test in Python: `node read_files.mjs JOB.json` prints JSON.
 *
 * The job is `{folder, entry}`: all that the inspector finds in the pictures of an entry, or `{folder, files}`: the
 * bytes of PNG files.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";

import { Picture } from "../../web/lib/fragments.js";
import { decodePng } from "../../web/lib/png.js";
import { arrayBuffer } from "./files.mjs";

const { folder, entry, files } = JSON.parse(await readFile(process.argv[2], "utf-8"));
console.log(JSON.stringify(await Promise.all(entry ? entry.pictures.map(everything) : files.map(decoded))));

async function decoded(file) {
  const { width, height, bytes } = await decodePng(arrayBuffer(await readFile(path.join(folder, file))));
  return { width, height, bytes: [...bytes] };
}

async function everything(one) {
  const picture = new Picture(entry, one, answer);
  await picture.load();
  const { width, height, kinds } = picture;
  const pixels = Array.from({ length: width * height }, (_, at) => picture.read(at % width, Math.floor(at / width)));
  const colors = kinds.map((kind) => [kind, pixels.map((_, at) => picture.colors(kind)(at))]);
  return { width, height, kinds, pixels, colors: Object.fromEntries(colors) };
}

/** As ComfyUI's server answers. */
async function answer(route) {
  const asked = new URL(route, "http://localhost").searchParams;
  return new Response(arrayBuffer(await readFile(path.join(folder, asked.get("subfolder"), asked.get("filename")))));
}
