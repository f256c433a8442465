"""Vertex attributes over an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from ..ops import diff as ops
from . import checks
from .errors import ArgumentError, KindError
from .modes import undisturbed

MOST_CHOSEN = 32
"""Attributes of a list at most; there is no limit to ``"all"``."""


@undisturbed
def interpolate(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None = None,
    diff_attrs: Literal["all"] | Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Interpolate vertex attributes, and their derivatives over the screen.

    Args:
        attr: ``[V, A]`` for all images, ``[1, V, A]`` likewise, or ``[B, V, A]``; floating-point, computed in float32.
        rast: ``[B, H, W, 4]`` of :func:`~rasterizer.diff.rasterize`.
        tri: ``[T, 3]`` indices into ``attr``; others than those rasterized are allowed (of UVs, of normals), row by row
            the same triangles. Where there are no such rows or vertices the image is 0.
        rast_db: ``[B, H, W, 4]`` of :func:`~rasterizer.diff.rasterize`, if derivatives are asked for.
        diff_attrs: attributes to differentiate: ``"all"``, or up to 32 numbers. Negative ones count from the end;
            those that are no attribute's have derivatives of 0.

    Returns:
        ``[B, H, W, A]``, zeros on background, and for the n attributes to differentiate ``[B, H, W, 2 n]``: each one's
        derivatives in X and Y, a pixel. Differentiable in ``attr``, ``rast`` and ``rast_db``.

    Raises:
        ArgumentError, KindError: as in :func:`~rasterizer.diff.rasterize`.
    """
    values = checks.real(attr, "attr", "B V A", "V A")
    image = checks.real(rast, "rast", "B H W 4")
    checks.on(values.device, image, "rast")
    faces = checks.triangles(tri, values.device)
    if values.ndim == 3 and values.shape[0] not in (1, image.shape[0]):
        raise ArgumentError(f"attr: is a batch of {values.shape[0]}, expected 1 or the {image.shape[0]} images of rast")
    every, chosen = _choice(diff_attrs, values.shape[-1])
    derivatives = None
    if every or chosen:
        if rast_db is None:
            raise KindError("diff_attrs: needs rast_db, which is None")
        derivatives = checks.real(rast_db, "rast_db", "B H W 4")
        if derivatives.shape != image.shape:
            raise ArgumentError(
                f"rast_db: shape is {list(derivatives.shape)}, expected that of rast, {list(image.shape)}"
            )
        checks.on(values.device, derivatives, "rast_db")
    return ops.interpolate(values, image, faces, derivatives, every, chosen)


def _choice(diff_attrs: Any, attributes: int) -> tuple[bool, tuple[int, ...]]:
    """Whether all attributes are meant, and else which; -1 for what is none."""
    if diff_attrs is None:
        return False, ()
    if isinstance(diff_attrs, str):
        if diff_attrs != "all":
            raise KindError(f"diff_attrs: is {diff_attrs!r}, expected 'all' or a list of attributes")
        return True, ()
    if isinstance(diff_attrs, Tensor) and diff_attrs.ndim == 1:
        diff_attrs = diff_attrs.tolist()
    if not isinstance(diff_attrs, (list, tuple)) or not all(type(one) is int for one in diff_attrs):
        wrong = KindError if isinstance(diff_attrs, (int, list, tuple)) else ArgumentError
        raise wrong(f"diff_attrs: is {diff_attrs!r}, expected 'all' or a list of attributes")
    if len(diff_attrs) > MOST_CHOSEN:
        raise ArgumentError(f"diff_attrs: are {len(diff_attrs)}, expected at most {MOST_CHOSEN}, or 'all'")
    places = (one + attributes if one < 0 else one for one in diff_attrs)
    return False, tuple(place if 0 <= place < attributes else -1 for place in places)
