// Colours spread outward from what is known: the twin of outward.py, which defines every step and says why.
// Structs and constants that Python knows too are described in kernels.py.
//
//   begin   a thread per texel: ring 0 where it is known
//   grow    a thread per texel: whether it belongs to a ring, and its colour; reads only rings before
//   pull    a thread per texel of the coarse image: the mean of what is known of four
//   push    a thread per texel: where nothing is known, what the coarse image has there

__device__ inline u32 index_of_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ inline bool is_known(const Plane& p, u32 texel) {
    return p.ring ? p.ring[texel] <= RINGS : p.share[texel] > 0.0f;
}

extern "C" __global__ void __launch_bounds__(THREADS) begin(Plane p) {
    u32 texel = index_of_thread();
    if (texel < p.height * p.width) p.ring[texel] = p.known[texel] ? 0 : UNKNOWN;
}

extern "C" __global__ void __launch_bounds__(THREADS) grow(Plane p) {
    u32 texel = index_of_thread();
    if (texel >= p.height * p.width || p.ring[texel] != UNKNOWN) return;
    u32 row = texel / p.width, column = texel - row * p.width, count = 0, near[8];
    for (int down = -1; down <= 1; down++)
        for (int right = -1; right <= 1; right++) {
            u32 y = row + down, x = column + right;  // before the first is after the last
            if (y < p.height && x < p.width && p.ring[y * p.width + x] < p.number) near[count++] = y * p.width + x;
        }
    if (!count) return;
    for (u32 channel = 0; channel < p.channels; channel++) {
        float total = 0.0f;
        for (u32 k = 0; k < count; k++) total += p.image[near[k] * p.channels + channel];
        p.image[texel * p.channels + channel] = total / (float)count;
    }
    p.ring[texel] = (unsigned char)p.number;
}

extern "C" __global__ void __launch_bounds__(THREADS) pull(Plane p) {
    u32 place = index_of_thread();
    if (place >= p.rows * p.columns) return;
    u32 row = place / p.columns, column = place - row * p.columns, count = 0, known[4];
    for (u32 k = 0; k < 4; k++) {
        u32 y = 2 * row + (k & 1), x = 2 * column + (k >> 1);
        if (y < p.height && x < p.width && is_known(p, y * p.width + x)) known[count++] = y * p.width + x;
    }
    for (u32 channel = 0; channel < p.channels; channel++) {
        float total = 0.0f;
        for (u32 k = 0; k < count; k++) total += p.image[known[k] * p.channels + channel];
        p.coarse[place * p.channels + channel] = count ? total / (float)count : 0.0f;
    }
    p.coarse_share[place] = (float)count;
}

extern "C" __global__ void __launch_bounds__(THREADS) push(Plane p) {
    u32 texel = index_of_thread();
    if (texel >= p.height * p.width || is_known(p, texel)) return;
    u32 row = texel / p.width, column = texel - row * p.width;
    u32 y[2] = {row >> 1, (row >> 1) + (row & 1 ? 1 : -1)}, x[2] = {column >> 1, (column >> 1) + (column & 1 ? 1 : -1)};
    if (y[1] >= p.rows) y[1] = y[0];
    if (x[1] >= p.columns) x[1] = x[0];
    for (u32 channel = 0; channel < p.channels; channel++) {
        float total = 0.0f;
        for (int k = 0; k < 4; k++) {
            float weight = (k >> 1 ? 0.25f : 0.75f) * (k & 1 ? 0.25f : 0.75f);
            total += p.coarse[(y[k >> 1] * p.columns + x[k & 1]) * p.channels + channel] * weight;
        }
        p.image[texel * p.channels + channel] = total;
    }
}
