"""How much memory baking and filling need, known before they start.

The numbers of bytes are what a CPU and a GPU were seen to need at most, which the tests of this module repeat. Numbers
for a texel count texels that the layout covers apart, since much of the work knows only of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contract.checks import check_faces
from ..meshes.mesh import Mesh
from ..runtime.devices import free_memory
from ..runtime.memory import TooLargeError
from ..runtime.policy import device_policy
from ..runtime.threads import threads_for

_FIXED = 64 << 20  # working memory of the rasterizer and of libraries
_RESERVE = 16  # a sixteenth more than the need: a machine whose last memory is taken raises no error, it kills
_STEP = 16  # of texture sizes that are proposed
_FILLED = {"dilate": (0, 0), "surface": (20, 0)}  # of a covered texel, and of each of its channels
_FILLED_BY_VERTICES = (26, 10)
_LOOKED_UP = 1 << 19, 100, 24  # texels that are looked up at once along the surface, and what each and a channel takes


@dataclass(frozen=True)
class BakeNeed:
    """What :func:`bake_views` needs but for the pictures themselves.

    Attributes:
        views: how many pictures.
        pixels: of each.
        channels: of each.
        chunk: texels that are looked at at once.
        together: views that are made ready at once.
        threads: that look at texels side by side.
        agreeing: whether views are matched or aligned.
        filtering: bytes of the pixels that are weighed at once.
        kernels: whether GPU kernels do it, which keep nothing of a texel but its colour.
    """

    views: int
    pixels: int
    channels: int
    chunk: int
    together: int
    threads: int
    agreeing: bool
    filtering: int
    kernels: bool

    @classmethod
    def of(
        cls,
        images: Tensor,
        device: torch.device,
        chunk: int,
        together: int,
        agreeing: bool,
        filtering: int,
        kernels: bool,
    ) -> BakeNeed:
        """For ``[V, H, W, C]`` images on a device, of which so many are made ready ``together`` on each thread."""
        views, height, width, channels = images.shape
        policy = device_policy(device)
        threads = threads_for(policy, 1 << 30)
        together = min(views, together * threads)
        sizes = views, height * width, channels, min(policy.chunk, chunk)
        return cls(*sizes, together, threads, agreeing, filtering, kernels)

    def bytes(self, texels: int, share: float = 1.0) -> int:
        """For a texture of so many texels, of which the layout covers a share."""
        pixels, channels = self.views * self.pixels, self.channels
        covered = texels * share
        agreeing = self._agreeing(covered) if self.agreeing else 0
        if self.kernels:
            return _FIXED + int(self._by_kernels(texels, agreeing))
        preparing = pixels * 13 + self.pixels * self.together * 100
        looking = texels * (13 + 4 * channels) + min(covered, self.chunk * self.threads) * (280 + 30 * channels)
        looking += self.filtering * self.threads
        painting = pixels * (13 + 7 * (channels + 1)) + max(texels * 13, looking, texels * 5 + agreeing)
        return _FIXED + int(max(preparing, painting))

    def _by_kernels(self, texels: int, agreeing: float) -> float:
        """Pictures made ready, the rasterizer's z-buffer, and pictures packed at all sizes, of 16 or 32 bytes."""
        pixels, channels, packed = self.views * self.pixels, self.channels, 22 if self.channels < 4 else 43
        kept = pixels * (9 + 4 * (channels + 2) * self.agreeing)
        blending = pixels * (3 + packed) + texels * (12 + 4 * channels) + min(texels, 1 << 23) * 12
        preparing = pixels * 22 + min(pixels, 1 << 23) * 12
        return max(preparing, kept + max(texels * 12, blending, texels * 4 + agreeing))

    def _agreeing(self, covered: float) -> float:
        """Some texels in all views, all views small and gray, and one view that moves."""
        matching = covered / 16 * (900 + 24 * self.views)
        aligning = self.views * min(self.pixels, 1 << 16) * 250
        moving = self.pixels * (20 + 16 * self.channels) + min(self.pixels, 1 << 18) * (100 + 12 * self.channels)
        return max(matching, aligning + moving)


def fill_bytes(texels: int, channels: int, method: str, share: float = 1.0) -> int:
    """What :func:`fill_texture` needs but for the texture itself; the layout covers a share of the texels."""
    texel, channel = _FILLED.get(method, _FILLED_BY_VERTICES)
    most, at_once, of_channel = _LOOKED_UP if method == "surface" else (0, 0, 0)
    covered = texels * share
    looking = min(covered, most) * (at_once + of_channel * channels)
    return _FIXED + int(
        max(
            texels * (38 + 8 * channels),
            texels * (30 + 4 * channels) + covered * (texel + channel * channels) + looking,
        )
    )


def carry_bytes(texels: int, old: int, chunk: int, share: float = 1.0) -> int:
    """What :func:`carry_textures` needs but for the old textures.

    Args:
        texels: of the largest new texture.
        old: of the largest old one.
        chunk: texels that are looked at at once.
        share: of the new texels that the layout covers.
    """
    covered = texels * share
    kept = texels * 24  # two textures of three, while the last is made
    return _FIXED + int(max(old * 80, kept + texels * 80 + covered * 90 + min(covered, chunk) * 600 + old * 32))


def images_bytes(texels: int, pixels: int) -> int:
    """What :func:`mesh_images` needs for a base colour of so many texels, or :func:`uv_layout_image` for its pixels."""
    return _FIXED + max(texels * 150, pixels * 150) + min(pixels * 4, 1 << 20) * 200


def refine_bytes(pixels: int, at_once: int, looks: float, points: int, texels: int, channels: int) -> int:
    """What :func:`refine_texture` needs but for the texture and the pictures.

    Args:
        pixels: that count, of all views.
        at_once: of one view.
        looks: texels that a pixel shows.
        points: of a view that is drawn.
        texels: that may change.
        channels: of the texture.
    """
    kept = pixels * (16 * looks + 12 * channels)
    making = at_once * looks * 64 + points * 72
    solving = texels * (70 + 32 * channels)
    return _FIXED + int(kept + max(making, solving))


def check_memory(name: str, size: tuple[int, int], mesh: Mesh, need: Callable[[int, float], int], cure: str) -> None:
    """Refuse a texture for which there is not enough memory.

    Args:
        name: of the argument that says how large the texture is.
        size: ``(height, width)``.
        mesh: whose layout it has; on the device that is looked at.
        need: bytes for a number of texels and the share of them that the layout covers.
        cure: what else needs less.

    Raises:
        TooLargeError: with how much is needed, how much is free, and what would fit.
    """
    device = mesh.vertices.device
    free = free_memory(device)
    texels = size[0] * size[1]

    def wanted(texels: int, share: float) -> int:
        needed = need(texels, share)
        return needed + needed // _RESERVE if device.type == "cpu" else needed

    if wanted(texels, 1.0) <= free:
        return
    share = _covered(mesh)
    needed = wanted(texels, share)
    if needed <= free:
        return
    low, high = 0, max(size) // _STEP + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wanted((middle * _STEP) ** 2, share) <= free else (low, middle)
    fits = f"{low * _STEP} x {low * _STEP} would fit" if low else f"no size fits: {cure}"
    raise TooLargeError(
        f"{name}: {size[1]} x {size[0]} texels need {needed / 2**30:.1f} GiB of memory on {device}, of which "
        f"{free / 2**30:.1f} GiB are free; {fits}."
    )


def _covered(mesh: Mesh) -> float:
    """The share of the texture that the layout covers, or more where its faces overlap."""
    uvs = mesh.require_uvs()
    faces = check_faces(mesh.faces, len(uvs), uvs.device, "faces").long()
    first, second, third = uvs.index_select(0, faces.reshape(-1)).view(-1, 3, 2).unbind(1)
    one, other = second - first, third - first
    area = float((one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).abs().sum()) / 2
    return area if area < 1 else 1.0  # also where it is not a number
