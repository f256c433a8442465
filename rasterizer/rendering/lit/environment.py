"""Light from all around, given as a picture, and prepared so that one look-up a pixel is enough.

Pictures are equirectangular. Where they stand around the mesh is the convention of three.js, Khronos' glTF Sample
Viewer and Blender: the middle of the picture lies at +X, a quarter to its right at +Z, where a front camera stands, the
upper edge above. In azimuths, as :mod:`rasterizer.cameras.camera` counts them, the middle is at 90 degrees, and
azimuths fall from left to right. A rotation turns the environment about +Y in the direction in which azimuths grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.checks import check_choice
from ...pictures.colors import srgb_to_linear
from .brdf import cross, dot, unit
from .textures import Pyramid

ENCODINGS = ("auto", "srgb", "linear")

HEIGHT = 512
"""Of the sharpest level that surfaces mirror, in texels; the width is twice that."""

_ROUGHNESS = (0.0, 0.1, 0.25, 0.5, 1.0)  # of the levels, each half the size of the one before
_SAMPLES = (0, 16, 48, 96, 128)  # of their texels
_SCATTERED = 32  # texels that irradiance is high
_AT_ONCE = 1 << 16  # samples
_CODES_AT_ONCE = 1 << 22  # a tenth of a second of a CPU
_CODES = 1.05  # the most that codes may be, which filters of pictures overshoot
_BRIGHTEST = 65504.0  # the largest number of a half-precision HDR file: infinite suns are cut off there


@dataclass(frozen=True)
class Environment:
    """Light from all around.

    Attributes:
        picture: ``[H, W, 3]`` linear radiance as it was given, for backgrounds.
        mirrored: one level for each of a few roughnesses, blurred by the lobe of GGX.
        scattered: irradiance divided by pi, by the direction of the normal.
    """

    picture: Pyramid
    mirrored: Pyramid
    scattered: Pyramid

    def to(self, device: torch.device | str) -> Environment:
        """The same on another device."""
        return Environment(*(part.to(device) for part in (self.picture, self.mirrored, self.scattered)))

    def seen(self, direction: Tensor) -> Tensor:
        """``[3, P]`` radiance from ``direction [3, P]``, as sharp as the picture."""
        return _look_up(self.picture, direction, None)

    def reflected(self, direction: Tensor, roughness: Tensor) -> Tensor:
        """``[3, P]`` radiance around a mirrored direction, as wide as the perceived roughness ``[P]`` asks."""
        level = torch.zeros_like(roughness)
        for low, high in zip(_ROUGHNESS[:-1], _ROUGHNESS[1:], strict=True):
            level += ((roughness - low) / (high - low)).clamp(0.0, 1.0)
        return _look_up(self.mirrored, direction, level)

    def irradiance(self, normal: Tensor) -> Tensor:
        """``[3, P]`` irradiance divided by pi: what a white matt surface reflects."""
        return _look_up(self.scattered, normal, None)


def rotated(degrees: float) -> tuple[tuple[float, float, float], ...]:
    """The matrix that turns a direction in the world to one in an environment rotated by ``degrees``."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return (cos, 0.0, -sin), (0.0, 1.0, 0.0), (sin, 0.0, cos)


def radiance(picture: Tensor, encoding: str = "auto", on_progress: Callable[[float], None] | None = None) -> Tensor:
    """Linear light ``[H, W, 3]`` from a picture of that shape.

    Args:
        picture: float32, of any range.
        encoding: one of :data:`ENCODINGS`. ``auto`` takes a picture with values clearly above 1 for linear, as files
            of high dynamic range are, and any other for sRGB codes.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: another shape or encoding.
    """
    check_choice(encoding, ENCODINGS, "environment_encoding")
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.numel():
        raise ValueError(f"environment: found {list(picture.shape)}, expected [H, W, 3]")
    if encoding == "linear" or (encoding == "auto" and bool((picture > _CODES).any())):
        return picture
    made = torch.empty_like(picture)
    parts = max(1, picture.numel() // _CODES_AT_ONCE)
    rows = zip(made.chunk(parts), picture.chunk(parts), strict=True)
    for number, (target, codes) in enumerate(rows):
        if on_progress:
            on_progress(number / parts)
        target.copy_(srgb_to_linear(codes))
    return made


def prefilter(
    radiance: Tensor, on_progress: Callable[[float], None] | None = None, device: torch.device | None = None
) -> Environment:
    """Prepare an environment.

    The levels are those of Karis, "Real Shading in Unreal Engine 4", 2013, sampled as in Colbert and Krivanek,
    "GPU-Based Importance Sampling", GPU Gems 3, 2007: each sample is as wide as its probability is small, so that a
    small bright sun leaves no speckles.

    Args:
        radiance: ``[H, W, 3]`` linear, in the module's convention, of any size. What is not finite or below 0 is cut.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.
        device: where to work, and where the result is; by default that of ``radiance``.
    """
    report = on_progress or (lambda share: None)
    report(0.0)
    device = device or radiance.device
    light = radiance.to(torch.float32).nan_to_num(0.0, _BRIGHTEST, 0.0).clamp(0.0, _BRIGHTEST)
    # On the CPU, since not every device resizes with a filter.
    planes = light.cpu().movedim(-1, 0)[None]
    even = torch.nn.functional.interpolate(planes, (HEIGHT, 2 * HEIGHT), mode="bilinear", antialias=True)
    source = Pyramid.of(even[0].movedim(0, -1).to(device))
    levels = [source.level(0)]
    for number in range(1, len(_ROUGHNESS)):
        levels.append(_blurred(source, HEIGHT >> number, _ROUGHNESS[number], _SAMPLES[number], report, number - 1))
    scattered = _scattered(source.level((HEIGHT // _SCATTERED).bit_length() - 1))
    report(1.0)
    return Environment(Pyramid.of(light.to(device), 1), Pyramid.joined(levels), Pyramid.of(scattered, 1))


def directions(height: int, device: torch.device | str = "cpu") -> Tensor:
    """``[3, H * 2 H]`` directions of the texels of a picture ``height`` texels high, row by row."""
    across = (torch.arange(2 * height, dtype=torch.float32, device=device) + 0.5) / (2 * height)
    down = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / height
    polar, turn = torch.meshgrid(down * math.pi, (across - 0.5) * (2 * math.pi), indexing="ij")
    x, z = torch.sin(polar) * torch.cos(turn), torch.sin(polar) * torch.sin(turn)
    return torch.stack((x, torch.cos(polar), z)).flatten(1)


def _look_up(pyramid: Pyramid, direction: Tensor, level: Tensor | None) -> Tensor:
    x, y, z = direction
    u = torch.atan2(z, x) / (2 * math.pi) + 0.5
    v = torch.atan2(torch.hypot(x, z), y) / math.pi
    # Pyramids repeat, also beyond the poles, where there is nothing: half a texel of the level is the last place.
    edge = torch.full_like(v, 0.5 / pyramid.sizes[0][0])
    if level is not None:
        edge = edge * torch.exp2(level.clamp(0.0, len(pyramid.sizes) - 1).ceil())
    return pyramid.at(torch.stack((u, torch.minimum(torch.maximum(v, edge), 1.0 - edge))), level)


def _blurred(
    source: Pyramid, height: int, roughness: float, samples: int, report: Callable[[float], None], stage: int
) -> Tensor:
    """``[H, 2 H, 3]``: for every direction the mean of ``source`` over GGX's lobe, seen squarely."""
    home = source.table.device
    towards = directions(height, home)
    number = torch.arange(samples, dtype=torch.float32, device=home) + 0.5
    share, turn = number / samples, number * (math.pi * (3.0 - math.sqrt(5.0)))  # golden angles
    squared = roughness**4
    up = torch.sqrt((1.0 - share) / (1.0 + (squared - 1.0) * share))  # of the halfway vector: Walter et al., eq. 35
    flat = torch.sqrt((1.0 - up * up).clamp(min=0.0))
    local = torch.stack((2 * up * flat * torch.cos(turn), 2 * up * flat * torch.sin(turn), 2 * up * up - 1.0))
    weight = local[2].clamp(min=0.0)
    density = squared / (math.pi * (up * up * (squared - 1.0) + 1.0) ** 2) / 4.0
    texel = 2.0 * math.pi**2 / (2 * HEIGHT * HEIGHT)  # solid angle, at the equator
    level = (0.5 * torch.log2(1.0 / (samples * density * texel)) + 1.0).clamp(min=0.0)
    parts = towards.split(max(1, _AT_ONCE // samples), dim=1)
    found = []
    for part, n in enumerate(parts):
        report((stage + part / len(parts)) / (len(_ROUGHNESS) - 1))
        upright = torch.stack((torch.zeros_like(n[0]), torch.ones_like(n[0]), torch.zeros_like(n[0])))
        tangent = unit(cross(upright, n))  # no texel's centre lies at a pole
        axes = torch.stack((tangent, cross(n, tangent), n))  # [3 axes, 3, Q]
        turned = (axes[..., None] * local[:, None, None]).sum(0)
        light = _look_up(source, turned.flatten(1), level.repeat(n.shape[1])).view(3, -1, samples)
        found.append((light * weight).sum(-1) / weight.sum())
    return torch.cat(found, dim=1).t().reshape(height, 2 * height, 3)


def _scattered(light: Tensor) -> Tensor:
    """``[H, 2 H, 3]``: for every direction the mean of ``light``, of that shape, weighted by the cosine."""
    height = light.shape[0]
    towards = directions(height, light.device)
    solid = torch.sqrt((1.0 - towards[1] ** 2).clamp(min=0.0))
    flat = light.reshape(-1, 3).t()
    found = []
    for n in towards.split(512, dim=1):
        weights = dot(n[:, :, None], towards[:, None]).clamp(min=0.0) * solid
        found.append(torch.stack([(weights * channel).sum(1) for channel in flat]) / weights.sum(1))
    return torch.cat(found, dim=1).t().reshape(height, 2 * height, 3)
