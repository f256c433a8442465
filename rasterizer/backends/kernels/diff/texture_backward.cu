// Gradients of texture sampling, a thread per pixel. Params and the constants that Python knows too are described in
// texture_programs.py.
//
//   backward_C   with C channels
//   backward     with any number of them, four at a time
//
// A texel is read by many pixels, mostly neighbours, so its gradient is a sum of many numbers. Most of it is summed up
// in shared memory, from where one atomic a block goes to each texel. The texels that a block's pixels read at a level
// lie in a rectangle: a Rect. As many of these as fit lie in the pool; whatever lies elsewhere goes to memory directly:
//
//   - rectangles that are too large, of pixels that lie far apart on the texture;
//   - pixels that lie on another face of a cube map than the reference, which is any of the block's pixels.
//
// Rects are parts of the grid that goes on beyond the texture. Where that begins again, the rectangle does not end:
// pixels are taken to lie less than half a texture from the reference. What its texels are is told when they are added.
//
// Two threads of a group of 32 that add to one float wait for each other. So threads work on pixels that lie apart,
// which they get from each other; and where a block's pixels share a few cells, groups sum up what they have for each.

#define GROUPS (THREADS / 32)
#define FINE 1048576.0f  // steps that bounds are told in, of a coordinate of 1

struct Rect {
    int i, j, left, top;    // of its first texel; the last two as start_at() tells them
    u32 wide, high, start;  // in texels, and where it begins in the pool
    bool fits;
};

template <int N> struct Shared {
    enum { PLANE = POOL / N, SLOTS = GROUPS * 33 + 4 };
    float pool[N][PLANE];                                        // a plane a channel
    float s[SLOTS], t[SLOTS], level[SLOTS], upstream[N][SLOTS];  // of pixels; level is -1 where there is no gradient
    u32 face[FACES > 1 ? SLOTS : 1];
    float reference_s, reference_t;
    u32 reference_face;
    int bounds[4];  // -s, s, -t and t at most, in steps
    u32 levels;     // bits for those that are read
    u32 texels;     // of the pool that are used
    u32 cells;      // of the rectangles in the pool
    Rect rects[MOST_LEVELS];
};

// Where a thread's own pixel lies, and the one it works on if they are to lie apart: four columns or two rows from any
// other of its group. Neither way do two threads of a group meet in a memory bank.
__device__ inline u32 slot_of(u32 group, u32 place) { return group * 33 + (group >> 2) * 4 + place; }
__device__ inline u32 own_slot() { return slot_of(threadIdx.x / 32, threadIdx.x & 31u); }
__device__ inline u32 apart_slot() {
    u32 group = threadIdx.x / 32, lane = threadIdx.x & 31u;
    return slot_of(lane >> 2, (lane & 1) * 4 + (group & 3) + (lane >> 1 & 1) * 16 + (group >> 2) * 8);
}

// Over the calling group of 32 threads, which all must call.
__device__ inline int most_of_group(int value) {
#if __CUDA_ARCH__ >= 800
    return __reduce_max_sync(~0u, value);
#else
    for (u32 bit = 16; bit; bit /= 2) value = max(value, from_partner(value, bit));
    return value;
#endif
}
__device__ inline u32 any_of_group(u32 bits) {
#if __CUDA_ARCH__ >= 800
    return __reduce_or_sync(~0u, bits);
#else
    for (u32 bit = 16; bit; bit /= 2) bits |= from_partner(bits, bit);
    return bits;
#endif
}

// How many textures a coordinate lies farther along than those near the reference.
__device__ inline float turns(float s, float reference) { return BOUNDARY == WRAP ? rintf(s - reference) : 0.0f; }

// The texel that a pixel lies in counts as a cell of which only the first texel is read.
__device__ inline Cell read_at(const Params& p, float s, float t, u32 wide, u32 high) {
    if (!p.nearest) return cell_at(s, t, wide, high);
    Cell cell = {nearest_to(s, wide), nearest_to(t, high), 0.0f, 0.0f};
    return cell;
}

// Finds what the block's pixels read; `mine` says whether the calling thread's is one of those that count.
template <int N> __device__ inline void bound(Shared<N>& shared, float s, float t, float level, bool mine) {
    const int none = -(1 << 30);
    float along_s = s - turns(s, shared.reference_s), along_t = t - turns(t, shared.reference_t);
    int step_s = (int)floorf(along_s * FINE), step_t = (int)floorf(along_t * FINE);
    int most[4] = {-step_s, step_s + 1, -step_t, step_t + 1};
    for (int k = 0; k < 4; k++) most[k] = most_of_group(mine ? most[k] : none);
    u32 fine = (u32)level;
    u32 levels = any_of_group(mine ? (level > (float)fine ? 3u : 1u) << fine : 0u);
    u32 lane = threadIdx.x & 31u;
    if (!levels || lane > 4) return;
    if (lane == 4) atomicOr(&shared.levels, levels);
    else atomicMax(&shared.bounds[lane], lane < 2 ? (lane ? most[1] : most[0]) : lane == 2 ? most[2] : most[3]);
}

// Lays out the pool, level by level, the coarsest first: that is where most pixels meet. For the first 32 threads.
template <int N> __device__ inline void lay_out(const Params& p, Shared<N>& shared) {
    u32 lane = threadIdx.x, level = p.count - 1 - lane, area = 0;
    Rect rect = {};
    bool read = lane < p.count && (shared.levels >> level & 1);
    if (read) {
        u32 wide = side_at(p.width, level), high = side_at(p.height, level);
        const int* most = shared.bounds;
        Cell first = read_at(p, (float)-most[0] / FINE, (float)-most[2] / FINE, wide, high);
        Cell last = read_at(p, (float)most[1] / FINE, (float)most[3] / FINE, wide, high);
        if (BOUNDARY == ZERO) {  // farther out nothing is read
            first.i = max(first.i, -1), first.j = max(first.j, -1);
            last.i = min(last.i, (int)wide - 1), last.j = min(last.j, (int)high - 1);
        }
        rect.i = first.i, rect.j = first.j, rect.left = start_at(first.i, wide), rect.top = start_at(first.j, high);
        rect.wide = (u32)max(last.i - first.i + 2, 0), rect.high = (u32)max(last.j - first.j + 2, 0);
        if (rect.wide <= Shared<N>::PLANE && rect.high <= Shared<N>::PLANE) area = rect.wide * rect.high;
        if (area > Shared<N>::PLANE) area = 0;
    }
    u32 end = area;
    for (u32 step = 1; step < 32; step *= 2) {
        u32 before = from_lane(end, (lane - step) & 31u);
        if (lane >= step) end += before;
    }
    rect.start = end - area, rect.fits = area && end <= Shared<N>::PLANE;
    if (!rect.fits) area = 0;
    if (read) shared.rects[level] = rect;
    u32 stop = (u32)most_of_group((int)(rect.fits ? end : 0));
    u32 cells = rect.fits ? (rect.wide - 1) * (rect.high - 1) : 0;
    for (u32 bit = 16; bit; bit /= 2) cells += from_partner(cells, bit);
    if (lane == 0) shared.texels = stop, shared.cells = cells;
}

// A pixel, and what it adds to the texels of a cell at a level.
struct Share {
    Cell cell;
    u32 level, wide, high, face;
    float weight[4];
};

// What the pixel in a slot adds at its finer level, or at its coarser one; false if nothing.
template <int N> __device__ inline bool share_of(
    const Params& p, const Shared<N>& shared, u32 slot, bool coarse, Share& share) {
    float level = shared.level[slot];
    if (level < 0.0f) return false;
    u32 fine = (u32)level;
    float part = level - (float)fine, weight = coarse ? part : 1.0f - part;
    if (coarse && !(part > 0.0f)) return false;
    share.level = fine + coarse, share.face = FACES > 1 ? shared.face[slot] : 0;
    share.wide = side_at(p.width, share.level), share.high = side_at(p.height, share.level);
    Cell cell = share.cell = read_at(p, shared.s[slot], shared.t[slot], share.wide, share.high);
    float upper = (1.0f - cell.down) * weight, lower = cell.down * weight;
    share.weight[0] = (1.0f - cell.across) * upper, share.weight[1] = cell.across * upper;
    share.weight[2] = (1.0f - cell.across) * lower, share.weight[3] = cell.across * lower;
    return true;
}

// Where the pool has the first texel of a share's cell; NOWHERE if it has not.
#define NOWHERE (~0u)
template <int N> __device__ inline u32 place_in_pool(const Shared<N>& shared, u32 slot, const Share& share, u32& down) {
    const Rect& rect = shared.rects[share.level];
    down = rect.wide;
    if (!rect.fits || (FACES > 1 && share.face != shared.reference_face)) return NOWHERE;
    u32 i = (u32)(share.cell.i - (int)turns(shared.s[slot], shared.reference_s) * (int)share.wide - rect.i);
    u32 j = (u32)(share.cell.j - (int)turns(shared.t[slot], shared.reference_t) * (int)share.high - rect.j);
    return i < rect.wide - 1 && j < rect.high - 1 ? rect.start + j * rect.wide + i : NOWHERE;
}

// Adds some channels of a texel in memory.
template <int C> __device__ inline void add_row(
    const Params& p, float* row, u32 count, float weight, const float (&d)[Some<C>::N]) {
#if VECTOR_ATOMICS && __CUDA_ARCH__ >= 900 && __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1201
    if (C == 4 || (C == 0 && p.whole)) {
        atomicAdd((float4*)row, make_float4(weight * d[0], weight * d[1], weight * d[2], weight * d[3]));
        return;
    }
    if (C == 2) {
        atomicAdd((float2*)row, make_float2(weight * d[0], weight * d[1]));
        return;
    }
#endif
    for (int c = 0; c < Some<C>::N; c++)
        if (C || c < count) atomicAdd(row + c, weight * d[c]);
}

// Adds what is not in the pool.
template <int C> __device__ inline void add_directly(
    const Params& p, Share& share, u32 channels, u32 first, const float (&d)[Some<C>::N]) {
    Taps taps = taps_at(p, share.cell, share.face, share.wide, share.high);
    spread(taps, share.weight);
    float* level = p.gradients[share.level] + start_of_image(share.wide, share.high, channels) + first;
    for (int k = 0; k < 4; k++)
        if (!(taps.missing >> k & 1) && share.weight[k] != 0.0f)
            add_row<C>(p, level + taps.index[k] * channels, channels - first, share.weight[k], d);
}

// Sums up what a group of 32 threads has for a cell, and for the next, until nothing is left; `place` is where the pool
// has the cell, whose rows lie `down` apart. All 32 must call.
template <int N> __device__ inline void add_by_cell(
    Shared<N>& shared, u32 place, u32 down, const float (&weight)[4], const float (&d)[N]) {
    enum { SIZE = N == 1 ? 4 : N == 2 ? 8 : 16, EACH = 32 / SIZE };
    for (u32 left = votes(place != NOWHERE); left;) {
        u32 leader = (u32)__ffs((int)left) - 1, cell = from_lane(place, leader), row = from_lane(down, leader);
        left &= ~votes(place == cell);
        float values[SIZE];
#pragma unroll
        for (int n = 0; n < SIZE; n++) {
            bool counts = n < 4 * N && place == cell && weight[n & 3] != 0.0f;
            values[n] = counts ? weight[n & 3] * d[n < 4 * N ? n / 4 : 0] : 0.0f;
        }
        float sum = sum_of_group(values);
        u32 n = (threadIdx.x & 31u) / EACH;
        if (threadIdx.x % EACH == 0 && n < 4 * N && sum != 0.0f)
            atomicAdd(&shared.pool[n / 4][cell + (n & 1) + (n >> 1 & 1) * row], sum);
    }
}

// Adds what the block's pixels have for some channels, to the pool or to memory.
template <int C> __device__ inline void add(const Params& p, Shared<Some<C>::N>& shared, u32 channels, u32 first) {
    enum { N = Some<C>::N };
    bool by_cell = shared.cells && shared.cells <= FEW_CELLS;
    // Where nothing is pooled, atomics of neighbouring pixels lie side by side.
    u32 slot = APART && shared.texels && !by_cell ? apart_slot() : own_slot();
    float d[N];
    for (int c = 0; c < N; c++) d[c] = shared.upstream[c][slot];
    Share share;
#pragma unroll 1
    for (int coarse = 0; coarse < 2; coarse++) {
        u32 down = 0, place = NOWHERE;
        if (share_of(p, shared, slot, coarse, share)) {
            place = place_in_pool(shared, slot, share, down);
            if (place == NOWHERE) add_directly<C>(p, share, channels, first, d);
        }
        if (by_cell) add_by_cell(shared, place, down, share.weight, d);
        else if (place != NOWHERE)
            for (int k = 0; k < 4; k++)
                if (share.weight[k] != 0.0f)
                    for (int c = 0; c < N; c++)
                        atomicAdd(&shared.pool[c][place + (k & 1) + (k >> 1) * down], share.weight[k] * d[c]);
    }
}

// Adds the pool to memory. A group of 32 threads has a row of a rectangle at a time.
template <int N> __device__ inline void flush(const Params& p, const Shared<N>& shared, u32 channels, u32 first) {
    for (u32 left = shared.levels; left; left &= left - 1) {
        u32 number = (u32)__ffs((int)left) - 1;
        const Rect& rect = shared.rects[number];
        if (!rect.fits) continue;
        u32 wide = side_at(p.width, number), high = side_at(p.height, number);
        float* level = p.gradients[number] + start_of_image(wide, high, channels) + first;
        for (u32 row = threadIdx.x / 32; row < rect.high; row += GROUPS)
            for (u32 n = threadIdx.x & 31u; n < rect.wide * N; n += 32) {
                u32 column = n / N, channel = n - column * N;
                float value = shared.pool[channel][rect.start + row * rect.wide + column];
                if (value == 0.0f || channel >= channels - first) continue;
                add_beyond(
                    p, level + channel, shared.reference_face, rect.left + (int)column, rect.top + (int)row, wide, high,
                    channels, value);
            }
    }
}

// Adds to the gradients of the levels. All threads of the block must call; `mine` says whose pixel has a gradient.
template <int C> __device__ inline void scatter(
    const Params& p, Shared<Some<C>::N>& shared, const Place& place, float level, u64 pixel, bool mine,
    const float (&d)[Some<C>::N]) {
    enum { N = Some<C>::N };
    const u32 channels = C ? C : p.channels;
    u32 slot = own_slot();
    shared.s[slot] = place.s, shared.t[slot] = place.t, shared.level[slot] = mine ? level : -1.0f;
    if (FACES > 1) shared.face[slot] = face_of(place);
    bool counts = mine && (FACES == 1 || face_of(place) == shared.reference_face);
    bound(shared, place.s, place.t, level, counts);
    __syncthreads();
    if (threadIdx.x < 32) lay_out(p, shared);
    __syncthreads();
    for (u32 first = 0; first < channels; first += N) {
        if (C) {
            for (int c = 0; c < N; c++) shared.upstream[c][slot] = d[c];
        } else {
            float some[N] = {};
            if (mine) load<C>(p, p.d_out + pixel * channels + first, channels - first, some);
            for (int c = 0; c < N; c++) shared.upstream[c][slot] = some[c];
        }
        for (u32 n = threadIdx.x; n < shared.texels; n += THREADS)
            for (int c = 0; c < N; c++) shared.pool[c][n] = 0.0f;
        __syncthreads();
        add<C>(p, shared, channels, first);
        __syncthreads();
        flush(p, shared, channels, first);
        if (!C) __syncthreads();
    }
}

// What follows for where the pixel lies, how far it reaches, and the bias.
template <int C> __device__ inline void slopes(
    const Params& p, const Place& place, float level, u64 pixel, const float (&d)[Some<C>::N]) {
    enum { N = Some<C>::N };
    const u32 channels = C ? C : p.channels;
    u32 fine = (u32)level;
    float part = level - (float)fine, by_s = 0.0f, by_t = 0.0f, by_level = 0.0f;
#pragma unroll 1
    for (int coarse = 0; coarse < (part > 0.0f ? 2 : 1); coarse++) {
        Look look = look_at(p, place, fine + coarse, channels);
        float product[4] = {};
        for (u32 first = 0; first < channels; first += N) {
            float some[N], texel[N];
            for (int c = 0; c < N; c++) some[c] = d[c];
            if (!C) load<C>(p, p.d_out + pixel * channels + first, channels - first, some);
            for (int k = 0; k < 4; k++) {
                load<C>(p, look.texels + look.taps.index[k] * channels + first, channels - first, texel);
                for (int c = 0; c < N; c++) product[k] = fmaf(some[c], texel[c], product[k]);
            }
        }
        fill(look.taps, product);
        float weight = coarse ? part : 1.0f - part, low = product[1] - product[0], high = product[3] - product[2];
        float upper = fmaf(look.across, low, product[0]), lower = fmaf(look.across, high, product[2]);
        by_s = fmaf(weight * (float)look.wide, fmaf(look.down, high - low, low), by_s);
        by_t = fmaf(weight * (float)look.high, lower - upper, by_t);
        float value = fmaf(look.down, lower - upper, upper);
        by_level = coarse ? value - by_level : value;
    }
    if (!(part > 0.0f)) by_level = 0.0f;
    bool levels = p.da && p.blend;
    Reach reach = {};
    float4 by_footprint = zeros();
    if (levels) {
        reach = reach_at(p, pixel);  // again, from the cache: registers are short
        by_footprint = level_backward(p, footprint_of(place, reach), by_level);
    }
    give(p, place, reach, pixel, by_s, by_t, levels, by_footprint);
    if (p.d_bias) STREAM(p.d_bias + pixel, by_level);
}

__device__ inline void no_slopes(const Params& p, const Place& place, u64 pixel) {
    Reach reach = {};
    give(p, place, reach, pixel, 0.0f, 0.0f, false, zeros());
    if (p.d_bias) STREAM(p.d_bias + pixel, 0.0f);
}

template <int C> __device__ inline void pull_back(const Params& p) {
    enum { N = Some<C>::N };
    __shared__ Shared<N> shared;
    const u32 channels = C ? C : p.channels;
    u64 pixel;
    bool inside = own_pixel(p, pixel), mine = false;
    float d[N] = {}, level = 0.0f;
    Place place = {};
    if (inside) {
        if (C) load<C>(p, p.d_out + pixel * channels, channels, d);
        Input input = input_at(p, pixel);
        bool found = place_of(p, input.point, place);
        level = level_at(p, place, input);
        for (u32 first = 0; first < channels && !mine; first += N) {
            if (!C) load<C>(p, p.d_out + pixel * channels + first, channels - first, d);
            for (int c = 0; c < N; c++) mine |= d[c] != 0.0f;
        }
        mine &= found;
    }
    if (threadIdx.x == 0) {
        shared.levels = 0;
        for (int k = 0; k < 4; k++) shared.bounds[k] = -(1 << 30);
    }
    if (mine) shared.reference_s = place.s, shared.reference_t = place.t, shared.reference_face = face_of(place);
    if (!__syncthreads_or(mine)) {
        if (inside) no_slopes(p, place, pixel);
        return;
    }
    if (p.d_uv || p.d_da || p.d_bias) {
        if (mine) slopes<C>(p, place, level, pixel, d);
        else if (inside) no_slopes(p, place, pixel);
    }
    if (p.gradients[0]) scatter<C>(p, shared, place, level, pixel, mine, d);
}

#define BACKWARD(name, channels) \
    extern "C" __global__ void __launch_bounds__(THREADS) name(Params p) { pull_back<channels>(p); }
BACKWARD(backward_1, 1)
BACKWARD(backward_2, 2)
BACKWARD(backward_3, 3)
BACKWARD(backward_4, 4)
BACKWARD(backward, 0)
