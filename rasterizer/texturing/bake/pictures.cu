// Pictures made ready: the twin of breaks.py and of what filter.py makes of whole pictures.
//
//   measure  a thread per pixel: its depth
//   edges    a thread per pixel: whether the surface breaks off there
//   join     a thread per pixel: corners of what breaks off, and masks
//   along    a thread per pixel: how far the next marked pixel of its row is
//   fade     a thread per pixel: the same over columns, too, as what the pixel counts
//   calm     a thread per pixel: likewise, as pixels on all sides without a break
//   pack     a thread for some pixels: colours and fading, a multiple of 16 bytes, and the range of all colours
//   halve    a thread per pixel of a smaller picture

#define EDGE 1
#define ROUGH 2

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

// A number of half precision, or of 8 exponent bits and as few others.
__device__ inline float number_of(u16 bits, int exponents) {
    if (exponents == 8) return __int_as_float((int)((u32)bits << 16));
    float scaled = __int_as_float((int)((u32)(bits & 0x7fff) << 13)) * 5.192296858534828e33f;  // 2^112, exact
    return bits & 0x8000 ? -scaled : scaled;
}

// The numbers of a picture from one on, as floats: of any dtype that is stored.
struct Source {
    const void* values;
    int dtype;
    __device__ float operator()(i64 place) const {
        if (dtype == U8) return (float)((const unsigned char*)values)[place] / 255.0f;
        if (dtype == F16) return number_of(((const u16*)values)[place], 5);
        if (dtype == BF16) return number_of(((const u16*)values)[place], 8);
        return ((const float*)values)[place];
    }
};

template <int QUADS> __device__ inline void pack(const Packing& p) {
    Source source = {p.source, p.dtype};
    int least[4 * QUADS], most[4 * QUADS];
    for (int k = 0; k < 4 * QUADS; k++) least[k] = most[k] = 0x7fffffff;
    for (i64 pixel = index_of_thread(); pixel < p.pixels; pixel += (i64)gridDim.x * blockDim.x) {
        i64 from = pixel * p.stride;
        float value[4 * QUADS];
        for (u32 k = 0; k < 4 * QUADS; k++) {
            value[k] = k < p.channels ? source(from + k) : 0.0f;
            least[k] = min(least[k], order_of(value[k])), most[k] = min(most[k], order_of(-value[k]));
        }
        value[4 * QUADS - 1] = p.fading[pixel * p.fading_stride];
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
