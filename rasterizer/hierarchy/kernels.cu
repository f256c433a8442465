// The grid hierarchy, for views of one size and levels whose resolution halves exactly: the twin of collect, Numbering and
// build in PyTorch's operators, which define every step and say why. Positions are those of float64 arithmetic to the bit.
// Structs and constants that Python knows too are described in kernels.py.
//
// collect, with Images:
//   survey     a thread per pixel: which layers are drawn, and how many lie behind one another
//   gather     a thread per slot: the sample that it shows
// Numbering, with Keys, after the keys were sorted:
//   mark       a thread per key: whether it is the first of its kind
//   rank       a thread per key: numbers for the first ones
//   spread     a thread per key: numbers for all
// build, with Params:
//   halve      a thread per finest cell and coarser level: keys
//   represent  a thread per cell: its place, and its cell at the coarser level
//   vote       a thread per cell of a level: its view counts for that of its coarser cell
//   elect      a thread per cell of the coarser level
//   belong     a thread per sample and level: its cell, and where that is seen first
//   judge      a thread per cell and level: seen, rule, corner flags
//   hit        a thread per cell of a level: which corners its coarser cell has children in
//   lack       a thread per coarser cell: the child it lacks, and whether that is there already
//   adopt      a thread per coarser cell: makes that child, or gives its flags to the one that is there
//   look       a thread per cell, level and neighbour

__device__ inline i64 index_of_thread() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }

// An axis of a point (of its row, column or depth in a view) on a grid of `size`; toward zero, as the C language.
__device__ inline i64 on_grid(float value, i64 size) { return (i64)(((double)(value * 0.5f) + 0.5) * (double)size); }

struct Place {
    i64 row, column;
    float depth;
};

__device__ inline Place place_of(const Params& p, const float* point, i64 view) {
    float x = point[0], y = point[1], z = point[2];
    Place place;
    place.row = on_grid(view == 2 ? -z : y, p.height);
    place.column = on_grid(view == 1 ? z : x, p.width);
    place.depth = view == 1 ? x : view == 2 ? y : z;
    return place;
}

// A pixel of all views to its view, and the place of one of its layers in the list of all pixels of all layers.
__device__ inline i64 element(const Images& p, i64 pixel, i64 layer, i64& view) {
    i64 area = p.height * p.width;
    view = pixel / area;
    i64 before = view == 0 ? 0 : view == 1 ? p.layers[0] : p.layers[0] + p.layers[1];
    return (before + layer) * area + pixel - view * area;
}

extern "C" __global__ void __launch_bounds__(THREADS) survey(Images p) {
    i64 pixel = index_of_thread(), area = p.height * p.width, view;
    if (pixel >= 3 * area) return;
    bool surface = false, open = true;
    i64 following = 0, start = element(p, pixel, 0, view);
    for (i64 layer = 0; layer < p.layers[view]; layer++) {
        bool drawn = p.positions[view][(layer * area + pixel - view * area) * 4 + 3] != 0.0f;
        p.drawn[start + layer * area] = drawn;
        if (layer == 0) surface = drawn;
        else if (open && drawn) following++;
        else open = false;
    }
    p.count[pixel] = surface ? following + 1 : 0;
    p.last[pixel] = surface || following > 0 ? following : -1;
}

extern "C" __global__ void __launch_bounds__(THREADS) gather(Images p) {
    i64 slot = index_of_thread(), area = p.height * p.width, pixels = 3 * area, view;
    if (slot > p.most * pixels) return;
    i64 total = p.order[(p.layers[0] + p.layers[1] + p.layers[2]) * area - 1];
    p.at[slot] = total;
    if (slot == p.most * pixels) return;
    i64 layer = slot / pixels, pixel = slot - layer * pixels, from = element(p, pixel, layer, view);
    if (layer >= p.layers[view] || !p.drawn[from]) return;
    i64 sample = p.order[from] - 1, source = layer * area + pixel - view * area;
    p.at[slot] = sample;
    for (int k = 0; k < 3; k++) {
        p.out_positions[sample * 3 + k] = p.positions[view][source * 4 + k];
        p.out_normals[sample * 3 + k] = p.normals[view][source * 3 + k];
    }
    p.depth_axis[sample] = (view + 2) % 3;
    p.slot[sample] = slot;
    p.visit[sample] = layer < p.count[pixel] ? pixel * p.most + layer : NEVER;
}

extern "C" __global__ void __launch_bounds__(THREADS) mark(Keys p) {
    i64 place = index_of_thread();
    if (place >= p.keys) return;
    int first = place == 0 || p.ordered[place] != p.ordered[place - 1];
    p.marks[place] = first;
    p.marks[p.keys + p.order[place]] = first;
}

extern "C" __global__ void __launch_bounds__(THREADS) rank(Keys p) {
    i64 place = index_of_thread();
    if (place >= p.keys || !p.marks[place]) return;
    i64 from = p.order[place], key = p.sums[place] - 1;
    i64 number = p.sums[p.keys + from] - 1 - p.sums[p.keys - 1];  // the sums run on from the first row to the second
    p.first[number] = from;
    p.distinct[key] = p.ordered[place];
    p.number_of_key[key] = number;
}

extern "C" __global__ void __launch_bounds__(THREADS) spread(Keys p) {
    i64 place = index_of_thread();
    if (place < p.keys) p.number[p.order[place]] = p.number_of_key[p.sums[place] - 1];
}

__device__ inline i64 largest(double x, double y, double z) {  // the first of equal ones; NaN is never the largest
    return z > (y > x ? y : x) ? 2 : y > x;
}

extern "C" __global__ void __launch_bounds__(THREADS) halve(Params p) {
    i64 cell = index_of_thread(), level = blockIdx.y + 1;
    if (cell >= p.finest) return;
    i64 resolution = p.level[0].resolution >> level, key = 0;
    for (int k = 0; k < 3; k++) key = key * resolution + (p.coordinates[cell * 3 + k] >> level);
    p.coarse_keys[(level - 1) * p.finest + cell] = key + level * p.apart;
}

extern "C" __global__ void __launch_bounds__(THREADS) represent(Params p) {
    const Level& level = p.level[blockIdx.y];
    i64 cell = index_of_thread(), number = blockIdx.y;
    if (cell == 0) *level.count = level.size;
    if (cell >= level.size) return;
    // The finest cell that it is known by.
    i64 own = number ? p.coarse_first[level.offset + cell] - (number - 1) * p.finest : cell;
    for (int k = 0; k < 3; k++) {
        i64 place = p.coordinates[own * 3 + k] >> number;
        level.cells[cell * 3 + k] = place;
        level.points[cell * 3 + k] = (float)((((double)place + 0.5) / (double)level.resolution - 0.5) * 2.0);
    }
    if (number + 1 < p.levels) level.down[cell] = p.coarse_number[number * p.finest + own] - p.level[number + 1].offset;
    if (number) return;
    const float* normal = p.normals + cell * 3;
    level.dims[cell] = (largest(fabsf(normal[0]), fabsf(normal[1]), fabsf(normal[2])) + 1) % 3;
}

extern "C" __global__ void __launch_bounds__(THREADS) vote(Params p) {
    const Level &level = p.level[p.current], &coarser = p.level[p.current + 1];
    i64 cell = index_of_thread();
    if (cell < level.size) atomicAdd(&coarser.votes[level.down[cell] * 3 + level.dims[cell]], 1);
}

extern "C" __global__ void __launch_bounds__(THREADS) elect(Params p) {
    const Level& coarser = p.level[p.current + 1];
    i64 cell = index_of_thread();
    if (cell >= coarser.size) return;
    const int* votes = coarser.votes + cell * 3;
    coarser.dims[cell] = largest(votes[0], votes[1], votes[2]);
}

extern "C" __global__ void __launch_bounds__(THREADS) belong(Params p) {
    i64 sample = index_of_thread();
    if (sample >= p.samples) return;
    const Level& level = p.level[blockIdx.y];
    i64 cell = p.finest_number[sample];
    if (blockIdx.y) cell = p.coarse_number[(blockIdx.y - 1) * p.finest + cell] - level.offset;
    level.of_sample[sample] = cell;
    // As unsigned numbers, which every version of HIP has atomics for; visits are never negative.
    if (p.visit[sample] != NEVER)
        atomicMin((unsigned long long*)&level.first[cell], (unsigned long long)p.visit[sample]);
}

extern "C" __global__ void __launch_bounds__(THREADS) judge(Params p) {
    const Level& level = p.level[blockIdx.y];
    i64 cell = index_of_thread();
    if (cell >= level.size) return;
    i64 dim = level.dims[cell], visit = level.first[cell];
    bool seen = visit != NEVER;
    int rule = NEAREST, even = 0, odd = 0;
    if (seen) {
        i64 pixel = visit / p.layers, layer = visit - pixel * p.layers;
        if (pixel / (p.height * p.width) == dim)
            rule = layer == 0 ? FIRST : layer == p.layer_count[pixel] - 1 ? LAST : NEAREST;
        Place place = place_of(p, level.points + cell * 3, dim);
        i64 stride = 1ll << blockIdx.y;
        bool upper = place.row % (2 * stride) < stride, left = place.column % (2 * stride) < stride;
        even = upper && !left, odd = left && !upper;
    }
    level.seen[cell] = seen;
    level.rules[cell] = rule;
    level.flags[cell] = even, level.flags[level.room + cell] = odd;
}

extern "C" __global__ void __launch_bounds__(THREADS) hit(Params p) {
    const Level &level = p.level[p.current], &coarser = p.level[p.current + 1];
    i64 cell = index_of_thread();
    if (cell >= level.size) return;
    i64 parent = level.down[cell];
    for (int k = 0; k < 2; k++)
        if (level.flags[k * level.room + cell]) level.hits[k * coarser.room + parent] = 1;
}

// A coordinate of the point at 3/4, 1/4 and 3/4 of a coarser cell.
__device__ inline float child_point(const Level& coarser, i64 parent, int k) {
    double place = (double)coarser.cells[parent * 3 + k] + 0.75;
    if (k == 1) place -= 0.5;
    return (float)((place / (double)coarser.resolution - 0.5) * 2.0);
}

extern "C" __global__ void __launch_bounds__(THREADS) lack(Params p) {
    const Level &level = p.level[p.current], &coarser = p.level[p.current + 1];
    i64 parent = index_of_thread();
    if (parent >= coarser.room) return;
    level.needed[parent] = 0;
    if (parent >= *coarser.count) return;
    i64 key = 0;
    for (int k = 0; k < 3; k++) {
        float point = child_point(coarser, parent, k);
        key = key * level.resolution + on_grid(point, level.resolution);
    }
    key += level.key_shift;
    i64 low = 0, high = level.key_count;
    while (low < high) {
        i64 middle = (low + high) / 2;
        if (level.keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    bool found = low < level.key_count && level.keys[low] == key;
    bool lacking = !level.hits[parent] || !level.hits[coarser.room + parent];
    level.child[parent] = found ? level.number_of_key[low] - level.offset : 0;
    level.needed[parent] = lacking && !found;
}

extern "C" __global__ void __launch_bounds__(THREADS) adopt(Params p) {
    const Level &level = p.level[p.current], &coarser = p.level[p.current + 1];
    i64 parent = index_of_thread(), count = *coarser.count;
    if (parent == 0) *level.count = level.size + level.order[count - 1];
    if (parent >= count) return;
    i64 child = level.child[parent];
    if (level.needed[parent]) {
        child = level.size + level.order[parent] - 1;
        for (int k = 0; k < 3; k++) {
            float point = child_point(coarser, parent, k);
            level.points[child * 3 + k] = point;
            level.cells[child * 3 + k] = on_grid(point, level.resolution);
        }
        level.dims[child] = coarser.dims[parent];
        level.down[child] = parent;
        level.rules[child] = NEAREST;
        level.seen[child] = 1;
        for (int k = 0; k < 2; k++) level.flags[k * level.room + child] = 0;
    }
    for (int k = 0; k < 2; k++)
        if (!level.hits[k * coarser.room + parent]) level.flags[k * level.room + child] = 1;
}

extern "C" __global__ void __launch_bounds__(THREADS) look(Params p) {
    const Level& level = p.level[blockIdx.y];
    i64 thread = index_of_thread(), cell = thread / 9;
    int shift = (int)(thread - cell * 9);
    if (cell >= *level.count) return;
    i64 found = -1;
    if (level.seen[cell]) {
        i64 view = level.dims[cell], stride = 1ll << blockIdx.y;
        Place place = place_of(p, level.points + cell * 3, view);
        i64 row = place.row + (1 - shift / 3) * stride, column = place.column + (shift % 3 - 1) * stride;
        if (shift == 4) {
            found = cell;
        } else if (row >= 0 && row < p.height && column >= 0 && column < p.width) {
            i64 pixel = view * p.height * p.width + row * p.width + column, layer = -1;
            i64 rule = level.rules[cell];
            if (rule == FIRST) {
                layer = 0;
            } else if (rule == LAST) {
                layer = p.last[pixel];
            } else {
                i64 depth_axis = (view + 2) % 3;
                float best = 1e10f;
                for (i64 other = 0; other < p.layers; other++) {
                    i64 sample = p.at[other * p.pixels + pixel];
                    if (sample >= p.samples || p.visit[sample] == NEVER) continue;
                    float apart = fabsf(level.points[level.of_sample[sample] * 3 + depth_axis] - place.depth);
                    if (apart < best) best = apart, layer = other;
                }
            }
            i64 sample = layer < 0 ? p.samples : p.at[layer * p.pixels + pixel];
            if (sample < p.samples) found = level.of_sample[sample];
        }
    }
    level.neighbors[thread] = found;
}
