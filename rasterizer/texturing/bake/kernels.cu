// Views baked to texels: the twin of filter.py, view.py, corners.py and operators.py, which define every step and say
// why. Structs and constants that Python knows too are described in kernels.py.
//
// view.cu and pictures.cu come before.
//
//   prints   a thread per face and view: the shape of its texels there
//   bake4    a thread per texel: its colour, from pictures of at most 3 channels
//   bake8    the same from at most 7

struct Corners {
    i64 index[3];
};

__device__ inline Corners corners(const Texels& p, i64 face) {
    Corners found;
    for (int k = 0; k < 3; k++) found.index[k] = vertex_of(p.tri, face, k, p.vertices);
    return found;
}

__device__ inline float finite(float x) { return fabsf(x) <= 3.402823466e+38f ? x : 0.0f; }

// A float that is not negative, as an integer that is as large.
__device__ inline void raise_to(int* place, float value) {
    int bits = __float_as_int(value);
    if (*(volatile int*)place < bits) atomicMax(place, bits);
}

extern "C" __global__ void __launch_bounds__(THREADS) prints(Texels p) {
    u32 face = index_of_thread();
    if (face >= p.faces) return;
    const View& view = p.view[blockIdx.y];
    Corners at = corners(p, face);
    float3 first = vector(p.positions + at.index[0] * 3);
    float3 second = vector(p.positions + at.index[1] * 3), third = vector(p.positions + at.index[2] * 3);
    const float *origin = p.uvs + at.index[0] * 2, *a = p.uvs + at.index[1] * 2, *b = p.uvs + at.index[2] * 2;
    float ax = a[0] - origin[0], ay = a[1] - origin[1], bx = b[0] - origin[0], by = b[1] - origin[1];
    float area = ax * by - bx * ay, inverse = fabsf(area) > 1e-12f ? 1.0f / area : 0.0f;
    float3 one = minus(second, first), other = minus(third, first);
    float3 centre = make_float3((first.x + second.x + third.x) / 3.0f, (first.y + second.y + third.y) / 3.0f,
                                (first.z + second.z + third.z) / 3.0f);
    float across_texture = (float)p.texture_width, down_texture = (float)p.texture_height;
    float3 column = times(minus(times(one, by), times(other, ay)), inverse);
    float3 row = times(minus(times(other, ax), times(one, bx)), inverse);
    column = make_float3(column.x / across_texture, column.y / across_texture, column.z / across_texture);
    row = make_float3(row.x / down_texture, row.y / down_texture, row.z / down_texture);

    float3 place = place_of(view, centre);
    column = turn(view, column), row = turn(view, row);
    float depth = view.perspective ? at_least(-place.z, view.near) : 1.0f;
    float away_x = view.perspective ? place.x / depth : 0.0f, away_y = view.perspective ? place.y / depth : 0.0f;
    float pixels = view.pixels / depth;
    float xc = (column.x + away_x * column.z) * pixels, yc = (column.y + away_y * column.z) * -pixels;
    float xr = (row.x + away_x * row.z) * pixels, yr = (row.y + away_y * row.z) * -pixels;
    float wide = xc * xc + xr * xr, high = yc * yc + yr * yr, both = xc * yc + xr * yr;
    bool rows = high > wide;
    float length = at_least(rows ? high : wide, 1e-12f);
    float long_side = sqrtf(length), short_side = fabsf(xc * yr - xr * yc) / long_side;
    float4 print = make_float4(finite(long_side), finite(short_side), finite(both / length), rows ? -depth : depth);
    ((float4*)p.prints)[(i64)blockIdx.y * p.faces + face] = print;
    raise_to(p.largest, print.x);
    raise_to(p.largest + 1, print.y);
}

// The kernel of cubic.py, and its four weights for a place between two pixels.
__device__ inline float keys(float x) {
    x = fabsf(x);
    if (x < 1.0f) return ((SLOPE + 2.0f) * x - (SLOPE + 3.0f)) * x * x + 1.0f;
    return x < 2.0f ? (((x - 5.0f) * x + 8.0f) * x - 4.0f) * SLOPE : 0.0f;
}
__device__ inline float4 balanced_four(float x) {
    float rest = 1.0f - x, product = x * rest;
    float left = product * rest * SLOPE, right = product * x * SLOPE;
    float here = ((SLOPE + 2.0f) * x - (SLOPE + 3.0f)) * x * x + 1.0f;
    here = here + -(2.0f * SLOPE + 1.0f) * (product * (1.0f - 2.0f * x));
    return make_float4(left, here, 1.0f - left - right - here, right);
}

// Within what all pictures hold of a channel.
__device__ inline float within_range(const Texels& p, u32 channel, float value) {
    return between(value, value_of(p.lowest[channel]), -value_of(p.highest[channel]));
}

template <int QUADS> struct Color {
    float value[4 * QUADS];
};

template <int QUADS> __device__ inline void add(Color<QUADS>& total, const float4* pixel, float weight) {
    for (int quad = 0; quad < QUADS; quad++) {
        float4 color = pixel[quad];
        total.value[quad * 4] += color.x * weight, total.value[quad * 4 + 1] += color.y * weight;
        total.value[quad * 4 + 2] += color.z * weight, total.value[quad * 4 + 3] += color.w * weight;
    }
}

// What Filter finds at a spot of a view (column, row) that has so much room.
template <int QUADS>
__device__ inline Color<QUADS> filtered(const Texels& p, u32 number, u32 face, float2 spot, float depth, float room) {
    float4 print = ((const float4*)p.prints)[(i64)number * p.faces + face];
    bool down = print.w < 0.0f;
    float size = WIDTH;
    if (p.view[number].perspective) size = fabsf(print.w) * (WIDTH / at_least(depth, 1e-9f));
    float long_side = print.x * size, short_side = print.y * size;
    int level = 0;
    for (u32 k = 0; k + 1 < p.levels; k++)
        level += short_side > BROAD * (float)(1 << k) && room >= 2.0f * MARGIN * (float)(1 << k);
    float step = (float)(1 << level);
    float scale = fminf(at_least(long_side / step, 1.0f), between((room / step - MARGIN) * 0.5f, 1.0f, p.widest));
    float shear = print.z * at_most((scale - 1.0f) * 2.0f, 1.0f);

    float x = (spot.x + 0.5f) / step - 0.5f, y = (spot.y + 0.5f) / step - 0.5f;
    float middle = down ? y : x, side = down ? x : y;
    i64 width = p.level_width[level], rows = p.level_size[level], first = p.level_first[level] + number * rows;
    i64 forward = down ? width : 1, sideways = down ? 1 : width;
    int half = (int)ceilf(2.0f * scale), taps = 2 * half;
    float start = floorf(middle) - (float)(half - 1), sum = 0.0f, astray = 0.0f;
    for (int k = 0; k < taps; k++) sum += keys((start + (float)k - middle) / scale);
    for (int k = 0; k < taps; k++) {
        float off = start + (float)k - middle;
        astray += keys(off / scale) / sum * off;
    }
    Color<QUADS> total = {};
    float whole = 0.0f;
    for (int k = 0; k < taps; k++) {
        float off = start + (float)k - middle, weight = keys(off / scale) / sum;
        if (k == half - 1) weight += astray;
        if (k == half) weight -= astray;
        weight *= WHOLE;
        float beside = side + off * shear, line = floorf(beside);
        float4 four = balanced_four(beside - line);
        float share[4] = {four.x, four.y, four.z, four.w};
        i64 pixel = ((i64)start + k) * forward + (i64)line * sideways + first;
        for (int j = 0; j < 4; j++) {
            i64 place = pixel + (j - 1) * sideways;
            place = place < 0 ? 0 : place > first + rows - 1 ? first + rows - 1 : place;
            float both = rintf(share[j] * weight);
            whole += both;
            add<QUADS>(total, (const float4*)p.color + place * QUADS, both);
        }
    }
    for (int k = 0; k < 4 * QUADS; k++) total.value[k] /= whole;
    return total;
}

// What Lens.look finds of a point: its trust, 0 where the view does not show it, and its colour.
template <int QUADS>
__device__ inline float look(const Texels& p, u32 number, float3 point, float3 smooth, u32 face, float3 flat,
                             Color<QUADS>& color) {
    const View& view = p.view[number];
    float3 direction = view.perspective ? unit(minus(vector(view.stands), point)) : vector(view.facing);
    float cosine = dot(smooth, direction);
    if (!(cosine > p.limit)) return 0.0f;
    float3 place = place_of(view, point);
    float depth = -place.z, column = place.x * view.pixels, row = place.y * -view.pixels;
    if (view.perspective) {
        float safe = at_least(depth, view.near);
        column = column / safe, row = row / safe;
    }
    column = column + (float)(p.width - 1) * 0.5f, row = row + (float)(p.height - 1) * 0.5f;
    bool inside = column > -0.5f && column < (float)p.width - 0.5f && row > -0.5f && row < (float)p.height - 0.5f;
    if (!inside || !(depth > view.near)) return 0.0f;

    float2 slope = slopes_of(view, place, turn(view, flat));
    float left = floorf(column), top = floorf(row), x = column - left, y = row - top;
    float reach = reach_of(view, depth), tolerance = (fabsf(slope.x) + fabsf(slope.y)) * 0.5f + reach;
    float plane = depth - slope.x * x - slope.y * y;
    i64 pixel[4];
    float excess[4];
    bool shown[4], all = true;
    for (int k = 0; k < 4; k++) {
        float right = left + (float)(k & 1), below = top + (float)(k >> 1);
        float expected = plane + (k & 1 ? slope.x : 0.0f) + (k >> 1 ? slope.y : 0.0f);
        i64 line = (i64)between(below, 0.0f, (float)(p.height - 1)) * p.width;
        pixel[k] = line + (i64)between(right, 0.0f, (float)(p.width - 1)) + (i64)number * p.height * p.width;
        float deeper = p.depth[pixel[k]] - expected;
        shown[k] = fabsf(deeper) <= tolerance;
        excess[k] = shown[k] ? deeper : 0.0f;
        all = all && shown[k];
    }
    // Where among these the surface is closest.
    float a = excess[0], b = excess[1], c = excess[2], d = excess[3];
    float slope_x = (mixed(b - a, d - c, y) + slope.x) / reach, slope_y = (mixed(c - a, d - b, x) + slope.y) / reach;
    float deeper = mixed(mixed(a, b, x), mixed(c, d, x), y) / reach;
    float move = deeper / (slope_x * slope_x + slope_y * slope_y + 1.0f);
    float found_x = between(x - move * slope_x, 0.0f, 1.0f), found_y = between(y - move * slope_y, 0.0f, 1.0f);
    float weight[4], share = 0.0f, off_z = 0.0f;
    for (int k = 0; k < 4; k++) {
        weight[k] = (k & 1 ? found_x : 1.0f - found_x) * (k >> 1 ? found_y : 1.0f - found_y);
        if (!shown[k]) weight[k] = 0.0f;
        share += weight[k];
        off_z += excess[k] * weight[k];
    }
    share = at_least(share, 1e-6f);
    float off_x = (weight[1] + weight[3]) / share - x, off_y = (weight[2] + weight[3]) / share - y;
    off_z = (off_z / share + slope.x * off_x + slope.y * off_y) / reach;
    float apart = (off_x * off_x + off_y * off_y + off_z * off_z) * NEARNESS;
    if (!(apart < 1.0f) || !(share > LEAST_SHARE)) return 0.0f;

    color = Color<QUADS>{};
    for (int k = 0; k < 4; k++) add<QUADS>(color, (const float4*)p.color + pixel[k] * QUADS, weight[k]);
    for (int k = 0; k < 4 * QUADS; k++) color.value[k] /= share;
    float fading = color.value[4 * QUADS - 1];
    if (all && p.calm) {
        int room = p.calm[pixel[0]];
        for (int k = 1; k < 4; k++) room = p.calm[pixel[k]] < room ? p.calm[pixel[k]] : room;
        if (room >= LEAST) {
            color = filtered<QUADS>(p, number, face, make_float2(left + found_x, top + found_y), depth, (float)room);
            for (u32 k = 0; k < 4 * QUADS; k++)
                if (k < p.channels) color.value[k] = within_range(p, k, color.value[k]);
        }
    }
    float nearness = at_least(1.0f - apart, 0.0f);
    return powf(at_least(cosine, 0.0f), p.exponent) * (nearness * nearness) * fading;
}

template <int QUADS> __device__ inline void bake(const Texels& p) {
    u32 texel = index_of_thread();
    if (texel >= p.texels) return;
    i64 out = texel, face = (i64)p.findices[texel] - 1;
    p.covered[out] = face >= 0;
    if (face < 0) {
        p.painted[out] = 0, p.heaviest[out] = -1, p.confidence[out] = 0.0f;
        for (u32 k = 0; k < p.channels; k++) p.texture[out * p.channels + k] = 0.0f;
        return;
    }
    if (face >= p.faces) face = p.faces - 1;
    Corners at = corners(p, face);
    float3 point = make_float3(0.0f, 0.0f, 0.0f), smooth = point;
    for (int k = 0; k < 3; k++) {
        float weight = p.weights[(i64)texel * 3 + k];
        const float *vertex = p.positions + at.index[k] * 3, *normal = p.vertex_normals + at.index[k] * 3;
        point.x += vertex[0] * weight, point.y += vertex[1] * weight, point.z += vertex[2] * weight;
        smooth.x += normal[0] * weight, smooth.y += normal[1] * weight, smooth.z += normal[2] * weight;
    }
    smooth = unit(smooth);
    float3 flat = vector(p.face_normals + face * 3);
    Color<QUADS> total = {}, color;
    float weights = 0.0f, most = 0.0f, best = 0.0f;
    int heaviest = -1;
    for (u32 number = 0; number < p.views; number++) {
        float trust = look<QUADS>(p, number, point, smooth, (u32)face, flat, color), weight = trust * p.view[number].weight;
        if (!(trust > 0.0f)) continue;
        if (weight > most) heaviest = (int)number, most = weight;
        if (trust > best) best = trust;
        if (p.sharp) weight = weight * weight * (weight * weight);
        for (int k = 0; k < 4 * QUADS; k++) total.value[k] += color.value[k] * weight;
        weights += weight;
    }
    bool painted = most > PAINTED;
    p.painted[out] = painted;
    p.heaviest[out] = painted ? heaviest : -1;
    p.confidence[out] = painted ? best : 0.0f;
    for (u32 k = 0; k < 4 * QUADS; k++)
        if (k < p.channels)
            p.texture[out * p.channels + k] =
                painted ? within_range(p, k, total.value[k] / weights) : 0.0f;
}

extern "C" __global__ void __launch_bounds__(THREADS) bake4(Texels p) { bake<1>(p); }
extern "C" __global__ void __launch_bounds__(THREADS) bake8(Texels p) { bake<2>(p); }
