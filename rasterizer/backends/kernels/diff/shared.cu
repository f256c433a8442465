// What the programs of the differentiable primitives share.

// Number of the triangle, from 1, that an id stands for; 0 for the background, and for ids of no triangle.
__device__ inline u32 triangle_shown(float id, u32 triangles) {
    if (!(id >= 1.0f)) return 0;  // NaN included
    u32 number = id <= (float)MOST_PLAIN_ID ? (u32)id : __float_as_uint(id) - ID_BITS;
    return number <= triangles ? number : 0;
}

// Vertices of a triangle that is numbered from 1; false if one of them does not exist.
__device__ inline bool corners_of(const int* tri, u32 number, u32 vertices, u32 (&index)[3]) {
    const int* row = tri + (u64)(number - 1) * 3;
    for (int k = 0; k < 3; k++) index[k] = (u32)row[k];  // negative ones become large
    return index[0] < vertices && index[1] < vertices && index[2] < vertices;
}

// a b - c d, as exact as if it were rounded twice: W. Kahan's algorithm.
__device__ inline float difference_of_products(float a, float b, float c, float d) {
    float cd = c * d, error = fmaf(-c, d, cd);
    return fmaf(a, b, -cd) + error;
}

// A step of the sum below: threads that differ in a bit of their number share the 2 * HALF sums that both have.
template <int HALF> struct Fold {
    template <int SIZE> static __device__ inline void run(float (&values)[SIZE], u32 bit) {
        bool upper = threadIdx.x & bit;
#pragma unroll
        for (int k = 0; k < HALF; k++) {
            float kept = upper ? values[k + HALF] : values[k], given = upper ? values[k] : values[k + HALF];
            values[k] = kept + from_partner(given, bit);
        }
        Fold<HALF / 2>::run(values, bit / 2);
    }
};
template <> struct Fold<0> {
    template <int SIZE> static __device__ inline void run(float (&values)[SIZE], u32 bit) {
        for (; bit; bit /= 2) values[0] += from_partner(values[0], bit);
    }
};

// Sums SIZE values each, a power of two up to 32, over the calling group of 32 threads, which all must call. The sum of
// values[k] goes to the 32 / SIZE threads from k * 32 / SIZE on: a third of the exchanges that it takes to give all
// sums to all threads.
template <int SIZE> __device__ inline float sum_of_group(float (&values)[SIZE]) {
    Fold<SIZE / 2>::run(values, 16u);
    return values[0];
}
