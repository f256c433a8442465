"""Object-style entry points under the names that users of the original guide know."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_device, check_mode, is_set
from ..contract.types import Fragments
from ..ops import TILE_SIZE, interpolate, rasterize
from ..runtime.devices import default_device, platform_name, working_device


class PyTorchRasterizer:
    """A rasterizer with a device and settings of its own; results come back on that device.

    Args:
        device: where to compute; None takes the best device of the machine.
        mode, tile_size, batch_size: as in :func:`rasterizer.rasterize`.

    Raises:
        ValueError: a device that PyTorch does not have here, or another mode.
    """

    def __init__(
        self,
        device: torch.device | str | None = None,
        mode: str = "auto",
        tile_size: int = TILE_SIZE,
        batch_size: int = 0,
    ) -> None:
        self.device = default_device() if device is None else working_device(check_device(device))
        self.raster_mode = check_mode(mode)
        self.tile_size = tile_size
        self.batch_size = batch_size

    def rasterize(
        self, pos: Tensor, tri: Tensor, resolution: tuple[int, int], depth_prior: Tensor | None = None
    ) -> Fragments:
        """:func:`rasterizer.rasterize` with this object's settings; inputs may be on any device."""
        return self._rasterize(pos, tri, resolution, depth_prior, 1e-6)

    def rasterize_image(
        self,
        V: Tensor,  # noqa: N803 - the native module's names
        F: Tensor,  # noqa: N803
        D: Tensor | None,  # noqa: N803
        width: int,
        height: int,
        occlusion_truncation: float = 1e-6,
        use_depth_prior: int = 0,
    ) -> Fragments:
        """:func:`rasterizer.rasterize_image` with this object's settings; inputs may be on any device."""
        prior = D if is_set(use_depth_prior, "use_depth_prior") else None
        return self._rasterize(V, F, (height, width), prior, occlusion_truncation)

    def _rasterize(
        self, pos: Tensor, tri: Tensor, resolution: tuple[int, int], depth_prior: Tensor | None, truncation: float
    ) -> Fragments:
        return rasterize(
            self._here(pos, "pos"),
            self._here(tri, "tri"),
            resolution,
            depth_prior=None if depth_prior is None else self._here(depth_prior, "depth_prior"),
            occlusion_truncation=truncation,
            mode=self.raster_mode,
            tile_size=self.tile_size,
            batch_size=self.batch_size,
        )

    def interpolate(self, col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
        """:func:`rasterizer.interpolate`; inputs may be on any device."""
        values = {"col": col, "findices": findices, "barycentric": barycentric, "tri": tri}
        return interpolate(**{name: self._here(value, name) for name, value in values.items()})

    def _here(self, value: Tensor, name: str) -> Tensor:
        return as_tensor(value, name).to(self.device)


class RasterizerWrapper(PyTorchRasterizer):
    """A :class:`PyTorchRasterizer` that says what it runs on."""

    @property
    def mode(self) -> str:
        """``pytorch_rocm``, ``pytorch_cuda``, ``pytorch_mps``, ``pytorch_xpu`` or ``pytorch_cpu``."""
        return f"pytorch_{platform_name(self.device)}"


def create_optimized_rasterizer(
    mode: str = "auto",
    tile_size: int = TILE_SIZE,
    batch_size: int = 0,
    device: torch.device | str | None = None,
) -> PyTorchRasterizer:
    """A :class:`PyTorchRasterizer` with a mode of its own: ``auto``, ``tiled`` or ``batched``."""
    return PyTorchRasterizer(device, mode, tile_size, batch_size)
