// Conditioning maps: the twin of map_operators.py, and of the vertex normals of meshes/mesh.py. Structs and constants
// that Python knows too are described in map_kernels.py; gpu/screen.cu comes before.
//
//   weld    a thread per vertex: one number for all vertices at one position, by a table of hashes
//   gather  a thread per face: adds its unit normal to the sums of its corners
//   finish  a thread per vertex: the sum of its position as a unit vector
//   clip    a thread per vertex and view: clip space, as cameras/projection.py has it
//   paint   a thread per pixel: normal and position; the distance goes where the mask will be
//   depth   a thread per pixel, when the least and greatest distances of all views are known: depth and mask
//
// Sums are of integers, so that they are the same in whatever order threads come.

__device__ inline u32 index_of_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline float3 vector(const float* values) { return make_float3(values[0], values[1], values[2]); }
__device__ inline float3 minus(float3 a, float3 b) { return make_float3(a.x - b.x, a.y - b.y, a.z - b.z); }
__device__ inline float3 times(float3 a, float factor) { return make_float3(a.x * factor, a.y * factor, a.z * factor); }
__device__ inline float3 over(float3 a, float divisor) { return make_float3(a.x / divisor, a.y / divisor, a.z / divisor); }

// Of length 1; zero where that of zero, or of something that is not finite, is asked for.
__device__ inline float3 unit(float3 a) {
    float finite = (a.x - a.x) + (a.y - a.y) + (a.z - a.z);
    float largest = fmaxf(fmaxf(fabsf(a.x), fabsf(a.y)), fabsf(a.z));
    if (finite != 0.0f || largest == 0.0f) return make_float3(0.0f, 0.0f, 0.0f);
    a = over(a, largest);  // squares of small numbers would become 0
    return over(a, fmaxf(sqrtf(a.x * a.x + a.y * a.y + a.z * a.z), 1.0f));
}

__device__ inline float3 face_normal(const float* positions, const u32 index[3]) {
    float3 origin = vector(positions + (u64)index[0] * 3);
    float3 a = minus(vector(positions + (u64)index[1] * 3), origin);
    float3 b = minus(vector(positions + (u64)index[2] * 3), origin);
    return unit(make_float3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x));
}

// A coordinate's bits, which are the same for 0 and -0.
__device__ inline u32 place_bits(float x) { return (u32)__float_as_int(x + 0.0f); }

__device__ inline bool together(const float* a, const float* b) {
    return place_bits(a[0]) == place_bits(b[0]) && place_bits(a[1]) == place_bits(b[1])
           && place_bits(a[2]) == place_bits(b[2]);
}

// The finalizer of MurmurHash3 (Austin Appleby, public domain), for each coordinate.
__device__ inline u32 mixed(u32 hash, u32 bits) {
    hash ^= bits;
    hash ^= hash >> 16, hash *= 0x85ebca6bu, hash ^= hash >> 13, hash *= 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

extern "C" __global__ void __launch_bounds__(THREADS) weld(Welding p) {
    u32 mine = index_of_thread();
    if (mine >= p.vertices) return;
    const float* at = p.positions + (u64)mine * 3;
    u32 slot = mixed(mixed(mixed(0u, place_bits(at[0])), place_bits(at[1])), place_bits(at[2]));
    for (;; slot++) {  // at least half of the slots stay empty
        u32 found = atomicCAS((u32*)p.slots + (slot & p.mask), 0u, mine + 1u);
        if (found && !together(p.positions + (u64)(found - 1u) * 3, at)) continue;
        p.welded[mine] = (int)(found ? found - 1u : mine);
        return;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) gather(Welding p) {
    u32 face = index_of_thread();
    if (face >= p.faces) return;
    u32 index[3];
    corners(p, face, index);
    float3 normal = times(face_normal(p.positions, index), SUM_SCALE);
    for (int k = 0; k < 3; k++) {
        u64* sum = (u64*)p.sums + (u64)p.welded[index[k]] * 3;
        atomicAdd(sum, (u64)(i64)normal.x), atomicAdd(sum + 1, (u64)(i64)normal.y);
        atomicAdd(sum + 2, (u64)(i64)normal.z);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) finish(Welding p) {
    u32 vertex = index_of_thread();
    if (vertex >= p.vertices) return;
    const i64* sum = p.sums + (u64)p.welded[vertex] * 3;
    float3 normal = unit(make_float3((float)sum[0], (float)sum[1], (float)sum[2]));
    float* out = p.normals + (u64)vertex * 3;
    out[0] = normal.x, out[1] = normal.y, out[2] = normal.z;
}

// A row of camera_table in cameras/projection.py.
struct Seen {
    float axes[9], position[3];
    float near, far, slope, shift, fitted, flat, across, down;
};
static_assert(sizeof(Seen) == CAMERA * 4, "not a row of the table");

__device__ inline const Seen& camera(const Pictures& p, u32 view) { return ((const Seen*)p.cameras)[view]; }

__device__ inline float3 normalized(const Pictures& p, u32 index) {
    return times(minus(vector(p.positions + (u64)index * 3), vector(p.centre)), *p.scale);
}

__device__ inline float along(float3 place, const float* axis) {
    return ((place.x * axis[0] + 0.0f) + place.y * axis[1]) + place.z * axis[2];
}

extern "C" __global__ void __launch_bounds__(THREADS) clip(Pictures p) {
    u32 index = index_of_thread();
    if (index >= p.vertices) return;
    const Seen& seen = camera(p, blockIdx.y);
    float3 place = minus(normalized(p, index), vector(seen.position));
    float x = along(place, seen.axes), y = along(place, seen.axes + 3), distance = -along(place, seen.axes + 6);
    float zero = 0.0f, w = seen.flat > 0.0f ? 1.0f : distance;
    if (!(distance >= seen.near)) w = zero / zero;
    ((float4*)p.pos)[(u64)blockIdx.y * p.vertices + index] =
        make_float4(x * seen.across, y * seen.down, distance * seen.slope - seen.shift, w);
}

// A corner on the screen, for screen.cu.
__device__ inline float4 vertex(const Pictures& p, u32 view, u32 index) {
    return to_screen(p, ((const float4*)p.pos)[(u64)view * p.vertices + index]);
}

__device__ inline float mean(float a, float b, float c, float3 weights) {
    return (a * weights.x + b * weights.y) + c * weights.z;
}
__device__ inline float3 mean(const float3 corner[3], float3 weights) {
    return make_float3(mean(corner[0].x, corner[1].x, corner[2].x, weights),
                       mean(corner[0].y, corner[1].y, corner[2].y, weights),
                       mean(corner[0].z, corner[1].z, corner[2].z, weights));
}

// 0..1, and what is not a number stays none.
__device__ inline float shade(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }

// Hunyuan3D's axes, as colours.
__device__ inline float3 coded(float3 a, float factor) {
    return make_float3(shade(a.x * factor + 0.5f), shade(-a.z * factor + 0.5f), shade(a.y * factor + 0.5f));
}

// Three numbers of each thread of the block, side by side: neighbouring threads write neighbouring numbers. Every
// thread must call it.
__device__ inline void write(float* shared, float3 mine, float* out, u32 count) {
    __syncthreads();
    float* place = shared + threadIdx.x * 3;
    place[0] = mine.x, place[1] = mine.y, place[2] = mine.z;
    __syncthreads();
    for (u32 k = threadIdx.x; k < count * 3; k += THREADS) STREAM(out + k, shared[k]);
}

// A float as an integer in the same order, and back; no float becomes NONE.
__device__ inline int turned(int bits) { return bits >= 0 ? bits : bits ^ 0x7fffffff; }
__device__ inline int order(float x) { return turned(__float_as_int(x)); }
__device__ inline float value_of(int place) { return __int_as_float(turned(place)); }

// Every thread must call it; those that have nothing, with NONE.
__device__ inline void raise_to(int* place, int mine) {
    for (u32 bits = 16; bits; bits >>= 1) {
        int other = from_partner(mine, bits);
        mine = mine > other ? mine : other;
    }
    if (threadIdx.x % 32 == 0 && *(volatile int*)place < mine) atomicMax(place, mine);
}

extern "C" __global__ void __launch_bounds__(THREADS) paint(Pictures p) {
    __shared__ float numbers[THREADS * 3];
    u32 view = blockIdx.y, start = blockIdx.x * THREADS, pixel = start + threadIdx.x, all = p.width * p.height;
    u32 count = all - start < THREADS ? all - start : THREADS;
    u64 first = (u64)view * all;
    u32 found = pixel < all ? (u32)p.findices[first + pixel] : 0;
    float3 normal = make_float3(1.0f, 1.0f, 1.0f), position = normal;
    float distance = 0.0f;
    if (found) {
        u32 face = found - 1 < p.faces ? found - 1 : p.faces - 1, index[3], row = pixel / p.width;
        corners(p, face, index);
        float3 weights = weights_at(p, face, view, pixel - row * p.width, row), place[3], tilt[3];
        const Seen& seen = camera(p, view);
        float toward[3];
        for (int k = 0; k < 3; k++) {
            place[k] = normalized(p, index[k]);
            float3 look = seen.fitted > 0.0f ? vector(p.positions + (u64)index[k] * 3) : place[k];
            toward[k] = along(minus(look, vector(seen.position)), seen.axes + 6);
            if (p.normals) tilt[k] = vector(p.normals + (u64)index[k] * 3);
        }
        distance = -mean(toward[0], toward[1], toward[2], weights);
        position = coded(mean(place, weights), 1.0f / DIAMETER);
        normal = coded(p.normals ? mean(tilt, weights) : face_normal(p.positions, index), 0.5f);
    }
    write(numbers, normal, p.normal + (first + start) * 3, count);
    write(numbers, position, p.position + (first + start) * 3, count);
    if (pixel < all) p.mask[first + pixel] = distance;
    raise_to(p.ends + view * 2, found ? order(-distance) : NONE);
    raise_to(p.ends + view * 2 + 1, found ? order(distance) : NONE);
}

extern "C" __global__ void __launch_bounds__(THREADS) depth(Pictures p) {
    __shared__ float numbers[THREADS * 3];
    u32 view = blockIdx.y, start = blockIdx.x * THREADS, pixel = start + threadIdx.x, all = p.width * p.height;
    u32 count = all - start < THREADS ? all - start : THREADS;
    u64 first = (u64)view * all;
    bool drawn = pixel < all && p.findices[first + pixel] != 0;
    float value = 0.0f;
    if (drawn) {
        float near = -value_of(p.ends[view * 2]), far = value_of(p.ends[view * 2 + 1]), span = far - near;
        value = (far - p.mask[first + pixel]) / (span < 1e-12f ? 1e-12f : span);
    }
    if (pixel < all) p.mask[first + pixel] = drawn ? 1.0f : 0.0f;
    write(numbers, make_float3(value, value, value), p.depth + (first + start) * 3, count);
}
