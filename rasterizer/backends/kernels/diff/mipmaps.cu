// Pyramids of textures, and the transpose. Params and the constants that Python knows too are described in mipmaps.py.
//
//   halve_N    levels 1 to STEPS of a texture, or of a level: a block makes all that becomes of TILE x TILE texels
//   spread_N   adds to the gradient of such a tile what the gradients of all coarser levels give it
//   clear      makes gradients 0
//
// N channels at once, of any multiple of N. Blocks: x and y count tiles, z images (faces, too) times groups of
// channels. A side of length 1 stays: its one texel is then both of a pair, which makes the average of one of two.
//
// Shared memory has what is above a tile, level by level, as rows of floats (row, column, channel), so that
// neighbouring threads have neighbouring floats.

#define ABOVE (TILE * TILE / 3)  // texels of levels 1 to STEPS

__device__ inline u32 side_at(u32 side, u32 level) { return max(side >> level, 1u); }

// Where a level begins in shared memory, in texels.
__device__ inline u32 begin_of(u32 level) { return (TILE * TILE - (TILE * TILE >> 2 * (level - 1))) / 3; }

// Where a group of channels begins, in the first texel of the block's image at a level of this size.
template <int N> __device__ inline u64 start_of(u32 wide, u32 high, u32 channels) {
    u32 groups = channels / N, image = blockIdx.z / groups, group = blockIdx.z - image * groups;
    return (u64)image * wide * high * channels + group * N;
}

// A level of the block's tile.
template <int N> struct Tile {
    u32 size, wide, high, channels;  // texels a side, and those of the whole level
    float* own;                      // the level in memory

    __device__ inline Tile(const Params& p, u32 level) {
        size = TILE >> level, wide = side_at(p.width, level), high = side_at(p.height, level), channels = p.channels;
        own = p.levels[level] + start_of<N>(wide, high, channels);
    }

    __device__ inline u32 floats() const { return size * size * N; }
};

// Place of float `n` of a tile. Where many are read, they are asked for before the first is waited for.
template <int N> struct Spot {
    u32 row, column, channel;
    bool inside;  // the tile, and the texture
    u64 offset;   // in memory, from the level's start

    __device__ inline Spot(const Tile<N>& tile, u32 n) {
        row = n / (tile.size * N);
        u32 rest = n - row * (tile.size * N);
        column = rest / N, channel = rest - column * N;
        u32 x = blockIdx.x * tile.size + column, y = blockIdx.y * tile.size + row;
        inside = row < tile.size && x < tile.wide && y < tile.high;
        offset = ((u64)y * tile.wide + x) * tile.channels + channel;
    }
};

__device__ inline float average(float a, float b, float c, float d) { return ((a + b) + (c + d)) * 0.25f; }

// Level 1 of a tile.
template <int N> __device__ inline void halve_texture(const Params& p, float* above) {
    const int BATCH = 4;
    Tile<N> tile(p, 1);
    const float* from = p.levels[0] + start_of<N>(p.width, p.height, p.channels);
    for (u32 start = threadIdx.x; start < tile.floats(); start += BATCH * THREADS) {
        float a[BATCH], b[BATCH], c[BATCH], d[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            Spot<N> spot(tile, start + k * THREADS);
            u32 x = 2 * (blockIdx.x * tile.size + spot.column), y = 2 * (blockIdx.y * tile.size + spot.row);
            const float* upper = from + (u64)min(y, p.height - 1) * p.width * p.channels + spot.channel;
            const float* lower = from + (u64)min(y + 1, p.height - 1) * p.width * p.channels + spot.channel;
            u64 first = (u64)min(x, p.width - 1) * p.channels, second = (u64)min(x + 1, p.width - 1) * p.channels;
            a[k] = __ldg(upper + first), b[k] = __ldg(lower + first);
            c[k] = __ldg(upper + second), d[k] = __ldg(lower + second);
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            u32 n = start + k * THREADS;
            Spot<N> spot(tile, n);
            if (spot.inside) above[n] = tile.own[spot.offset] = average(a[k], b[k], c[k], d[k]);
        }
    }
}

// A further level of a tile, from the one before.
template <int N> __device__ inline void halve_level(const Params& p, u32 level, float* above) {
    Tile<N> tile(p, level);
    const float* from = above + begin_of(level - 1) * N;
    u32 last_x = side_at(p.width, level - 1) - 1 - blockIdx.x * 2 * tile.size;
    u32 last_y = side_at(p.height, level - 1) - 1 - blockIdx.y * 2 * tile.size;
#pragma unroll 1
    for (u32 n = threadIdx.x; n < tile.floats(); n += THREADS) {
        Spot<N> spot(tile, n);
        if (!spot.inside) continue;
        const float* upper = from + min(2 * spot.row, last_y) * 2 * tile.size * N + spot.channel;
        const float* lower = from + min(2 * spot.row + 1, last_y) * 2 * tile.size * N + spot.channel;
        u32 first = min(2 * spot.column, last_x) * N, second = min(2 * spot.column + 1, last_x) * N;
        float value = average(upper[first], lower[first], upper[second], lower[second]);
        above[begin_of(level) * N + n] = tile.own[spot.offset] = value;
    }
}

template <int N> __device__ inline void halve(const Params& p) {
    __shared__ float above[ABOVE * N];
    halve_texture<N>(p, above);
#pragma unroll 1
    for (u32 level = 2; level <= p.count; level++) {
        __syncthreads();
        halve_level<N>(p, level, above);
    }
}

// What a texel of a level gets of the one above it, which is made of it.
__device__ inline float share_of(const Params& p, u32 level) {
    return (side_at(p.width, level) > 1 ? 0.5f : 1.0f) * (side_at(p.height, level) > 1 ? 0.5f : 1.0f);
}

// Gradient of the texel of level STEPS that a tile makes, or is part of, with what all above it give it.
template <int N> __device__ inline float gather_above(const Params& p, u32 channel) {
    float sum = 0.0f;
    for (u32 level = p.count; level >= STEPS; level--) {
        Tile<N> tile(p, level);
        u32 x = min(blockIdx.x >> (level - STEPS), tile.wide - 1);
        u32 y = min(blockIdx.y >> (level - STEPS), tile.high - 1);
        float value = __ldg(tile.own + ((u64)y * tile.wide + x) * p.channels + channel);
        sum = level < p.count ? value + sum * share_of(p, level) : value;
    }
    return sum;
}

// What the texel above a spot of a level has, if there is one.
template <int N> __device__ inline float given(const float* above, u32 level, u32 size, const Spot<N>& spot) {
    return above[(begin_of(level + 1) + spot.row / 2 * (size / 2) + spot.column / 2) * N + spot.channel];
}

// Copies a level of a tile.
template <int N> __device__ inline void fetch(const Params& p, u32 level, float* above) {
    const int BATCH = 4;
    Tile<N> tile(p, level);
    for (u32 start = threadIdx.x; start < tile.floats(); start += BATCH * THREADS) {
        float value[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            Spot<N> spot(tile, start + k * THREADS);
            value[k] = spot.inside ? __ldg(tile.own + spot.offset) : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++)
            if (start + k * THREADS < tile.floats()) above[begin_of(level) * N + start + k * THREADS] = value[k];
    }
}

// Level 0 of a tile.
template <int N> __device__ inline void spread_texture(const Params& p, const float* above) {
    const int BATCH = 8;
    Tile<N> tile(p, 0);
    float share = share_of(p, 0);
    for (u32 start = threadIdx.x; start < tile.floats(); start += BATCH * THREADS) {
        float value[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            Spot<N> spot(tile, start + k * THREADS);
            value[k] = spot.inside ? tile.own[spot.offset] : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            Spot<N> spot(tile, start + k * THREADS);
            if (spot.inside) tile.own[spot.offset] = value[k] + given(above, 0, TILE, spot) * share;
        }
    }
}

template <int N> __device__ inline void spread(const Params& p) {
    __shared__ float above[ABOVE * N];
    u32 last = p.count < STEPS ? p.count : STEPS - 1;
    for (u32 level = 1; level <= last; level++) fetch<N>(p, level, above);
    if (p.count >= STEPS && threadIdx.x < N) above[begin_of(STEPS) * N + threadIdx.x] = gather_above<N>(p, threadIdx.x);
    __syncthreads();
#pragma unroll 1
    for (u32 level = p.count < STEPS ? last - 1 : last; level; level--) {
        Tile<N> tile(p, level);
        float share = share_of(p, level);
#pragma unroll 1
        for (u32 n = threadIdx.x; n < tile.floats(); n += THREADS) {
            Spot<N> spot(tile, n);
            if (spot.inside) above[begin_of(level) * N + n] += given(above, level, tile.size, spot) * share;
        }
        __syncthreads();
    }
    spread_texture<N>(p, above);
}

#define CHANNELS(n) \
    extern "C" __global__ void __launch_bounds__(THREADS) halve_##n(Params p) { halve<n>(p); } \
    extern "C" __global__ void __launch_bounds__(THREADS) spread_##n(Params p) { spread<n>(p); }
CHANNELS(1)
CHANNELS(2)
CHANNELS(3)
CHANNELS(4)

// Blocks: y counts levels, and those along x share one.
extern "C" __global__ void __launch_bounds__(THREADS) clear(Params p) {
    u64 count = p.deep * side_at(p.width, blockIdx.y) * side_at(p.height, blockIdx.y);
    u64 step = (u64)gridDim.x * THREADS, at = (u64)blockIdx.x * THREADS + threadIdx.x;
    float* level = p.levels[blockIdx.y];
    u64 fours = (u64)level % 16 ? 0 : count / 4;
    for (u64 n = at; n < fours; n += step) ((float4*)level)[n] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (u64 n = 4 * fours + at; n < count; n += step) level[n] = 0.0f;
}
