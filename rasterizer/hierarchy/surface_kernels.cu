// Cells looked up, and graphs relaxed: the twin of lookup.py and relaxation.py, which define every step and say why.
// Structs and constants that Python knows too are described in surface_kernels.py.
//
//   find    a thread per point: its cell
//   relax   a thread per node and channel: a step

__device__ inline i64 index_of_thread() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }

// A coordinate in cells; where it is far outside, or not a number, one that has no cell beside it.
__device__ inline i64 on_grid(const Find& p, float value, int axis) {
    double place = ((double)((value - p.centre[axis]) / p.half_side * 0.5f) + 0.5) * (double)p.resolution;
    return place > -2.0 && place < (double)p.resolution + 2.0 ? (i64)place : -4;
}

// How many keys are less.
__device__ inline i64 lower_bound(const i64* keys, i64 size, i64 key) {
    i64 first = 0;
    while (size > 0) {
        i64 half = size / 2;
        bool after = keys[first + half] < key;
        first = after ? first + half + 1 : first;
        size = after ? size - half - 1 : half;
    }
    return first;
}

struct Best {
    float score;
    i64 cell;
};

// Takes the cells at given coordinates where they are better.
__device__ inline void consider(const Find& p, i64 x, i64 y, i64 z, const float* point, const float* normal, Best& best) {
    i64 side = p.resolution;
    if (x < 0 || y < 0 || z < 0 || x >= side || y >= side || z >= side) return;
    i64 key = (x * side + y) * side + z;
    i64 at = lower_bound(p.keys, p.size, key);
    for (i64 place = at; place < at + 2 && place < p.size && p.keys[place] == key; place++) {
        i64 cell = p.cells[place];
        const float *other = p.positions + cell * 3, *facing = p.facing + cell * 3;
        float a = other[0] - point[0], b = other[1] - point[1], c = other[2] - point[2];
        float score = sqrtf(a * a + b * b + c * c) / p.cell_size;
        if (p.normals && facing[0] * normal[0] + facing[1] * normal[1] + facing[2] * normal[2] < 0.0f) score += POOR;
        if (score < best.score) best.score = score, best.cell = cell;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) find(Find p) {
    i64 number = index_of_thread();
    if (number >= p.count) return;
    const float *point = p.points + number * 3, *normal = p.normals ? p.normals + number * 3 : p.points;
    i64 x = on_grid(p, point[0], 0), y = on_grid(p, point[1], 1), z = on_grid(p, point[2], 2);
    Best best = {3.402823466e+38f, -1};
    consider(p, x, y, z, point, normal, best);
    if (!(best.score < POOR))
        for (int k = 0; k < 27; k++)
            if (k != 13) consider(p, x + k / 9 - 1, y + k / 3 % 3 - 1, z + k % 3 - 1, point, normal, best);
    p.found[number] = best.cell;
}

extern "C" __global__ void __launch_bounds__(THREADS) relax(Relax p) {
    i64 place = index_of_thread();
    if (place >= p.nodes * p.channels) return;
    i64 node = place / p.channels, channel = place - node * p.channels;
    float value = p.values[place], step = 0.0f;
    if (p.free[node] > 0.0f) {
        float mean = 0.0f;
        for (i64 k = node * p.width; k < (node + 1) * p.width; k++) {
            i64 other = p.neighbors[k];
            if (other >= 0 && other < p.nodes) mean += p.values[other * p.channels + channel] * p.weights[k];
        }
        step = p.keep * p.step[place] + p.add * (mean - value);
    }
    p.step[place] = step;
    p.moved[place] = value + step;
}
