"""One view of a mesh in light, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...cameras.projection import look_frame, to_clip
from ...ops import rasterize
from ...pictures.colors import linear_to_srgb
from ...runtime.memory import default_budget
from ...runtime.policy import device_policy
from ...runtime.progress import shares
from ...runtime.threads import share_rows
from .brdf import dot, reflect_environment, reflect_light
from .environment import Environment
from .samples import sample_places
from .surface import Points, Seen, Surface, material_at, normals_at, part_of
from .tone import tone_map

_FILL = 0.25  # of the headlight's strength, from everywhere
_BYTES = 600  # of a pixel while it is shaded
_CHUNK = 1 << 14  # pixels whose numbers stay in a CPU's cache
_WEIGHT = 64  # of shading a pixel, to drawing one
_FIRST = 2  # samples that every pixel gets
_ALIKE = 0.02  # difference of sRGB codes between neighbours that more samples would not change much

INTERPOLATED = 1 << 22
"""Pixels of which points are found at once."""


@dataclass(frozen=True)
class Light:
    """What lights a view: an environment, or else a light at the camera.

    Attributes:
        environment: from around; None is the headlight.
        axes: ``[3, 3, 1]`` rows that turn a direction in the world to one in the environment.
        strength: what its radiance is multiplied by.
    """

    environment: Environment | None
    axes: Tensor
    strength: float

    def toward(self, direction: Tensor) -> Tensor:
        """``[3, P]`` directions in the world as directions in the environment."""
        return torch.stack([dot(axis, direction) for axis in self.axes])


def columns(axes: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    """Vectors as ``[K, 3, 1]``, to go with ``[3, P]``."""
    return torch.tensor(axes, dtype=torch.float32, device=device)[..., None]


class Frame:
    """One view on its way.

    Args:
        surface: of the mesh.
        camera: that looks at it.
        size: height and width in pixels.
        light: in which it is seen.
        exposure: what light of any kind is multiplied by.
        tone_mapping: one of :data:`~rasterizer.rendering.lit.tone.TONE_MAPPINGS`.
        samples: of a pixel.
    """

    def __init__(
        self,
        surface: Surface,
        camera: Camera,
        size: tuple[int, int],
        light: Light,
        exposure: float,
        tone_mapping: str,
        samples: int,
    ) -> None:
        mesh = surface.mesh
        height, width = size
        self._surface, self._camera, self._size, self._light = surface, camera, size, light
        self._exposure, self._tone_mapping, self._samples = exposure, tone_mapping, samples
        self._clip = to_clip(mesh.vertices, [camera], width, height)
        self._seen = Seen(surface, look_frame(mesh.vertices, [camera])[0], self._clip[0], size)
        self._device = mesh.vertices.device
        self._axes = columns(camera.axes, self._device)
        self._place = torch.tensor(camera.position, dtype=torch.float32, device=self._device)[:, None]
        self._finer = -0.5 * math.log2(samples)  # mip levels: each sample stands for a part of the pixel

    def draw(self, with_environment: bool, report: Callable[[float], None]) -> Tensor:
        """``[4, H * W]``: sums of display values and hits over all samples.

        Two samples suffice where the pixels around look alike, as Whitted, "An Improved Illumination Model for Shaded
        Display", 1980, saves rays; the sums are as if all samples had been like these.
        """
        height, width = self._size
        total = torch.zeros(4, height * width, dtype=torch.float32, device=self._device)
        rough = torch.ones(height * width, dtype=torch.bool, device=self._device)
        count = self._samples
        places = sample_places(count)
        places = [places[0], *places[:0:-1]]  # the first two lie on opposite sides
        for number, ((right, down), tell) in enumerate(zip(places, shares(report, count), strict=True)):
            tell(0.0)
            looking, drawing, shading, adding = shares(tell, 4)
            if number == _FIRST:
                rough = self._rough(total, looking)
            moved = self._clip.clone()
            moved[..., 0] -= moved[..., 3] * (2 * right / max(width - 1, 1))
            moved[..., 1] -= moved[..., 3] * (2 * down / max(height - 1, 1))
            drawn = rasterize(moved, self._surface.mesh.faces, self._size, on_progress=drawing)
            findices, barycentric = drawn.findices.view(-1), drawn.barycentric.view(-1, 3)
            self._add(torch.where(rough, findices, 0), barycentric, total, shading)
            if with_environment:
                self._add_behind((findices == 0) & rough, right, down, total, adding)
        return torch.where(rough, total, total * (count / min(_FIRST, count)))

    def _rough(self, total: Tensor, report: Callable[[float], None]) -> Tensor:
        """``[H * W]`` bool: pixels that need more samples than the first."""
        height, width = self._size
        sums, rough = total.view(4, height, width), torch.empty(self._size, dtype=torch.bool, device=self._device)

        def work(rows: slice) -> None:
            first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
            mean = sums[:, first:last] / _FIRST
            found = torch.cat((linear_to_srgb(mean[:3]), mean[3:]))[None]
            most = torch.nn.functional.max_pool2d(found, 3, 1, 1)
            least = -torch.nn.functional.max_pool2d(-found, 3, 1, 1)
            rough[rows] = ((most - least) > _ALIKE).any(dim=1)[0, rows.start - first : rows.stop - first]

        share_rows(work, height, self._device, weight=4 * width, report=report)
        return rough.view(-1)

    def _add(self, findices: Tensor, barycentric: Tensor, total: Tensor, report: Callable[[float], None]) -> None:
        """Shade what is drawn, and add it to ``total``."""
        # On a CPU the background is not worth shading; elsewhere, finding it would mean to wait for the device.
        pick = device_policy(self._device).own_threads
        parts = findices.split(INTERPOLATED)
        for number, (found, tell) in enumerate(zip(parts, shares(report, len(parts)), strict=True)):
            tell(0.0)
            start = number * INTERPOLATED
            sums, weights = total[:, start : start + len(found)], barycentric[start : start + len(found)]
            if pick:
                places = torch.nonzero(found > 0)[:, 0]
                if not len(places):
                    continue
                light = self._shaded(found[places], weights[places], tell)
                sums[:3, places] += light
                sums[3, places] += 1.0
            else:
                hit = found > 0
                sums[:3] += torch.where(hit, self._shaded(found, weights, tell), 0.0)
                sums[3] += hit

    def _shaded(self, findices: Tensor, barycentric: Tensor, report: Callable[[float], None]) -> Tensor:
        """``[3, P]`` display values of fragments."""
        points = self._seen.points(findices, barycentric)
        out = torch.empty(3, len(findices), dtype=torch.float32, device=self._device)

        def work(part: slice) -> None:
            out[:, part] = self._display(part_of(points, part))

        chunk = _CHUNK if device_policy(self._device).own_threads else default_budget(self._device) // _BYTES
        share_rows(work, len(findices), self._device, weight=_WEIGHT, chunk=chunk, report=report)
        return out

    def _display(self, points: Points) -> Tensor:
        surface, light = self._surface, self._light
        if self._camera.half_height is None:
            v = torch.nn.functional.normalize(self._place - points.position, dim=0)
        else:
            v = self._axes[2].expand_as(points.position)
        finer = torch.full_like(points.position[0], self._finer)
        n = normals_at(surface, points, v, finer)
        material, openness = material_at(surface, points, finer)
        n_v = dot(n, v).clamp(min=1e-4)
        if light.environment is None:
            around = torch.full_like(n, _FILL)
            shone = reflect_environment(material, n_v, around, around)
        else:
            mirror = light.toward(2.0 * n_v * n - v)
            mirrored = light.environment.reflected(mirror, material.roughness)
            scattered = light.environment.irradiance(light.toward(n))
            shone = reflect_environment(material, n_v, mirrored, scattered) * light.strength
        if openness is not None:
            shone = shone * openness
        if light.environment is None:
            shone = shone + (1.0 - _FILL) * reflect_light(material, n, v, v)
        return tone_map(shone * self._exposure, self._tone_mapping)

    def _add_behind(
        self, seen: Tensor, right: float, down: float, total: Tensor, report: Callable[[float], None]
    ) -> None:
        """Add the environment behind the mesh to ``total`` where it is ``seen [H * W]``, at samples beside the pixels'
        centres.
        """
        pick = device_policy(self._device).own_threads  # as in _add

        def work(part: slice) -> None:
            pixels = torch.arange(part.start, part.stop, device=self._device)
            sums, here = total[:3, part], seen[part]
            if pick:
                places = torch.nonzero(here)[:, 0]
                sums[:, places] += self._behind(pixels[places], right, down)
            else:
                sums += torch.where(here, self._behind(pixels, right, down), 0.0)

        chunk = _CHUNK if pick else max(1, default_budget(self._device) // _BYTES)
        share_rows(work, len(seen), self._device, weight=_WEIGHT, chunk=chunk, report=report)

    def _behind(self, pixels: Tensor, right: float, down: float) -> Tensor:
        """``[3, P]`` display values of the environment at samples beside the centres of ``pixels [P]``."""
        height, width = self._size
        tangent = math.tan(math.radians(self._camera.fov) / 2)
        # As in to_clip: the outermost centres are at -1 and 1.
        down_, right_ = max(height - 1, 1), max(width - 1, 1)
        row, column = (part.to(torch.float32) for part in (pixels // width, pixels % width))
        y = ((row + down) * (-2 / down_) + 1.0) * tangent
        x = ((column + right) * (2 / right_) - 1.0) * (tangent * right_ / down_)
        across, up, toward = self._axes
        environment = self._light.environment
        assert environment is not None  # render_mesh sees to it
        seen = environment.seen(self._light.toward(across * x + up * y - toward))
        return tone_map(seen * (self._light.strength * self._exposure), self._tone_mapping)
