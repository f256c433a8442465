#version 450
#extension GL_GOOGLE_include_directive : require
// A thread per pixel: face index and perspective-correct barycentrics of the winner, by integers where a corner's w may
// be of any size.
layout(local_size_x = 64) in;
#include "exact.glsl"
#include "scene.glsl"

void main() {
    uint pixel = thread();
    if (pixel >= p.rows * p.width) return;
    uint found = findices[pixel] + 1u;  // which nobody has written where it is 0
    findices[pixel] = found;
    uint a = 0u, b = 0u, c = 0u;
    Triangle t;
    if (found != 0u && look_up(min(found, p.faces) - 1u, t)) {
        uint row = pixel / p.width;
        uvec2 w = weights(t, int(pixel - row * p.width), int(p.first_row + row));
        a = floatBitsToUint(complement(uintBitsToFloat(w.x), uintBitsToFloat(w.y)));
        a = divided(a, t.a.w), b = divided(w.x, t.b.w), c = divided(w.y, t.c.w);
        uint scale = divided(ONE, added(added(a, b), c));
        a = multiplied(a, scale), b = multiplied(b, scale), c = multiplied(c, scale);
    }
    barycentric[3u * pixel] = a;
    barycentric[3u * pixel + 1u] = b;
    barycentric[3u * pixel + 2u] = c;
}
