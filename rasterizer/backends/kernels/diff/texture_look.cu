// Pixels that look up a texture. Blocks: x and y count tiles of TILE x TILE pixels, z images. Each group of 32 threads
// has 8 x 4 of them, which mostly read the same few lines of memory. Of images that are narrow or low a block has
// THREADS pixels in their order in memory (Params.flat).

// The calling thread's pixel; false if it lies outside the image.
__device__ inline bool own_pixel(const Params& p, u64& pixel) {
    u32 t = threadIdx.x, x = blockIdx.x * THREADS + t, y = 0;
    if (!p.flat) {
        x = blockIdx.x * TILE + (t & 7) + (t >> 2 & 8);
        y = blockIdx.y * TILE + (t >> 3 & 3) + (t >> 4 & 12);
    }
    pixel = (u64)blockIdx.z * (p.rows * p.columns) + (y * p.columns + x);
    return x < p.columns && y < p.rows;
}

// What is read of a pixel, asked for at once before any of it is waited for.
struct Input {
    Point point;
    Reach reach;
    float bias;
};

__device__ inline Input input_at(const Params& p, u64 pixel) {
    Input input;
    input.point = point_at(p, pixel);
    if (p.da) input.reach = reach_at(p, pixel);
    input.bias = p.bias ? p.bias[pixel] : 0.0f;
    return input;
}

// The level that a pixel reads; its fraction is what the next coarser one counts for.
__device__ inline float level_at(const Params& p, const Place& place, const Input& input) {
    if (!p.da && !p.bias) return 0.0f;
    float level = input.bias;
    if (p.da) {
        float4 footprint = footprint_of(place, input.reach);
        if (!p.bias && is_small(p, footprint)) return 0.0f;
        level += level_of(p, footprint);
    }
    level = fminf(fmaxf(level, 0.0f), (float)(p.count - 1));  // NaN is 0
    return p.blend ? level : floorf(level);
}

__device__ inline Cell cell_at(float s, float t, u32 wide, u32 high) {
    Cell cell;
    between(s, wide, cell.i, cell.across);
    between(t, high, cell.j, cell.down);
    return cell;
}

// Where the texture of the block's image begins in a level of this size.
__device__ inline u64 start_of_image(u32 wide, u32 high, u32 channels) {
    return blockIdx.z ? (u64)blockIdx.z * FACES * wide * high * channels : 0;
}

// A pixel's look at one level.
struct Look {
    Taps taps;
    float across, down;
    const float* texels;  // of its image
    u32 wide, high;
};

__device__ inline Look look_at(const Params& p, const Place& place, u32 level, u32 channels) {
    Look look;
    look.wide = side_at(p.width, level), look.high = side_at(p.height, level);
    look.texels = p.levels[level] + start_of_image(look.wide, look.high, channels);
    Cell cell = cell_at(place.s, place.t, look.wide, look.high);
    look.taps = taps_at(p, cell, face_of(place), look.wide, look.high);
    look.across = cell.across, look.down = cell.down;
    return look;
}

// Channels that are treated at once: all C, or with C 0 four of any number.
template <int C> struct Some {
    enum { N = C ? C : 4 };
};

// Some channels, of which `count` exist. Rows of two or four lie on a multiple of their size, or else `p.whole` is not
// set.
template <int C> __device__ inline void load(const Params& p, const float* row, u32 count, float (&v)[Some<C>::N]) {
    if (C == 4 || (C == 0 && p.whole)) {
        float4 four = __ldg((const float4*)row);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else if (C == 2) {
        float2 two = __ldg((const float2*)row);
        v[0] = two.x, v[1] = two.y;
    } else
        for (int k = 0; k < Some<C>::N; k++) v[k] = C || k < count ? __ldg(row + k) : 0.0f;
}

template <int C> __device__ inline void store(const Params& p, float* row, u32 count, const float (&v)[Some<C>::N]) {
    if (C == 4 || (C == 0 && p.whole)) stream4(row, v[0], v[1], v[2], v[3]);
    else if (C == 2) stream2(row, v[0], v[1]);
    else
        for (int k = 0; k < Some<C>::N; k++)
            if (C || k < count) STREAM(row + k, v[k]);
}
