// Which triangle is seen at every pixel, by rasterizer/contract/diff_rule.py, bit for bit. Params, Record and the
// constants that Python knows too are described in coverage.py. A launch draws one tile of several images.
//
//   draw         a thread per triangle: draws small boxes itself and hands larger ones over, medium ones whole, large
//                ones as runs of blocks; sets aside what has to be clipped
//   draw_shared  the same, but small boxes are drawn by four threads each
//   clip         a thread per triangle that was set aside, whose pieces go the same two ways
//   regions      32 threads per medium box or run of blocks
//
// The z-buffer has a 64-bit word per pixel, all bits of which are set where nothing has been drawn. Fragments are merged
// by atomicMin, so the nearest wins, and of equally near ones the last triangle:
//
//     63          32 31               0
//    +--------------+------------------+
//    |   depth D    |   ~0 - triangle  |
//    +--------------+------------------+
//
// Queues: `aside` has an entry for 32 triangles of which some are to be clipped, and room for all. The other two are
// bounded: Records of triangles that are handed over, and regions, which are parts of their boxes:
//
//     31                  8 7            0
//    +---------------------+--------------+
//    |   place of Record   | part of box  |    as PARTS is 256; all bits are set where there is nothing to draw
//    +---------------------+--------------+
//
// Whoever finds a queue full draws the region itself: slower, and the same pixels.

#define NOTHING (~0u)         // a region of a box whose Record found no room
#define MEDIUM 1024           // pixels of a box that is one region; regions divide by its width
#define MEDIUM_SIDE 64

// Counters lie in front of the z-buffer, and stand at ~0 when they mean none.
__device__ inline u32* counter(const Params& p, int which) { return (u32*)(p.words - COUNTER_WORDS) + which; }

// A point on the screen: x in the lower half, y in the upper, in 16ths of a pixel.
struct Snapped {
    u32 place, depth;
};

// A triangle on the screen in positive orientation, and its box of candidate pixels: [x0, x1) x [y0, y1).
struct Triangle {
    int ax, ay, bx, by, cx, cy, x0, x1, y0, y1;
    u32 za, zb, zc, face, view;  // view: of the launch
};

// ---- From clip space to the screen

__device__ inline bool is_finite(float4 v) { return (v.x - v.x) + (v.y - v.y) + (v.z - v.z) + (v.w - v.w) == 0.0f; }

// Clip coordinates of a triangle's vertices on the launch's tile; false if they are none of the mesh's.
__device__ inline bool load(const Params& p, u32 face, u32 view, float4 v[3]) {
    const u32* row = p.tri + (u64)face * 3;
    u32 index[3] = {row[0], row[1], row[2]};
    if (index[0] >= p.vertices || index[1] >= p.vertices || index[2] >= p.vertices) return false;
    const float4* vertices = p.pos + (u64)(p.first + view) * p.stride;
    for (int k = 0; k < 3; k++) v[k] = vertices[index[k]];
    if (p.tiled)
        for (int k = 0; k < 3; k++) {
            v[k].x = v[k].x * p.scale_x + v[k].w * p.shift_x;
            v[k].y = v[k].y * p.scale_y + v[k].w * p.shift_y;
        }
    return true;
}

// What of NaN this lets pass, snap does not.
__device__ inline bool is_inside(float4 v) {
    return v.w >= fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fabsf(v.z)) && v.w <= 3.402823466e38f;
}

__device__ inline bool all_beyond(float a, float b, float c, float aw, float bw, float cw) {
    return (a > aw && b > bw && c > cw) || (a < -aw && b < -bw && c < -cw);
}

// False if the point is not finite on the screen.
__device__ inline bool snap(const Params& p, float4 v, Snapped& s) {
    float r = 1.0f / v.w, x = v.x * r, y = v.y * r, depth = fmaf(v.z * DEPTH_SCALE, r, (float)DEPTH_ORIGIN);
    if (!((x - x) + (y - y) + (depth - depth) == 0.0f)) return false;
    x = fminf(fmaxf(rintf(x * p.half_x), -p.half_x), p.half_x) + p.half_x;
    y = fminf(fmaxf(rintf(y * p.half_y), -p.half_y), p.half_y) + p.half_y;
    s.place = (u32)(int)x | (u32)(int)y << 16;
    s.depth = (u32)fminf(fmaxf(depth, 0.0f), (float)DEPTH_MOST);
    return true;
}

__device__ inline int least(int a, int b, int c) { return min(min(a, b), c); }
__device__ inline int most(int a, int b, int c) { return max(max(a, b), c); }

// Twice the area of a triangle in squares of 16ths of a pixel; positive once it has been oriented.
__device__ inline int area_of(const Triangle& t) {
    return (t.bx - t.ax) * (t.cy - t.ay) - (t.by - t.ay) * (t.cx - t.ax);
}

__device__ inline void place_corners(Triangle& t, u32 a, u32 b, u32 c) {
    t.ax = a & 0xffffu, t.ay = a >> 16, t.bx = b & 0xffffu, t.by = b >> 16, t.cx = c & 0xffffu, t.cy = c >> 16;
    t.x0 = (least(t.ax, t.bx, t.cx) + 7) >> 4, t.x1 = (most(t.ax, t.bx, t.cx) + 8) >> 4;
    t.y0 = (least(t.ay, t.by, t.cy) + 7) >> 4, t.y1 = (most(t.ay, t.by, t.cy) + 8) >> 4;
}

// Triangle setup but for face and view; false if nothing can be covered.
__device__ inline bool set_up(Triangle& t, Snapped a, Snapped b, Snapped c) {
    place_corners(t, a.place, b.place, c.place);
    if (t.x0 >= t.x1 || t.y0 >= t.y1) return false;
    int area = area_of(t);
    if (area < 0) {
        place_corners(t, a.place, c.place, b.place);
        Snapped swapped = b;
        b = c, c = swapped;
    }
    t.za = a.depth, t.zb = b.depth, t.zc = c.depth;
    return area != 0;
}

// ---- Fragments

// What changes from pixel to pixel, and what from triangle to triangle. A centre is covered where no edge is negative:
// edges that do not take what lies on them are 1 less than by the rule, and `more` makes up for it in the depth.
struct Edges {
    int across[3], down[3];  // of the edge opposite each corner: what it gains from a pixel to the next
    u32 depth[3], low;       // of the corners, above that of the nearest
    u32 area;
    float inverse;  // 1 / area
    u64 more;
};

__device__ inline int edge(Edges& s, int which, int from_x, int from_y, int to_x, int to_y, int x, int y) {
    int dx = to_x - from_x, dy = to_y - from_y;
    int strict = !(dy < 0 || (dy == 0 && dx > 0));
    s.across[which] = -16 * dy, s.down[which] = 16 * dx;
    if (strict) s.more += s.depth[which];
    return dx * (16 * y + 8 - from_y) - dy * (16 * x + 8 - from_x) - strict;
}

// Values of the edges at a pixel, and all that fragments of the triangle need.
__device__ inline int3 prepare(const Triangle& t, Edges& s, int x, int y) {
    s.low = min(min(t.za, t.zb), t.zc), s.more = 0;
    s.depth[0] = t.za - s.low, s.depth[1] = t.zb - s.low, s.depth[2] = t.zc - s.low;
    s.area = (u32)area_of(t), s.inverse = 1.0f / (float)s.area;
    int3 e;
    e.x = edge(s, 0, t.bx, t.by, t.cx, t.cy, x, y);
    e.y = edge(s, 1, t.cx, t.cy, t.ax, t.ay, x, y);
    e.z = edge(s, 2, t.ax, t.ay, t.bx, t.by, x, y);
    return e;
}

// Within 2 * 2^-24 of a number. Converting 64 bits at once is slow on some devices.
__device__ inline float rounded(u64 value) { return fmaf((float)(u32)(value >> 32), 4294967296.0f, (float)(u32)value); }

// floor(sum / area) where that is below 2^32. The first estimate errs by less than 8 * 2^-24 before it is made too small
// by as much, which leaves less than 2^12 for the second; that one errs by less than 1.
__device__ inline u32 quotient(u64 sum, u32 area, float inverse) {
    u32 found = (u32)(rounded(sum) * inverse * 0.99999952316284f);
    u64 rest = sum - (u64)found * area;
    u32 more = (u32)(rounded(rest) * inverse);
    i64 left = (i64)(rest - (u64)more * area);
    return found + more - (u32)(left < 0) + (u32)(left >= (i64)area);
}

__device__ inline u32 depth_at(const Edges& s, int3 e) {
    if ((s.depth[0] | s.depth[1] | s.depth[2]) == 0) return s.low;
    u64 sum = s.more + (u64)(u32)e.x * s.depth[0] + (u64)(u32)e.y * s.depth[1] + (u64)(u32)e.z * s.depth[2];
    return s.low + quotient(sum, s.area, s.inverse);
}

// Draws the fragment of a covered pixel. Where few lose, looking first costs more than it saves: an atomic without a
// result is not waited for.
__device__ inline void fragment(const Params& p, const Triangle& t, const Edges& s, int3 e, int x, int y, bool look) {
    u32 depth = depth_at(s, e);
    if (p.behind) {
        u64 row = (u64)(p.first + t.view) * p.height + p.top + y;
        if ((int)(depth - (u32)DEPTH_ORIGIN) <= p.behind[row * p.width + p.left + x]) return;
    }
    u64 word = (u64)depth << 32 | (~0u - t.face), *place = p.words + (t.view * p.tile_height + y) * p.tile_width + x;
    if (!look || word < *place) atomicMin(place, word);
}

__device__ inline bool covers(int3 e) { return (e.x | e.y | e.z) >= 0; }

__device__ inline int3 moved(int3 e, const int by[3], int times) {
    e.x += by[0] * times, e.y += by[1] * times, e.z += by[2] * times;
    return e;
}

// Draws a part of a box with threads that lie `step` columns and `rows` rows apart; x and y are the calling thread's
// first pixel, where the edges are e.
__device__ inline void draw_part(
    const Params& p, const Triangle& t, const Edges& s, int3 e, int x, int x1, int step, int y, int y1, int rows, bool look
) {
    for (; y < y1; y += rows, e = moved(e, s.down, rows)) {
        int3 at = e;
        for (int column = x; column < x1; column += step, at = moved(at, s.across, step))
            if (covers(at)) fragment(p, t, s, at, column, y, look);
    }
}

__device__ inline void draw_box(const Params& p, const Triangle& t) {
    Edges s;
    int3 e = prepare(t, s, t.x0, t.y0);
    draw_part(p, t, s, e, t.x0, t.x1, 1, t.y0, t.y1, 1, p.look_first);
}

// ---- Queues

__device__ inline bool is_medium(const Triangle& t) {
    int wide = t.x1 - t.x0, high = t.y1 - t.y0;
    return wide * high <= MEDIUM && wide <= MEDIUM_SIDE && high <= MEDIUM_SIDE;
}

__device__ inline bool is_larger(const Params& p, const Triangle& t) {
    return (t.x1 - t.x0) * (t.y1 - t.y0) > p.small_box;
}

// Blocks of the screen that the box of a large triangle meets, in rows of `across`, and how many of them are a region.
struct Blocks {
    u32 across, count, run;
};

__device__ inline Blocks blocks_of(const Params& p, const Triangle& t) {
    Blocks b;
    b.across = (t.x1 - 1) / BLOCK - t.x0 / BLOCK + 1;
    b.count = b.across * ((t.y1 - 1) / BLOCK - t.y0 / BLOCK + 1);
    b.run = b.count <= RUN * p.parts ? RUN : (b.count + p.parts - 1) / p.parts;
    return b;
}

// The part of the box in one block: [x0, x1) x [y0, y1).
__device__ inline void block_at(const Triangle& t, const Blocks& b, u32 number, int& x0, int& x1, int& y0, int& y1) {
    u32 row = number / b.across;
    int x = (t.x0 / BLOCK + (int)(number - row * b.across)) * BLOCK, y = (t.y0 / BLOCK + (int)row) * BLOCK;
    x0 = max(t.x0, x), x1 = min(t.x1, x + BLOCK), y0 = max(t.y0, y), y1 = min(t.y1, y + BLOCK);
}

// As packed in a Record, and back.
__device__ inline Record packed(const Triangle& t) {
    Record r;
    r.a = (u32)t.ax | (u32)t.ay << 16, r.b = (u32)t.bx | (u32)t.by << 16, r.c = (u32)t.cx | (u32)t.cy << 16;
    r.za = t.za, r.zb = t.zb, r.zc = t.zc, r.face = t.face, r.view = t.view;
    return r;
}

__device__ inline Triangle unpacked(const Record& r) {
    Triangle t;
    place_corners(t, r.a, r.b, r.c);
    t.za = r.za, t.zb = r.zb, t.zc = r.zc, t.face = r.face, t.view = r.view;
    return t;
}

// Hands over the triangles of those threads that say so; false if the thread is to draw its own. All of a group of 32
// must call it.
__device__ inline bool hand_over(const Params& p, const Triangle& t, bool mine) {
    u32 who = votes(mine);
    if (!who) return false;
    u32 lane = threadIdx.x & 31u, parts = 0;
    if (mine) {
        Blocks b = blocks_of(p, t);
        parts = is_medium(t) ? 1 : (b.count + b.run - 1) / b.run;
    }
    u32 stop = parts;  // one past the thread's regions, among those of the group
    for (u32 by = 1; by < 32; by *= 2) {
        u32 before = from_lane(stop, (lane - by) & 31u);
        if (lane >= by) stop += before;
    }
    u32 all = from_lane(stop, 31), record = 0, place = 0;
    if (lane == 0) record = atomicAdd(counter(p, N_RECORDS), __popc(who)), place = atomicAdd(counter(p, N_REGIONS), all);
    record = from_lane(record, 0) + 1 + __popc(who & ((1u << lane) - 1u));
    place = from_lane(place, 0) + 1 + stop - parts;
    u32 fit = place >= p.region_capacity ? 0 : min(parts, p.region_capacity - place), entry = NOTHING;
    if (mine && record < p.record_capacity) p.records[record] = packed(t), entry = record * PARTS;
    if (parts == 1 && fit == 1) p.regions[place] = entry;
    for (u32 left = votes(parts > 1); left; left &= left - 1u) {
        u32 k = (u32)__ffs((int)left) - 1u;
        u32 first = from_lane(place, k), count = from_lane(fit, k), one = from_lane(entry, k);
        for (u32 part = lane; part < count; part += 32u) p.regions[first + part] = one == NOTHING ? NOTHING : one + part;
    }
    return entry != NOTHING && fit == parts;  // drawing a part twice changes nothing
}

// ---- draw

// Sets up the calling thread's triangle, or puts it aside; false if there is nothing to draw. All threads must call it.
__device__ inline bool begin(const Params& p, Triangle& t) {
    u32 number = blockIdx.x * THREADS + threadIdx.x, view = blockIdx.y, start = 0, stop = p.faces;
    if (p.ranged) start = p.ranges[2 * view], stop = p.ranges[2 * view + 1];
    bool drawn = false, aside = false;
    t.face = start + number, t.view = view;
    float4 v[3];
    if (number < stop - start && load(p, t.face, view, v)) {
        if (is_inside(v[0]) && is_inside(v[1]) && is_inside(v[2])) {
            Snapped a, b, c;
            drawn = snap(p, v[0], a) && snap(p, v[1], b) && snap(p, v[2], c) && set_up(t, a, b, c);
        } else {
            aside = is_finite(v[0]) && is_finite(v[1]) && is_finite(v[2])
                && !all_beyond(v[0].x, v[1].x, v[2].x, v[0].w, v[1].w, v[2].w)
                && !all_beyond(v[0].y, v[1].y, v[2].y, v[0].w, v[1].w, v[2].w)
                && !all_beyond(v[0].z, v[1].z, v[2].z, v[0].w, v[1].w, v[2].w);
        }
    }
    u32 bits = votes(aside);
    if (bits && (threadIdx.x & 31u) == 0) {
        u32 group = (view * gridDim.x + blockIdx.x) * (THREADS / 32) + threadIdx.x / 32;
        p.aside[atomicAdd(counter(p, N_ASIDE), 1u) + 1] = (u64)group << 32 | bits;
    }
    return drawn;
}

extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(5)) draw(Params p) {
    Triangle t;
    bool drawn = begin(p, t), handed = hand_over(p, t, drawn && is_larger(p, t));
    if (drawn && !handed) draw_box(p, t);
}

// A thread that draws alone waits for the largest box of its warp, and its atomics go to places of their own.
extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(5)) draw_shared(Params p) {
    __shared__ u32 numbers[7][THREADS], count;  // all that a Record has, but for the view
    if (threadIdx.x == 0) count = 0;
    Triangle t;
    bool drawn = begin(p, t), handed = hand_over(p, t, drawn && is_larger(p, t));
    __syncthreads();
    if (drawn && !handed) {
        u32 k = atomicAdd(&count, 1u);
        Record r = packed(t);
        numbers[0][k] = r.a, numbers[1][k] = r.b, numbers[2][k] = r.c, numbers[3][k] = r.za;
        numbers[4][k] = r.zb, numbers[5][k] = r.zc, numbers[6][k] = r.face;
    }
    __syncthreads();
    for (u32 k = threadIdx.x / 4; k < count; k += THREADS / 4) {
        Record r;
        r.a = numbers[0][k], r.b = numbers[1][k], r.c = numbers[2][k], r.za = numbers[3][k];
        r.zb = numbers[4][k], r.zc = numbers[5][k], r.face = numbers[6][k], r.view = blockIdx.y;
        Triangle one = unpacked(r);
        Edges s;
        int x = one.x0 + (int)(threadIdx.x % 4);
        int3 e = prepare(one, s, x, one.y0);
        draw_part(p, one, s, e, x, one.x1, 4, one.y0, one.y1, 1, p.look_first);
    }
}

// ---- clip

struct Point {
    float p, q;
};

// A quantity at a point, from what it is at the vertices.
__device__ inline float value_at(Point s, float c0, float c1, float c2) {
    if (s.q == 1.0f) return c2;
    if (s.p == 1.0f) return c1;
    return (c0 + s.p * (c1 - c0)) + s.q * (c2 - c0);
}

__device__ inline float4 vertex_at(Point s, const float4 v[3]) {
    return make_float4(
        value_at(s, v[0].x, v[1].x, v[2].x), value_at(s, v[0].y, v[1].y, v[2].y), value_at(s, v[0].z, v[1].z, v[2].z),
        value_at(s, v[0].w, v[1].w, v[2].w)
    );
}

// Cuts off what of a polygon lies where a quantity is negative; gives how many points are left.
__device__ inline int cut(const Point* from, int count, float c0, float c1, float c2, Point* to) {
    int made = 0;
    if (count == 0) return 0;
    Point before = from[count - 1];
    float last = value_at(before, c0, c1, c2);
    for (int k = 0; k < count; k++) {
        Point point = from[k];
        float value = value_at(point, c0, c1, c2);
        if (((last < 0.0f && value > 0.0f) || (last > 0.0f && value < 0.0f)) && made < MOST_POINTS) {
            float t = last / (last - value);
            to[made].p = before.p + t * (point.p - before.p), to[made].q = before.q + t * (point.q - before.q);
            made++;
        }
        if (value >= 0.0f && made < MOST_POINTS) to[made++] = point;
        before = point, last = value;
    }
    return made;
}

__device__ inline int cut_both(Point* points, int count, float a, float b, float c, float aw, float bw, float cw) {
    if (fabsf(a) <= aw && fabsf(b) <= bw && fabsf(c) <= cw) return count;
    Point half[MOST_POINTS];
    count = cut(points, count, aw + a, bw + b, cw + c, half);
    return cut(half, count, aw - a, bw - b, cw - c, points);
}

// What of a triangle is in view, as a polygon; gives how many points it has.
__device__ inline int clipped(const float4 v[3], Point* points) {
    points[0].p = 0.0f, points[0].q = 0.0f, points[1].p = 1.0f, points[1].q = 0.0f, points[2].p = 0.0f, points[2].q = 1.0f;
    int count = cut_both(points, 3, v[0].x, v[1].x, v[2].x, v[0].w, v[1].w, v[2].w);
    count = cut_both(points, count, v[0].y, v[1].y, v[2].y, v[0].w, v[1].w, v[2].w);
    return cut_both(points, count, v[0].z, v[1].z, v[2].z, v[0].w, v[1].w, v[2].w);
}

extern "C" __global__ void __launch_bounds__(THREADS) clip(Params p) {
    u32 lane = threadIdx.x & 31u, groups = gridDim.x * (THREADS / 32), stop = *counter(p, N_ASIDE) + 1;
    for (u32 entry = blockIdx.x * (THREADS / 32) + threadIdx.x / 32; entry < stop; entry += groups) {
        u64 found = p.aside[entry];
        u32 group = (u32)(found >> 32), view = group / p.view_groups;
        Triangle t;
        t.face = (group - view * p.view_groups) * 32 + lane + (p.ranged ? p.ranges[2 * view] : 0), t.view = view;
        float4 v[3];
        Point points[MOST_POINTS];
        int count = 0;
        if ((u32)found >> lane & 1u && load(p, t.face, view, v)) count = clipped(v, points);
        Snapped first, before, last;
        bool first_is = false, before_is = false;
        if (count) first_is = snap(p, vertex_at(points[0], v), first), before_is = snap(p, vertex_at(points[1], v), before);
        for (int k = 2; votes(k < count); k++) {
            bool drawn = false;
            if (k < count) {
                bool last_is = snap(p, vertex_at(points[k], v), last);
                drawn = first_is && before_is && last_is && set_up(t, first, before, last);
                before = last, before_is = last_is;
            }
            bool handed = hand_over(p, t, drawn && is_larger(p, t));
            if (drawn && !handed) draw_box(p, t);
        }
    }
}

// ---- regions

// False where an edge shows that the triangle covers no pixel of [x0, x1) x [y0, y1).
__device__ inline bool touches(const Triangle& t, int x0, int x1, int y0, int y1) {
    Edges s;
    int3 e = prepare(t, s, x0, y0);
    int wide = x1 - 1 - x0, high = y1 - 1 - y0;
    e.x += max(s.across[0], 0) * wide + max(s.down[0], 0) * high;
    e.y += max(s.across[1], 0) * wide + max(s.down[1], 0) * high;
    e.z += max(s.across[2], 0) * wide + max(s.down[2], 0) * high;
    return covers(e);
}

__device__ inline void draw_medium(const Params& p, const Triangle& t, const Edges& s, int3 e, u32 lane) {
    u32 wide = t.x1 - t.x0, pixels = wide * (u32)(t.y1 - t.y0);
    u32 magic = 65536u / wide + 1u;  // i * magic >> 16 is i / wide for i < 1024 and wide <= 64
    for (u32 i = lane; i < pixels; i += 32u) {
        int row = (int)(i * magic >> 16), column = (int)i - row * (int)wide;
        int3 at = moved(moved(e, s.down, row), s.across, column);
        if (covers(at)) fragment(p, t, s, at, t.x0 + column, t.y0 + row, false);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(4)) regions(Params p) {
    u32 lane = threadIdx.x & 31u, groups = gridDim.x * (THREADS / 32);
    u32 count = min(*counter(p, N_REGIONS) + 1, p.region_capacity);
    for (u32 entry = blockIdx.x * (THREADS / 32) + threadIdx.x / 32; entry < count; entry += groups) {
        u32 place = p.regions[entry], part = place % PARTS;
        if (place == NOTHING) continue;
        const Triangle t = unpacked(p.records[place / PARTS]);
        Edges s;
        int3 e = prepare(t, s, t.x0, t.y0);
        if (is_medium(t)) {
            draw_medium(p, t, s, e, lane);
            continue;
        }
        Blocks b = blocks_of(p, t);
        u32 stop = min((part + 1) * b.run, b.count);
        for (u32 start = part * b.run; start < stop; start += 32u) {  // each thread tests one block
            int x0, x1, y0, y1;
            bool mine = start + lane < stop;
            block_at(t, b, mine ? start + lane : start, x0, x1, y0, y1);
            for (u32 left = votes(mine && touches(t, x0, x1, y0, y1)); left; left &= left - 1u) {
                block_at(t, b, start + (u32)__ffs((int)left) - 1u, x0, x1, y0, y1);
                int x = x0 + (int)(lane % BLOCK), y = y0 + (int)(lane / BLOCK);
                int3 at = moved(moved(e, s.across, x - t.x0), s.down, y - t.y0);
                draw_part(p, t, s, at, x, x1, BLOCK, y, y1, 32 / BLOCK, false);
            }
        }
    }
}
