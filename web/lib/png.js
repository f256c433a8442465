// @ts-check
/**
 * Reads the PNG files that `nodes/host/inspector.py` writes, byte for byte.
 *
 * Not with a canvas: it multiplies with alpha, may convert colours, and some browsers add noise to what is read back,
 * while here every bit of a face index counts.
 */

/** @type {Record<number, number | undefined>} */
const CHANNELS = { 2: 3, 6: 4 };

/**
 * @param {ArrayBuffer} file
 * @returns {Promise<{width: number, height: number, bytes: Uint8Array}>} rows of pixels without padding
 */
export async function decodePng(file) {
  const view = new DataView(file);
  const parts = [];
  let width = 0, height = 0, stride = 0, step = 0;
  for (let at = 8; at < file.byteLength; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...new Uint8Array(file, at + 4, 4));
    if (name === "IHDR") {
      width = view.getUint32(at + 8);
      height = view.getUint32(at + 12);
      step = (view.getUint8(at + 16) / 8) * (CHANNELS[view.getUint8(at + 17)] ?? 0);
      stride = width * step;
    } else if (name === "IDAT") {
      parts.push(new Uint8Array(file, at + 8, length));
    }
    at += length + 12;
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(stream).arrayBuffer());
  if (!stride || rows.length !== (stride + 1) * height) throw new Error("not a PNG of the inspector");
  const bytes = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const from = y * (stride + 1), to = y * stride;
    const filter = rows[from];
    if (filter !== 0 && filter !== 2) throw new Error(`PNG filter ${filter}, expected none or up`);
    const above = filter === 2 && y > 0 ? to - stride : -1;
    for (let x = 0; x < stride; x++) bytes[to + x] = rows[from + 1 + x] + (above < 0 ? 0 : bytes[above + x]);
  }
  return { width, height, bytes };
}
