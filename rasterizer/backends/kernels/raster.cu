// Rasterization kernels: one source for CUDA (NVRTC) and HIP (hipRTC), no headers, no assumption on the warp size.
//
// The rule is that of rasterizer/arithmetic.py, bit for bit: compiled without contraction of multiply-adds, every
// operation below rounds once. A pixel is one 64-bit word, depth step above face index, merged by atomicMin.
//
//   prepare  clears words and counters, maps vertices to the screen
//   draw     a thread per triangle: draws small boxes itself, passes larger ones on
//   split    a thread per larger triangle: hands medium boxes over as one region, cuts large ones into tiles and hands
//            over those the triangle may touch, passes huge ones on
//   expand   a thread block per huge triangle, cutting with all its threads
//   regions  32 threads per region
//   resolve  a thread per pixel: face index and perspective-correct barycentrics of the winner
//
// Queues are bounded. Whoever finds one full draws the region itself: slower, and the same pixels.

#ifdef __HIP__
#pragma clang fp contract(off)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

enum { N_LARGER, N_RECORDS, N_REGIONS, N_HUGE, N_INVALID, COUNTERS };

struct Params {
    const float4* pos;        // [views * vertices] clip space
    float4* screen;           // [views * vertices] (sx, sy, sz, w), or null where that would take too much memory
    const void* tri;          // [faces, 3] int32 or int64
    const float* prior;       // [views * height * width] NDC depth, or null
    u64* words;               // [views * height * width]
    u32* counters;            // [COUNTERS]
    u32* larger;              // views * faces + face of triangles that draw passes on
    struct Record* records;   // triangles that regions refer to
    struct Region* queue;
    u32* huge;                // indices of records
    u32* invalid;             // [1] faces with a corner that is not finite on the screen
    int* findices;            // [views * height * width]
    float* barycentric;       // [views * height * width, 3]
    u64 corners;              // views * vertices
    u32 total;                // views * faces
    u32 pixels;               // views * height * width
    u32 faces, vertices;
    int width, height;
    int tri_is_64;
    int small_box;            // pixels that a single thread draws
    int look_first;           // whether draw reads a word before its atomic
    u32 larger_capacity, record_capacity, region_capacity, huge_capacity;
    float truncation;
};

struct Record {
    float ax, ay, acx, acy, abx, aby, inv, za, zb, zc;
    short x0, x1, y0, y1;     // [x0, x1) x [y0, y1)
    u32 face, view;
};

struct Region {
    u32 record;
    short x0, x1, y0, y1;
};

#define TILE 16               // side of the tiles that large boxes are cut into
#define MEDIUM 1024           // pixels of a box that is handed over uncut; regions divide by the width below
#define MEDIUM_SIDE 64
#define DIRECT 32             // tiles that the thread of a triangle tests itself

// A vertex on the screen, sx being NaN unless all of it is finite.
__device__ inline float4 to_screen(float4 v, int width, int height) {
    float4 s;
    s.x = (v.x / v.w * 0.5f + 0.5f) * (float)(width - 1) + 0.5f;
    s.y = (0.5f + (0.5f * v.y) / v.w) * (float)(height - 1) + 0.5f;
    s.z = v.z / v.w * 0.49999f + 0.5f;
    s.w = v.w;
    float none = (s.x - s.x) + (s.y - s.y) + (s.z - s.z) + (s.w - s.w);  // 0, or NaN
    s.x += none;
    return s;
}

__device__ inline void corners(const Params& p, u32 face, u32 view, u32 index[3]) {
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

__device__ inline float least(float a, float b) { return a < b ? a : b; }
__device__ inline float most(float a, float b) { return a > b ? a : b; }

__device__ inline float4 vertex(const Params& p, u32 view, u32 index) {
    u64 place = (u64)view * p.vertices + index;
    return p.screen ? p.screen[place] : to_screen(p.pos[place], p.width, p.height);
}

// First pixel and one past the last whose centre [low, high] may cover; see backends/eager/boxes.py for the slack.
__device__ inline void pixel_range(float low, float high, float slack, int size, short& first, short& stop) {
    float limit = (float)size + 4.0f;
    low = most(least(low, limit), -4.0f);
    high = most(least(high, limit), -4.0f);
    float from = most(truncf(low), ceilf(low - 0.5f - slack));
    float to = least(ceilf(high + 1.0f), floorf(high - 0.5f + slack) + 1.0f);
    first = (short)most(least(from, (float)size), 0.0f);
    stop = (short)most(least(to, (float)size), 0.0f);
}

// Triangle setup; false if nothing can be covered.
__device__ inline bool set_up(const Params& p, u32 flat, Record& t) {
    u32 view = p.total == p.faces ? 0 : flat / p.faces, face = flat - view * p.faces, index[3];
    corners(p, face, view, index);
    float4 a = vertex(p, view, index[0]), b = vertex(p, view, index[1]), c = vertex(p, view, index[2]);
    if (!((a.x - a.x) + (b.x - b.x) + (c.x - c.x) == 0.0f)) {
        t.face = ~0u;
        return false;
    }
    t.face = face, t.view = view;
    t.ax = a.x, t.ay = a.y;
    t.acx = c.x - a.x, t.acy = c.y - a.y, t.abx = b.x - a.x, t.aby = b.y - a.y;
    float area = t.acx * t.aby - t.abx * t.acy;
    if (area == 0.0f) return false;
    float low_x = least(least(a.x, b.x), c.x), high_x = most(most(a.x, b.x), c.x);
    float low_y = least(least(a.y, b.y), c.y), high_y = most(most(a.y, b.y), c.y);
    float wide = high_x - low_x, high = high_y - low_y;
    t.inv = 1.0f / area;
    float slack = (wide * high + wide + high) * 7.62939453125e-6f * fabsf(t.inv);
    bool sound = slack < 0.125f && area - area == 0.0f;
    pixel_range(low_x, high_x, sound ? wide * slack : 2.0f, p.width, t.x0, t.x1);
    pixel_range(low_y, high_y, sound ? high * slack : 2.0f, p.height, t.y0, t.y1);
    if (t.x1 <= t.x0 || t.y1 <= t.y0) return false;
    t.za = a.z, t.zb = b.z, t.zc = c.z;
    return true;
}

// Depth test at a pixel where beta and gamma are not negative, and its word if it is the nearest so far.
// Where few fragments lose, looking first costs more than it saves: an atomic without a result is not waited for.
__device__ inline void fragment(const Params& p, const Record& t, int x, int y, float beta, float gamma, bool look) {
    float alpha = (float)((1.0 - (double)beta) - (double)gamma);
    if (!(alpha >= 0.0f)) return;
    float depth = (t.za * alpha + t.zb * beta) + t.zc * gamma;
    u32 pixel = (t.view * p.height + y) * p.width + x;
    float threshold = 0.0f;
    if (p.prior) threshold = (p.prior[pixel] * 0.49999f + 0.5f) + p.truncation;
    float step = depth * 262144.0f;
    if (depth < threshold || !(step > -1.0f) || !(depth < 8192.0f)) return;
    u64 word = (u64)(u32)(int)step << 32 | t.face;
    if (!look || word < p.words[pixel]) atomicMin(&p.words[pixel], word);
}

// False where an edge proves that the triangle covers no pixel of the box; see touched() in backends/eager/boxes.py.
__device__ inline bool touches(const Record& t, int x0, int x1, int y0, int y1) {
    float half_x = (float)(x1 - 1 - x0) * 0.5f, half_y = (float)(y1 - 1 - y0) * 0.5f;
    float dx = (float)x0 + half_x + 0.5f - t.ax, dy = (float)y0 + half_y + 0.5f - t.ay;
    float far_x = fabsf(dx) + half_x, far_y = fabsf(dy) + half_y;
    float sign = t.inv < 0.0f ? -1.0f : 1.0f;
    float beta_slack = (fabsf(t.acx) * far_y + far_x * fabsf(t.acy)) * 9.5367431640625e-7f;
    float gamma_slack = (fabsf(t.abx) * far_y + far_x * fabsf(t.aby)) * 9.5367431640625e-7f;
    float beta = t.acx * dy - dx * t.acy, gamma = dx * t.aby - t.abx * dy;
    float beta_most = beta * sign + fabsf(t.acx) * half_y + fabsf(t.acy) * half_x;
    float gamma_most = gamma * sign + fabsf(t.abx) * half_y + fabsf(t.aby) * half_x;
    float both_least = (beta + gamma) * sign - fabsf(t.acx - t.abx) * half_y - fabsf(t.aby - t.acy) * half_x;
    float area = t.acx * t.aby - t.abx * t.acy;
    float sure = beta_most + gamma_most + both_least;
    if (!(sure - sure == 0.0f)) return true;
    return !(beta_most < -beta_slack || gamma_most < -gamma_slack
             || both_least > fabsf(area) + beta_slack + gamma_slack);
}

__device__ inline void draw_box(const Params& p, const Record& t, int x0, int x1, int y0, int y1, bool look = true) {
    for (int y = y0; y < y1; y++) {
        float dy = (float)y + 0.5f - t.ay, row_beta = t.acx * dy, row_gamma = t.abx * dy;
        float centre = (float)x0 + 0.5f;  // counts up without rounding
        for (int x = x0; x < x1; x++, centre += 1.0f) {
            float dx = centre - t.ax;
            float beta = (row_beta - dx * t.acy) * t.inv, gamma = (dx * t.aby - row_gamma) * t.inv;
            if (beta >= 0.0f && gamma >= 0.0f) fragment(p, t, x, y, beta, gamma, look);
        }
    }
}

__device__ inline int tile_count(const Record& t, int& across) {
    across = (t.x1 - 1) / TILE - t.x0 / TILE + 1;
    return across * ((t.y1 - 1) / TILE - t.y0 / TILE + 1);
}

__device__ inline Region tile_of(const Record& t, int number, int across) {
    int row = number / across;
    int x = (t.x0 / TILE + number - row * across) * TILE, y = (t.y0 / TILE + row) * TILE;
    Region region;
    region.record = 0;
    region.x0 = t.x0 > x ? t.x0 : x, region.x1 = t.x1 < x + TILE ? t.x1 : x + TILE;
    region.y0 = t.y0 > y ? t.y0 : y, region.y1 = t.y1 < y + TILE ? t.y1 : y + TILE;
    return region;
}

// Reserve `count` places of a queue for the calling thread with one global atomic per thread block.
// Every thread of the block must call it. Returns the first place; several may lie beyond the capacity.
__device__ inline u32 reserve(u32* counter, u32 count, u32* shared) {
    if (threadIdx.x == 0) shared[0] = 0;
    __syncthreads();
    u32 local = count ? atomicAdd(&shared[0], count) : 0;
    __syncthreads();
    if (threadIdx.x == 0 && shared[0]) shared[1] = atomicAdd(counter, shared[0]);
    __syncthreads();
    u32 place = shared[1] + local;
    __syncthreads();
    return place;
}

extern "C" __global__ void __launch_bounds__(256) prepare(Params p) {
    u64 first = (u64)blockIdx.x * blockDim.x + threadIdx.x, stride = (u64)gridDim.x * blockDim.x;
    if (first < COUNTERS) p.counters[first] = 0;
    for (u64 i = first; i < p.pixels; i += stride) p.words[i] = ~0ull;
    if (p.screen)
        for (u64 i = first; i < p.corners; i += stride) p.screen[i] = to_screen(p.pos[i], p.width, p.height);
}

extern "C" __global__ void __launch_bounds__(256) draw(Params p) {
    __shared__ u32 shared[2];
    u32 flat = blockIdx.x * blockDim.x + threadIdx.x;
    Record t;
    t.face = 0;
    bool drawable = flat < p.total && set_up(p, flat, t);
    if (t.face == ~0u) atomicAdd(&p.counters[N_INVALID], 1u);
    bool larger = drawable && (t.x1 - t.x0) * (t.y1 - t.y0) > p.small_box;
    if (threadIdx.x == 0) shared[1] = 0;
    __syncthreads();
    if (larger) shared[1] = 1;
    if (drawable && !larger) draw_box(p, t, t.x0, t.x1, t.y0, t.y1, p.look_first);
    __syncthreads();
    if (!shared[1]) return;
    __syncthreads();
    u32 place = reserve(&p.counters[N_LARGER], larger, shared);
    if (!larger) return;
    if (place < p.larger_capacity) p.larger[place] = flat;
    else draw_box(p, t, t.x0, t.x1, t.y0, t.y1);
}

// What split does with one larger triangle; every thread of the block must call it.
__device__ inline void hand_over(const Params& p, const Record& t, bool larger, u32* shared) {
    int wide = 0, high = 0;
    if (larger) wide = t.x1 - t.x0, high = t.y1 - t.y0;
    bool medium = larger && wide * high <= MEDIUM && wide <= MEDIUM_SIDE && high <= MEDIUM_SIDE;
    int across = 1, tiles = 0;
    if (larger && !medium) tiles = tile_count(t, across);
    bool is_huge = tiles > DIRECT;
    u32 keep = 0, regions = medium;
    for (int number = 0; number < tiles && !is_huge; number++) {
        Region r = tile_of(t, number, across);
        if (touches(t, r.x0, r.x1, r.y0, r.y1)) keep |= 1u << number, regions++;
    }
    bool needs_record = is_huge || regions;
    u32 record = reserve(&p.counters[N_RECORDS], needs_record, shared);
    bool stored = needs_record && record < p.record_capacity;
    if (stored) p.records[record] = t;
    u32 place = reserve(&p.counters[N_REGIONS], stored ? regions : 0, shared);
    u32 huge = reserve(&p.counters[N_HUGE], stored && is_huge, shared);
    if (is_huge) {
        if (stored && huge < p.huge_capacity) p.huge[huge] = record;
        else draw_box(p, t, t.x0, t.x1, t.y0, t.y1);
        return;
    }
    for (int number = 0; number < (medium ? 1 : tiles); number++) {
        Region r;
        if (medium) r.x0 = t.x0, r.x1 = t.x1, r.y0 = t.y0, r.y1 = t.y1;
        else if (keep >> number & 1) r = tile_of(t, number, across);
        else continue;
        r.record = record;
        if (stored && place < p.region_capacity) p.queue[place++] = r;
        else draw_box(p, t, r.x0, r.x1, r.y0, r.y1);
    }
}

extern "C" __global__ void __launch_bounds__(256) split(Params p) {
    __shared__ u32 shared[2];
    u32 count = p.counters[N_LARGER];
    if (count > p.larger_capacity) count = p.larger_capacity;
    for (u32 start = blockIdx.x * blockDim.x; start < count; start += gridDim.x * blockDim.x) {
        u32 entry = start + threadIdx.x;
        Record t;
        bool larger = entry < count && set_up(p, p.larger[entry], t);
        hand_over(p, t, larger, shared);
        __syncthreads();
    }
}

extern "C" __global__ void __launch_bounds__(256) expand(Params p) {
    __shared__ u32 shared[2];
    u32 count = p.counters[N_HUGE];
    if (count > p.huge_capacity) count = p.huge_capacity;
    for (u32 entry = blockIdx.x; entry < count; entry += gridDim.x) {
        u32 record = p.huge[entry];
        Record t = p.records[record];
        int across, tiles = tile_count(t, across);
        for (int start = 0; start < tiles; start += blockDim.x) {
            int number = start + threadIdx.x;
            Region r = tile_of(t, number < tiles ? number : 0, across);
            bool keep = number < tiles && touches(t, r.x0, r.x1, r.y0, r.y1);
            u32 place = reserve(&p.counters[N_REGIONS], keep, shared);
            r.record = record;
            if (keep && place < p.region_capacity) p.queue[place] = r;
            else if (keep) draw_box(p, t, r.x0, r.x1, r.y0, r.y1);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) regions(Params p) {
    u32 lane = threadIdx.x & 31u, groups = gridDim.x * (blockDim.x >> 5);
    u32 count = p.counters[N_REGIONS];
    if (count > p.region_capacity) count = p.region_capacity;
    for (u32 entry = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); entry < count; entry += groups) {
        Region r = p.queue[entry];
        const Record t = p.records[r.record];
        u32 wide = r.x1 - r.x0, pixels = wide * (u32)(r.y1 - r.y0);
        u32 magic = 65536u / wide + 1u;  // i * magic >> 16 is i / wide for i < 1024 and wide <= 64
        for (u32 i = lane; i < pixels; i += 32u) {
            u32 row = i * magic >> 16;
            int x = r.x0 + (int)(i - row * wide), y = r.y0 + (int)row;
            float dx = (float)x + 0.5f - t.ax, dy = (float)y + 0.5f - t.ay;
            float beta = (t.acx * dy - dx * t.acy) * t.inv, gamma = (dx * t.aby - t.abx * dy) * t.inv;
            if (beta >= 0.0f && gamma >= 0.0f) fragment(p, t, x, y, beta, gamma, true);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) resolve(Params p) {
    u32 pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel == 0) *p.invalid = p.counters[N_INVALID];
    if (pixel >= p.pixels) return;
    u64 word = p.words[pixel];
    float a = 0.0f, b = 0.0f, c = 0.0f;
    int found = 0;
    if (word != ~0ull) {
        u32 face = (u32)word, line = pixel / p.width, view = line / p.height, index[3];
        found = (int)face + 1;
        corners(p, face, view, index);
        float4 u = vertex(p, view, index[0]), v = vertex(p, view, index[1]), w = vertex(p, view, index[2]);
        float acx = w.x - u.x, acy = w.y - u.y, abx = v.x - u.x, aby = v.y - u.y;
        float inv = 1.0f / (acx * aby - abx * acy);
        float dx = (float)(pixel - line * p.width) + 0.5f - u.x;
        float dy = (float)(line - view * p.height) + 0.5f - u.y;
        float beta = (acx * dy - dx * acy) * inv, gamma = (dx * aby - abx * dy) * inv;
        float alpha = (float)((1.0 - (double)beta) - (double)gamma);
        a = alpha / u.w, b = beta / v.w, c = gamma / w.w;
        float scale = 1.0f / ((a + b) + c);
        a *= scale, b *= scale, c *= scale;
    }
    p.findices[pixel] = found;
    float* out = p.barycentric + (u64)pixel * 3;
    out[0] = a, out[1] = b, out[2] = c;
}
