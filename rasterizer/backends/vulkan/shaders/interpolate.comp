#version 450
#extension GL_GOOGLE_include_directive : require
// A thread per pixel: (c0*w0 + c1*w1) + c2*w2 of each channel, by integers, as attributes may be of any size.
layout(local_size_x = 64) in;
#include "exact.glsl"

layout(push_constant) uniform Params {
    uint pixels, channels, faces, vertices;
} p;

layout(std430, set = 0, binding = 0) readonly buffer Attributes { uint attributes[]; };    // bits; channels a vertex
layout(std430, set = 0, binding = 1) readonly buffer Faces { uint corners[]; };            // 3 a face
layout(std430, set = 0, binding = 2) readonly buffer Findices { int findices[]; };         // 0 is background
layout(std430, set = 0, binding = 3) readonly buffer Barycentric { uint barycentric[]; };  // bits; 3 a pixel
layout(std430, set = 0, binding = 4) writeonly buffer Image { uint image[]; };             // bits; channels a pixel

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint pixel = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (pixel >= p.pixels) return;
    uint place = pixel * p.channels;
    if (findices[pixel] <= 0) {
        for (uint k = 0u; k < p.channels; k++) image[place + k] = 0u;
        return;
    }
    uint face = min(uint(findices[pixel]), p.faces) - 1u;
    uvec3 weight, from;
    for (uint k = 0u; k < 3u; k++) {
        weight[k] = barycentric[3u * pixel + k];
        from[k] = min(corners[3u * face + k], p.vertices - 1u) * p.channels;
    }
    for (uint k = 0u; k < p.channels; k++) {
        uint near = added(multiplied(attributes[from.x + k], weight.x), multiplied(attributes[from.y + k], weight.y));
        image[place + k] = added(near, multiplied(attributes[from.z + k], weight.z));
    }
}
