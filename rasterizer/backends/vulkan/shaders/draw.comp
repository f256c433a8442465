#version 450
#extension GL_GOOGLE_include_directive : require
// A thread per triangle: draws small boxes, and hands larger ones over as runs of tiles. Where the queue is full it
// draws those, too: slower, and the same pixels.
layout(local_size_x = 64) in;
#include "exact.glsl"
#include "scene.glsl"
#include "draw.glsl"

void main() {
    uint face = thread();
    if (face >= p.faces) return;
    Triangle t;
    bool drawable = set_up(face, t);
    if ((p.turn | p.first_row) == 0u && !(is_valid(t.a) && is_valid(t.b) && is_valid(t.c))) atomicAdd(invalid, 1u);
    if (!drawable) return;
    if (uint(t.x1 - t.x0) * uint(t.y1 - t.y0) <= p.small_box) {
        draw_box(t);
        return;
    }
    Tiles tiles = tiles_of(t);
    uint place = atomicAdd(regions, tiles.parts);
    uint fit = place >= p.capacity ? 0u : min(tiles.parts, p.capacity - place);
    for (uint part = 0u; part < fit; part++) queue[place + part] = uvec2(face, part);
    if (fit < tiles.parts) draw_box(t);  // drawing a part twice changes nothing
}
