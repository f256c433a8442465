// What a GPU program needs to run on the CPU, in front of its text: see emulator.py. No header that could share a name
// with a kernel.
//
// A block's threads are fibers, of which one runs at a time. A fiber takes one thread after the other until one of them
// has to wait; then another fiber takes over. So kernels without barriers and warp operations run straight through.
// Warps have 32 threads and run one after the other, each up to the next barrier of the block.
//
// Unlike GPUs: float to int conversions out of range are undefined, and what threads do between two waits is atomic.

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#define __global__ __attribute__((visibility("default")))
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __constant__ static const
#define __shared__ static  // one block runs at a time
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define warpSize 32

#define VECTORS(type, name) \
    struct alignas(2 * sizeof(type)) name##2 { type x, y; }; \
    struct name##3 { type x, y, z; }; \
    struct alignas(16) name##4 { type x, y, z, w; }; \
    inline name##2 make_##name##2(type x, type y) { name##2 made = {x, y}; return made; } \
    inline name##3 make_##name##3(type x, type y, type z) { name##3 made = {x, y, z}; return made; } \
    inline name##4 make_##name##4(type x, type y, type z, type w) { name##4 made = {x, y, z, w}; return made; }
VECTORS(float, float)
VECTORS(int, int)
VECTORS(unsigned, uint)
#undef VECTORS
struct alignas(16) double2 { double x, y; };
struct alignas(16) longlong2 { long long x, y; };
struct alignas(16) ulonglong2 { unsigned long long x, y; };

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

typedef unsigned long long u64;
enum State { FRESH, READY, IN_WARP, IN_BLOCK, DONE };
enum Operation { BARRIER, BALLOT, SHUFFLE, MATCH, COUNT };

struct Fiber {
    ucontext_t start;
    jmp_buf place;
    bool started;
    unsigned thread;  // that it runs
    Fiber* next;      // of those that are free
};

struct Thread {
    State state;
    Fiber* fiber;
    Operation operation;
    unsigned mask, lane;  // lane: that SHUFFLE reads
    u64 value, result;
};

enum { MOST = 1024, STACK = 1 << 17 };
Thread threads[MOST];
unsigned current, count;
bool backwards;
const char* fault;
Fiber *unused, home;
void (*body)();

inline unsigned at(unsigned place, unsigned size) { return backwards ? size - 1 - place : place; }

void take(unsigned thread) {
    current = thread;
    threadIdx.x = thread % blockDim.x;
    threadIdx.y = thread / blockDim.x % blockDim.y;
    threadIdx.z = thread / (blockDim.x * blockDim.y);
}

__attribute__((noinline)) void change(Fiber* from, Fiber* to) {
    if (_setjmp(from->place)) return;
    if (to->started) _longjmp(to->place, 1);
    to->started = true;
    setcontext(&to->start);
}

void work(unsigned low, unsigned high) {
    Fiber* fiber = (Fiber*)((u64)high << 32 | low);
    for (;;) {
        unsigned thread = fiber->thread, first = thread & ~31u, size = count - first < 32 ? count - first : 32;
        take(thread);
        body();
        threads[thread].state = DONE;
        unsigned place = 0;
        while (place < size && threads[first + at(place, size)].state != FRESH) place++;
        if (place < size) {
            fiber->thread = first + at(place, size);
            threads[fiber->thread].fiber = fiber;
            continue;
        }
        fiber->next = unused, unused = fiber;
        change(fiber, &home);
    }
}

Fiber* free_fiber() {
    Fiber* fiber = unused;
    if (fiber) {
        unused = fiber->next;
        return fiber;
    }
    fiber = (Fiber*)__builtin_malloc(sizeof(Fiber));
    fiber->started = false;
    getcontext(&fiber->start);
    fiber->start.uc_stack.ss_sp = __builtin_malloc(STACK);
    fiber->start.uc_stack.ss_size = STACK;
    fiber->start.uc_link = 0;
    makecontext(&fiber->start, (void (*)())work, 2, (unsigned)(u64)fiber, (unsigned)((u64)fiber >> 32));
    return fiber;
}

void resume(unsigned number) {
    Thread& thread = threads[number];
    if (thread.state == FRESH) {
        thread.fiber = free_fiber();
        thread.fiber->thread = number;
    } else take(number);
    thread.state = READY;
    change(&home, thread.fiber);
}

u64 wait(State state, Operation operation, unsigned mask, u64 value, unsigned lane) {
    Thread& mine = threads[current];
    mine.operation = operation, mine.mask = mask, mine.value = value, mine.lane = lane;
    mine.state = state;
    change(mine.fiber, &home);
    return mine.result;
}

// Lets those threads of a warp go on that all wait for one operation; false if there are none.
bool settle_warp(unsigned first, unsigned size) {
    bool any = false;
    for (unsigned lane = 0; lane < size; lane++) {
        Thread& leader = threads[first + lane];
        if (leader.state != IN_WARP) continue;
        if (!(leader.mask >> lane & 1)) fault = "a thread is not in the mask of its own warp operation";
        bool complete = true;
        unsigned present = 0;
        for (unsigned other = 0; other < size; other++) {
            Thread& thread = threads[first + other];
            if (!(leader.mask >> other & 1) || thread.state == DONE) continue;
            present |= 1u << other;
            complete &= thread.state == IN_WARP && thread.operation == leader.operation && thread.mask == leader.mask;
        }
        if (!complete) continue;
        for (unsigned other = 0; other < size; other++) {
            Thread& thread = threads[first + other];
            if (!(present >> other & 1)) continue;
            if (thread.operation == SHUFFLE) {
                if (!(present >> thread.lane & 1)) fault = "a shuffle reads a thread that takes no part in it";
                thread.result = threads[first + thread.lane].value;
                continue;
            }
            thread.result = 0;
            for (unsigned k = 0; k < size; k++)
                if (present >> k & 1) {
                    u64 value = threads[first + k].value;
                    thread.result |= (u64)(thread.operation == MATCH ? value == thread.value : value != 0) << k;
                }
        }
        for (unsigned other = 0; other < size; other++)
            if (present >> other & 1) threads[first + other].state = READY;
        any = true;
    }
    return any;
}

void run_warp(unsigned first, unsigned size) {
    do {
        for (unsigned place = 0; place < size; place++) {
            State state = threads[first + at(place, size)].state;
            if (state == FRESH || state == READY) resume(first + at(place, size));
        }
    } while (!fault && settle_warp(first, size));
}

// Lets the threads of a block go on that all wait at a barrier; false if all have finished, or have nothing to wait for.
bool settle_block() {
    u64 waiting = 0, sum = 0, finished = 0;
    for (unsigned k = 0; k < count; k++) {
        finished += threads[k].state == DONE;
        waiting += threads[k].state == IN_BLOCK;
        sum += threads[k].state == IN_BLOCK && threads[k].value;
    }
    if (waiting + finished < count) fault = "threads of a warp wait for others that do not come";
    if (!waiting || fault) return false;
    for (unsigned k = 0; k < count; k++)
        if (threads[k].state == IN_BLOCK) threads[k].result = sum, threads[k].state = READY;
    return true;
}

void run_block() {
    for (unsigned k = 0; k < count; k++) threads[k].state = FRESH;
    unsigned warps = (count + 31) / 32;
    do {
        for (unsigned place = 0; place < warps && !fault; place++) {
            unsigned first = at(place, warps) * 32;
            run_warp(first, count - first < 32 ? count - first : 32);
        }
    } while (!fault && settle_block());
}

template <unsigned... Place> struct Places {};
template <unsigned Size, unsigned... Place> struct Count : Count<Size - 1, Size - 1, Place...> {};
template <unsigned... Place> struct Count<0, Place...> { typedef Places<Place...> To; };

template <class... Argument> struct Kernel {
    static void (*function)(Argument...);
    static void** arguments;
    template <unsigned... Place> static void call(Places<Place...>) { function(*(Argument*)arguments[Place]...); }
    static void run() { call(typename Count<sizeof...(Argument)>::To()); }
};
template <class... Argument> void (*Kernel<Argument...>::function)(Argument...);
template <class... Argument> void** Kernel<Argument...>::arguments;

void on_bad_address(int) {
    fault = "a thread touches memory that is not there";
    _longjmp(home.place, 1);
}

// While this lives, a bad address ends the launch, not the process; see guards.py.
struct Guard {
    struct sigaction before[2];
    Guard() {
        struct sigaction ours = {};
        ours.sa_handler = on_bad_address;
        ours.sa_flags = SA_NODEFER;
        sigaction(SIGSEGV, &ours, before), sigaction(SIGBUS, &ours, before + 1);
    }
    ~Guard() { sigaction(SIGSEGV, before, 0), sigaction(SIGBUS, before + 1, 0); }
};

// What went wrong, or null.
template <class... Argument>
const char* launch(void (*function)(Argument...), void** arguments, const unsigned* blocks, unsigned size, int reverse) {
    Kernel<Argument...>::function = function, Kernel<Argument...>::arguments = arguments;
    body = Kernel<Argument...>::run;
    home.started = true;
    backwards = reverse, fault = 0, count = size;
    if (!size || size > MOST) return "a block has no threads, or more than 1024";
    gridDim = {blocks[0], blocks[1], blocks[2]}, blockDim = {size, 1, 1};
    Guard guard;
    u64 total = (u64)blocks[0] * blocks[1] * blocks[2];
    if (!total) return "an empty grid";
    for (u64 place = 0; place < total && !fault; place++) {
        u64 block = reverse ? total - 1 - place : place;
        blockIdx.x = (unsigned)(block % blocks[0]);
        blockIdx.y = (unsigned)(block / blocks[0] % blocks[1]);
        blockIdx.z = (unsigned)(block / blocks[0] / blocks[1]);
        run_block();
    }
    return fault;  // fibers that wait for ever are left where they are
}

template <class T> inline u64 bits(T value) {
    static_assert(sizeof(T) <= 8, "larger than 64 bits");
    u64 word = 0;
    __builtin_memcpy(&word, &value, sizeof(T));
    return word;
}

template <class T> inline T shuffle(unsigned mask, T value, unsigned lane) {
    u64 word = wait(IN_WARP, SHUFFLE, mask, bits(value), lane);
    T result;
    __builtin_memcpy(&result, &word, sizeof(T));
    return result;
}

inline unsigned lane() { return current & 31u; }

template <class To, class From> inline To reinterpret(From value) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To result;
    __builtin_memcpy(&result, &value, sizeof(To));
    return result;
}

template <class T> inline T replace(T* place, T value) {
    T old = *place;
    *place = value;
    return old;
}

}  // namespace emulator

#define LAUNCHED(kernel) \
    extern "C" __global__ const char* launch_##kernel(void** arguments, const unsigned* blocks, unsigned size, int back) { \
        return emulator::launch(kernel, arguments, blocks, size, back); \
    }

inline void __syncthreads() { emulator::wait(emulator::IN_BLOCK, emulator::BARRIER, 0, 0, 0); }
inline int __syncthreads_count(int mine) {
    return (int)emulator::wait(emulator::IN_BLOCK, emulator::COUNT, 0, mine != 0, 0);
}
inline int __syncthreads_or(int mine) { return __syncthreads_count(mine) > 0; }
inline int __syncthreads_and(int mine) { return !__syncthreads_or(!mine); }

inline void __syncwarp(unsigned mask = ~0u) { emulator::wait(emulator::IN_WARP, emulator::BARRIER, mask, 0, 0); }
inline unsigned __ballot_sync(unsigned mask, int mine) {
    return (unsigned)emulator::wait(emulator::IN_WARP, emulator::BALLOT, mask, mine != 0, 0);
}
inline int __any_sync(unsigned mask, int mine) { return __ballot_sync(mask, mine) != 0; }
inline int __all_sync(unsigned mask, int mine) { return __ballot_sync(mask, !mine) == 0; }
template <class T> inline unsigned __match_any_sync(unsigned mask, T value) {
    return (unsigned)emulator::wait(emulator::IN_WARP, emulator::MATCH, mask, emulator::bits(value), 0);
}
template <class T> inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
    unsigned mine = emulator::lane();
    return emulator::shuffle(mask, value, (mine & ~(unsigned)(width - 1)) | ((unsigned)from & (width - 1)));
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
    unsigned mine = emulator::lane(), from = mine ^ (unsigned)with;
    return emulator::shuffle(mask, value, (from ^ mine) & ~(unsigned)(width - 1) ? mine : from);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned mine = emulator::lane(), inside = mine & (width - 1);
    return emulator::shuffle(mask, value, inside < by ? mine : mine - by);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned mine = emulator::lane(), inside = mine & (width - 1);
    return emulator::shuffle(mask, value, inside + by >= (unsigned)width ? mine : mine + by);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

#define ATOMIC(name, type, expression) \
    inline type name(type* place, type value) { \
        type old = *place; \
        (void)old; \
        return emulator::replace(place, (type)(expression)); \
    }
#define ATOMICS(type) \
    ATOMIC(atomicAdd, type, old + value) \
    ATOMIC(atomicExch, type, value) \
    ATOMIC(atomicMin, type, old < value ? old : value) \
    ATOMIC(atomicMax, type, old > value ? old : value)
#define INTEGER_ATOMICS(type) \
    ATOMICS(type) \
    ATOMIC(atomicOr, type, old | value) \
    ATOMIC(atomicAnd, type, old & value) \
    ATOMIC(atomicXor, type, old ^ value) \
    inline type atomicCAS(type* place, type expected, type value) { \
        return emulator::replace(place, *place == expected ? value : *place); \
    }
INTEGER_ATOMICS(int)
INTEGER_ATOMICS(unsigned)
INTEGER_ATOMICS(unsigned long long)
INTEGER_ATOMICS(long long)
ATOMIC(atomicSub, int, old - value)
ATOMIC(atomicSub, unsigned, old - value)
ATOMIC(atomicAdd, float, old + value)
ATOMIC(atomicAdd, double, old + value)
ATOMIC(atomicExch, float, value)
#undef INTEGER_ATOMICS
#undef ATOMICS
#undef ATOMIC

#define STORE(name) template <class T> inline void name(T* place, T value) { *place = value; }
STORE(__stcs)
STORE(__stcg)
STORE(__stwt)
#undef STORE
#define LOAD(name) template <class T> inline T name(const T* place) { return *place; }
LOAD(__ldg)
LOAD(__ldcs)
LOAD(__ldcg)
#undef LOAD
// As STREAM takes a value of another type than the place, such as an int for a float.
inline void __stcs(float* place, double value) { *place = (float)value; }

#define EXTREMES(type, a, b) \
    inline type min(a one, b other) { return (type)one < (type)other ? (type)one : (type)other; } \
    inline type max(a one, b other) { return (type)one > (type)other ? (type)one : (type)other; }
EXTREMES(int, int, int)
EXTREMES(unsigned, unsigned, unsigned)
EXTREMES(unsigned, unsigned, int)
EXTREMES(unsigned, int, unsigned)
EXTREMES(long long, long long, long long)
EXTREMES(unsigned long long, unsigned long long, unsigned long long)
#undef EXTREMES
inline float min(float one, float other) { return fminf(one, other); }
inline float max(float one, float other) { return fmaxf(one, other); }
inline double min(double one, double other) { return fmin(one, other); }
inline double max(double one, double other) { return fmax(one, other); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

inline int __float_as_int(float x) { return emulator::reinterpret<int>(x); }
inline unsigned __float_as_uint(float x) { return emulator::reinterpret<unsigned>(x); }
inline float __int_as_float(int x) { return emulator::reinterpret<float>(x); }
inline float __uint_as_float(unsigned x) { return emulator::reinterpret<float>(x); }
inline long long __double_as_longlong(double x) { return emulator::reinterpret<long long>(x); }
inline double __longlong_as_double(long long x) { return emulator::reinterpret<double>(x); }

// To integers they saturate, and NaN becomes 0.
#define CONVERT(name, type, from, least, most, rounded) \
    inline type name(from x) { \
        from y = rounded(x); \
        return !(y == y) ? 0 : y < (from)least ? least : y >= (from)most ? most : (type)y; \
    }
CONVERT(__float2int_rn, int, float, (-2147483647 - 1), 2147483647, rintf)
CONVERT(__float2int_rz, int, float, (-2147483647 - 1), 2147483647, truncf)
CONVERT(__float2int_rd, int, float, (-2147483647 - 1), 2147483647, floorf)
CONVERT(__float2int_ru, int, float, (-2147483647 - 1), 2147483647, ceilf)
CONVERT(__float2uint_rn, unsigned, float, 0u, 4294967295u, rintf)
CONVERT(__float2uint_rz, unsigned, float, 0u, 4294967295u, truncf)
CONVERT(__float2uint_rd, unsigned, float, 0u, 4294967295u, floorf)
CONVERT(__float2ll_rn, long long, float, (-9223372036854775807ll - 1), 9223372036854775807ll, rintf)
CONVERT(__float2ll_rz, long long, float, (-9223372036854775807ll - 1), 9223372036854775807ll, truncf)
CONVERT(__double2int_rn, int, double, (-2147483647 - 1), 2147483647, rint)
CONVERT(__double2ll_rn, long long, double, (-9223372036854775807ll - 1), 9223372036854775807ll, rint)
CONVERT(__double2ll_rd, long long, double, (-9223372036854775807ll - 1), 9223372036854775807ll, floor)
#undef CONVERT
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline float __ll2float_rn(long long x) { return (float)x; }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int k = 0; k < 32; k++) result |= (x >> k & 1u) << (31 - k);
    return result;
}
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((unsigned long long)x * y >> 32); }
inline int __mulhi(int x, int y) { return (int)((long long)x * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
inline long long __mul64hi(long long x, long long y) { return (long long)((__int128)x * y >> 64); }
