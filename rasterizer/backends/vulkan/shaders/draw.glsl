// A fragment, merged into the z-buffer in two turns, as 32-bit atomics want it: first the nearest depth step of each
// pixel, then the lowest face of those at that step.

// Depths are those of the rule times 2^60, which is exact and leaves no denormal: the least product that is not 0 is
// 2^-101 * 2^-25 of the rule's.
const float SCALE = 1152921504606846976.0, STEPS = 2.2737367544323206e-13;  // 2^60; 2^-60 * 2^18
const uint SCALE_BITS = 0x5d800000u, DEPTH_LIMIT = 0x64000000u;             // the latter 8192 * 2^60

// Bits of ((alpha*za + beta*zb) + gamma*zc) * 2^60.
uint depth_of(Triangle t, float alpha_, uvec2 w) {
    precise float alpha = alpha_;
    if (EXACT && t.large) {
        uint near = added(multiplied(floatBitsToUint(alpha), t.a.z), multiplied(w.x, t.b.z));
        return multiplied(SCALE_BITS, added(near, multiplied(w.y, t.c.z)));
    }
    precise float beta = uintBitsToFloat(w.x), gamma = uintBitsToFloat(w.y);
    precise float za = uintBitsToFloat(t.a.z) * SCALE, zb = uintBitsToFloat(t.b.z) * SCALE;
    precise float zc = uintBitsToFloat(t.c.z) * SCALE;
    precise float depth = (alpha * za + beta * zb) + gamma * zc;
    return floatBitsToUint(depth);
}

void fragment(Triangle t, int x, int y) {
    uvec2 w = weights(t, x, y);
    if (!in_unit(w.x) || !in_unit(w.y)) return;
    float alpha = complement(uintBitsToFloat(w.x), uintBitsToFloat(w.y));
    if (!in_unit(floatBitsToUint(alpha))) return;
    uint depth = depth_of(t, alpha, w), pixel = (uint(y) - p.first_row) * p.width + uint(x);
    int least = p.has_threshold != 0u ? order(thresholds[uint(y) * p.width + uint(x)]) : 0;
    if (!is_finite(depth) || order(depth) < least || order(depth) >= int(DEPTH_LIMIT)) return;
    precise float steps_deep = uintBitsToFloat(depth) * STEPS;
    uint step = order(depth) <= 0 ? 0u : uint(steps_deep);
    if (p.turn == 0u)
        atomicMin(steps[pixel], step);
    else if (steps[pixel] == step)
        atomicMin(findices[pixel], t.face);
}

void draw_box(Triangle t) {
    for (int y = t.y0; y < t.y1; y++)
        for (int x = t.x0; x < t.x1; x++) fragment(t, x, y);
}

// Screen tiles that the box of a triangle meets, in rows of `across`, and how many of them are a region.
struct Tiles {
    uint across, count, run, parts;
};

Tiles tiles_of(Triangle t) {
    Tiles tiles;
    tiles.across = uint(t.x1 - 1) / TILE - uint(t.x0) / TILE + 1u;
    tiles.count = tiles.across * (uint(t.y1 - 1) / TILE - uint(t.y0) / TILE + 1u);
    tiles.run = max(RUN, (tiles.count + PARTS - 1u) / PARTS);
    tiles.parts = (tiles.count + tiles.run - 1u) / tiles.run;
    return tiles;
}
