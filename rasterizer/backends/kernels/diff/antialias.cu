// Silhouettes blended with what lies beside them, and gradients: a block per tile of ACROSS x DOWN pixels. The rule is
// that of contract/diff_rule.py; structs and constants that Python knows too are described in antialias.py.
//
// A pixel and its right or lower neighbour that show different triangles are a pair, and the pair may be crossed by a
// silhouette. A block finds the pairs that have a pixel in its tile, lines up those that may be crossed, so that its
// threads share the work evenly, and has each pixel of the tile collect what its four pairs have for it: no two threads
// add to one pixel, and results repeat to the last bit. Pairs across a tile's border are worked out by both blocks.
//
// `crossed` has a bit for each pair that is crossed, so that the backward step need not look for them.

#define RIGHTWARD ((ACROSS + 1) * DOWN)           // pairs with the neighbour to the right: from column -1, row 0
#define PAIRS (RIGHTWARD + ACROSS * (DOWN + 1))   // and with the one below: from column 0, row -1
#define UNCROSSED 1.0f                            // in the place of an alpha, which lies in [-0.5, 0.5]
#define BORDER 0xFFFFFFFFu                        // in the place of a triangle's number, outside the image

struct Tile {
    u32 shown[DOWN + 2][ACROSS + 2];  // triangles, from column -1 and row -1
    float alpha[PAIRS];
    u16 line[PAIRS];                  // pairs that may be crossed
    u32 count;                        // of them
};

__device__ inline u32 rightward(int x, int y) { return y * (ACROSS + 1) + x + 1; }
__device__ inline u32 downward(int x, int y) { return RIGHTWARD + (y + 1) * ACROSS + x; }

// Where a block's tile lies.
struct Corner {
    int x, y;     // its first pixel
    u32 number;   // in its row of tiles
    u64 pixels;   // before its image
};

__device__ inline Corner corner_of(const Params& p) {
    u32 row = blockIdx.x / p.tiles;
    Corner corner;
    corner.number = blockIdx.x - row * p.tiles;
    corner.x = (int)(corner.number * ACROSS), corner.y = (int)(row * DOWN);
    corner.pixels = (u64)blockIdx.y * p.pixels;
    return corner;
}

__device__ inline u64 place_of(const Params& p, const Corner& corner, int x, int y) {
    return corner.pixels + (u64)(corner.y + y) * p.width + (corner.x + x);
}

__device__ inline bool is_inside(const Params& p, const Corner& corner, int x, int y) {
    return (u32)(corner.x + x) < (u32)p.width && (u32)(corner.y + y) < (u32)p.height;
}

__device__ inline u32 shown_at(const Params& p, const Corner& corner, int x, int y) {
    if (!is_inside(p, corner, x, y)) return BORDER;
    return triangle_shown(p.rast[place_of(p, corner, x, y) * 4 + 3], p.triangles);
}

// A pair of pixels, P and then Q, that is crossed: see section "antialias" of the rule for the names.
struct Crossing {
    float alpha;
    u32 a, b;                  // the edge's vertices
    float xa, ya, xb, yb;      // on the screen, from R, with x towards the neighbour
    float4 va, vb;             // in clip space
};

__device__ inline bool is_negative(float value) { return __float_as_uint(value) >> 31; }

__device__ inline float area(const float (&x)[3], const float (&y)[3]) {
    return (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]);
}

// A vertex on the screen, from a pixel that is so far from the image's middle. The difference is taken before w divides
// it: in float32 the other way round loses a thousandth of a pixel in large images.
__device__ inline void from_pixel(
    float4 v, float half_width, float half_height, float left, float above, float& x, float& y) {
    float scale = 1.0f / v.w;
    x = difference_of_products(v.x, half_width, left, v.w) * scale;
    y = difference_of_products(v.y, half_height, above, v.w) * scale;
}

// Whether a pair is crossed by a silhouette, and how; x and y are P's in the image.
__device__ inline bool is_crossed(const Params& p, u64 place, int x, int y, bool down, Crossing& found) {
    const float2* halves = (const float2*)p.rast;
    float2 one = halves[place * 2 + 1], other = halves[(place + (down ? p.width : 1)) * 2 + 1];  // z/w and id
    u32 number = triangle_shown(one.y, p.triangles), neighbour = triangle_shown(other.y, p.triangles), index[3];
    if (number == neighbour) return false;
    bool ahead = neighbour == 0 || (number != 0 && one.x < other.x);  // R is P, not Q
    if (!ahead) number = neighbour, x += !down, y += down;
    if (!corners_of(p.tri, number, p.vertices, index)) return false;
    const float4* table = p.pos + blockIdx.y * p.table;
    float half_width = 0.5f * (float)p.width, half_height = 0.5f * (float)p.height, sign = ahead ? 1.0f : -1.0f;
    float left = (float)x + 0.5f - half_width, above = (float)y + 0.5f - half_height;
    float4 vertex[3];
    float xs[3], ys[3];
    for (int k = 0; k < 3; k++) vertex[k] = table[index[k]];
    for (int k = 0; k < 3; k++) from_pixel(vertex[k], half_width, half_height, left, above, xs[k], ys[k]);
    // The edge that is crossed last.
    float distance = 0.0f;
    int edge = -1;
    for (int k = 0; k < 3; k++) {
        const int a = (k + 1) % 3, b = (k + 2) % 3;
        float xa = down ? ys[a] : xs[a], ya = down ? xs[a] : ys[a], xb = down ? ys[b] : xs[b], yb = down ? xs[b] : ys[b];
        if (is_negative(ya) == is_negative(yb)) continue;
        float dx = xb - xa, dy = yb - ya, q = sign * (xa * dy - ya * dx) / dy;
        if (!(edge < 0 ? q == q : q > distance)) continue;
        distance = q, edge = k;
        found.a = index[a], found.b = index[b], found.va = vertex[a], found.vb = vertex[b];
        found.xa = xa, found.ya = ya, found.xb = xb, found.yb = yb;
    }
    if (edge < 0 || !(fabsf(found.yb - found.ya) >= fabsf(found.xb - found.xa))) return false;
    if (!(distance > -0.0625f && distance < 1.0625f)) return false;
    // It is a silhouette if the triangle on its other side lies on the same side of it, or if there is none.
    u32 opposite = (u32)p.topology[(u64)(number - 1) * 3 + edge];
    if (opposite < p.vertices) {
        float own = area(xs, ys);
        float ox, oy;
        from_pixel(table[opposite], half_width, half_height, left, above, ox, oy);
        for (int k = 0; k < 3; k++) xs[k] = k == edge ? ox : xs[k], ys[k] = k == edge ? oy : ys[k];
        if (is_negative(own) != is_negative(area(xs, ys))) return false;
    }
    found.alpha = sign * (0.5f - fminf(fmaxf(distance, 0.0f), 1.0f));
    return true;
}

// Copies the tile's part of an image of p.channels. Rows are copied 16 bytes at a time where they are such a multiple.
__device__ inline void copy_tile(const Params& p, const Corner& corner, const float* from, float* to) {
    u32 wide = p.width - corner.x < ACROSS ? p.width - corner.x : ACROSS;
    u32 high = p.height - corner.y < DOWN ? p.height - corner.y : DOWN;
    u64 start = place_of(p, corner, 0, 0) * p.channels, down = (u64)p.width * p.channels;
    if (p.fours) {
        u32 size = wide * p.channels / 4, total = size * high;
        for (u32 k = threadIdx.x; k < total; k += 2 * THREADS) {
            u32 next = k + THREADS, row = k / size, other = next / size;
            u64 at = start + row * down + (k - row * size) * 4, further = start + other * down + (next - other * size) * 4;
            float4 value = *(const float4*)(from + at), second;
            if (next < total) second = *(const float4*)(from + further);
            stream4(to + at, value.x, value.y, value.z, value.w);
            if (next < total) stream4(to + further, second.x, second.y, second.z, second.w);
        }
        return;
    }
    u32 size = wide * p.channels;
    for (u32 row = threadIdx.x / 32; row < high; row += THREADS / 32)
        for (u32 k = threadIdx.x % 32; k < size; k += 32) STREAM(to + start + row * down + k, from[start + row * down + k]);
}

// Puts a pair into line. Called by groups of 32 threads together.
__device__ inline void line_up(Tile& tile, u32 pair, bool exists, bool candidate) {
    if (exists) tile.alpha[pair] = UNCROSSED;
    u32 all = votes(candidate), lane = threadIdx.x & 31u, first = 0;
    if (!all) return;
    if (lane == 0) first = atomicAdd(&tile.count, __popc(all));
    first = from_lane(first, 0u);
    if (candidate) tile.line[first + __popc(all & ((1u << lane) - 1u))] = (u16)pair;
}

// Whether numbers of triangles are those of a pair.
__device__ inline bool differ(u32 one, u32 other) { return one != other && one != BORDER && other != BORDER; }

// Lines up the pairs whose pixels show different triangles.
__device__ inline void line_up_by_triangles(Tile& tile) {
    int x = threadIdx.x % 32, group = threadIdx.x / 32;
    for (int y = group; y < DOWN; y += THREADS / 32) {
        const u32* row = tile.shown[y + 1] + x + 1;
        line_up(tile, rightward(x, y), true, differ(row[0], row[1]));
        line_up(tile, downward(x, y), true, differ(row[0], row[ACROSS + 2]));
    }
    if (group == 0) line_up(tile, downward(x, -1), true, differ(tile.shown[0][x + 1], tile.shown[1][x + 1]));
    if (group == 1) {
        bool exists = x < DOWN;
        const u32* row = tile.shown[exists ? x + 1 : 1];
        line_up(tile, rightward(-1, exists ? x : 0), exists, exists && differ(row[0], row[1]));
    }
}

#define OWN_ROWS (DOWN * 32 / THREADS)  // of a tile, for each group of 32 threads

// Of the pairs that the forward step has found to be crossed: words of a group's rows, and its part of those beside.
struct Crossed {
    u32 right[OWN_ROWS], below[OWN_ROWS], beside;
    bool any;
};

__device__ inline u32 bits_of(const Params& p, const Corner& corner, int number, int y, int down) {
    if (number < 0 || corner.y + y < 0 || corner.y + y >= p.height) return 0;
    u64 row = (u64)blockIdx.y * p.height + (corner.y + y);
    return p.crossed[(row * p.tiles + number) * 2 + down];
}

__device__ inline Crossed crossed_of(const Params& p, const Corner& corner) {
    int x = threadIdx.x % 32, group = threadIdx.x / 32, number = (int)corner.number;
    Crossed found;
    found.beside = 0;
    if (group == 0) found.beside = bits_of(p, corner, number, -1, 1);
    if (group == 1 && x < DOWN) found.beside = bits_of(p, corner, number - 1, x, 0) >> 31;
    found.any = found.beside != 0;
    for (int k = 0; k < OWN_ROWS; k++) {
        int y = group + k * (THREADS / 32);
        found.right[k] = bits_of(p, corner, number, y, 0), found.below[k] = bits_of(p, corner, number, y, 1);
        found.any |= (found.right[k] | found.below[k]) != 0;
    }
    return found;
}

__device__ inline void line_up_crossed(Tile& tile, const Crossed& found) {
    int x = threadIdx.x % 32, group = threadIdx.x / 32;
    for (int k = 0; k < OWN_ROWS; k++) {
        int y = group + k * (THREADS / 32);
        line_up(tile, rightward(x, y), true, found.right[k] >> x & 1u);
        line_up(tile, downward(x, y), true, found.below[k] >> x & 1u);
    }
    if (group == 0) line_up(tile, downward(x, -1), true, found.beside >> x & 1u);
    if (group == 1) line_up(tile, rightward(-1, x < DOWN ? x : 0), x < DOWN, found.beside);
}

// Finds out what triangles the tile and its border show.
__device__ inline void look(const Params& p, const Corner& corner, Tile& tile) {
    int x = threadIdx.x % 32, group = threadIdx.x / 32;
    u32 own[OWN_ROWS], beside = 0;
    for (int k = 0; k < OWN_ROWS; k++) own[k] = shown_at(p, corner, x, group + k * (THREADS / 32));
    int column = group == 2 ? (x < DOWN ? -1 : ACROSS) : x, row = group == 0 ? -1 : group == 1 ? DOWN : x % DOWN;
    if (group < 3) beside = shown_at(p, corner, column, row);
    for (int k = 0; k < OWN_ROWS; k++) tile.shown[group + k * (THREADS / 32) + 1][x + 1] = own[k];
    if (group < 3) tile.shown[row + 1][column + 1] = beside;
}

// The pixel P of a pair, in the tile.
__device__ inline void pixel_of(u32 pair, int& x, int& y, bool& down) {
    down = pair >= RIGHTWARD;
    if (down) pair -= RIGHTWARD;
    u32 size = down ? ACROSS : ACROSS + 1;
    y = (int)(pair / size), x = (int)(pair - y * size);
    if (down) y--;
    else x--;
}

extern "C" __global__ void __launch_bounds__(THREADS) antialias(Params p) {
    __shared__ Tile tile;
    Corner corner = corner_of(p);
    if (threadIdx.x == 0) tile.count = 0;
    look(p, corner, tile);
    copy_tile(p, corner, p.color, p.out);
    __syncthreads();
    line_up_by_triangles(tile);
    __syncthreads();
    int lane = threadIdx.x % 32, group = threadIdx.x / 32;
    bool any = false;
    for (u32 k = threadIdx.x; k < tile.count; k += THREADS) {
        int x, y;
        bool down;
        Crossing found;
        pixel_of(tile.line[k], x, y, down);
        if (!is_crossed(p, place_of(p, corner, x, y), corner.x + x, corner.y + y, down, found)) continue;
        tile.alpha[tile.line[k]] = found.alpha, any = true;
    }
    any = tile.count && __syncthreads_or(any);
    for (int y = group; y < DOWN; y += THREADS / 32) {
        float to_right = UNCROSSED, to_below = UNCROSSED, to_left, to_above;
        if (any) to_right = tile.alpha[rightward(lane, y)], to_below = tile.alpha[downward(lane, y)];
        u32 right = votes(to_right != UNCROSSED), below = votes(to_below != UNCROSSED);
        if (corner.y + y >= p.height) return;
        if (lane == 0) {
            u64 row = (u64)blockIdx.y * p.height + (corner.y + y);
            ((uint2*)p.crossed)[row * p.tiles + corner.number] = make_uint2(right, below);
        }
        if (!any || !is_inside(p, corner, lane, y)) continue;
        to_left = tile.alpha[rightward(lane - 1, y)], to_above = tile.alpha[downward(lane, y - 1)];
        // What is not for this pixel counts nothing.
        if (!(to_right > 0.0f && to_right != UNCROSSED)) to_right = 0.0f;
        if (!(to_below > 0.0f && to_below != UNCROSSED)) to_below = 0.0f;
        if (!(to_left <= 0.0f)) to_left = 0.0f;
        if (!(to_above <= 0.0f)) to_above = 0.0f;
        if (to_right == 0.0f && to_below == 0.0f && to_left == 0.0f && to_above == 0.0f) continue;
        u64 down = (u64)p.width * p.channels, at = place_of(p, corner, lane, y) * p.channels;
        for (u32 c = 0; c < p.channels; c++, at++) {
            float own = p.color[at], sum = own;
            if (to_right != 0.0f) sum += to_right * (p.color[at + p.channels] - own);
            if (to_left != 0.0f) sum += to_left * (own - p.color[at - p.channels]);
            if (to_below != 0.0f) sum += to_below * (p.color[at + down] - own);
            if (to_above != 0.0f) sum += to_above * (own - p.color[at - down]);
            p.out[at] = sum;
        }
    }
}

// Adds a vertex's gradient, given that of its place on the screen, in the frame of a Crossing.
__device__ inline void add_to_vertex(const Params& p, u32 index, float4 v, float along, float across, bool down) {
    float gx = down ? across : along, gy = down ? along : across;
    float* to = p.d_pos + (blockIdx.y * p.table + index) * 4;
    atomicAdd(to, gx), atomicAdd(to + 1, gy), atomicAdd(to + 3, -(v.x * gx + v.y * gy) / v.w);
}

// Adds the gradient of the vertices of a pair's edge.
__device__ inline void add_to_edge(const Params& p, const Crossing& pair, u64 place, bool down) {
    if (!(fabsf(pair.alpha) < 0.5f)) return;  // has been clamped
    u64 one = place * p.channels, other = (place + (down ? p.width : 1)) * p.channels;
    const float* g = p.d_out + (pair.alpha > 0.0f ? one : other);
    float dd = 0.0f;
    for (u32 c = 0; c < p.channels; c++) dd += g[c] * (p.color[other + c] - p.color[one + c]);
    if (dd == 0.0f) return;
    float dx = pair.xb - pair.xa, dy = pair.yb - pair.ya, inverse = 1.0f / (dy + copysignf(1e-3f, dy));
    float x0 = (pair.xa * dy - pair.ya * dx) * inverse, scale = dd * inverse;
    float along = 0.5f * (float)(down ? p.height : p.width), across = 0.5f * (float)(down ? p.width : p.height);
    float a = -scale / pair.va.w, b = scale / pair.vb.w;
    add_to_vertex(p, pair.a, pair.va, a * pair.yb * along, a * (x0 - pair.xb) * across, down);
    add_to_vertex(p, pair.b, pair.vb, b * pair.ya * along, b * (x0 - pair.xa) * across, down);
}

// Of a number of the upstream gradient, what a pair takes from one of its pixels and gives to the other.
__device__ inline float share(const float* d_out, float alpha, u64 one, u64 other) {
    return alpha == UNCROSSED ? 0.0f : alpha * d_out[alpha > 0.0f ? one : other];
}

extern "C" __global__ void __launch_bounds__(THREADS BLOCKS(4)) antialias_backward(Params p) {
    __shared__ Tile tile;
    Corner corner = corner_of(p);
    if (threadIdx.x == 0) tile.count = 0;
    Crossed known;
    known.any = true;
    if (p.crossed) known = crossed_of(p, corner);
    else look(p, corner, tile);
    if (p.d_color) copy_tile(p, corner, p.d_out, p.d_color);
    if (!__syncthreads_or(known.any)) return;
    if (p.crossed) line_up_crossed(tile, known);
    else line_up_by_triangles(tile);
    __syncthreads();
    for (u32 k = threadIdx.x; k < tile.count; k += THREADS) {
        int x, y;
        bool down;
        Crossing found;
        pixel_of(tile.line[k], x, y, down);
        u64 place = place_of(p, corner, x, y);
        if (!is_crossed(p, place, corner.x + x, corner.y + y, down, found)) continue;
        tile.alpha[tile.line[k]] = found.alpha;
        if (p.d_pos && x >= 0 && y >= 0) add_to_edge(p, found, place, down);
    }
    if (!tile.count || !p.d_color) return;
    __syncthreads();
    int x = threadIdx.x % 32;
    for (int y = threadIdx.x / 32; y < DOWN; y += THREADS / 32) {
        if (!is_inside(p, corner, x, y)) continue;
        float to_right = tile.alpha[rightward(x, y)], to_left = tile.alpha[rightward(x - 1, y)];
        float to_below = tile.alpha[downward(x, y)], to_above = tile.alpha[downward(x, y - 1)];
        if (to_right == UNCROSSED && to_left == UNCROSSED && to_below == UNCROSSED && to_above == UNCROSSED) continue;
        u64 down = (u64)p.width * p.channels, at = place_of(p, corner, x, y) * p.channels;
        for (u32 c = 0; c < p.channels; c++, at++) {
            float sum = p.d_out[at];
            sum -= share(p.d_out, to_right, at, at + p.channels), sum += share(p.d_out, to_left, at - p.channels, at);
            sum -= share(p.d_out, to_below, at, at + down), sum += share(p.d_out, to_above, at - down, at);
            p.d_color[at] = sum;
        }
    }
}
