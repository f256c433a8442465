"""Rendering a mesh lit, with soft edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cameras.camera import Camera, orbit_camera
from ...cameras.projection import look_frame, to_clip
from ...contract.checks import check_choice, check_integer, check_resolution, is_finite
from ...meshes.mesh import Mesh
from ...ops import rasterize
from ...pictures.colors import linear_to_srgb, srgb_to_linear
from ...runtime.memory import default_budget
from ...runtime.policy import device_policy
from ...runtime.progress import shares
from ...runtime.threads import on_own_threads, share_rows
from ..attributes import SHADINGS
from .brdf import dot, reflect_environment, reflect_light
from .environment import Environment, rotated
from .studio import studio
from .surface import Points, Seen, Surface, material_at, normals_at, part_of
from .tone import TONE_MAPPINGS, tone_map

LIGHTS = ("studio", "headlight")
BACKGROUNDS = ("color", "transparent", "environment")
MOST_SAMPLES = 64

_FILL = 0.25  # of the headlight's strength, from everywhere
_BYTES = 600  # of a pixel while it is shaded
_INTERPOLATED = 1 << 22  # pixels at once
_CHUNK = 1 << 14  # pixels whose numbers stay in a CPU's cache
_WEIGHT = 64  # of shading a pixel, to drawing one
_FIRST = 2  # samples that every pixel gets
_ALIKE = 0.02  # difference of sRGB codes between neighbours that more samples would not change much


@dataclass(frozen=True)
class Rendered:
    """Pictures of ``V`` views.

    Attributes:
        color: ``[V, H, W, 3]`` float32 sRGB codes, 0..1. With a transparent background, the colour of the mesh alone,
            not multiplied by alpha, and black where there is none.
        alpha: ``[V, H, W]`` float32: how much of a pixel the mesh covers, 0..1.
    """

    color: Tensor
    alpha: Tensor


@dataclass(frozen=True)
class _Light:
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
        return torch.stack([dot(axis, direction) for axis in self.axes])


@torch.no_grad()
@on_own_threads
def render_mesh(
    mesh: Mesh,
    cameras: Sequence[Camera] | None = None,
    resolution: tuple[int, int] = (1024, 1024),
    *,
    light: str = "studio",
    environment: Environment | None = None,
    environment_rotation: float = 0.0,
    environment_strength: float = 1.0,
    exposure: float = 0.0,
    tone_mapping: str = "neutral",
    background: str = "color",
    background_color: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shading: str = "smooth",
    metallic: float = 0.0,
    roughness: float = 0.5,
    samples: int = 8,
    keep_on: torch.device | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Rendered:
    """Pictures of a mesh as a person wants to see it.

    The material is that of glTF 2.0 (:mod:`.brdf`): texture times vertex colours, metallic-roughness, normal map, and
    occlusion, which dims light from around. Both sides of every face are shown, whatever its winding. There are no
    shadows, and no part of the mesh mirrors another.

    A pixel is the mean of ``samples`` points around its centre, spread as a triangle two pixels wide and high (a tent
    filter), each drawn as a picture of its own (Haeberli and Akeley, "The Accumulation Buffer", 1990). Pixels lie where
    those of :func:`rasterizer.rendering.raster.rasterize_mesh` do.

    Args:
        mesh: what to draw. Without UVs, textures, normals or colours it is white, and its normals are those of
            :meth:`Mesh.vertex_normals`.
        cameras: one view each; None is one orthographic view from the front.
        resolution: ``(height, width)`` in pixels.
        light: where there is no environment: ``studio`` is large soft lights, ``headlight`` one at the camera with a
            little from everywhere. Both follow the camera.
        environment: light from all around, which stays with the mesh; of :func:`rasterizer.rendering.lit.prefilter`.
        environment_rotation: degrees, as :mod:`.environment` says.
        environment_strength: what its light is multiplied by.
        exposure: of light of any kind, in stops: 1 is twice as bright.
        tone_mapping: one of :data:`TONE_MAPPINGS`.
        background: ``color``, ``transparent`` or ``environment``. Orthographic cameras see the environment through
            their ``fov``, since they would see a single point of it.
        background_color: sRGB codes, which no tone mapping changes.
        shading: ``smooth`` has normals from vertex to vertex, ``flat`` one a face.
        metallic, roughness: 0..1, where the mesh has no texture of them.
        samples: of a pixel; textures are looked up the finer for it. 1 has hard edges.
        keep_on: the device for finished pictures, by default the mesh's.
        on_progress: called with the share done, 0..1; an exception it raises stops the call.

    Raises:
        ValueError: a mesh without faces, or an argument out of range.
    """
    height, width = check_resolution(resolution)
    check_choice(light, LIGHTS, "light")
    check_choice(tone_mapping, TONE_MAPPINGS, "tone_mapping")
    check_choice(background, BACKGROUNDS, "background")
    check_choice(shading, SHADINGS, "shading")
    samples = check_integer(samples, 1, MOST_SAMPLES, "samples")
    for name, value in (("metallic", metallic), ("roughness", roughness)):
        if not (is_finite(value) and 0 <= value <= 1):
            raise ValueError(f"{name}: is {value!r}, expected 0 to 1")
    for name, value in (("exposure", exposure), ("environment_rotation", environment_rotation)):
        if not is_finite(value):
            raise ValueError(f"{name}: is {value!r}, expected a finite number")
    if not (is_finite(environment_strength) and environment_strength >= 0):
        raise ValueError(f"environment_strength: is {environment_strength!r}, expected 0 or more")
    if background == "environment" and environment is None:
        raise ValueError("background: is 'environment' but there is none; expected a picture of one, or another choice")
    if not (len(mesh.faces) and len(mesh.vertices)):
        found = f"{len(mesh.vertices) or 'no'} vertices and {len(mesh.faces) or 'no'} faces"
        raise ValueError(f"mesh: has {found}, expected faces to draw")

    home = mesh.vertices.device
    keep_on = keep_on or home
    views = tuple(cameras) if cameras else (orbit_camera(0, 0),)
    surface = Surface.of(mesh, shading == "flat", metallic, roughness)
    around = environment or (studio() if light == "studio" else None)
    around = None if around is None else around.to(home)
    color = torch.empty(len(views), height, width, 3, dtype=torch.float32, device=keep_on)
    alpha = torch.empty(len(views), height, width, dtype=torch.float32, device=keep_on)
    for number, (camera, report) in enumerate(
        zip(views, shares(on_progress or (lambda share: None), len(views)), strict=True)
    ):
        if environment is not None:
            lit = _Light(around, _columns(rotated(environment_rotation), home), environment_strength)
        else:
            lit = _Light(around, _columns(camera.axes, home), 1.0)
        frame = _Frame(surface, camera, (height, width), lit, 2.0**exposure, tone_mapping, samples)
        drawn = frame.draw(background == "environment", report)
        picture, covered = _finished(drawn, samples, background, background_color)
        color[number] = picture.t().view(height, width, 3)
        alpha[number] = covered.view(height, width)
    return Rendered(color, alpha)


def render_bytes(mesh: Mesh, resolution: tuple[int, int]) -> int:
    """What :func:`render_mesh` needs on a GPU but for the mesh and the finished pictures."""
    pixels = resolution[0] * resolution[1]
    textures = (mesh.texture, mesh.metallic_roughness, mesh.normal_map)
    pyramids = sum(picture.numel() * 12 for picture in textures if picture is not None)
    return pixels * 160 + min(pixels, _INTERPOLATED) * 160 + pyramids + len(mesh.faces) * 160 + (256 << 20)


def _columns(axes: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    return torch.tensor(axes, dtype=torch.float32, device=device)[..., None]


def _finished(drawn: Tensor, samples: int, background: str, color: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """sRGB codes ``[3, P]`` and coverage ``[P]`` from sums of display values and of hits ``[4, P]``."""
    light, hits = drawn[:3], drawn[3]
    alpha = hits / samples
    if background == "transparent":
        light = light / hits.clamp(min=1.0)
    else:
        light = light / samples
        if background == "color":
            behind = srgb_to_linear(light.new_tensor(color))[:, None]
            light = light + (1.0 - alpha) * behind
    return linear_to_srgb(light.nan_to_num(0.0)), alpha


class _Frame:
    """One view on its way."""

    def __init__(
        self,
        surface: Surface,
        camera: Camera,
        size: tuple[int, int],
        light: _Light,
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
        self._axes = _columns(camera.axes, self._device)
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
            if number == _FIRST:
                rough = self._rough(total)
            moved = self._clip.clone()
            moved[..., 0] -= moved[..., 3] * (2 * right / max(width - 1, 1))
            moved[..., 1] -= moved[..., 3] * (2 * down / max(height - 1, 1))
            drawing, shading = shares(tell, 2)
            drawn = rasterize(moved, self._surface.mesh.faces, self._size, on_progress=drawing)
            findices, barycentric = drawn.findices.view(-1), drawn.barycentric.view(-1, 3)
            if with_environment:
                total[:3] += torch.where((findices > 0) | ~rough, 0.0, self._behind(right, down))
            self._add(torch.where(rough, findices, 0), barycentric, total, shading)
        return torch.where(rough, total, total * (count / min(_FIRST, count)))

    def _rough(self, total: Tensor) -> Tensor:
        """``[H * W]`` bool: pixels that need more samples than the first."""
        height, width = self._size
        found = torch.cat((linear_to_srgb(total[:3] / _FIRST), total[3:] / _FIRST)).view(1, 4, height, width)
        most = torch.nn.functional.max_pool2d(found, 3, 1, 1)
        least = -torch.nn.functional.max_pool2d(-found, 3, 1, 1)
        return ((most - least) > _ALIKE).any(dim=1).view(-1)

    def _add(self, findices: Tensor, barycentric: Tensor, total: Tensor, report: Callable[[float], None]) -> None:
        """Shade what is drawn, and add it to ``total``."""
        # On a CPU the background is not worth shading; elsewhere, finding it would mean to wait for the device.
        pick = device_policy(self._device).own_threads
        parts = findices.split(_INTERPOLATED)
        for number, (found, tell) in enumerate(zip(parts, shares(report, len(parts)), strict=True)):
            tell(0.0)
            start = number * _INTERPOLATED
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

    def _behind(self, right: float, down: float) -> Tensor:
        """``[3, H * W]`` display values of the environment behind the mesh, at samples beside the pixels' centres."""
        height, width = self._size
        tangent = math.tan(math.radians(self._camera.fov) / 2)
        # As in to_clip: the outermost centres are at -1 and 1.
        down_, right_ = max(height - 1, 1), max(width - 1, 1)
        rows, columns = (torch.arange(side, dtype=torch.float32, device=self._device) for side in self._size)
        y = (rows + down) * (-2 / down_) + 1.0
        x = ((columns + right) * (2 / right_) - 1.0) * (right_ / down_)
        y, x = torch.meshgrid(y * tangent, x * tangent, indexing="ij")
        across, up, toward = self._axes
        ray = across * x.reshape(1, -1) + up * y.reshape(1, -1) - toward
        environment = self._light.environment
        assert environment is not None  # render_mesh sees to it
        seen = environment.seen(self._light.toward(ray)) * (self._light.strength * self._exposure)
        return tone_map(seen, self._tone_mapping)


def sample_places(count: int) -> list[tuple[float, float]]:
    """Where samples lie around a pixel's centre, in pixels to the right and down; their mean is the centre.

    Hammersley's points, spread by the inverse of the tent's distribution: filter importance sampling (Ernst et al.,
    "Filter Importance Sampling", 2006).
    """
    places = [(_tent((k + 0.5) / count), _tent(_radical_inverse(k) + 0.5 / count)) for k in range(count)]
    right, down = (sum(axis) / count for axis in zip(*places, strict=True))
    return [(x - right, y - down) for x, y in places]


def _tent(share: float) -> float:
    share = min(share, 1.0)
    return math.sqrt(2 * share) - 1 if share < 0.5 else 1 - math.sqrt(2 * (1 - share))


def _radical_inverse(number: int) -> float:
    """The bits of a number mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    value, step = 0.0, 0.5
    while number:
        value, number, step = value + step * (number & 1), number >> 1, step / 2
    return value
