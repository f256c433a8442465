// Attributes of vertices at pixels: the twin of rasterizer.interpolate, bit for bit, in one pass and without a gather.
// Params is described in interpolate.py.

// A thread per pixel.
extern "C" __global__ void __launch_bounds__(THREADS) interpolate(Params p) {
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
