// What follows from the triangle that is seen at a pixel: rasterizer/contract/diff_rule.py from "Values" on. Params is
// described in coverage.py, Gradient in rasterize.py.
//
//   resolve   a thread per pixel of a tile: values and derivatives. Leaves the z-buffer as it was before the draw.
//   backward  a thread per pixel, 32 of them a block of 8 x 4: gradients of vertices, added up before they go to memory
//
// All is seen from the pixel, in half pixels: X = W*x - (2*column + 1 - W)*w, Y = H*y - (2*row + 1 - H)*w. With P_k the
// vectors (X, Y, w) of vertices k, the cross product P_(i+1) x P_(i+2) has what the rule calls a_i as its third
// component, times W*H, and as its first two the derivatives of that by half a pixel in X and in Y.

struct Vector {
    float x, y, z;
};

__device__ inline Vector cross(Vector a, Vector b) {
    Vector c;
    c.x = difference_of_products(a.y, b.z, a.z, b.y);
    c.y = difference_of_products(a.z, b.x, a.x, b.z);
    c.z = difference_of_products(a.x, b.y, a.y, b.x);
    return c;
}

// Vertices of a triangle that is numbered from 1; false if there is no such, or one of them does not exist.
__device__ inline bool load(const u32* tri, u32 number, u32 faces, const float4* pos, u32 vertices, float4 v[3]) {
    u32 index[3];
    if (number - 1 >= faces || !corners_of((const int*)tri, number, vertices, index)) return false;
    for (int k = 0; k < 3; k++) v[k] = pos[index[k]];
    return true;
}

// A vertex as seen from a pixel: `across` and `down` are 2*column + 1 - W and 2*row + 1 - H.
__device__ inline Vector seen(float4 v, float width, float height, float across, float down) {
    Vector s;
    s.x = difference_of_products(width, v.x, across, v.w);
    s.y = difference_of_products(height, v.y, down, v.w);
    s.z = v.w;
    return s;
}

// ---- resolve

__device__ inline float clamped(float value, float low) { return value == value ? fminf(fmaxf(value, low), 1.0f) : 0.0f; }

// What triangle_shown() reads.
__device__ inline float id_of(u32 number) {
    return number <= MOST_PLAIN_ID ? (float)number : __int_as_float((int)(number + ID_BITS));
}

// Blocks are COLUMNS x ROWS pixels, and z counts images.
extern "C" __global__ void __launch_bounds__(COLUMNS * ROWS) resolve(Params p) {
    u32 x = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS, y = blockIdx.y * ROWS + threadIdx.x / COLUMNS;
    if ((x | y | blockIdx.z) == 0)
        for (u32 which = 0; which < COUNTERS; which++) ((u32*)(p.words - COUNTER_WORDS))[which] = ~0u;
    if (x >= p.tile_width || y >= p.tile_height) return;
    u64* word = p.words + (blockIdx.z * p.tile_height + y) * p.tile_width + x;
    u32 image = p.first + blockIdx.z;
    y += p.top, x += p.left;
    u64 found = *word, pixel = ((u64)image * p.height + y) * p.width + x;
    float u = 0.0f, v = 0.0f, depth = 0.0f, id = 0.0f, u_x = 0.0f, u_y = 0.0f, v_x = 0.0f, v_y = 0.0f;
    float4 corner[3];
    u32 number = ~(u32)found + 1;
    if (~found) *word = ~0ull;
    if (~found && load(p.tri, number, p.faces, p.pos + (u64)image * p.stride, p.vertices, corner)) {
        float width = (float)p.width, height = (float)p.height;
        float across = (float)(int)(2 * x + 1 - p.width), down = (float)(int)(2 * y + 1 - p.height);
        Vector a = seen(corner[0], width, height, across, down), b = seen(corner[1], width, height, across, down);
        Vector c = seen(corner[2], width, height, across, down), n0 = cross(b, c), n1 = cross(c, a), n2 = cross(a, b);
        float inverse = 1.0f / (n0.z + n1.z + n2.z);
        u = clamped(n0.z * inverse, 0.0f), v = clamped(n1.z * inverse, 0.0f);
        float sum = u + v;
        if (sum > 1.0f) u = u / sum, v = v / sum;
        float z = fmaf(corner[0].z, n0.z, fmaf(corner[1].z, n1.z, corner[2].z * n2.z));
        depth = clamped(z / fmaf(a.z, n0.z, fmaf(b.z, n1.z, c.z * n2.z)), -1.0f);
        id = id_of(number);
        float whole_x = n0.x + n1.x + n2.x, whole_y = n0.y + n1.y + n2.y;
        inverse *= 2.0f;
        u_x = fmaf(-u, whole_x, n0.x) * inverse, u_y = fmaf(-u, whole_y, n0.y) * inverse;
        v_x = fmaf(-v, whole_x, n1.x) * inverse, v_y = fmaf(-v, whole_y, n1.y) * inverse;
    }
    stream4(p.rast + 4 * pixel, u, v, depth, id);
    stream4(p.db + 4 * pixel, u_x, u_y, v_x, v_y);
    if (p.depth) STREAM(p.depth + pixel, ~found ? (int)((u32)(found >> 32) - (u32)DEPTH_ORIGIN) : NO_LAYER);
}

// ---- backward

// a x b - c x d
__device__ inline Vector turned(Vector a, Vector b, Vector c, Vector d) {
    Vector e;
    e.x = fmaf(a.y, b.z, fmaf(-a.z, b.y, fmaf(-c.y, d.z, c.z * d.y)));
    e.y = fmaf(a.z, b.x, fmaf(-a.x, b.z, fmaf(-c.z, d.x, c.x * d.z)));
    e.z = fmaf(a.x, b.y, fmaf(-a.y, b.x, fmaf(-c.x, d.y, c.y * d.x)));
    return e;
}

// What a pixel's upstream gradient is worth to the vertices of its triangle.
__device__ inline void spread(const Gradient& p, const float4 corner[3], u32 x, u32 y, float2 d, float4 d_db, float to[9]) {
    float width = (float)p.width, height = (float)p.height;
    float across = (float)(int)(2 * x + 1 - p.width), down = (float)(int)(2 * y + 1 - p.height);
    Vector s[3], n[3], g[3];
    for (int k = 0; k < 3; k++) s[k] = seen(corner[k], width, height, across, down);
    for (int k = 0; k < 3; k++) n[k] = cross(s[(k + 1) % 3], s[(k + 2) % 3]);
    float area = n[0].z + n[1].z + n[2].z, inverse = 1.0f / (area + copysignf(p.offset, area));
    float whole_x = n[0].x + n[1].x + n[2].x, whole_y = n[0].y + n[1].y + n[2].y;
    float u = n[0].z * inverse, v = n[1].z * inverse;
    float u_x = 2.0f * inverse * d_db.x, u_y = 2.0f * inverse * d_db.y;
    float v_x = 2.0f * inverse * d_db.z, v_y = 2.0f * inverse * d_db.w;
    // Gradients of u and v, of the derivatives' common part, and of the area.
    float for_u = fmaf(-u_x, whole_x, fmaf(-u_y, whole_y, d.x));
    float for_v = fmaf(-v_x, whole_x, fmaf(-v_y, whole_y, d.y));
    float common_x = -fmaf(u_x, u, v_x * v), common_y = -fmaf(u_y, u, v_y * v);
    float slopes = u_x * fmaf(-u, whole_x, n[0].x);
    slopes = fmaf(u_y, fmaf(-u, whole_y, n[0].y), slopes);
    slopes = fmaf(v_x, fmaf(-v, whole_x, n[1].x), slopes);
    slopes = fmaf(v_y, fmaf(-v, whole_y, n[1].y), slopes);
    float common = -fmaf(for_u, u, fmaf(for_v, v, slopes)) * inverse;
    // Of the three cross products.
    g[0].x = u_x + common_x, g[0].y = u_y + common_y, g[0].z = fmaf(for_u, inverse, common);
    g[1].x = v_x + common_x, g[1].y = v_y + common_y, g[1].z = fmaf(for_v, inverse, common);
    g[2].x = common_x, g[2].y = common_y, g[2].z = common;
    for (int k = 0; k < 3; k++) {
        Vector for_p = turned(g[(k + 1) % 3], s[(k + 2) % 3], g[(k + 2) % 3], s[(k + 1) % 3]);
        to[3 * k] = width * for_p.x, to[3 * k + 1] = height * for_p.y;
        to[3 * k + 2] = fmaf(-across, for_p.x, fmaf(-down, for_p.y, for_p.z));
    }
}

// Adds to x, y and w of a vertex.
__device__ inline void add(float* row, const float by[3]) {
#if !defined(__HIP__) && __CUDA_ARCH__ >= 900 && (__CUDACC_VER_MAJOR__ > 12 || (__CUDACC_VER_MAJOR__ == 12 && __CUDACC_VER_MINOR__ > 0))
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};"
                 :: "l"(__cvta_generic_to_global(row)), "f"(by[0]), "f"(by[1]), "f"(0.0f), "f"(by[2]) : "memory");
#else
    atomicAdd(row, by[0]), atomicAdd(row + 1, by[1]), atomicAdd(row + 3, by[2]);
#endif
}

// Threads of the calling group of 32 with the same key, as bits; none where `mine` is false. All must call it.
__device__ inline u32 alike(bool mine, u32 key) {
    u32 found = 0;
    for (u32 left = votes(mine); left;) {
        u32 first = from_lane(key, (u32)__ffs((int)left) - 1u);
        bool same = mine && key == first;
        u32 these = votes(same);
        if (same) found = these;
        left &= ~these;
    }
    return found;
}

// Sums over the threads with the same key, as bits in `same`; the first of them gets them. All must call it.
__device__ inline void add_up(u32 same, float values[9]) {
    u32 lane = threadIdx.x & 31u, rank = __popc(same & ((1u << lane) - 1u));
    u32 rest = same & ~(1u << lane) & ~((1u << lane) - 1u);  // those after the calling thread
    while (votes(rest != 0)) {
        u32 next = rest ? (u32)__ffs((int)rest) - 1u : lane;
        for (int k = 0; k < 9; k++) {
            float other = from_lane(values[k], next);
            if (rest) values[k] += other;
        }
        rest &= votes(!(rank & 1u));  // every second has been added to the one before
        rank >>= 1;
    }
}

// Blocks are SIDE x SIDE pixels; x counts those of an image, y images.
extern "C" __global__ void __launch_bounds__(SIDE * SIDE) backward(Gradient p) {
    u32 lane = threadIdx.x % 32, group = threadIdx.x / 32, down = blockIdx.x / p.across, across = blockIdx.x - down * p.across;
    u32 x = across * SIDE + group % (SIDE / 8) * 8 + lane % 8, y = down * SIDE + group / (SIDE / 8) * 4 + lane / 8;
    u32 image = p.first + blockIdx.y, number = 0;
    float4 corner[3], d_db = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    float2 d = make_float2(0.0f, 0.0f);
    float values[9];
    bool mine = x < p.width && y < p.height;
    if (mine) {
        u64 pixel = ((u64)image * p.height + y) * p.width + x;
        number = triangle_shown(p.rast[4 * pixel + 3], p.faces);
        if (number) {
            if (p.d_rast) d = *(const float2*)(p.d_rast + 4 * pixel);
            if (p.d_db) d_db = *(const float4*)(p.d_db + 4 * pixel);
        }
        mine = (d.x != 0.0f || d.y != 0.0f || d_db.x != 0.0f || d_db.y != 0.0f || d_db.z != 0.0f || d_db.w != 0.0f)
            && load(p.tri, number, p.faces, p.pos + (u64)image * p.stride, p.vertices, corner);
    }
    if (mine) spread(p, corner, x, y, d, d_db, values);
    u32 same = alike(mine, number);
    add_up(same, values);
    if (!mine || (same & ((1u << lane) - 1u))) return;
    const u32* row = p.tri + (u64)(number - 1) * 3;
    for (int k = 0; k < 3; k++) add(p.grad + 4 * ((u64)image * p.stride + row[k]), values + 3 * k);
}
