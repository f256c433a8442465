"""Silhouettes blended, so that colours have a gradient in where edges lie."""

from __future__ import annotations

from torch import Tensor

from ..ops import diff as ops
from . import checks
from .errors import ArgumentError, KindError
from .modes import undisturbed


class Topology:
    """Which triangles share edges; of :func:`antialias_construct_topology_hash`."""

    def __init__(self, tri: Tensor) -> None:
        self._opposite = ops.topology(tri)

    def opposite(self, triangles: int) -> Tensor:
        """``[T, 3]``: the vertex opposite each edge in the other triangle at it, or -1.

        Raises:
            ArgumentError: it is of another number of triangles.
        """
        if self._opposite.shape[0] != triangles:
            raise ArgumentError(
                f"topology_hash: is of {self._opposite.shape[0]} triangles, expected those of tri, {triangles}"
            )
        return self._opposite


@undisturbed
def antialias_construct_topology_hash(tri: Tensor) -> Topology:
    """Find which triangles share edges, once for a mesh; vertices are told apart by their index alone.

    Args:
        tri: ``[T, 3]`` vertex indices.
    """
    if not isinstance(tri, Tensor):
        raise KindError(f"tri: is {type(tri).__name__}, expected a torch.Tensor")
    return Topology(checks.triangles(tri, tri.device))


@undisturbed
def antialias(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology_hash: Topology | None = None,
    pos_gradient_boost: float = 1.0,
) -> Tensor:
    """Blend colours over silhouettes by how far these cut into a pixel: analytic antialiasing after Laine et al.,
    "Modular Primitives for High-Performance Differentiable Rendering", 2020.

    Args:
        color: ``[B, H, W, C]``, floating-point, computed in float32.
        rast: ``[B, H, W, 4]`` of :func:`~rasterizer.diff.rasterize`; no gradient flows through it.
        pos: ``[B, V, 4]`` or ``[V, 4]``, as rasterized.
        tri: ``[T, 3]``, as rasterized.
        topology_hash: of :func:`antialias_construct_topology_hash`; else it is found, and remembered for as long as
            ``tri`` lives unchanged.
        pos_gradient_boost: factor of the gradient of ``pos``.

    Returns:
        ``[B, H, W, C]``, differentiable in ``color`` and ``pos``.

    Raises:
        ArgumentError, KindError: as in :func:`~rasterizer.diff.rasterize`.
    """
    colors = checks.real(color, "color", "B H W C")
    image = checks.real(rast, "rast", "B H W 4")
    if image.shape[:3] != colors.shape[:3]:
        raise ArgumentError(f"rast: shape is {list(image.shape)}, expected {list(colors.shape[:3])} in front, as color")
    clip = checks.real(pos, "pos", "B V 4", "V 4")
    if clip.ndim == 3 and clip.shape[0] != colors.shape[0]:
        raise ArgumentError(f"pos: is a batch of {clip.shape[0]}, expected the {colors.shape[0]} of color")
    for value, name in ((image, "rast"), (clip, "pos")):
        checks.on(colors.device, value, name)
    faces = checks.triangles(tri, colors.device)
    if topology_hash is None:
        opposite = ops.topology(faces)
    elif isinstance(topology_hash, Topology):
        opposite = topology_hash.opposite(faces.shape[0])
    else:
        raise KindError(
            f"topology_hash: is {type(topology_hash).__name__}, expected what antialias_construct_topology_hash gives"
        )
    return ops.antialias(colors, image, clip, faces, opposite, float(pos_gradient_boost))
