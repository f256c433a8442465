// Attributes of vertices at pixels: the twin of rasterizer.interpolate, bit for bit, in one pass and without a gather.
// One source for CUDA and HIP, no headers; compiled without contraction.

#ifdef __HIP__
#pragma clang fp contract(off)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

struct Params {
    const float* col;          // [vertices, channels], or one such table a view
    const int* findices;       // [pixels], 0 = background
    const float* barycentric;  // [pixels, 3]
    const void* tri;           // [faces, 3] int32 or int64
    float* out;                // [pixels, channels]
    u64 table;                 // floats from one view's table to the next, 0 where there is one for all
    u32 pixels, view_pixels, channels, faces, vertices;
    int tri_is_64;
};

// A thread per pixel.
extern "C" __global__ void __launch_bounds__(256) interpolate(Params p) {
    u32 pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= p.pixels) return;
    float* out = p.out + (u64)pixel * p.channels;
    int found = p.findices[pixel];
    if (found <= 0) {
        for (u32 c = 0; c < p.channels; c++) out[c] = 0.0f;
        return;
    }
    u64 face = (u32)found - 1 < p.faces ? (u32)found - 1 : p.faces - 1;
    const float* weights = p.barycentric + (u64)pixel * 3;
    const float* corner[3];
    float weight[3];
    for (int k = 0; k < 3; k++) {
        u64 index = p.tri_is_64 ? ((const u64*)p.tri)[face * 3 + k] : ((const u32*)p.tri)[face * 3 + k];
        if (index >= p.vertices) index = p.vertices - 1;
        corner[k] = p.col + index * p.channels;
        if (p.table) corner[k] += pixel / p.view_pixels * p.table;
        weight[k] = weights[k];
    }
    for (u32 c = 0; c < p.channels; c++)
        out[c] = (corner[0][c] * weight[0] + corner[1][c] * weight[1]) + corner[2][c] * weight[2];
}
