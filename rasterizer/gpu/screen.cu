// Faces on the screen, and the barycentrics that follow from them: what the rasterizer and programs that need those of
// its results share, so that both have the same bits.
//
// Each takes parameters P of its own, which have pos, tri, tri_is_64, vertices, faces, last_x and last_y as those of the
// rasterizer do, and a function `vertex(p, view, index)`: a corner on the screen.

// A vertex on the screen.
template <class P> __device__ inline float4 to_screen(const P& p, float4 v) {
    float x = v.x, y = 0.5f * v.y, z = v.z;
    if (v.w != 1.0f) x = x / v.w, y = y / v.w, z = z / v.w;  // orthographic views are spared three divisions
    float4 s;
    s.x = (x * 0.5f + 0.5f) * p.last_x + 0.5f;
    s.y = (0.5f + y) * p.last_y + 0.5f;
    s.z = z * DEPTH_SCALE + 0.5f;
    s.w = v.w;
    return s;
}

template <class P> __device__ inline void corners(const P& p, u32 face, u32 index[3]) {
    if (p.tri_is_64) {
        const long long* row = (const long long*)p.tri + (u64)face * 3;
        index[0] = (u32)row[0], index[1] = (u32)row[1], index[2] = (u32)row[2];
    } else {
        const u32* row = (const u32*)p.tri + (u64)face * 3;
        index[0] = row[0], index[1] = row[1], index[2] = row[2];
    }
    // Faces were checked at the door; memory shared with NumPy can change behind its back.
    for (int k = 0; k < 3; k++) index[k] = index[k] < p.vertices ? index[k] : p.vertices - 1;
}

// Where float64 runs at half the speed of float32; elsewhere it may be 64 times slower.
#ifndef FAST_DOUBLE
#if __CUDA_ARCH__ == 600 || __CUDA_ARCH__ == 700 || __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 \
    || __CUDA_ARCH__ == 1000 || defined(__GFX9__)
#define FAST_DOUBLE 1
#else
#define FAST_DOUBLE 0
#endif
#endif

// (float)((1.0 - (double)beta) - (double)gamma) for beta and gamma that are not negative; anything below 0 where that
// is below 0. Without float64: with both 0 or at least 2^-24, nothing of 1 - beta - gamma lies below 2^-47, so that
// float64 would hold it exactly, and so do the three floats u, v and e, of which the last two add up exactly.
__device__ inline float third(float beta, float gamma) {
    if (FAST_DOUBLE) return (float)((1.0 - (double)beta) - (double)gamma);
    if (beta + gamma > 1.0000005f) return -1.0f;
    const float tiny = 5.9604644775390625e-8f;
    if ((beta < tiny && beta != 0.0f) || (gamma < tiny && gamma != 0.0f))
        return (float)((1.0 - (double)beta) - (double)gamma);
    float s = 1.0f - beta, e = (1.0f - s) - beta;
    float u = s - gamma, z = u - s, v = (s - (u - z)) + (-gamma - z);
    return u + (e + v);
}

// Perspective-correct barycentrics of a face at a pixel centre.
template <class P> __device__ inline float3 weights_at(const P& p, u32 face, u32 view, u32 x, u32 y) {
    u32 index[3];
    corners(p, face, index);
    float4 u = vertex(p, view, index[0]), v = vertex(p, view, index[1]), w = vertex(p, view, index[2]);
    float acx = w.x - u.x, acy = w.y - u.y, abx = v.x - u.x, aby = v.y - u.y;
    float inv = 1.0f / (acx * aby - abx * acy);
    float dx = (float)(int)x + 0.5f - u.x, dy = (float)(int)y + 0.5f - u.y;
    float b = (acx * dy - dx * acy) * inv, c = (dx * aby - abx * dy) * inv, a = third(b, c);
    if (!(u.w == 1.0f && v.w == 1.0f && w.w == 1.0f)) a = a / u.w, b = b / v.w, c = c / w.w;
    float scale = 1.0f / ((a + b) + c);
    return make_float3(a * scale, b * scale, c * scale);
}
