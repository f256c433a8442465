"""Compute shaders through Vulkan, for the GPUs that PyTorch has no kernels of ours for. See docs/vulkan.md."""
