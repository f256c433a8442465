#version 450
#extension GL_GOOGLE_include_directive : require
// 64 threads per run of tiles: each tests a tile, then all draw those that are touched.
layout(local_size_x = 64) in;
#include "exact.glsl"
#include "scene.glsl"
#include "draw.glsl"

shared uint hits[2];

// The part of the box in one tile: [x, z) x [y, w).
ivec4 tile_at(Triangle t, Tiles tiles, uint number) {
    int row = int(number / tiles.across), column = int(number - uint(row) * tiles.across), side = int(TILE);
    int x = (t.x0 / side + column) * side, y = (t.y0 / side + row) * side;
    return ivec4(max(t.x0, x), max(t.y0, y), min(t.x1, x + side), min(t.y1, y + side));
}

// False where an edge proves that the triangle covers no pixel of the box; docs/exactness.md has the proof. No weight
// underflows here, which spares its least weight.
bool touches(Triangle t, ivec4 box) {
    if (EXACT && t.large) return true;
    precise float half_x = float(box.z - 1 - box.x) * 0.5, half_y = float(box.w - 1 - box.y) * 0.5;
    precise float dx = float(box.x) + half_x + 0.5 - t.ax, dy = float(box.y) + half_y + 0.5 - t.ay;
    precise float far_x = abs(dx) + half_x, far_y = abs(dy) + half_y;
    precise float area = t.acx * t.aby - t.abx * t.acy;
    float sign = area < 0.0 ? -1.0 : 1.0;
    precise float beta_slack = (abs(t.acx) * far_y + far_x * abs(t.acy)) * EDGE_SLACK;
    precise float gamma_slack = (abs(t.abx) * far_y + far_x * abs(t.aby)) * EDGE_SLACK;
    precise float beta = t.acx * dy - dx * t.acy, gamma = dx * t.aby - t.abx * dy;
    precise float beta_most = beta * sign + abs(t.acx) * half_y + abs(t.acy) * half_x;
    precise float gamma_most = gamma * sign + abs(t.abx) * half_y + abs(t.aby) * half_x;
    precise float both_least =
        (beta + gamma) * sign - abs(t.acx - t.abx) * half_y - abs(t.aby - t.acy) * half_x;
    precise float all = abs(area) + beta_slack + gamma_slack;
    return !(beta_most < -beta_slack || gamma_most < -gamma_slack || both_least > all);
}

void main() {
    uint lane = gl_LocalInvocationIndex, count = min(regions, p.capacity);
    for (uint entry = gl_WorkGroupID.x; entry < count; entry += gl_NumWorkGroups.x) {
        uvec2 region = queue[entry];
        Triangle t;
        set_up(region.x, t);
        Tiles tiles = tiles_of(t);
        uint start = region.y * tiles.run, stop = min(start + tiles.run, tiles.count);
        for (; start < stop; start += 64u) {
            if (lane < 2u) hits[lane] = 0u;
            barrier();
            if (start + lane < stop && touches(t, tile_at(t, tiles, start + lane)))
                atomicOr(hits[lane >> 5], 1u << (lane & 31u));
            barrier();
            for (uint word = 0u; word < 2u; word++) {
                for (uint left = hits[word]; left != 0u; left &= left - 1u) {
                    ivec4 box = tile_at(t, tiles, start + 32u * word + uint(findLSB(left)));
                    int x = box.x + int(lane % TILE);
                    if (x < box.z)
                        for (int y = box.y + int(lane / TILE); y < box.w; y += 4) fragment(t, x, y);
                }
            }
            barrier();
        }
    }
}
