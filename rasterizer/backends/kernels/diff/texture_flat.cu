// Flat textures. Beyond them is the texture again (BOUNDARY is WRAP), its border (CLAMP), or 0 (ZERO).
//
// A Cell is a place between texels of a grid that goes on beyond the texture; what its texels are is told at the end.

#define FACES 1
#define FULL (BOUNDARY == ZERO ? 6 : 8)  // blocks for whose registers there is room

typedef float2 Point;  // a row of uv
typedef float4 Reach;  // a row of uv_da

__device__ inline Point point_at(const Params& p, u64 pixel) { return ((const float2*)p.uv)[pixel]; }
__device__ inline Reach reach_at(const Params& p, u64 pixel) { return ((const float4*)p.da)[pixel]; }

struct Place {
    float s, t;  // 0..1; with ZERO -1..2
    bool lost;   // with ZERO: it is no number, and nor is the result
};

__device__ inline u32 face_of(const Place&) { return 0; }

__device__ inline float confined(float s, bool nearest) {
    if (BOUNDARY == WRAP) {
        s -= floorf(s);
        return s == s ? s : 0.0f;  // infinite ones are none
    }
    if (BOUNDARY == CLAMP) return fminf(fmaxf(s, 0.0f), 1.0f);  // NaN is 0
    return s == s ? fminf(fmaxf(s, -1.0f), 2.0f) : nearest ? 0.0f : -1.0f;
}

// Where a pixel lies; false if it lies nowhere.
__device__ inline bool place_of(const Params& p, Point uv, Place& place) {
    place.s = confined(uv.x, p.nearest), place.t = confined(uv.y, p.nearest);
    place.lost = BOUNDARY == ZERO && !((uv.x - uv.x) + (uv.y - uv.y) == 0.0f);
    return true;
}

__device__ inline float nothing_at(const Place& place) { return place.lost ? NO_NUMBER : 0.0f; }

// ds/dX, ds/dY, dt/dX and dt/dY.
__device__ inline float4 footprint_of(const Place&, const Reach& reach) { return reach; }

__device__ inline void between(float s, u32 side, int& low, float& part) {
    float at = fmaf(s, (float)side, -0.5f);
    if (BOUNDARY == CLAMP) at = fminf(fmaxf(at, 0.0f), (float)(side - 1));
    low = (int)floorf(at), part = at - (float)low;
    // On the centre of the first texel, where all that is before it comes to lie, both texels are the first.
    if (BOUNDARY == CLAMP && at == 0.0f) low = -1, part = 1.0f;
}

__device__ inline int nearest_to(float s, u32 side) {
    float whole = floorf(s * (float)side);
    return (int)(BOUNDARY == ZERO ? whole : fminf(whole, (float)(side - 1)));
}

// A texel's number in its row or column, where it is not beyond; negative if it is and counts as 0.
__device__ inline int inside(int i, u32 side) { return BOUNDARY == ZERO && (u32)i >= side ? -1 : i; }

// The same for the first and the second texel of a cell.
__device__ inline int first_inside(int i, u32 side) {
    return BOUNDARY == WRAP ? (i < 0 ? (int)side - 1 : i) : BOUNDARY == CLAMP ? max(i, 0) : inside(i, side);
}
__device__ inline int second_inside(int i, u32 side) {
    return BOUNDARY == WRAP ? (i < (int)side ? i : 0) : BOUNDARY == CLAMP ? min(i, (int)side - 1) : inside(i, side);
}

// Where a rectangle of texels begins, told by the number of a texel, and the number of one from there on.
__device__ inline int start_at(int i, u32 side) {
    if (BOUNDARY != WRAP) return i;
    i %= (int)side;
    return i < 0 ? i + (int)side : i;
}
__device__ inline int beyond(int i, u32 side) {
    if (BOUNDARY == CLAMP) return min(max(i, 0), (int)side - 1);
    if (BOUNDARY == ZERO) return inside(i, side);
    // No rectangle ends more than two sides on, but where there is one texel.
    for (int k = 0; k < 2; k++) i -= i < (int)side ? 0 : (int)side;
    return min(i, (int)side - 1);
}

__device__ inline Taps taps_at(const Params&, const Cell& cell, u32, u32 wide, u32 high) {
    Taps taps;
    taps.missing = 0;
    int i[2] = {first_inside(cell.i, wide), second_inside(cell.i + 1, wide)};
    int j[2] = {first_inside(cell.j, high), second_inside(cell.j + 1, high)};
    for (int k = 0; k < 4; k++) {
        bool missing = BOUNDARY == ZERO && (i[k & 1] < 0 || j[k >> 1] < 0);
        taps.missing |= (u32)missing << k;
        taps.index[k] = missing ? 0 : (u32)j[k >> 1] * wide + (u32)i[k & 1];
    }
    return taps;
}

// Texels that do not exist count as 0.
template <class Value> __device__ inline void fill(const Taps& taps, Value (&value)[4]) {
    for (int k = 0; k < 4; k++)
        if (BOUNDARY == ZERO && (taps.missing >> k & 1)) value[k] = 0.0f;
}

// The transpose of fill(): what counts for texels that do not exist counts for nothing.
__device__ inline void spread(const Taps&, float (&)[4]) {}

// Adds to a channel of the texel in column i and row j.
__device__ inline void add_beyond(
    const Params& p, float* level, u32, int i, int j, u32 wide, u32 high, u32 channels, float value) {
    i = beyond(i, wide), j = beyond(j, high);
    if (i >= 0 && j >= 0) atomicAdd(level + (u64)((u32)j * wide + (u32)i) * channels, value);
}

// Gradients of a pixel from those of its place and, where its level follows from it, of its footprint.
__device__ inline void give(
    const Params& p, const Place&, const Reach&, u64 pixel, float by_s, float by_t, bool, float4 by_footprint) {
    if (p.d_uv) stream2(p.d_uv + pixel * 2, by_s, by_t);
    if (p.d_da) stream4(p.d_da + pixel * 4, by_footprint.x, by_footprint.y, by_footprint.z, by_footprint.w);
}
