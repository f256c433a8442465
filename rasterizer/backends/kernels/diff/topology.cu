// Which vertex lies across each edge of a mesh: see backends/eager/diff/topology.py. Structs and constants that Python
// knows too are described in topology.py. Each kernel has a thread per side of a triangle.
//
//   enter                                puts the sides into a hash table of edges
//   pair_up                              finds the other side of edges that have two
//   elect_first, elect_second, settle    see to edges that have more, if any have
//
// The table has, of each edge, its vertices, and how many sides it has with the sum of their opposite vertices: where it
// has two sides, the sum less the own vertex is the other. Of more, the first triangle counts, and the first that has
// another vertex.
//
// An edge is looked for in the bucket of its lower vertex first, which lies near those of the neighbouring triangles,
// and then, as a vertex may have any number of edges, from a random place on.

#define NOTHING 0xFFFFFFFFFFFFFFFFull

__device__ inline u32 scrambled(u32 x) {
    x ^= x >> 16, x *= 0x7FEB352Du;
    x ^= x >> 15, x *= 0x846CA68Bu;
    return x ^ x >> 16;
}

struct Side {
    u32 triangle, opposite;
    u64 key;     // the edge's vertices, the smaller one in the upper half
    bool valid;  // the triangle has three different vertices
};

__device__ inline Side side_at(const Params& p, u32 number) {
    Side side;
    side.triangle = number / 3;
    u32 k = number - side.triangle * 3, index[3];
    side.valid = corners_of(p.tri, side.triangle + 1, p.vertices, index);
    side.valid = side.valid && index[0] != index[1] && index[1] != index[2] && index[2] != index[0];
    u32 a = k == 0 ? index[1] : k == 1 ? index[2] : index[0], b = k == 0 ? index[2] : k == 1 ? index[0] : index[1];
    side.opposite = k == 0 ? index[0] : k == 1 ? index[1] : index[2];
    side.key = a < b ? (u64)a << 32 | b : (u64)b << 32 | a;
    return side;
}

// Where an edge is in the table, after it has been put there unless it was.
__device__ inline u32 enter_edge(const Params& p, u64 key) {
    u32 low = (u32)(key >> 32), mixed = scrambled((u32)key), bucket = low % p.buckets * BUCKET;
    for (u32 k = 0; k < BUCKET; k++) {
        u32 place = bucket + (mixed + k) % BUCKET;
        u64 there = atomicCAS(&p.entries[place].key, NOTHING, key);
        if (there == NOTHING || there == key) return place;
    }
    u32 place = (u32)((u64)scrambled(mixed ^ low) * p.room >> 32);
    for (;;) {
        u64 there = atomicCAS(&p.entries[place].key, NOTHING, key);
        if (there == NOTHING || there == key) return place;
        place = place + 1 == p.room ? 0 : place + 1;
    }
}

// A result is -1 for none, or a vertex; before it is known, -2 less the place in the table.
extern "C" __global__ void __launch_bounds__(THREADS) enter(Params p) {
    u32 number = blockIdx.x * THREADS + threadIdx.x;
    if (number >= p.sides) return;
    Side side = side_at(p, number);
    int result = -1;
    if (side.valid) {
        u32 place = enter_edge(p, side.key);
        atomicAdd(&p.entries[place].sum, (u64)side.opposite << 32 | 1u);
        result = -2 - (int)place;
    }
    p.topology[number] = result;
}

extern "C" __global__ void __launch_bounds__(THREADS) pair_up(Params p) {
    u32 number = blockIdx.x * THREADS + threadIdx.x;
    if (number >= p.sides || p.topology[number] == -1) return;
    Entry* entry = p.entries + (-2 - p.topology[number]);
    u64 sum = entry->sum + 1;  // it began with all bits set
    if ((u32)sum <= 2) {
        u32 opposite = side_at(p, number).opposite, other = (u32)(sum >> 32) - opposite;
        p.topology[number] = (u32)sum == 1 || other == opposite ? -1 : (int)other;
        return;
    }
    entry->key = NOTHING;
    *p.more = 1;
}

// Sides of edges that have more than two, if there are any.
#define FOR_MORE(number) \
    if (*p.more == 1) \
        for (u32 number = blockIdx.x * THREADS + threadIdx.x; number < p.sides; number += gridDim.x * THREADS) \
            if (p.topology[number] < -1)

extern "C" __global__ void __launch_bounds__(THREADS) elect_first(Params p) {
    FOR_MORE(number) {
        Side side = side_at(p, number);
        Entry* entry = p.entries + (-2 - p.topology[number]);
        atomicMin(&entry->key, (u64)side.triangle << 32 | side.opposite);
        entry->sum = NOTHING;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) elect_second(Params p) {
    FOR_MORE(number) {
        Side side = side_at(p, number);
        Entry* entry = p.entries + (-2 - p.topology[number]);
        if (side.opposite != (u32)entry->key) atomicMin(&entry->sum, (u64)side.triangle << 32 | side.opposite);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) settle(Params p) {
    FOR_MORE(number) {
        int opposite = (int)side_at(p, number).opposite;
        const Entry* entry = p.entries + (-2 - p.topology[number]);
        int first = (int)(u32)entry->key, second = entry->sum == NOTHING ? -1 : (int)(u32)entry->sum;
        p.topology[number] = opposite == first ? second : opposite == second ? first : -1;
    }
}
