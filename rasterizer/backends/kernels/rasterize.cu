// Rasterization kernels. The rule is that of rasterizer/contract/rule.py, bit for bit. Structs and constants that Python
// knows too, such as Params and THREADS, are described in rasterize.py; what gpu/screen.cu has
// comes before.
//
//   draw         a thread per triangle: draws small boxes itself and hands larger ones over, medium ones whole, large
//                ones as runs of tiles
//   draw_shared  the same, but small boxes are drawn by four threads each, which pays from some three pixels a triangle
//   draw_dense   a thread per DENSE_EACH triangles, where most lie between the centres of pixels: those that a cheap
//                test proves to cover none are left out, and the others set up side by side
//   regions      32 threads per medium box or run of tiles
//   resolve      a thread per pixel: face index and perspective-correct barycentrics of the winner
//   weigh        the same barycentrics of face indices that are there already, a thread per pixel of a run
//
// The z-buffer has a 64-bit word per pixel. Fragments are merged by atomicMin, so the smallest word wins:
//
//     63        31+F 30+F            F F-1           0
//    +--------------+-----------------+--------------+
//    | epoch (33-F) | depth step (31) |   face (F)   |    F: _FACE_BITS where the z-buffer is kept, else 32
//    +--------------+-----------------+--------------+
//
// Words are not cleared between calls. Each call takes an epoch below all that the buffer has seen, so that whatever an
// earlier call left loses against the call's own fragments, and counts as background where there are none.
//
// Queues are bounded: Records of the triangles that are handed over, and regions, which are parts of their boxes:
//
//     31                  8 7            0
//    +---------------------+--------------+
//    |   place of Record   | part of box  |    as PARTS is 256; all bits are set where there is nothing to draw
//    +---------------------+--------------+
//
// Whoever finds a queue full draws the region itself: slower, and the same pixels.

enum { N_RECORDS, N_REGIONS, N_INVALID, COUNTERS };  // counters stand at ~0 when they mean none

#define NOTHING (~0u)         // a region of a box whose Record found no room
#define MEDIUM 1024           // pixels of a box that is one region; regions divide by its width
#define MEDIUM_SIDE 64

__device__ inline u32* counter(const Params& p, int which) { return (u32*)(p.words - COUNTER_WORDS) + which; }

#if QUANTIZED
// contract/quantized.py: what the rows of a view's matrix make of three integers, one rounding per operation.
__device__ inline float row(const float* m, float x, float y, float z) { return ((m[0] * x + m[1] * y) + m[2] * z) + m[3]; }

__device__ inline float4 clip(const Params& p, u32 view, u32 index) {
    const short* q = (const short*)p.pos + (u64)index * 3;
    const float* m = p.matrices + (u64)view * 16;
    float x = (float)q[0], y = (float)q[1], z = (float)q[2], zero = 0.0f;
    float4 v;
    v.x = row(m, x, y, z), v.y = row(m + 4, x, y, z), v.z = row(m + 8, x, y, z), v.w = row(m + 12, x, y, z);
    if (!(v.z >= -v.w)) v.w = zero / zero;  // before the near plane
    return v;
}
#else
__device__ inline float4 clip(const Params& p, u32 view, u32 index) {
    return ((const float4*)p.pos)[(u64)view * p.vertices + index];
}
#endif

__device__ inline float4 vertex(const Params& p, u32 view, u32 index) { return to_screen(p, clip(p, view, index)); }

// First pixel and one past the last whose centre [low, high] may cover; see backends/eager/boxes.py for the slack.
__device__ inline void pixel_range(float low, float high, float slack, float size, u16& first, u16& stop) {
    float from = fmaxf(truncf(low), ceilf(low - 0.5f - slack));
    float to = fminf(ceilf(high + 1.0f), floorf(high - 0.5f + slack) + 1.0f);
    first = (u16)(int)fmaxf(fminf(from, size), 0.0f);
    stop = (u16)(int)fmaxf(fminf(to, size), 0.0f);
}

__device__ inline bool is_finite(float4 s) {
    return (s.x - s.x) + (s.y - s.y) + (s.z - s.z) + (s.w - s.w) == 0.0f;
}

__device__ inline float sum(float4 s) { return (s.x + s.y) + (s.z + s.w); }

// Triangle setup; false if nothing can be covered. The face of a triangle with a flaw is ~0.
__device__ inline bool set_up(const Params& p, u32 flat, Record& t) {
    u32 view = p.total == p.faces ? 0 : flat / p.faces, face = flat - view * p.faces, index[3];
    corners(p, face, index);
    float4 a = vertex(p, view, index[0]), b = vertex(p, view, index[1]), c = vertex(p, view, index[2]);
    t.face = face, t.view = view;
    float all = sum(a) + sum(b) + sum(c);  // finite, unless a term is not or, hardly ever, their sum grows too large
    if (!(all - all == 0.0f) && !(is_finite(a) && is_finite(b) && is_finite(c))) {
        t.face = ~0u;
        return false;
    }
    t.ax = a.x, t.ay = a.y;
    t.acx = c.x - a.x, t.acy = c.y - a.y, t.abx = b.x - a.x, t.aby = b.y - a.y;
    float area = t.acx * t.aby - t.abx * t.acy;
    if (area == 0.0f) return false;
    float low_x = fminf(fminf(a.x, b.x), c.x), high_x = fmaxf(fmaxf(a.x, b.x), c.x);
    float low_y = fminf(fminf(a.y, b.y), c.y), high_y = fmaxf(fmaxf(a.y, b.y), c.y);
    float wide = high_x - low_x, high = high_y - low_y;
    t.inv = 1.0f / area;
    float slack = (wide * high + wide + high) * 7.62939453125e-6f * fabsf(t.inv);
    bool sound = slack < 0.125f && area - area == 0.0f;
    pixel_range(low_x, high_x, sound ? wide * slack : 2.0f, p.last_x + 1.0f, t.x0, t.x1);
    pixel_range(low_y, high_y, sound ? high * slack : 2.0f, p.last_y + 1.0f, t.y0, t.y1);
    if (t.x1 <= t.x0 || t.y1 <= t.y0) return false;
    t.za = a.z, t.zb = b.z, t.zc = c.z;
    return true;
}

// Depth test at a pixel where beta and gamma are not negative, and its word if it is the nearest so far.
// Where few fragments lose, looking first costs more than it saves: an atomic without a result is not waited for.
__device__ inline void fragment(const Params& p, const Record& t, u32 pixel, float beta, float gamma, bool look) {
    float alpha = third(beta, gamma);
    if (!(alpha >= 0.0f)) return;
    float depth = (t.za * alpha + t.zb * beta) + t.zc * gamma;
    float threshold = 0.0f;
    if (p.prior) threshold = (p.prior[pixel] * DEPTH_SCALE + 0.5f) + p.truncation;
    float step = depth * DEPTH_STEPS;
    if (depth < threshold || !(step > -1.0f) || !(depth < MAX_DEPTH)) return;
    u32 whole = (u32)(int)step;
    u64 word = (u64)(p.epoch_high | whole >> p.step_right) << 32 | (whole * p.step_left + t.face);
    if (!look || word < p.words[pixel]) atomicMin(&p.words[pixel], word);
}

// False where an edge proves that the triangle covers no pixel of the box; see touched() in backends/eager/boxes.py.
__device__ inline bool touches(const Record& t, int x0, int x1, int y0, int y1) {
    float half_x = (float)(x1 - 1 - x0) * 0.5f, half_y = (float)(y1 - 1 - y0) * 0.5f;
    float dx = (float)x0 + half_x + 0.5f - t.ax, dy = (float)y0 + half_y + 0.5f - t.ay;
    float far_x = fabsf(dx) + half_x, far_y = fabsf(dy) + half_y;
    float sign = t.inv < 0.0f ? -1.0f : 1.0f;
    float area = t.acx * t.aby - t.abx * t.acy, least = fabsf(area) * LEAST_WEIGHT;
    float beta_slack = (fabsf(t.acx) * far_y + far_x * fabsf(t.acy)) * EDGE_SLACK + least;
    float gamma_slack = (fabsf(t.abx) * far_y + far_x * fabsf(t.aby)) * EDGE_SLACK + least;
    float beta = t.acx * dy - dx * t.acy, gamma = dx * t.aby - t.abx * dy;
    float beta_most = beta * sign + fabsf(t.acx) * half_y + fabsf(t.acy) * half_x;
    float gamma_most = gamma * sign + fabsf(t.abx) * half_y + fabsf(t.aby) * half_x;
    float both_least = (beta + gamma) * sign - fabsf(t.acx - t.abx) * half_y - fabsf(t.aby - t.acy) * half_x;
    float sure = beta_most + gamma_most + both_least;
    if (!(sure - sure == 0.0f)) return true;
    return !(beta_most < -beta_slack || gamma_most < -gamma_slack
             || both_least > fabsf(area) + beta_slack + gamma_slack);
}

__device__ inline void draw_box(const Params& p, const Record& t, bool look) {
    float first = (float)t.x0 + 0.5f, middle = (float)t.y0 + 0.5f;  // centres of pixels count up without rounding
    u32 pixel = (t.view * p.height + t.y0) * p.width + t.x0, skip = p.width - (t.x1 - t.x0);
    for (int y = t.y0; y < t.y1; y++, middle += 1.0f, pixel += skip) {
        float dy = middle - t.ay, row_beta = t.acx * dy, row_gamma = t.abx * dy, centre = first;
        for (int x = t.x0; x < t.x1; x++, centre += 1.0f, pixel++) {
            float dx = centre - t.ax;
            float beta = (row_beta - dx * t.acy) * t.inv, gamma = (dx * t.aby - row_gamma) * t.inv;
            if (beta >= 0.0f && gamma >= 0.0f) fragment(p, t, pixel, beta, gamma, look);
        }
    }
}

// Draws a part of a box with threads that lie `step` columns and `down` rows apart; x and y are the calling thread's
// first pixel. Each stays in a column, where half of each product is known.
__device__ inline void draw_columns(const Params& p, const Record& t, int x, int x1, int step, int y, int y1, int down) {
    u32 corner = (t.view * p.height + y) * p.width;
    for (; x < x1; x += step) {
        float dx = (float)x + 0.5f - t.ax, column_beta = dx * t.acy, column_gamma = dx * t.aby;
        float middle = (float)y + 0.5f;
        u32 pixel = corner + x;
        for (int row = y; row < y1; row += down, middle += (float)down, pixel += down * p.width) {
            float dy = middle - t.ay;
            float beta = (t.acx * dy - column_beta) * t.inv, gamma = (column_gamma - t.abx * dy) * t.inv;
            if (beta >= 0.0f && gamma >= 0.0f) fragment(p, t, pixel, beta, gamma, false);
        }
    }
}

__device__ inline bool is_medium(const Record& t) {
    int wide = t.x1 - t.x0, high = t.y1 - t.y0;
    return wide * high <= MEDIUM && wide <= MEDIUM_SIDE && high <= MEDIUM_SIDE;
}

// Screen tiles that the box of a large triangle meets, in rows of `across`, and how many of them are a region.
struct Tiles {
    u32 across, count, run;
};

__device__ inline Tiles tiles_of(const Params& p, const Record& t) {
    Tiles tiles;
    tiles.across = (t.x1 - 1) / TILE - t.x0 / TILE + 1;
    tiles.count = tiles.across * ((t.y1 - 1) / TILE - t.y0 / TILE + 1);
    tiles.run = tiles.count <= RUN * p.parts ? RUN : (tiles.count + p.parts - 1) / p.parts;
    return tiles;
}

// The part of the box in one tile: [x0, x1) x [y0, y1).
__device__ inline void tile_at(const Record& t, const Tiles& tiles, u32 number, int& x0, int& x1, int& y0, int& y1) {
    u32 row = number / tiles.across;
    int x = (t.x0 / TILE + (int)(number - row * tiles.across)) * TILE, y = (t.y0 / TILE + (int)row) * TILE;
    x0 = t.x0 > x ? t.x0 : x, x1 = t.x1 < x + TILE ? t.x1 : x + TILE;
    y0 = t.y0 > y ? t.y0 : y, y1 = t.y1 < y + TILE ? t.y1 : y + TILE;
}

// Sets up the calling thread's triangle, of all views' triangles the one numbered flat; false if there is nothing to draw.
__device__ inline bool begin(const Params& p, u32 flat, Record& t) {
    t.face = 0;
    bool drawable = flat < p.total && set_up(p, flat, t);
    if (t.face == ~0u) atomicAdd(counter(p, N_INVALID), 1u);
    return drawable;
}

__device__ inline bool is_larger(const Params& p, const Record& t) {
    return (t.x1 - t.x0) * (t.y1 - t.y0) > p.small_box;
}

// Hands over the triangles of those threads that say so. Every thread of the block must call it, once.
__device__ inline void hand_over(const Params& p, const Record& t, bool mine) {
    if (!__syncthreads_or(mine)) return;
    u32 parts = 0;
    if (mine) {
        Tiles tiles = tiles_of(p, t);
        parts = is_medium(t) ? 1 : (tiles.count + tiles.run - 1) / tiles.run;
    }
    // One global atomic per block for each queue. Counters start at ~0, hence the 1.
    __shared__ u32 records, regions;
    if (threadIdx.x == 0) records = regions = 0;
    __syncthreads();
    u32 record = mine ? atomicAdd(&records, 1u) : 0, place = mine ? atomicAdd(&regions, parts) : 0;
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 first = atomicAdd(counter(p, N_RECORDS), records), start = atomicAdd(counter(p, N_REGIONS), regions);
        records = first + 1, regions = start + 1;
    }
    __syncthreads();
    record += records, place += regions;
    u32 fit = place >= p.region_capacity ? 0 : min(parts, p.region_capacity - place), entry = NOTHING;
    if (mine && record < p.record_capacity) p.records[record] = t, entry = record * PARTS;
    if (mine && (entry == NOTHING || fit < parts)) draw_box(p, t, true);  // drawing a part twice changes nothing
    if (parts == 1 && fit == 1) p.queue[place] = entry;
    if (!__syncthreads_or(parts > 1)) return;
    __shared__ u32 places[THREADS], counts[THREADS], entries[THREADS];
    places[threadIdx.x] = place, counts[threadIdx.x] = parts > 1 ? fit : 0, entries[threadIdx.x] = entry;
    __syncthreads();
    u32 lane = threadIdx.x & 31u;
    for (u32 k = threadIdx.x - lane, stop = k + 32u; k < stop; k++)
        for (u32 part = lane; part < counts[k]; part += 32u)
            p.queue[places[k] + part] = entries[k] == NOTHING ? NOTHING : entries[k] + part;
}

extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(6)) draw(Params p) {
    Record t;
    bool drawable = begin(p, blockIdx.x * THREADS + threadIdx.x, t), larger = drawable && is_larger(p, t);
    if (drawable && !larger) draw_box(p, t, p.look_first);
    hand_over(p, t, larger);
}

// A thread that draws alone waits for the largest box of its warp, and its atomics go to places of their own.
extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(4)) draw_shared(Params p) {
    __shared__ float numbers[10][THREADS];
    __shared__ u32 columns[THREADS], rows[THREADS], faces[THREADS], views[THREADS], count;
    if (threadIdx.x == 0) count = 0;
    Record t;
    bool drawable = begin(p, blockIdx.x * THREADS + threadIdx.x, t), larger = drawable && is_larger(p, t);
    __syncthreads();
    if (drawable && !larger) {
        u32 k = atomicAdd(&count, 1u);
        numbers[0][k] = t.ax, numbers[1][k] = t.ay, numbers[2][k] = t.acx, numbers[3][k] = t.acy;
        numbers[4][k] = t.abx, numbers[5][k] = t.aby, numbers[6][k] = t.inv;
        numbers[7][k] = t.za, numbers[8][k] = t.zb, numbers[9][k] = t.zc;
        columns[k] = (u32)t.x0 | (u32)t.x1 << 16, rows[k] = (u32)t.y0 | (u32)t.y1 << 16;
        faces[k] = t.face, views[k] = t.view;
    }
    __syncthreads();
    for (u32 k = threadIdx.x / 4; k < count; k += THREADS / 4) {
        Record s;
        s.ax = numbers[0][k], s.ay = numbers[1][k], s.acx = numbers[2][k], s.acy = numbers[3][k];
        s.abx = numbers[4][k], s.aby = numbers[5][k], s.inv = numbers[6][k];
        s.za = numbers[7][k], s.zb = numbers[8][k], s.zc = numbers[9][k];
        s.face = faces[k], s.view = views[k];
        int x0 = columns[k] & 0xffffu, x1 = columns[k] >> 16, y0 = rows[k] & 0xffffu, y1 = rows[k] >> 16;
        draw_columns(p, s, x0 + (int)(threadIdx.x % 4), x1, 4, y0, y1, 1);
    }
    hand_over(p, t, larger);
}

// True only where set_up would return false and no corner has a flaw: the box of the same screen coordinates holds no
// centre of a pixel, with a slack of 1/64 of its sides, which is at least set_up's where the triangle is sound.
__device__ inline bool misses(const Params& p, const float4 v[3]) {
    float4 s[3];
    float rest = 0.0f;
    bool finite = true;  // depth, which is not divided here
    for (int k = 0; k < 3; k++) {
        finite &= v[k].w == 1.0f || fabsf(v[k].z) <= fabsf(v[k].w) * 1e6f;
        s[k] = to_screen(p, v[k]);
        rest += v[k].z + v[k].w;
    }
    rest += (s[0].x + s[1].x + s[2].x) + (s[0].y + s[1].y + s[2].y);
    float low_x = fminf(fminf(s[0].x, s[1].x), s[2].x), high_x = fmaxf(fmaxf(s[0].x, s[1].x), s[2].x);
    float low_y = fminf(fminf(s[0].y, s[1].y), s[2].y), high_y = fmaxf(fmaxf(s[0].y, s[1].y), s[2].y);
    float wide = high_x - low_x, high = high_y - low_y;
    float area = (s[2].x - s[0].x) * (s[1].y - s[0].y) - (s[1].x - s[0].x) * (s[2].y - s[0].y);
    bool sound = (wide * high + wide + high) * 4.8876e-4f <= fabsf(area) && fabsf(area) < 1e30f;  // 2^-11 and a bit
    if (!(finite && rest - rest == 0.0f && sound)) return false;
    float slack_x = wide * 0.015625f, slack_y = high * 0.015625f;
    float x0 = fmaxf(ceilf(low_x - 0.5f - slack_x), 0.0f), x1 = fminf(floorf(high_x - 0.5f + slack_x), p.last_x);
    float y0 = fmaxf(ceilf(low_y - 0.5f - slack_y), 0.0f), y1 = fminf(floorf(high_y - 0.5f + slack_y), p.last_y);
    return x1 < x0 || y1 < y0;
}

extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(5)) draw_dense(Params p) {
    __shared__ u32 kept[THREADS * DENSE_EACH], count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    u32 start = blockIdx.x * (THREADS * DENSE_EACH) + threadIdx.x;
    u32 views[DENSE_EACH], index[DENSE_EACH][3];
    float4 v[DENSE_EACH][3];
    bool keep[DENSE_EACH];
    #pragma unroll  // all that is read is asked for before the first of it is used
    for (int k = 0; k < DENSE_EACH; k++) {
        u32 flat = min(start + k * THREADS, p.total - 1);
        views[k] = p.total == p.faces ? 0 : flat / p.faces;
        corners(p, flat - views[k] * p.faces, index[k]);
    }
    #pragma unroll
    for (int k = 0; k < DENSE_EACH; k++)
        for (int j = 0; j < 3; j++) v[k][j] = clip(p, views[k], index[k][j]);
    #pragma unroll
    for (int k = 0; k < DENSE_EACH; k++) keep[k] = start + k * THREADS < p.total && !misses(p, v[k]);
    #pragma unroll
    for (int k = 0; k < DENSE_EACH; k++)
        if (keep[k]) kept[atomicAdd(&count, 1u)] = start + k * THREADS;
    __syncthreads();
    for (u32 k = threadIdx.x, stop = count; k - threadIdx.x < stop; k += THREADS) {
        Record t;
        bool drawable = begin(p, k < stop ? kept[k] : ~0u, t), larger = drawable && is_larger(p, t);
        if (drawable && !larger) draw_box(p, t, p.look_first);
        hand_over(p, t, larger);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(5)) regions(Params p) {
    u32 lane = threadIdx.x & 31u, groups = gridDim.x * (THREADS / 32);
    u32 count = *counter(p, N_REGIONS) + 1;
    if (count > p.region_capacity) count = p.region_capacity;
    for (u32 entry = blockIdx.x * (THREADS / 32) + threadIdx.x / 32; entry < count; entry += groups) {
        u32 place = p.queue[entry], part = place % PARTS;
        if (place == NOTHING) continue;
        const Record t = p.records[place / PARTS];
        if (is_medium(t)) {
            u32 wide = t.x1 - t.x0, pixels = wide * (u32)(t.y1 - t.y0);
            u32 magic = 65536u / wide + 1u;  // i * magic >> 16 is i / wide for i < 1024 and wide <= 64
            u32 first = (t.view * p.height + t.y0) * p.width + t.x0;
            for (u32 i = lane; i < pixels; i += 32u) {
                u32 row = i * magic >> 16, column = i - row * wide;
                float dx = (float)(t.x0 + (int)column) + 0.5f - t.ax, dy = (float)(t.y0 + (int)row) + 0.5f - t.ay;
                float beta = (t.acx * dy - dx * t.acy) * t.inv, gamma = (dx * t.aby - t.abx * dy) * t.inv;
                if (beta >= 0.0f && gamma >= 0.0f) fragment(p, t, first + row * p.width + column, beta, gamma, false);
            }
            continue;
        }
        Tiles tiles = tiles_of(p, t);
        u32 stop = (part + 1) * tiles.run < tiles.count ? (part + 1) * tiles.run : tiles.count;
        for (u32 start = part * tiles.run; start < stop; start += 32u) {  // each thread tests one tile
            int x0, x1, y0, y1;
            bool mine = start + lane < stop;
            tile_at(t, tiles, mine ? start + lane : start, x0, x1, y0, y1);
            for (u32 left = votes(mine && touches(t, x0, x1, y0, y1)); left; left &= left - 1u) {
                tile_at(t, tiles, start + __ffs((int)left) - 1, x0, x1, y0, y1);
                draw_columns(p, t, x0 + (int)(lane % TILE), x1, TILE, y0 + (int)(lane / TILE), y1, 32 / TILE);
            }
        }
    }
}

// Blocks are those of an image row: x counts THREADS pixels, y rows, z views.
extern "C" __global__ void __launch_bounds__(THREADS) resolve(Params p) {
    u32 x = blockIdx.x * THREADS + threadIdx.x, row = blockIdx.z * p.height + blockIdx.y;
    if ((row | x) == 0) {
        *p.invalid = *counter(p, N_INVALID) + 1;
        for (int which = 0; which < COUNTERS; which++) *counter(p, which) = ~0u;
    }
    if (x >= (u32)p.width) return;
    u32 pixel = row * p.width + x;
    u64 word = p.words[pixel];
    bool drawn = ((u32)(word >> 32) & p.epoch_mask) == p.epoch_high;
    u32 face = (u32)word & p.face_mask;
    STREAM(p.findices + pixel, drawn ? (int)face + 1 : 0);
    if (!p.barycentric) return;
    float3 weights = drawn ? weights_at(p, face, blockIdx.z, x, blockIdx.y) : make_float3(0.0f, 0.0f, 0.0f);
    float* out = p.barycentric + (u64)pixel * 3;
    STREAM(out, weights.x), STREAM(out + 1, weights.y), STREAM(out + 2, weights.z);
}

// Face indices and barycentrics are those of the run that is given.
extern "C" __global__ void __launch_bounds__(THREADS) weigh(Params p) {
    u32 pixel = blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= p.count) return;
    u32 row = (p.first + pixel) / p.width, x = (p.first + pixel) % p.width, found = (u32)p.findices[pixel];
    float3 weights = make_float3(0.0f, 0.0f, 0.0f);
    if (found) {
        u32 face = found - 1 < p.faces ? found - 1 : p.faces - 1;
        weights = weights_at(p, face, row / p.height, x, row % p.height);
    }
    float* out = p.barycentric + (u64)pixel * 3;
    STREAM(out, weights.x), STREAM(out + 1, weights.y), STREAM(out + 2, weights.z);
}
