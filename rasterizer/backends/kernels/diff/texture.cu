// Texture sampling, a thread per pixel. Params and the constants that Python knows too are described in
// texture_programs.py.
//
//   sample_C   with C channels, linear filters
//   sample     with any number of them
//   nearest    the texel that a pixel lies in

// Linear interpolation at a level, of channels from `first` on.
template <int C> __device__ inline void filter(
    const Params& p, const Look& look, u32 channels, u32 first, float (&value)[Some<C>::N]) {
    float texel[4][Some<C>::N];
    for (int k = 0; k < 4; k++)
        load<C>(p, look.texels + look.taps.index[k] * channels + first, channels - first, texel[k]);
    for (int c = 0; c < Some<C>::N; c++) {
        float four[4] = {texel[0][c], texel[1][c], texel[2][c], texel[3][c]};
        fill(look.taps, four);
        float upper = fmaf(look.across, four[1] - four[0], four[0]);
        float lower = fmaf(look.across, four[3] - four[2], four[2]);
        value[c] = fmaf(look.down, lower - upper, upper);
    }
}

template <int C> __device__ inline void look_up(const Params& p) {
    u64 pixel;
    if (!own_pixel(p, pixel)) return;
    const u32 channels = C ? C : p.channels;
    float* out = p.out + pixel * channels;
    Input input = input_at(p, pixel);
    Place place;
    bool found = place_of(p, input.point, place);
    float level = level_at(p, place, input), nothing = nothing_at(place);
    found &= nothing == nothing;
    u32 fine = (u32)level;
    float part = level - (float)fine;
    Look look = look_at(p, place, fine, channels), coarse;
    if (part > 0.0f) coarse = look_at(p, place, fine + 1, channels);
    for (u32 first = 0; first < channels; first += Some<C>::N) {
        float value[Some<C>::N], other[Some<C>::N];
        filter<C>(p, look, channels, first, value);
        if (part > 0.0f) {
            filter<C>(p, coarse, channels, first, other);
            for (int c = 0; c < Some<C>::N; c++) value[c] = fmaf(part, other[c] - value[c], value[c]);
        }
        if (!found)
            for (int c = 0; c < Some<C>::N; c++) value[c] = nothing;
        store<C>(p, out + first, channels - first, value);
    }
}

// Up to three channels leave registers for as many blocks as a multiprocessor has threads for.
#define SAMPLE(name, channels, blocks) \
    extern "C" __global__ void __launch_bounds__(THREADS blocks) name(Params p) { look_up<channels>(p); }
SAMPLE(sample_1, 1, BLOCKS(FULL))
SAMPLE(sample_2, 2, BLOCKS(FULL))
SAMPLE(sample_3, 3, BLOCKS(FULL))
SAMPLE(sample_4, 4, )
SAMPLE(sample, 0, )

extern "C" __global__ void __launch_bounds__(THREADS) nearest(Params p) {
    u64 pixel;
    if (!own_pixel(p, pixel)) return;
    Place place;
    bool found = place_of(p, point_at(p, pixel), place);
    int i = inside(nearest_to(place.s, p.width), p.width), j = inside(nearest_to(place.t, p.height), p.height);
    found &= i >= 0 && j >= 0;
    u64 image = (u64)blockIdx.z * FACES + face_of(place);
    u64 texel = (image * p.height + (u32)j) * p.width + (u32)i;
    const float* row = p.levels[0] + (found ? texel : 0) * p.channels;
    float* out = p.out + pixel * p.channels;
    for (u32 c = 0; c < p.channels; c++) STREAM(out + c, found ? __ldg(row + c) : 0.0f);
}
