// Numbers, vectors, and how a view sees the mesh: the twin of vectors.py and view.py.

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

// A vertex of a face. Faces were checked at the door; memory shared with NumPy can change behind its back.
__device__ inline i64 vertex_of(const int* tri, i64 face, int corner, u32 vertices) {
    u32 index = ((const u32*)tri)[face * 3 + corner];
    return index < vertices ? index : vertices - 1;
}
