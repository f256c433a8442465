"""The differentiable primitives: autograd and PyTorch's operator registry around the steps of the backends.

Each primitive is done in one of two ways, with the same result. In ordinary use a :class:`torch.autograd.Function`
calls the steps, which costs the least time a call. Where PyTorch traces a program, as ``torch.compile`` and
``torch.export`` do, the primitive is an operator of :mod:`torch.library`, which they leave whole.
"""

from .antialias import antialias, topology
from .interpolate import interpolate
from .rasterize import rasterize
from .texture import construct_mipmaps, texture

__all__ = ["antialias", "construct_mipmaps", "interpolate", "rasterize", "texture", "topology"]
