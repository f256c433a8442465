// What every GPU program begins with. Its structs and constants, made of tables in Python, and its own source follow.
//
// One source for CUDA (NVRTC) and HIP (hipRTC), no headers, no assumption on the warp size. Whatever differs between
// the two is here. Compiled without contraction of multiply-adds: every operation rounds once.

#ifdef __HIP__
#pragma clang fp contract(off)
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// BLOCKS(least): of a kernel's launch bounds, how many blocks a multiprocessor must have registers for.
// STREAM(place, value): stores a result that is not read again, so that it pushes nothing out of the cache; stream2 and
// stream4 the same for two and four floats, whose place must be a multiple of their size.
#ifdef __HIP__
#define BLOCKS(least)  // HIP's second launch bound means something else
#define STREAM(place, value) __builtin_nontemporal_store(value, place)
typedef float Two __attribute__((ext_vector_type(2)));
typedef float Four __attribute__((ext_vector_type(4)));
__device__ inline void stream2(float* place, float x, float y) {
    Two value = {x, y};
    __builtin_nontemporal_store(value, (Two*)place);
}
__device__ inline void stream4(float* place, float x, float y, float z, float w) {
    Four value = {x, y, z, w};
    __builtin_nontemporal_store(value, (Four*)place);
}
#else
#define BLOCKS(least) , least
#define STREAM(place, value) __stcs(place, value)
__device__ inline void stream2(float* place, float x, float y) { __stcs((float2*)place, make_float2(x, y)); }
__device__ inline void stream4(float* place, float x, float y, float z, float w) {
    __stcs((float4*)place, make_float4(x, y, z, w));
}
#endif

// One bit for each of the calling group of 32 threads. Groups start at multiples of 32, so that none spans two warps or
// wavefronts, whose size is 32 or 64.
__device__ inline u32 votes(bool mine) {
#ifdef __HIP__
    return (u32)(__ballot(mine) >> (warpSize == 64 ? threadIdx.x & 32u : 0u));
#else
    return __ballot_sync(~0u, mine);
#endif
}

// Values of other threads of the calling group of 32: of the one with a number, and of the one whose number differs in
// these bits. All 32 must call; on AMD, where halves of a wavefront may part, all of those that the values come from.
template <class T> __device__ inline T from_lane(T value, u32 lane) {
#ifdef __HIP__
    return __shfl(value, (int)lane, 32);
#else
    return __shfl_sync(~0u, value, (int)lane);
#endif
}
template <class T> __device__ inline T from_partner(T value, u32 bits) {
#ifdef __HIP__
    return __shfl_xor(value, (int)bits, 32);
#else
    return __shfl_xor_sync(~0u, value, (int)bits);
#endif
}
