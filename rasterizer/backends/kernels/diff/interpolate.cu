// Attributes of vertices over images, their derivatives, and gradients. The rule is that of contract/diff_rule.py;
// structs and constants that Python knows too are described in interpolate.py. Blocks: x counts pixels, y images.
//
//   interpolate_N         N attributes, a thread per pixel
//   interpolate_N_slopes  and all of their derivatives
//   interpolate           any number of attributes, and derivatives of any: a thread per number of the result
//   backward_N            gradients, with N attributes, a thread per pixel
//   backward              the same with any number
//
// In the backward kernels each group of 32 threads has 8 x 4 pixels, most of which show the same few triangles. What
// their threads have for the vertices of one triangle is summed up in the group, so that it costs an atomic and not 32.

struct Pixel {
    u32 number;  // of its triangle, from 1, or 0 for the background
    u32 index[3];
    float u, v, w;
};

__device__ inline Pixel pixel_at(const Params& p, u64 place) {
    Pixel pixel;
    float4 shown = p.rast[place];
    pixel.number = triangle_shown(shown.w, p.triangles);
    pixel.u = shown.x, pixel.v = shown.y, pixel.w = 1.0f - shown.x - shown.y;
    return pixel;
}

// The second step: whatever else is read of a pixel is asked for between the two, so that it need not wait for this.
__device__ inline void find_corners(const Params& p, Pixel& pixel) {
    if (pixel.number && !corners_of(p.tri, pixel.number, p.vertices, pixel.index)) pixel.number = 0;
}

// N floats of a row of such; the first row lies on 16 bytes.
template <int N> __device__ inline void load(const float* row, float (&values)[N]) {
    if (N % 4 == 0) {
        for (int k = 0; k < N; k += 4) {
            float4 some = *(const float4*)(row + k);
            values[k] = some.x, values[k + 1] = some.y, values[k + 2] = some.z, values[k + 3] = some.w;
        }
    } else if (N % 2 == 0) {
        for (int k = 0; k < N; k += 2) {
            float2 some = *(const float2*)(row + k);
            values[k] = some.x, values[k + 1] = some.y;
        }
    } else
        for (int k = 0; k < N; k++) values[k] = row[k];
}

// Attributes of a pixel's three vertices, of which the first `count` exist.
template <int N, bool MORE> __device__ inline void rows(
    const float* table, const Pixel& pixel, u32 size, u32 count, float (&a)[N], float (&b)[N], float (&c)[N]) {
    const float *first = table + (u64)pixel.index[0] * size, *second = table + (u64)pixel.index[1] * size;
    const float* third = table + (u64)pixel.index[2] * size;
    if (!MORE) {
        load(first, a), load(second, b), load(third, c);
        return;
    }
    for (int k = 0; k < N; k++) {
        a[k] = b[k] = c[k] = 0.0f;
        if (k < count) a[k] = first[k], b[k] = second[k], c[k] = third[k];
    }
}

// Stores the rows of a block, the first of which lies on a multiple of its size, `count` of them.
template <int N> __device__ inline void store(float* rows, const float (&row)[N], u32 count) {
    float* own = rows + threadIdx.x * N;
    if (N == 1 || N == 2 || N % 4 == 0) {
        if (threadIdx.x >= count) return;
        if (N == 1) STREAM(own, row[0]);
        else if (N == 2) stream2(own, row[0], row[1]);
        else
            for (int k = 0; k < N; k += 4) stream4(own + k, row[k], row[k + 1], row[k + 2], row[k + 3]);
        return;
    }
    // Neighbouring threads store neighbouring floats.
    __shared__ float staged[THREADS * N];
    for (int k = 0; k < N; k++) staged[threadIdx.x * N + k] = row[k];
    __syncthreads();
    for (u32 at = threadIdx.x; at < count * N; at += THREADS) STREAM(rows + at, staged[at]);
}

template <int N, bool SLOPES> __device__ inline void blend(const Params& p) {
    u32 first = blockIdx.x * THREADS, count = p.pixels - first < THREADS ? p.pixels - first : THREADS;
    u64 start = (u64)blockIdx.y * p.pixels + first, place = start + threadIdx.x;
    float values[N], slopes[2 * N];
    for (int k = 0; k < N; k++) values[k] = slopes[2 * k] = slopes[2 * k + 1] = 0.0f;
    if (threadIdx.x < count) {
        Pixel pixel = pixel_at(p, place);
        float4 d;
        if (SLOPES && pixel.number) d = p.db[place];
        find_corners(p, pixel);
        if (pixel.number) {
            const float* table = p.attr + blockIdx.y * p.table;
            float a[N], b[N], c[N];
            rows<N, false>(table, pixel, N, N, a, b, c);
            for (int k = 0; k < N; k++) {
                values[k] = fmaf(pixel.u, a[k], fmaf(pixel.v, b[k], pixel.w * c[k]));
                if (!SLOPES) continue;
                slopes[2 * k] = fmaf(d.x, a[k] - c[k], d.z * (b[k] - c[k]));
                slopes[2 * k + 1] = fmaf(d.y, a[k] - c[k], d.w * (b[k] - c[k]));
            }
        }
    }
    store(p.out + start * N, values, count);
    if (SLOPES) store(p.da + start * (2 * N), slopes, count);
}

#define BLEND(name, n, slopes) \
    extern "C" __global__ void __launch_bounds__(THREADS) name(Params p) { blend<n, slopes>(p); }
BLEND(interpolate_1, 1, false)
BLEND(interpolate_2, 2, false)
BLEND(interpolate_3, 3, false)
BLEND(interpolate_4, 4, false)
BLEND(interpolate_1_slopes, 1, true)
BLEND(interpolate_2_slopes, 2, true)
BLEND(interpolate_3_slopes, 3, true)
BLEND(interpolate_4_slopes, 4, true)

// Goes through the numbers that rows of `size` have, THREADS at a time.
struct Walk {
    u32 row, column, rows, columns, size;
    __device__ inline Walk(u32 of) {
        row = threadIdx.x / of, column = threadIdx.x % of, rows = THREADS / of, columns = THREADS % of, size = of;
    }
    __device__ inline void next() {
        row += rows, column += columns;
        if (column >= size) column -= size, row++;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) interpolate(Params p) {
    __shared__ Pixel pixels[FEW];
    __shared__ float4 derivatives[FEW];
    u32 first = blockIdx.x * FEW, count = p.pixels - first < FEW ? p.pixels - first : FEW;
    u64 start = (u64)blockIdx.y * p.pixels + first;
    if (threadIdx.x < count) {
        Pixel pixel = pixel_at(p, start + threadIdx.x);
        if (p.chosen_count && pixel.number) derivatives[threadIdx.x] = p.db[start + threadIdx.x];
        find_corners(p, pixel);
        pixels[threadIdx.x] = pixel;
    }
    __syncthreads();
    const float* table = p.attr + blockIdx.y * p.table;
    float* out = p.out + start * p.attributes;
    u32 at = threadIdx.x;
    for (Walk walk(p.attributes); walk.row < count; walk.next(), at += THREADS) {
        const Pixel& pixel = pixels[walk.row];
        float value = 0.0f;
        if (pixel.number) {
            const float* column = table + walk.column;
            float a = column[(u64)pixel.index[0] * p.attributes], b = column[(u64)pixel.index[1] * p.attributes];
            value = fmaf(pixel.u, a, fmaf(pixel.v, b, pixel.w * column[(u64)pixel.index[2] * p.attributes]));
        }
        STREAM(out + at, value);
    }
    if (!p.chosen_count) return;
    out = p.da + start * (2 * p.chosen_count), at = threadIdx.x;
    for (Walk walk(2 * p.chosen_count); walk.row < count; walk.next(), at += THREADS) {
        const Pixel& pixel = pixels[walk.row];
        int attribute = p.every ? (int)(walk.column / 2) : p.chosen[walk.column / 2];
        float value = 0.0f;
        if (pixel.number && attribute >= 0) {
            const float* column = table + attribute;
            float a = column[(u64)pixel.index[0] * p.attributes], b = column[(u64)pixel.index[1] * p.attributes];
            float c = column[(u64)pixel.index[2] * p.attributes];
            float4 d = derivatives[walk.row];
            value = walk.column % 2 ? fmaf(d.y, a - c, d.w * (b - c)) : fmaf(d.x, a - c, d.z * (b - c));
        }
        STREAM(out + at, value);
    }
}

// Adds N floats to a row of such, of which the first `count` exist.
template <int N> __device__ inline void add(float* row, const float* values, u32 count) {
#if __CUDA_ARCH__ >= 900 && __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1201
    if (N == 2 && count == 2 && (u64)row % 8 == 0) {
        atomicAdd((float2*)row, make_float2(values[0], values[1]));
        return;
    }
    if (N == 4 && count == 4 && (u64)row % 16 == 0) {
        atomicAdd((float4*)row, make_float4(values[0], values[1], values[2], values[3]));
        return;
    }
#endif
    for (int k = 0; k < N; k++)
        if (k < count) atomicAdd(row + k, values[k]);
}

#define LEAST 3  // pixels of a triangle in a group that are summed up before they are added

// Adds what each thread of a group of 32 has for the vertices of its triangle, N numbers for each: values[vertex * N + k]
// to the number `k`, of which there are `count`, of a row of p.attributes. All 32 threads must call.
template <int N> __device__ inline void add_to_vertices(
    const Params& p, float* table, const Pixel& pixel, const float (&values)[3 * N], u32 count) {
    const int SIZE = N == 1 ? 4 : N == 2 ? 8 : 16, SHARE = 32 / SIZE;
    u32 lane = threadIdx.x & 31u;
    bool any = false;
    for (int k = 0; k < 3 * N; k++) any |= values[k] != 0.0f;
    u32 number = any ? pixel.number : 0;
    // Triangles of which no two pixels are neighbours are not worth looking for.
    u32 beside = from_partner(number, 1u), below = from_partner(number, 8u);
    u32 left = votes(number && (number == beside || number == below));
    bool alone = number != 0;
    while (left) {
        u32 shown = from_lane(number, __ffs((int)left) - 1), group = votes(number == shown);
        left &= ~group;
        if (__popc(group) < LEAST) continue;
        float sums[SIZE];
#pragma unroll
        for (int k = 0; k < SIZE; k++) sums[k] = k < 3 * N && number == shown ? values[k < 3 * N ? k : 0] : 0.0f;
        float sum = sum_of_group(sums);
        if (number == shown) alone = false;
        u32 which = lane / SHARE, vertex = which / N, k = which - vertex * N;
        if (lane % SHARE || vertex > 2 || k >= count) continue;
        u64 row = (u32)p.tri[(u64)(shown - 1) * 3 + vertex];
        atomicAdd(table + row * p.attributes + k, sum);
    }
    if (!alone) return;
    for (int vertex = 0; vertex < 3; vertex++)
        add<N>(table + (u64)pixel.index[vertex] * p.attributes, values + vertex * N, count);
}

// Upstream gradients of a pixel for N attributes from `first` on, of which `count` exist; zeros if it shows nothing.
template <int N, bool MORE> __device__ inline void gradients(
    const Params& p, u64 place, u32 first, u32 count, bool shows, float (&g)[N], float (&dx)[N], float (&dy)[N]) {
    for (int k = 0; k < N; k++) g[k] = dx[k] = dy[k] = 0.0f;
    if (shows && p.d_out) {
        if (!MORE) load(p.d_out + place * N, g);
        else
            for (int k = 0; k < N; k++)
                if (k < count) g[k] = p.d_out[place * p.attributes + first + k];
    }
    if (!shows || !p.d_da) return;
    const float* row = p.d_da + place * (2 * p.chosen_count);
    if (!MORE) {
        float both[2 * N];
        load(row, both);
        for (int k = 0; k < N; k++) dx[k] = both[2 * k], dy[k] = both[2 * k + 1];
    } else if (p.every) {
        for (int k = 0; k < N; k++)
            if (k < count) dx[k] = row[2 * (first + k)], dy[k] = row[2 * (first + k) + 1];
    } else
        for (u32 each = 0; each < p.chosen_count; each++)
            for (int k = 0; k < N; k++)
                if (p.chosen[each] == (int)(first + k)) dx[k] += row[2 * each], dy[k] += row[2 * each + 1];
}

// N attributes, or with MORE any number of them, N at a time.
template <int N, bool MORE> __device__ inline void pull_back(const Params& p) {
    u32 row = blockIdx.x / p.across, group = threadIdx.x / 32, lane = threadIdx.x & 31u;
    u32 x = (blockIdx.x - row * p.across) * TILE + group % 2 * 8 + lane % 8, y = row * TILE + group / 2 * 4 + lane / 8;
    u64 place = (u64)y * p.width + x;
    bool inside = x < p.width && place < p.pixels;
    place += (u64)blockIdx.y * p.pixels;
    Pixel pixel;
    pixel.number = 0;
    if (inside) pixel = pixel_at(p, place);
    float4 d = make_float4(0.0f, 0.0f, 0.0f, 0.0f), to_db = d;
    if (p.d_da && pixel.number) d = p.db[place];
    float to_u = 0.0f, to_v = 0.0f;
    u32 attributes = MORE ? p.attributes : N;
    const float* table = p.attr + blockIdx.y * p.table;
    for (u32 first = 0; first < attributes; first += N) {
        u32 count = MORE && attributes - first < N ? attributes - first : N;
        float g[N], dx[N], dy[N];
        gradients<N, MORE>(p, place, first, count, pixel.number, g, dx, dy);
        if (first == 0) find_corners(p, pixel);
        if (pixel.number && (p.d_rast || p.d_db)) {
            float a[N], b[N], c[N];
            rows<N, MORE>(table + first, pixel, attributes, count, a, b, c);
            for (int k = 0; k < N; k++) {
                float ac = a[k] - c[k], bc = b[k] - c[k];
                to_u = fmaf(g[k], ac, to_u), to_v = fmaf(g[k], bc, to_v);
                to_db.x = fmaf(dx[k], ac, to_db.x), to_db.y = fmaf(dy[k], ac, to_db.y);
                to_db.z = fmaf(dx[k], bc, to_db.z), to_db.w = fmaf(dy[k], bc, to_db.w);
            }
        }
        if (!p.d_attr) continue;
        float values[3 * N];
        for (int k = 0; k < N; k++) {
            float by_u = fmaf(dx[k], d.x, dy[k] * d.y), by_v = fmaf(dx[k], d.z, dy[k] * d.w);
            values[k] = pixel.number ? fmaf(pixel.u, g[k], by_u) : 0.0f;
            values[N + k] = pixel.number ? fmaf(pixel.v, g[k], by_v) : 0.0f;
            values[2 * N + k] = pixel.number ? fmaf(pixel.w, g[k], -by_u - by_v) : 0.0f;
        }
        add_to_vertices<N>(p, p.d_attr + blockIdx.y * p.table + first, pixel, values, count);
    }
    if (!inside) return;
    if (p.d_rast) stream4(p.d_rast + place * 4, to_u, to_v, 0.0f, 0.0f);
    if (p.d_db) stream4(p.d_db + place * 4, to_db.x, to_db.y, to_db.z, to_db.w);
}

#define PULL_BACK(name, n, more) \
    extern "C" __global__ void __launch_bounds__(THREADS) name(Params p) { pull_back<n, more>(p); }
PULL_BACK(backward_1, 1, false)
PULL_BACK(backward_2, 2, false)
PULL_BACK(backward_3, 3, false)
PULL_BACK(backward_4, 4, false)
PULL_BACK(backward, 4, true)
