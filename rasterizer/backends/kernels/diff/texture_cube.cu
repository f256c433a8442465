// Cube maps: which face a direction meets and where, texels over edges and corners, and what follows for gradients. The
// conventions and formulas are those of eager/diff/cube.py and cube_edges.py.

#define FACES 6
#define FULL 4  // blocks for whose registers there is room

struct Point {  // a row of uv
    float x, y, z;
};
struct Reach {  // a row of uv_da: x, y and z, each by X and Y
    float2 x, y, z;
};

__device__ inline Point point_at(const Params& p, u64 pixel) {
    const float* row = p.uv + pixel * 3;
    Point point = {row[0], row[1], row[2]};
    return point;
}

__device__ inline Reach reach_at(const Params& p, u64 pixel) {
    const float2* row = (const float2*)p.da + pixel * 3;
    Reach reach = {row[0], row[1], row[2]};
    return reach;
}

struct Place {
    float s, t;  // on the face, 0..1
    u32 face;
    float sign;  // of the coordinate along the face's axis
    float over;  // 1 over its size
    float p, q;  // the coordinates along s and t, times that
};

// Size along the axis of a face, and what lies along its s and t.
struct Along {
    float m, sc, tc;
};

__device__ inline u32 face_of(const Place& place) { return place.face; }

__device__ inline Along to_face(u32 axis, float sign, float x, float y, float z) {
    Along along;
    along.m = (axis == 0 ? x : axis == 1 ? y : z) * sign;
    along.sc = axis == 0 ? z * -sign : axis == 1 ? x : x * sign;
    along.tc = axis == 1 ? z * sign : -y;
    return along;
}

// The transpose of to_face(): gradients of x, y and z.
__device__ inline float3 from_face(u32 axis, float sign, Along along) {
    float m = along.m * sign, sc = axis == 0 ? along.sc * -sign : axis == 1 ? along.sc : along.sc * sign;
    float tc = axis == 1 ? along.tc * sign : -along.tc;
    float3 v;
    v.x = axis == 0 ? m : sc, v.y = axis == 1 ? m : tc, v.z = axis == 2 ? m : axis == 1 ? tc : sc;
    return v;
}

// 1 / value, rounded towards 0, so that no point comes to lie over an edge.
__device__ inline float reciprocal_below(float value) {
    float found = 1.0f / value;
    return fmaf(found, value, -1.0f) > 0.0f ? __uint_as_float(__float_as_uint(found) - 1u) : found;
}

// Where a direction meets the cube; false if it is none.
__device__ inline bool place_of(const Params&, Point uv, Place& place) {
    float x = uv.x, y = uv.y, z = uv.z;
    float size = fmaxf(fmaxf(fabsf(x), fabsf(y)), fabsf(z));
    bool usable = (x - x) + (y - y) + (z - z) == 0.0f && 1.0f / size < INFINITE;
    if (!usable) x = 1.0f, y = 0.0f, z = 0.0f;
    u32 axis = fabsf(z) > fmaxf(fabsf(x), fabsf(y)) ? 2 : fabsf(y) > fabsf(x) ? 1 : 0;
    float m = axis == 0 ? x : axis == 1 ? y : z;
    place.sign = m < 0.0f ? -1.0f : 1.0f;
    place.face = 2 * axis + (m < 0.0f);
    Along along = to_face(axis, place.sign, x, y, z);
    float half = reciprocal_below(along.m * 2.0f);
    place.s = fminf(fmaxf(fmaf(along.sc, half, 0.5f), 0.0f), 1.0f);
    place.t = fminf(fmaxf(fmaf(along.tc, half, 0.5f), 0.0f), 1.0f);
    place.over = half * 2.0f, place.p = along.sc * place.over, place.q = along.tc * place.over;
    return usable;
}

__device__ inline float nothing_at(const Place&) { return 0.0f; }

// What |m|, sc and tc change by in X, or in Y.
__device__ inline Along moved_x(const Place& place, const Reach& reach) {
    return to_face(place.face / 2, place.sign, reach.x.x, reach.y.x, reach.z.x);
}
__device__ inline Along moved_y(const Place& place, const Reach& reach) {
    return to_face(place.face / 2, place.sign, reach.x.y, reach.y.y, reach.z.y);
}

// ds/dX, ds/dY, dt/dX and dt/dY on the face.
__device__ inline float4 footprint_of(const Place& place, const Reach& reach) {
    Along x = moved_x(place, reach), y = moved_y(place, reach);
    float half = place.over * 0.5f;
    float4 found = make_float4(
        (x.sc - place.p * x.m) * half, (y.sc - place.p * y.m) * half,
        (x.tc - place.q * x.m) * half, (y.tc - place.q * y.m) * half);
    return are_finite(found) ? found : zeros();
}

__device__ inline void between(float s, u32 side, int& low, float& part) {
    float at = fmaf(s, (float)side, -0.5f);
    low = (int)floorf(at), part = at - (float)low;
}

__device__ inline int nearest_to(float s, u32 side) {
    return (int)fminf(floorf(s * (float)side), (float)(side - 1));
}

// Points of the cube lie on a face: no texel of `nearest` is beyond it.
__device__ inline int inside(int i, u32) { return i; }

// The texel over an edge, the one at the border of the next face: one of i and j is -1 or `side`.
__device__ inline u64 over_edge(const Params& p, u32 face, int i, int j, u32 side) {
    bool over_i = (u32)i >= side;
    u32 edge = p.edges[face * 4 + (over_i ? (i >= 0) : 2 + (j >= 0))];
    int last = (int)side - 1, along = over_i ? j : i;
    int column = (int)(edge >> 3 & 1) * last + ((int)(edge >> 4 & 3) - 1) * along;
    int row = (int)(edge >> 6 & 1) * last + ((int)(edge >> 7 & 3) - 1) * along;
    return ((u64)(edge & 7) * side + (u32)row) * side + (u32)column;
}

__device__ inline int start_at(int i, u32) { return i; }

__device__ inline u64 texel_at(const Params& p, u32 face, int i, int j, u32 side) {
    if ((u32)i < side && (u32)j < side) return ((u64)face * side + (u32)j) * side + (u32)i;
    return over_edge(p, face, i, j, side);
}

__device__ inline Taps taps_at(const Params& p, const Cell& cell, u32 face, u32 side, u32) {
    Taps taps;
    taps.missing = 0;
    if (cell.i >= 0 && cell.j >= 0 && cell.i + 1 < (int)side && cell.j + 1 < (int)side) {
        u64 first = texel_at(p, face, cell.i, cell.j, side);
        taps.index[0] = first, taps.index[1] = first + 1;
        taps.index[2] = first + side, taps.index[3] = first + side + 1;
        return taps;
    }
    for (int k = 0; k < 4; k++) {
        int i = cell.i + (k & 1), j = cell.j + (k >> 1);
        bool missing = (u32)i >= side && (u32)j >= side;
        taps.missing |= (u32)missing << k;
        taps.index[k] = missing ? 0 : texel_at(p, face, i, j, side);
    }
    return taps;
}

// The texel over a corner, which does not exist, is the mean of the three others.
template <class Value> __device__ inline void fill(const Taps& taps, Value (&value)[4]) {
    if (!taps.missing) return;
    float sum = 0.0f;
    for (int k = 0; k < 4; k++)
        if (!(taps.missing >> k & 1)) sum += value[k];
    for (int k = 0; k < 4; k++)
        if (taps.missing >> k & 1) value[k] = sum / 3.0f;
}

// The transpose of fill().
__device__ inline void spread(const Taps& taps, float (&weight)[4]) {
    if (!taps.missing) return;
    float third = 0.0f;
    for (int k = 0; k < 4; k++)
        if (taps.missing >> k & 1) third = weight[k] / 3.0f;
    for (int k = 0; k < 4; k++) weight[k] += third;
}

// Adds to a channel of the texel in column i and row j of a face, or beyond it.
__device__ inline void add_beyond(
    const Params& p, float* level, u32 face, int i, int j, u32 side, u32, u32 channels, float value) {
    bool over_i = (u32)i >= side, over_j = (u32)j >= side;
    if (over_i && over_j) {
        value /= 3.0f;
        int inner_i = i < 0 ? 0 : (int)side - 1, inner_j = j < 0 ? 0 : (int)side - 1;
        atomicAdd(level + texel_at(p, face, inner_i, inner_j, side) * channels, value);
        atomicAdd(level + texel_at(p, face, i, inner_j, side) * channels, value);
        i = inner_i;
    }
    atomicAdd(level + texel_at(p, face, i, j, side) * channels, value);
}

// Gradient of |m|, sc and tc from that of s and t.
__device__ inline Along slide_backward(const Place& place, float s, float t) {
    Along along;
    along.sc = s * place.over * 0.5f, along.tc = t * place.over * 0.5f;
    along.m = -(along.sc * place.p + along.tc * place.q);
    return along;
}

// Adds to the gradient of |m|, sc and tc what comes from the footprint in X, or in Y, with `change` held fast.
__device__ inline void add_turn(const Place& place, const Along& change, float s, float t, Along& sum) {
    sum.m -= (change.sc - 2.0f * place.p * change.m) * s + (change.tc - 2.0f * place.q * change.m) * t;
    sum.sc -= change.m * s, sum.tc -= change.m * t;
}

__device__ inline float3 turn_backward(const Place& place, const Reach& reach, float4 by_footprint) {
    Along sum = {0.0f, 0.0f, 0.0f};
    add_turn(place, moved_x(place, reach), by_footprint.x, by_footprint.z, sum);
    add_turn(place, moved_y(place, reach), by_footprint.y, by_footprint.w, sum);
    float scale = 0.5f * place.over * place.over;
    sum.m *= scale, sum.sc *= scale, sum.tc *= scale;
    return from_face(place.face / 2, place.sign, sum);
}

// Gradients of a pixel from those of its place and, where its level follows from it, of its footprint.
__device__ inline void give(
    const Params& p, const Place& place, const Reach& reach, u64 pixel, float by_s, float by_t, bool levels,
    float4 by_footprint) {
    u32 axis = place.face / 2;
    float3 v = from_face(axis, place.sign, slide_backward(place, by_s, by_t));
    v.x = finite_or_0(v.x), v.y = finite_or_0(v.y), v.z = finite_or_0(v.z);
    if (levels) {
        float3 turned = turn_backward(place, reach, by_footprint);
        v.x += finite_or_0(turned.x), v.y += finite_or_0(turned.y), v.z += finite_or_0(turned.z);
    }
    if (p.d_uv) {
        float* d_uv = p.d_uv + pixel * 3;
        STREAM(d_uv, v.x), STREAM(d_uv + 1, v.y), STREAM(d_uv + 2, v.z);
    }
    if (!p.d_da) return;
    float3 x = from_face(axis, place.sign, slide_backward(place, by_footprint.x, by_footprint.z));
    float3 y = from_face(axis, place.sign, slide_backward(place, by_footprint.y, by_footprint.w));
    float* d_da = p.d_da + pixel * 6;
    stream2(d_da, finite_or_0(x.x), finite_or_0(y.x));
    stream2(d_da + 2, finite_or_0(x.y), finite_or_0(y.y));
    stream2(d_da + 4, finite_or_0(x.z), finite_or_0(y.z));
}
