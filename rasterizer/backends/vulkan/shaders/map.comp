#version 450
#extension GL_GOOGLE_include_directive : require
// A thread per vertex of all views: from clip space to the screen.
layout(local_size_x = 64) in;
#include "exact.glsl"
#include "scene.glsl"

void main() {
    uint index = thread();
    if (index >= p.items) return;
    uvec4 v = positions[index];
    const uint HALF = 0x3f000000u;
    uint x = divided(v.x, v.w), y = divided(multiplied(HALF, v.y), v.w), z = divided(v.z, v.w);
    // A quotient that is taken for 0, being denormal, does not show once a half is added.
    precise float sx = (uintBitsToFloat(x) * 0.5 + 0.5) * float(p.width - 1u) + 0.5;
    precise float sy = (0.5 + uintBitsToFloat(y)) * float(p.height - 1u) + 0.5;
    precise float sz = uintBitsToFloat(z) * 0.49999 + 0.5;
    uvec4 s = uvec4(floatBitsToUint(sx), floatBitsToUint(sy), floatBitsToUint(sz), v.w);
    bool sure = is_finite(x) && is_finite(y) && is_finite(z);
    if (!(sure && is_finite(s.x) && is_finite(s.y) && is_finite(s.z) && is_finite(s.w))) s.x = NOT_A_NUMBER;
    if (is_valid(s) && most(s) >= LARGE) large = 1u;
    screen[index] = s;
}
