"""What the GPU kernels must pass before they are used on a device."""

from __future__ import annotations

import torch

from ...cameras.camera import orbit_camera
from ...meshes.sample_meshes import trefoil_knot
from ...rendering.face_ids import FaceIds
from ..texels import Layout
from . import kernels, operators
from .breaks import find_breaks
from .view import Lens, Pictures

_PIXELS = 96
_CASES = ((3, 48), (6, 12))  # channels, and texels: about as large as a pixel, and so large that smaller pictures serve
_CLOSE = 1e-3  # colours and trust that differ by less agree: what is summed in another order is rounded otherwise
_FLIPPED = 0.01  # share of pixels or texels that may differ by more: rounding decides what is just far enough


def check_kernels(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators on a small mesh, seen with and without perspective.

    Raises:
        RuntimeError: an output differs.
    """
    mesh = trefoil_knot(60, 12, radius=0.25).to(device)
    cameras = [orbit_camera(0, 0), orbit_camera(90, 0, weight=0.5), orbit_camera(200, 30, ortho_scale=None)]
    shown = FaceIds.of_views(mesh, cameras, (_PIXELS, _PIXELS))
    lenses = Lens.of_each(cameras, mesh, _PIXELS, _PIXELS)
    random = torch.Generator().manual_seed(0)
    masks = torch.rand(len(cameras), _PIXELS, _PIXELS, generator=random, dtype=torch.float32)
    masks[0, _PIXELS // 4 : _PIXELS // 2, _PIXELS // 4 : -_PIXELS // 4] = 0
    asked = shown, lenses, masks.to(device), 3
    breaks = kernels.find_breaks(*asked)
    want = find_breaks(*asked, lambda share: None)
    for name in want._fields:
        _compare(f"{name} of pixels", getattr(breaks, name), getattr(want, name))
    normals = mesh.vertex_normals()
    for channels, size in _CASES:
        color = torch.rand(want.depth.numel(), channels + 1, generator=random, dtype=torch.float32).to(device)
        color[:, channels] = want.fading.view(-1)
        pictures = Pictures(color, want.depth.view(-1), want.rough, channels)
        views = [(lens, camera.weight) for lens, camera in zip(lenses, cameras, strict=True)]
        request = Layout.of(mesh, (size, size)), normals, views, pictures, 2.0, 0.25, channels == 6
        names = "texture", "painted", "confidence", "covered", "heaviest"
        images = kernels.blend(*request), operators.blend(*request, lambda share: None)
        for name, one, other in zip(names, *images, strict=True):
            _compare(f"{name} of {channels} channels", one, other)


def _compare(name: str, got: torch.Tensor, want: torch.Tensor) -> None:
    wrong = ~((got.to(torch.float32) - want.to(torch.float32)).abs() <= _CLOSE)
    if float(wrong.to(torch.float32).mean()) > _FLIPPED:
        raise RuntimeError(f"self-test: {int(wrong.sum())} of {wrong.numel()} values of the {name} differ")
