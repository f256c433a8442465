"""The public primitives: they check arguments, choose a backend, and are differentiable."""
