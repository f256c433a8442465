// Levels of a texture: their sizes, and which of them a pixel reads. The formulas are those of eager/diff/detail.py.

#define INFINITE __uint_as_float(0x7f800000u)
#define NO_NUMBER __uint_as_float(0x7fc00000u)

__device__ inline u32 side_at(u32 side, u32 level) { return max(side >> level, 1u); }

// A place between four texels of a grid that goes on beyond the texture: those in columns i, i + 1 and rows j, j + 1;
// and how far it lies from the first column and row to the second.
struct Cell {
    int i, j;
    float across, down;
};

// The texels of a cell: their numbers in a level of one image, and bits for those that do not exist. In the order
// (i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1).
struct Taps {
    u64 index[4];
    u32 missing;
};

struct Ellipse {
    float sx, sy, tx, ty, middle, half, cross, length;
};

// What a pixel covers of the texture. A footprint is ds/dX, ds/dY, dt/dX and dt/dY.
__device__ inline Ellipse ellipse_of(const Params& p, float4 footprint) {
    Ellipse e;
    float wide = (float)p.width, high = (float)p.height;
    e.sx = footprint.x * wide, e.sy = footprint.y * wide, e.tx = footprint.z * high, e.ty = footprint.w * high;
    float across = e.sx * e.sx + e.tx * e.tx, down = e.sy * e.sy + e.ty * e.ty;
    e.cross = e.sx * e.sy + e.tx * e.ty;
    e.half = (across - down) * 0.5f, e.middle = (across + down) * 0.5f;
    e.length = sqrtf(e.half * e.half + e.cross * e.cross);
    return e;
}

// Logarithm to base 2. That of GPUs errs by 2^-22 at most between 1 and 2, and takes a tenth of the time of log2f().
__device__ inline float logarithm(float value) {
#if defined(__CUDA_ARCH__) || defined(__HIP__)
    u32 bits = __float_as_uint(value);
    if (bits - 0x00800000u >= 0x7f000000u) return __log2f(value);  // denormal, infinite, negative or NaN
    return (float)((int)(bits >> 23) - 127) + __log2f(__uint_as_float((bits & 0x007fffffu) | 0x3f800000u));
#else
    return log2f(value);
#endif
}

// Level that a footprint asks for; it may be outside the pyramid.
__device__ inline float level_of(const Params& p, float4 footprint) {
    Ellipse e = ellipse_of(p, footprint);
    return 0.5f * logarithm(e.middle + e.length);
}

// Whether a footprint is so small that it asks for level 0; the logarithm is then spared.
__device__ inline bool is_small(const Params& p, float4 footprint) {
    float sx = footprint.x * (float)p.width, sy = footprint.y * (float)p.width;
    float tx = footprint.z * (float)p.height, ty = footprint.w * (float)p.height;
    return (sx * sx + tx * tx) + (sy * sy + ty * ty) <= 1.0f;
}

__device__ inline bool are_finite(float4 v) {
    return (v.x - v.x) + (v.y - v.y) + (v.z - v.z) + (v.w - v.w) == 0.0f;
}

__device__ inline float finite_or_0(float value) { return value - value == 0.0f ? value : 0.0f; }

__device__ inline float4 zeros() { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

// Gradient of a footprint from that of its level; 0 where a circle has no longer axis.
__device__ inline float4 level_backward(const Params& p, float4 footprint, float upstream) {
    Ellipse e = ellipse_of(p, footprint);
    float scale = upstream * HALF_PER_LN2 / (e.length * (e.length + e.middle));
    float wide = scale * (float)p.width, high = scale * (float)p.height;
    float more = e.length + e.half, less = e.length - e.half;
    float4 found = make_float4(
        (e.sx * more + e.sy * e.cross) * wide, (e.sy * less + e.sx * e.cross) * wide,
        (e.tx * more + e.ty * e.cross) * high, (e.ty * less + e.tx * e.cross) * high);
    return are_finite(found) ? found : zeros();
}
