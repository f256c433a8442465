// Views baked to texels: the twin of breaks.py, filter.py, view.py and operators.py, which define every step and say why.
// Structs and constants that Python knows too are described in kernels.py.
//
// Pictures made ready, with Pixels:
//   measure  a thread per pixel: its depth
//   edges    a thread per pixel: whether the surface breaks off there
//   join     a thread per pixel: corners of what breaks off, and masks
//   along    a thread per pixel: how far the next marked pixel of its row is
//   fade     a thread per pixel: the same over columns, too, as what the pixel counts
//   calm     a thread per pixel: likewise, as pixels on all sides without a break
//   pack     a thread for some pixels: colours and fading, a multiple of 16 bytes, and the range of all colours
//   halve    a thread per pixel of a smaller picture
// Texels, with Texels:
//   prints   a thread per face and view: the shape of its texels there
//   bake4    a thread per texel: its colour, from pictures of at most 3 channels
//   bake8    the same from at most 7

#define EDGE 1
#define ROUGH 2

__device__ inline u32 index_of_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Unlike fminf and fmaxf these leave what is not a number as it is.
__device__ inline float at_least(float x, float least) { return x < least ? least : x; }
__device__ inline float at_most(float x, float most) { return x > most ? most : x; }
__device__ inline float between(float x, float least, float most) { return at_most(at_least(x, least), most); }

// As PyTorch's.
__device__ inline float mixed(float a, float b, float x) { return x < 0.5f ? a + x * (b - a) : b - (b - a) * (1.0f - x); }

__device__ inline float dot(float3 a, float3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
__device__ inline float3 minus(float3 a, float3 b) { return make_float3(a.x - b.x, a.y - b.y, a.z - b.z); }
__device__ inline float3 times(float3 a, float factor) { return make_float3(a.x * factor, a.y * factor, a.z * factor); }
__device__ inline float3 unit(float3 a) { return times(a, rsqrtf(at_least(dot(a, a), 1e-24f))); }
__device__ inline float3 vector(const float* values) { return make_float3(values[0], values[1], values[2]); }

// A direction of the mesh in camera space, and a point.
__device__ inline float3 turn(const View& view, float3 a) {
    return make_float3(dot(a, vector(view.right)), dot(a, vector(view.up)), dot(a, vector(view.toward)));
}
__device__ inline float3 place_of(const View& view, float3 point) {
    float3 turned = turn(view, point);
    return make_float3(turned.x + view.offset[0], turned.y + view.offset[1], turned.z + view.offset[2]);
}

__device__ inline float reach_of(const View& view, float depth) {
    return view.perspective ? depth / view.pixels : 1.0f / view.pixels;
}

// How depth changes from a pixel to the next, along columns (x) and along rows (y).
__device__ inline float2 slopes_of(const View& view, float3 place, float3 normal) {
    float depth = -place.z, toward = normal.z;
    if (view.perspective) toward = -dot(normal, place) / at_least(depth, view.near);
    if (!(fabsf(toward) > 1e-9f)) toward = 1e-9f;
    float reach = reach_of(view, depth);
    return make_float2(
        between(normal.x / toward, -STEEPEST, STEEPEST) * reach, -between(normal.y / toward, -STEEPEST, STEEPEST) * reach
    );
}

// Slopes of the face that a pixel shows, at the pixel.
__device__ inline float2 slopes_at(const Pixels& p, const View& view, i64 pixel, u32 row, u32 column, float shown) {
    int found = p.findices[pixel];
    u32 face = found > 0 ? found - 1 : 0;
    if (face >= p.faces) face = p.faces - 1;
    float spread = view.perspective ? shown : 1.0f;
    float right = ((float)column - (float)(p.width - 1) * 0.5f) * (1.0f / view.pixels);
    float up = ((float)row - (float)(p.height - 1) * 0.5f) * (-1.0f / view.pixels);
    float3 place = make_float3(spread * right, spread * up, -shown);
    return slopes_of(view, place, turn(view, vector(p.normals + (i64)face * 3)));
}

// What a step in depth has beyond what the slopes at both ends make, in pixels.
__device__ inline float excess_of(const View& view, float step, float one, float other, float shown) {
    float excess = fminf(fabsf(step - one), fabsf(step - other));
    return (excess - (fabsf(one) + fabsf(other)) * 0.5f) / reach_of(view, shown);
}

__device__ inline int broken(float excess) { return (excess <= BREAK ? 0 : EDGE) | (excess <= 1.0f ? 0 : ROUGH); }

__device__ inline float shown_of(float depth) { return depth < NOTHING ? depth : 1.0f; }

// A vertex of a face. Faces were checked at the door; memory shared with NumPy can change behind its back.
__device__ inline i64 vertex_of(const int* tri, i64 face, int corner, u32 vertices) {
    u32 index = ((const u32*)tri)[face * 3 + corner];
    return index < vertices ? index : vertices - 1;
}

extern "C" __global__ void __launch_bounds__(THREADS) measure(Pixels p) {
    u32 within = index_of_thread();
    if (within / p.width >= p.height) return;
    const View& view = p.view[blockIdx.y];
    i64 pixel = (i64)blockIdx.y * p.height * p.width + within, face = (i64)p.findices[pixel] - 1;
    float depth = NOTHING;
    if (face >= 0) {
        if (face >= p.faces) face = p.faces - 1;
        float toward = 0.0f;
        for (int k = 0; k < 3; k++) {
            float3 vertex = vector(p.positions + vertex_of(p.tri, face, k, p.vertices) * 3);
            toward += (dot(vertex, vector(view.toward)) + view.offset[2]) * p.barycentric[pixel * 3 + k];
        }
        depth = -toward;
    }
    p.drawn[pixel] = depth;
}

extern "C" __global__ void __launch_bounds__(THREADS) edges(Pixels p) {
    u32 within = index_of_thread(), row = within / p.width, column = within % p.width;
    if (row >= p.height) return;
    const View& view = p.view[blockIdx.y];
    i64 pixel = (i64)blockIdx.y * p.height * p.width + within;
    float depth = p.drawn[pixel], shown = shown_of(depth);
    float2 slope = slopes_at(p, view, pixel, row, column, shown);
    int found = 0;
    for (int side = 0; side < 4; side++) {
        bool down = side & 1, forward = side & 2;
        u32 along = down ? row : column, length = down ? p.height : p.width;
        if (forward ? along + 1 >= length : along == 0) continue;
        i64 other = pixel + (down ? (i64)p.width : 1) * (forward ? 1 : -1);
        float there = p.drawn[other], seen = shown_of(there);
        float2 beside = slopes_at(p, view, other, row + (down ? (forward ? 1 : -1) : 0),
                                  column + (down ? 0 : (forward ? 1 : -1)), seen);
        float mine = down ? slope.y : slope.x, its = down ? beside.y : beside.x;
        found |= broken(forward ? excess_of(view, there - depth, mine, its, shown)
                                : excess_of(view, depth - there, its, mine, seen));
    }
    p.found[pixel] = found;
}

extern "C" __global__ void __launch_bounds__(THREADS) join(Pixels p) {
    u32 within = index_of_thread(), row = within / p.width, column = within % p.width;
    if (row >= p.height) return;
    i64 pixel = (i64)blockIdx.y * p.height * p.width + within;
    int found = p.found[pixel];
    bool beside = (column > 0 && (p.found[pixel - 1] & ROUGH)) || (column + 1 < p.width && (p.found[pixel + 1] & ROUGH));
    bool above = (row > 0 && (p.found[pixel - p.width] & ROUGH)) ||
                 (row + 1 < p.height && (p.found[pixel + p.width] & ROUGH));
    bool edge = found & EDGE, masked = p.masks && p.masks[pixel] == 0.0f;
    float depth = edge ? NOTHING : p.drawn[pixel];
    p.depth[pixel] = depth;
    p.edge[pixel] = edge;
    p.rough[pixel] = (found & ROUGH) || (beside && above) || depth >= NOTHING || masked;
}

// Pixels to the next marked one of the row, `reach + 1` where it is farther.
extern "C" __global__ void __launch_bounds__(THREADS) along(Near p) {
    u32 pixel = index_of_thread();
    if (pixel >= p.pixels) return;
    int column = pixel % p.width, width = p.width, best = p.reach + 1;
    const unsigned char* marked = p.marked + pixel - column;
    for (int far = 0; far < best; far++) {
        int left = column - far, right = column + far;
        bool before = left < 0 ? p.outside : marked[left], after = right >= width ? p.outside : marked[right];
        if (before || after) best = far;
    }
    p.far[pixel] = best;
}

// The same to the next marked one of the picture, by rows or columns, whichever are more.
__device__ inline int distance(const Near& p, u32 pixel) {
    int row = pixel / p.width % p.height, height = p.height, best = p.far[pixel];
    const u16* here = p.far + pixel;
    for (int far = 1; far < best; far++) {
        int up = row - far < 0 ? (p.outside ? 0 : best) : here[-(i64)far * p.width];
        int down = row + far >= height ? (p.outside ? 0 : best) : here[(i64)far * p.width];
        int nearer = up < down ? up : down;
        if (nearer < far) nearer = far;
        if (nearer < best) best = nearer;
    }
    return best;
}

extern "C" __global__ void __launch_bounds__(THREADS) fade(Near p) {
    u32 pixel = index_of_thread();
    if (pixel >= p.pixels) return;
    int steps = p.reach + 1 - distance(p, pixel);
    float shown = 1.0f - (float)steps / ((float)p.reach + 1.5f);
    p.fading[pixel] = p.masks ? shown * p.masks[pixel] : shown;
}

extern "C" __global__ void __launch_bounds__(THREADS) calm(Near p) {
    u32 pixel = index_of_thread();
    if (pixel >= p.pixels) return;
    int found = distance(p, pixel), room = 0;
    for (int k = 0; k < RADII; k++)
        if (k < p.radii && p.radius[k] < found) room = p.radius[k];
    p.room[pixel] = room;
}

// A float as an integer by which it is ordered, and back.
__device__ inline int order_of(float value) {
    int bits = __float_as_int(value);
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}
__device__ inline float value_of(int order) { return __int_as_float(order < 0 ? order ^ 0x7fffffff : order); }

// The least of what 32 threads have, into memory that others lower too.
__device__ inline void lower_to(int* place, int order) {
    for (u32 bits = 16; bits; bits >>= 1) {
        int other = from_partner(order, bits);
        order = other < order ? other : order;
    }
    if (threadIdx.x % 32 == 0 && order < *(volatile int*)place) atomicMin(place, order);
}

template <int QUADS> __device__ inline void pack(const Packing& p) {
    int least[4 * QUADS], most[4 * QUADS];
    for (int k = 0; k < 4 * QUADS; k++) least[k] = most[k] = 0x7fffffff;
    for (i64 pixel = index_of_thread(); pixel < p.pixels; pixel += (i64)gridDim.x * blockDim.x) {
        const float* from = p.source + pixel * p.stride;
        float value[4 * QUADS];
        for (u32 k = 0; k < 4 * QUADS; k++) {
            value[k] = k < p.channels ? from[k] : 0.0f;
            least[k] = min(least[k], order_of(value[k])), most[k] = min(most[k], order_of(-value[k]));
        }
        value[4 * QUADS - 1] = from[p.channels];
        for (int quad = 0; quad < QUADS; quad++)
            ((float4*)p.to)[pixel * QUADS + quad] = make_float4(value[quad * 4], value[quad * 4 + 1],
                                                                value[quad * 4 + 2], value[quad * 4 + 3]);
    }
    for (u32 k = 0; k < 4 * QUADS; k++)
        if (k < p.channels) lower_to(p.lowest + k, least[k]), lower_to(p.highest + k, most[k]);
}

extern "C" __global__ void __launch_bounds__(THREADS) pack4(Packing p) { pack<1>(p); }
extern "C" __global__ void __launch_bounds__(THREADS) pack8(Packing p) { pack<2>(p); }

extern "C" __global__ void __launch_bounds__(THREADS) halve(Packing p) {
    u32 pixel = index_of_thread();
    if (pixel >= p.pixels) return;
    u32 column = pixel % p.width, row = pixel / p.width % p.height, view = pixel / p.width / p.height;
    i64 first = ((i64)view * p.from_height + 2 * row) * p.from_width + 2 * column;
    for (u32 quad = 0; quad < p.quads; quad++) {
        const float4* from = (const float4*)p.source + quad;
        float4 a = from[first * p.quads], b = from[(first + 1) * p.quads];
        float4 c = from[(first + p.from_width) * p.quads], d = from[(first + p.from_width + 1) * p.quads];
        ((float4*)p.to)[(i64)pixel * p.quads + quad] =
            make_float4((a.x + b.x + c.x + d.x) * 0.25f, (a.y + b.y + c.y + d.y) * 0.25f,
                        (a.z + b.z + c.z + d.z) * 0.25f, (a.w + b.w + c.w + d.w) * 0.25f);
    }
}

struct Corners {
    i64 index[3];
};

__device__ inline Corners corners(const Texels& p, i64 face) {
    Corners found;
    for (int k = 0; k < 3; k++) found.index[k] = vertex_of(p.tri, face, k, p.vertices);
    return found;
}

__device__ inline float finite(float x) { return fabsf(x) <= 3.402823466e+38f ? x : 0.0f; }

// A float that is not negative, as an integer that is as large.
__device__ inline void raise_to(int* place, float value) {
    int bits = __float_as_int(value);
    if (*(volatile int*)place < bits) atomicMax(place, bits);
}

extern "C" __global__ void __launch_bounds__(THREADS) prints(Texels p) {
    u32 face = index_of_thread();
    if (face >= p.faces) return;
    const View& view = p.view[blockIdx.y];
    Corners at = corners(p, face);
    float3 first = vector(p.positions + at.index[0] * 3);
    float3 second = vector(p.positions + at.index[1] * 3), third = vector(p.positions + at.index[2] * 3);
    const float *origin = p.uvs + at.index[0] * 2, *a = p.uvs + at.index[1] * 2, *b = p.uvs + at.index[2] * 2;
    float ax = a[0] - origin[0], ay = a[1] - origin[1], bx = b[0] - origin[0], by = b[1] - origin[1];
    float area = ax * by - bx * ay, inverse = fabsf(area) > 1e-12f ? 1.0f / area : 0.0f;
    float3 one = minus(second, first), other = minus(third, first);
    float3 centre = make_float3((first.x + second.x + third.x) / 3.0f, (first.y + second.y + third.y) / 3.0f,
                                (first.z + second.z + third.z) / 3.0f);
    float across_texture = (float)p.texture_width, down_texture = (float)p.texture_height;
    float3 column = times(minus(times(one, by), times(other, ay)), inverse);
    float3 row = times(minus(times(other, ax), times(one, bx)), inverse);
    column = make_float3(column.x / across_texture, column.y / across_texture, column.z / across_texture);
    row = make_float3(row.x / down_texture, row.y / down_texture, row.z / down_texture);

    float3 place = place_of(view, centre);
    column = turn(view, column), row = turn(view, row);
    float depth = view.perspective ? at_least(-place.z, view.near) : 1.0f;
    float away_x = view.perspective ? place.x / depth : 0.0f, away_y = view.perspective ? place.y / depth : 0.0f;
    float pixels = view.pixels / depth;
    float xc = (column.x + away_x * column.z) * pixels, yc = (column.y + away_y * column.z) * -pixels;
    float xr = (row.x + away_x * row.z) * pixels, yr = (row.y + away_y * row.z) * -pixels;
    float wide = xc * xc + xr * xr, high = yc * yc + yr * yr, both = xc * yc + xr * yr;
    bool rows = high > wide;
    float length = at_least(rows ? high : wide, 1e-12f);
    float long_side = sqrtf(length), short_side = fabsf(xc * yr - xr * yc) / long_side;
    float4 print = make_float4(finite(long_side), finite(short_side), finite(both / length), rows ? -depth : depth);
    ((float4*)p.prints)[(i64)blockIdx.y * p.faces + face] = print;
    raise_to(p.largest, print.x);
    raise_to(p.largest + 1, print.y);
}

// The kernel of cubic.py, and its four weights for a place between two pixels.
__device__ inline float keys(float x) {
    x = fabsf(x);
    if (x < 1.0f) return ((SLOPE + 2.0f) * x - (SLOPE + 3.0f)) * x * x + 1.0f;
    return x < 2.0f ? (((x - 5.0f) * x + 8.0f) * x - 4.0f) * SLOPE : 0.0f;
}
__device__ inline float4 balanced_four(float x) {
    float rest = 1.0f - x, product = x * rest;
    float left = product * rest * SLOPE, right = product * x * SLOPE;
    float here = ((SLOPE + 2.0f) * x - (SLOPE + 3.0f)) * x * x + 1.0f;
    here = here + -(2.0f * SLOPE + 1.0f) * (product * (1.0f - 2.0f * x));
    return make_float4(left, here, 1.0f - left - right - here, right);
}

// Within what all pictures hold of a channel.
__device__ inline float within_range(const Texels& p, u32 channel, float value) {
    return between(value, value_of(p.lowest[channel]), -value_of(p.highest[channel]));
}

template <int QUADS> struct Color {
    float value[4 * QUADS];
};

template <int QUADS> __device__ inline void add(Color<QUADS>& total, const float4* pixel, float weight) {
    for (int quad = 0; quad < QUADS; quad++) {
        float4 color = pixel[quad];
        total.value[quad * 4] += color.x * weight, total.value[quad * 4 + 1] += color.y * weight;
        total.value[quad * 4 + 2] += color.z * weight, total.value[quad * 4 + 3] += color.w * weight;
    }
}

// What Filter finds at a spot of a view (column, row) that has so much room.
template <int QUADS>
__device__ inline Color<QUADS> filtered(const Texels& p, u32 number, u32 face, float2 spot, float depth, float room) {
    float4 print = ((const float4*)p.prints)[(i64)number * p.faces + face];
    bool down = print.w < 0.0f;
    float size = WIDTH;
    if (p.view[number].perspective) size = fabsf(print.w) * (WIDTH / at_least(depth, 1e-9f));
    float long_side = print.x * size, short_side = print.y * size;
    int level = 0;
    for (u32 k = 0; k + 1 < p.levels; k++)
        level += short_side > BROAD * (float)(1 << k) && room >= 2.0f * MARGIN * (float)(1 << k);
    float step = (float)(1 << level);
    float scale = fminf(at_least(long_side / step, 1.0f), between((room / step - MARGIN) * 0.5f, 1.0f, p.widest));
    float shear = print.z * at_most((scale - 1.0f) * 2.0f, 1.0f);

    float x = (spot.x + 0.5f) / step - 0.5f, y = (spot.y + 0.5f) / step - 0.5f;
    float middle = down ? y : x, side = down ? x : y;
    i64 width = p.level_width[level], rows = p.level_size[level], first = p.level_first[level] + number * rows;
    i64 forward = down ? width : 1, sideways = down ? 1 : width;
    int half = (int)ceilf(2.0f * scale), taps = 2 * half;
    float start = floorf(middle) - (float)(half - 1), sum = 0.0f, astray = 0.0f;
    for (int k = 0; k < taps; k++) sum += keys((start + (float)k - middle) / scale);
    for (int k = 0; k < taps; k++) {
        float off = start + (float)k - middle;
        astray += keys(off / scale) / sum * off;
    }
    Color<QUADS> total = {};
    float whole = 0.0f;
    for (int k = 0; k < taps; k++) {
        float off = start + (float)k - middle, weight = keys(off / scale) / sum;
        if (k == half - 1) weight += astray;
        if (k == half) weight -= astray;
        weight *= WHOLE;
        float beside = side + off * shear, line = floorf(beside);
        float4 four = balanced_four(beside - line);
        float share[4] = {four.x, four.y, four.z, four.w};
        i64 pixel = ((i64)start + k) * forward + (i64)line * sideways + first;
        for (int j = 0; j < 4; j++) {
            i64 place = pixel + (j - 1) * sideways;
            place = place < 0 ? 0 : place > first + rows - 1 ? first + rows - 1 : place;
            float both = rintf(share[j] * weight);
            whole += both;
            add<QUADS>(total, (const float4*)p.color + place * QUADS, both);
        }
    }
    for (int k = 0; k < 4 * QUADS; k++) total.value[k] /= whole;
    return total;
}

// What Lens.look finds of a point: its trust, 0 where the view does not show it, and its colour.
template <int QUADS>
__device__ inline float look(const Texels& p, u32 number, float3 point, float3 smooth, u32 face, float3 flat,
                             Color<QUADS>& color) {
    const View& view = p.view[number];
    float3 direction = view.perspective ? unit(minus(vector(view.stands), point)) : vector(view.facing);
    float cosine = dot(smooth, direction);
    if (!(cosine > p.limit)) return 0.0f;
    float3 place = place_of(view, point);
    float depth = -place.z, column = place.x * view.pixels, row = place.y * -view.pixels;
    if (view.perspective) {
        float safe = at_least(depth, view.near);
        column = column / safe, row = row / safe;
    }
    column = column + (float)(p.width - 1) * 0.5f, row = row + (float)(p.height - 1) * 0.5f;
    bool inside = column > -0.5f && column < (float)p.width - 0.5f && row > -0.5f && row < (float)p.height - 0.5f;
    if (!inside || !(depth > view.near)) return 0.0f;

    float2 slope = slopes_of(view, place, turn(view, flat));
    float left = floorf(column), top = floorf(row), x = column - left, y = row - top;
    float reach = reach_of(view, depth), tolerance = (fabsf(slope.x) + fabsf(slope.y)) * 0.5f + reach;
    float plane = depth - slope.x * x - slope.y * y;
    i64 pixel[4];
    float excess[4];
    bool shown[4], all = true;
    for (int k = 0; k < 4; k++) {
        float right = left + (float)(k & 1), below = top + (float)(k >> 1);
        float expected = plane + (k & 1 ? slope.x : 0.0f) + (k >> 1 ? slope.y : 0.0f);
        i64 line = (i64)between(below, 0.0f, (float)(p.height - 1)) * p.width;
        pixel[k] = line + (i64)between(right, 0.0f, (float)(p.width - 1)) + (i64)number * p.height * p.width;
        float deeper = p.depth[pixel[k]] - expected;
        shown[k] = fabsf(deeper) <= tolerance;
        excess[k] = shown[k] ? deeper : 0.0f;
        all = all && shown[k];
    }
    // Where among these the surface is closest.
    float a = excess[0], b = excess[1], c = excess[2], d = excess[3];
    float slope_x = (mixed(b - a, d - c, y) + slope.x) / reach, slope_y = (mixed(c - a, d - b, x) + slope.y) / reach;
    float deeper = mixed(mixed(a, b, x), mixed(c, d, x), y) / reach;
    float move = deeper / (slope_x * slope_x + slope_y * slope_y + 1.0f);
    float found_x = between(x - move * slope_x, 0.0f, 1.0f), found_y = between(y - move * slope_y, 0.0f, 1.0f);
    float weight[4], share = 0.0f, off_z = 0.0f;
    for (int k = 0; k < 4; k++) {
        weight[k] = (k & 1 ? found_x : 1.0f - found_x) * (k >> 1 ? found_y : 1.0f - found_y);
        if (!shown[k]) weight[k] = 0.0f;
        share += weight[k];
        off_z += excess[k] * weight[k];
    }
    share = at_least(share, 1e-6f);
    float off_x = (weight[1] + weight[3]) / share - x, off_y = (weight[2] + weight[3]) / share - y;
    off_z = (off_z / share + slope.x * off_x + slope.y * off_y) / reach;
    float apart = (off_x * off_x + off_y * off_y + off_z * off_z) * NEARNESS;
    if (!(apart < 1.0f) || !(share > LEAST_SHARE)) return 0.0f;

    color = Color<QUADS>{};
    for (int k = 0; k < 4; k++) add<QUADS>(color, (const float4*)p.color + pixel[k] * QUADS, weight[k]);
    for (int k = 0; k < 4 * QUADS; k++) color.value[k] /= share;
    float fading = color.value[4 * QUADS - 1];
    if (all && p.calm) {
        int room = p.calm[pixel[0]];
        for (int k = 1; k < 4; k++) room = p.calm[pixel[k]] < room ? p.calm[pixel[k]] : room;
        if (room >= LEAST) {
            color = filtered<QUADS>(p, number, face, make_float2(left + found_x, top + found_y), depth, (float)room);
            for (u32 k = 0; k < 4 * QUADS; k++)
                if (k < p.channels) color.value[k] = within_range(p, k, color.value[k]);
        }
    }
    float nearness = at_least(1.0f - apart, 0.0f);
    return powf(at_least(cosine, 0.0f), p.exponent) * (nearness * nearness) * fading;
}

template <int QUADS> __device__ inline void bake(const Texels& p) {
    u32 texel = index_of_thread();
    if (texel >= p.texels) return;
    i64 given = p.face[texel], face = given < 0 ? 0 : given < (i64)p.faces ? given : (i64)p.faces - 1;
    Corners at = corners(p, face);
    float3 point = make_float3(0.0f, 0.0f, 0.0f), smooth = point;
    for (int k = 0; k < 3; k++) {
        float weight = p.weights[(i64)texel * 3 + k];
        const float *vertex = p.positions + at.index[k] * 3, *normal = p.vertex_normals + at.index[k] * 3;
        point.x += vertex[0] * weight, point.y += vertex[1] * weight, point.z += vertex[2] * weight;
        smooth.x += normal[0] * weight, smooth.y += normal[1] * weight, smooth.z += normal[2] * weight;
    }
    smooth = unit(smooth);
    float3 flat = vector(p.face_normals + face * 3);
    Color<QUADS> total = {}, color;
    float weights = 0.0f, most = 0.0f, best = 0.0f;
    int heaviest = -1;
    for (u32 number = 0; number < p.views; number++) {
        float trust = look<QUADS>(p, number, point, smooth, (u32)face, flat, color), weight = trust * p.view[number].weight;
        if (!(trust > 0.0f)) continue;
        if (weight > most) heaviest = (int)number, most = weight;
        if (trust > best) best = trust;
        if (p.sharp) weight = weight * weight * (weight * weight);
        for (int k = 0; k < 4 * QUADS; k++) total.value[k] += color.value[k] * weight;
        weights += weight;
    }
    bool painted = most > PAINTED;
    i64 out = p.index[texel];
    p.covered[out] = 1;
    p.painted[out] = painted;
    p.heaviest[out] = painted ? heaviest : -1;
    p.confidence[out] = painted ? best : 0.0f;
    for (u32 k = 0; k < 4 * QUADS; k++)
        if (k < p.channels)
            p.texture[out * p.channels + k] =
                painted ? within_range(p, k, total.value[k] / weights) : 0.0f;
}

extern "C" __global__ void __launch_bounds__(THREADS) bake4(Texels p) { bake<1>(p); }
extern "C" __global__ void __launch_bounds__(THREADS) bake8(Texels p) { bake<2>(p); }
