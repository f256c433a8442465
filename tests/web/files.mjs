/** PNG files for tests, row by row with the filters that are asked for. */
import { deflateSync } from "node:zlib";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * @param {object} picture
 * @param {number} picture.width
 * @param {8 | 16} picture.depth bits of a channel
 * @param {2 | 6} picture.kind RGB or RGBA
 * @param {Uint8Array} picture.bytes of all pixels, without padding
 * @param {(row: number) => number} [filter] type of each row's filter; those but "up" leave the row as it is
 * @param {number} [parts] number of IDAT chunks
 * @returns {Buffer}
 */
export function encodePng({ width, depth, kind, bytes }, filter = () => 2, parts = 1) {
  const stride = (width * (kind === 6 ? 4 : 3) * depth) / 8;
  const height = bytes.length / stride;
  const rows = Buffer.alloc((stride + 1) * height);
  for (let row = 0; row < height; row++) {
    const type = filter(row);
    rows[row * (stride + 1)] = type;
    for (let at = 0; at < stride; at++) {
      const above = type === 2 && row ? bytes[(row - 1) * stride + at] : 0;
      rows[row * (stride + 1) + 1 + at] = bytes[row * stride + at] - above;
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([depth, kind, 0, 0, 0], 8);
  const data = deflateSync(rows);
  const length = Math.ceil(data.length / parts);
  const pieces = Array.from({ length: parts }, (_, part) => data.subarray(part * length, (part + 1) * length));
  return Buffer.concat([
    Buffer.from(SIGNATURE),
    chunk("IHDR", head),
    ...pieces.map((piece) => chunk("IDAT", piece)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Nobody here looks at the check sum. */
function chunk(name, body) {
  const made = Buffer.alloc(body.length + 12);
  made.writeUInt32BE(body.length, 0);
  made.write(name, 4, "latin1");
  made.set(body, 8);
  return made;
}

/** The bytes of a buffer as what a response gives. */
export function arrayBuffer(buffer) {
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.length);
}

/** Bytes that look like chance, always the same. */
export function noise(length) {
  let state = 1;
  return Uint8Array.from({ length }, () => (state = Math.imul(state, 1664525) + 1013904223) >>> 24);
}
