// What the rasterizing shaders share: parameters, buffers, triangle set-up, barycentrics. The rule is that of
// rasterizer/contract/rule.py, bit for bit; Python fills Params in (frame.py).

layout(push_constant) uniform Params {
    uint faces, vertices, first_vertex;  // of the mesh; first_vertex is the view's
    uint width, height, first_row, rows; // image, and the rows of it that are drawn
    uint turn;                           // 0: depth steps are merged, 1: faces of the nearest step
    uint small_box;                      // pixels of a box that `draw` does not hand over
    uint capacity;                       // regions that the queue holds
    uint has_threshold;
    uint items;                          // of `map`, vertices of all views
} p;

layout(std430, set = 0, binding = 0) readonly buffer Positions { uvec4 positions[]; };   // bits of clip space
layout(std430, set = 0, binding = 1) readonly buffer Faces { uint corners[]; };          // 3 a face
layout(std430, set = 0, binding = 2) buffer Screen { uvec4 screen[]; };                  // bits of sx, sy, sz, w
layout(std430, set = 0, binding = 3) readonly buffer Thresholds { uint thresholds[]; };  // bits; least depth * 2^60
layout(std430, set = 0, binding = 4) buffer Steps { uint steps[]; };                     // nearest depth step
layout(std430, set = 0, binding = 5) buffer Findices { uint findices[]; };               // lowest face of that step
layout(std430, set = 0, binding = 6) buffer Queue { uvec2 queue[]; };                    // face and part of its box
layout(std430, set = 0, binding = 7) buffer Counters { uint regions, invalid, large; };
layout(std430, set = 0, binding = 8) writeonly buffer Barycentric { uint barycentric[]; };  // bits; 3 a pixel

// Whether triangles with a coordinate from LARGE on are drawn, by integers. Else they are left out, and counted.
layout(constant_id = 0) const bool EXACT = false;
const uint LARGE = 0x4b800000u;  // 2^24: below, no float of a triangle overflows, or underflows
const uint TILE = 16u, RUN = 8u, PARTS = 256u;
const float EDGE_SLACK = 9.5367431640625e-7;  // 2^-20

uint thread() {
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
}

struct Triangle {
    uvec4 a, b, c;            // bits, as of Screen
    float ax, ay, acx, acy, abx, aby, inv;
    uint face;
    bool large;               // evaluated by integers: floats might overflow, or become denormal
    int x0, x1, y0, y1;       // candidate pixels [x0, x1) x [y0, y1), of the rows that are drawn
};

uvec4 vertex(uint index) { return screen[p.first_vertex + min(index, p.vertices - 1u)]; }

bool is_valid(uvec4 v) { return is_finite(v.x); }  // `map` makes the first NaN where any is not finite

uint most(uvec4 v) { return max(max(v.x & ~SIGN, v.y & ~SIGN), v.z & ~SIGN); }

uint minus(uint a, uint b) { return added(a, b ^ SIGN); }

// Bits of area(u, v, w) by the rule, by integers.
uint area_of(uvec2 u, uvec2 v, uvec2 w) {
    uint one = multiplied(minus(w.x, u.x), minus(v.y, u.y)), two = multiplied(minus(v.x, u.x), minus(w.y, u.y));
    return minus(one, two);
}

// False where nothing is covered.
bool look_up(uint face, out Triangle t) {
    t.face = face;
    t.a = vertex(corners[3u * face]), t.b = vertex(corners[3u * face + 1u]), t.c = vertex(corners[3u * face + 2u]);
    if (!(is_valid(t.a) && is_valid(t.b) && is_valid(t.c))) return false;
    t.large = max(max(most(t.a), most(t.b)), most(t.c)) >= LARGE;
    if (t.large && !EXACT) return false;
    precise float ax = uintBitsToFloat(t.a.x), ay = uintBitsToFloat(t.a.y);
    precise float acx = uintBitsToFloat(t.c.x) - ax, acy = uintBitsToFloat(t.c.y) - ay;
    precise float abx = uintBitsToFloat(t.b.x) - ax, aby = uintBitsToFloat(t.b.y) - ay;
    precise float area = acx * aby - abx * acy;
    uint bits = EXACT && t.large ? area_of(t.a.xy, t.b.xy, t.c.xy) : floatBitsToUint(area);
    if (is_zero(bits)) return false;
    t.ax = ax, t.ay = ay, t.acx = acx, t.acy = acy, t.abx = abx, t.aby = aby;
    t.inv = uintBitsToFloat(EXACT && t.large ? ONE : divided(ONE, bits));
    return true;
}

// First pixel and one past the last whose centre [low, high] may cover; see docs/exactness.md for the slack.
ivec2 pixel_range(float low, float high, float slack, float first, float stop) {
    precise float from = max(trunc(low), ceil(low - 0.5 - slack));
    precise float to = min(ceil(high + 1.0), floor(high - 0.5 + slack) + 1.0);
    return clamp(ivec2(int(clamp(from, first, stop)), int(clamp(to, first, stop))), int(first), int(stop));
}

bool set_up(uint face, out Triangle t) {
    if (!look_up(face, t)) return false;
    vec3 xs = uintBitsToFloat(uvec3(t.a.x, t.b.x, t.c.x)), ys = uintBitsToFloat(uvec3(t.a.y, t.b.y, t.c.y));
    precise float low_x = min(min(xs.x, xs.y), xs.z), high_x = max(max(xs.x, xs.y), xs.z);
    precise float low_y = min(min(ys.x, ys.y), ys.z), high_y = max(max(ys.x, ys.y), ys.z);
    precise float slack_x = 2.0, slack_y = 2.0;
    if (!t.large) {
        precise float wide = high_x - low_x, high = high_y - low_y;
        precise float slack = (wide * high + wide + high) * 7.62939453125e-6 * abs(t.inv);
        if (slack < 0.125) slack_x = wide * slack, slack_y = high * slack;
    }
    float first = float(p.first_row), stop = float(p.first_row + p.rows);
    ivec2 columns = pixel_range(low_x, high_x, slack_x, 0.0, float(p.width));
    ivec2 lines = pixel_range(low_y, high_y, slack_y, first, stop);
    t.x0 = columns.x, t.x1 = columns.y, t.y0 = lines.x, t.y1 = lines.y;
    return t.x1 > t.x0 && t.y1 > t.y0;
}

// Bits of beta and gamma at a pixel.
uvec2 weights(Triangle t, int x, int y) {
    precise float px = float(x) + 0.5, py = float(y) + 0.5;
    if (EXACT && t.large) {
        uvec2 centre = uvec2(floatBitsToUint(px), floatBitsToUint(py));
        uint inv = divided(ONE, area_of(t.a.xy, t.b.xy, t.c.xy));
        return uvec2(
            multiplied(area_of(t.a.xy, centre, t.c.xy), inv), multiplied(area_of(t.a.xy, t.b.xy, centre), inv));
    }
    precise float dx = px - t.ax, dy = py - t.ay;
    precise float beta = (t.acx * dy - dx * t.acy) * t.inv;
    precise float gamma = (dx * t.aby - t.abx * dy) * t.inv;
    return uvec2(floatBitsToUint(beta), floatBitsToUint(gamma));
}

bool in_unit(uint a) { return a <= ONE || a == SIGN; }

// Sum and exact rounding error (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B).
void two_sum(float a, float b, out float total, out float error) {
    precise float sum = a + b;
    precise float part = sum - a;
    precise float rest = (a - (sum - part)) + (b - part);
    total = sum, error = rest;
}

// 1 - beta - gamma as in float64, rounded once; of beta and gamma from 0 to 1. Never denormal: see docs/exactness.md.
float complement(float beta_, float gamma_) {
    const float tiny = 9.31322574615478515625e-10;  // 2^-30
    precise float beta = beta_, gamma = gamma_;
    precise float rounded_beta = (beta + tiny) - tiny, rounded_gamma = (gamma + tiny) - tiny;
    precise float beyond = beta - 0.5;
    if (beta < tiny) beta = rounded_beta;
    if (max(gamma, beyond) < tiny) gamma = rounded_gamma;
    precise float first = 1.0 - beta;
    precise float error1 = (1.0 - first) - beta;
    precise float second, error2, rest, lost;
    two_sum(first, -gamma, second, error2);
    two_sum(error1, error2, rest, lost);
    int bits = floatBitsToInt(rest), below = floatBitsToInt(lost);
    if ((below & 0x7fffffff) != 0) bits = (bits + ((below ^ bits) >> 31)) | 1;
    precise float alpha = second + intBitsToFloat(bits);
    return alpha;
}
