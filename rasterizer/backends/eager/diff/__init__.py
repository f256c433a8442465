"""The differentiable primitives in PyTorch operators, for every device."""
