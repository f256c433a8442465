"""``nvdiffrast``, as its users import it: our differentiable primitives under its names, none of its code."""

from ...distribution import VERSIONS

__version__ = VERSIONS["nvdiffrast"]
