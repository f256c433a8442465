"""The differentiable primitives in GPU kernels."""
