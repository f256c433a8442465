"""Small data types shared by the front end and the backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, SupportsInt

from torch import Tensor

MODES = ("auto", "tiled", "batched")

Filter = Literal["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"]
"""How a texture is looked up."""

Boundary = Literal["wrap", "clamp", "zero", "cube"]
"""What lies beyond a texture's border; or it has none, as it is a cube map."""


@dataclass(frozen=True)
class RasterOptions:
    """A validated request, as backends see it.

    Attributes:
        resolution: ``(height, width)``.
        depth_prior: ``[B, H, W]`` float32 NDC depth of the layer already drawn, or None.
        occlusion_truncation: added to the mapped prior before the test.
        mode: ``auto``, ``tiled`` or ``batched``.
        tile_size: side of the tiles of the tiled mode, in pixels.
        batch_size: triangles set up at once, 0 to follow ``budget``.
        budget: bytes of working memory to stay below, beside inputs, outputs and the z-buffer; 0 follows what is free.
        on_progress: called with the share done, 0..1; may raise to stop.
        barycentrics: whether they are wanted; where not, a backend may return none, ``[..., 0]``.
    """

    resolution: tuple[int, int]
    depth_prior: Tensor | None = None
    occlusion_truncation: float = 1e-6
    mode: str = "auto"
    tile_size: int = 32
    batch_size: int = 0
    budget: int = 0
    on_progress: Callable[[float], None] = field(default=lambda share: None, repr=False)
    barycentrics: bool = True


@dataclass(frozen=True)
class RasterInfo:
    """How a result came about.

    Attributes:
        backend: name of the backend that ran.
        mode: ``tiled`` or ``batched`` where the backend has modes, else empty.
        reason: why that mode.
        device: where it ran.
        invalid: faces left out because a corner is NaN, infinite or at ``w = 0``; -1 where the backend does not say.
            May be anything that ``int()`` reads from the device, so that nobody waits for a number that nobody reads.
    """

    backend: str
    mode: str
    reason: str
    device: str
    invalid: SupportsInt

    def __str__(self) -> str:
        mode = f", {self.mode}: {self.reason}" if self.mode else ""
        return f"{self.backend} on {self.device}{mode}"

    @property
    def invalid_faces(self) -> int:
        """:attr:`invalid` as a number."""
        return int(self.invalid)


class _Pair(NamedTuple):
    findices: Tensor
    barycentric: Tensor


class Fragments(_Pair):
    """Result of :func:`rasterizer.rasterize`; unpacks as ``findices, barycentric``.

    Attributes:
        findices: ``[H, W]`` or ``[B, H, W]`` int32, 1-based face index, 0 = background.
        barycentric: the same shape with a last dimension of 3, float32, perspective-correct, zeros on background.
        info: :class:`RasterInfo`.
    """

    info: RasterInfo = RasterInfo("", "", "", "", -1)
    """Where nobody has attached an account: nothing is known."""

    @classmethod
    def of(cls, findices: Tensor, barycentric: Tensor, info: RasterInfo) -> Fragments:
        """A result with its account attached."""
        fragments = cls(findices, barycentric)
        fragments.info = info
        return fragments

    def _replace(self, **changes: Any) -> Fragments:
        """Another with some of the three changed; the account stays, which a named tuple's own way would lose."""
        info = changes.pop("info", self.info)
        return self.of(*super()._replace(**changes), info)

    __replace__ = _replace
