"""Rendering a mesh lit, with soft edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cameras.camera import Camera, orbit_camera
from ...contract.checks import check_choice, check_integer, check_resolution, is_finite
from ...meshes.mesh import Mesh
from ...pictures.colors import linear_to_srgb, srgb_to_linear
from ...runtime.progress import shares, staged
from ...runtime.threads import on_own_threads, share_rows
from ..attributes import SHADINGS
from .environment import Environment, rotated
from .frame import INTERPOLATED, Frame, Light, columns
from .studio import studio
from .surface import Surface
from .tone import TONE_MAPPINGS

LIGHTS = ("studio", "headlight")
BACKGROUNDS = ("color", "transparent", "environment")
MOST_SAMPLES = 64
MOST_STOPS = 64.0
"""Of exposure: what no light needs, and float32 still holds."""


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
    _check_number(metallic, "metallic", 0.0, 1.0)
    _check_number(roughness, "roughness", 0.0, 1.0)
    _check_number(exposure, "exposure", -MOST_STOPS, MOST_STOPS)
    _check_number(environment_rotation, "environment_rotation")
    _check_number(environment_strength, "environment_strength", 0.0)
    if background == "environment" and environment is None:
        raise ValueError("background: is 'environment' but there is none; expected a picture of one, or another choice")
    if not (len(mesh.faces) and len(mesh.vertices)):
        found = f"{len(mesh.vertices) or 'no'} vertices and {len(mesh.faces) or 'no'} faces"
        raise ValueError(f"mesh: has {found}, expected faces to draw")

    home = mesh.vertices.device
    keep_on = keep_on or home
    views = tuple(cameras) if cameras else (orbit_camera(0, 0),)
    report = on_progress or (lambda share: None)
    surface = Surface.of(mesh, shading == "flat", metallic, roughness, lambda: report(0.0))
    lighting = staged("studio light", lambda share: report(0.0))
    around = environment or (studio(lighting) if light == "studio" else None)
    around = None if around is None else around.to(home)
    color = torch.empty(len(views), height * width, 3, dtype=torch.float32, device=keep_on)
    alpha = torch.empty(len(views), height * width, dtype=torch.float32, device=keep_on)
    for number, (camera, step) in enumerate(zip(views, shares(report, len(views)), strict=True)):
        if environment is not None:
            lit = Light(around, columns(rotated(environment_rotation), home), environment_strength)
        else:
            lit = Light(around, columns(camera.axes, home), 1.0)
        frame = Frame(surface, camera, (height, width), lit, 2.0**exposure, tone_mapping, samples)
        drawn = frame.draw(background == "environment", step)

        def finish(part: slice, drawn: Tensor = drawn, number: int = number) -> None:
            picture, covered = _finished(drawn[:, part], samples, background, background_color)
            color[number, part] = picture.t()
            alpha[number, part] = covered

        def tell(share: float, step: Callable[[float], None] = step) -> None:
            step(1.0)

        share_rows(finish, height * width, home, weight=4, report=tell)
    return Rendered(color.view(-1, height, width, 3), alpha.view(-1, height, width))


def render_bytes(mesh: Mesh, resolution: tuple[int, int]) -> int:
    """What :func:`render_mesh` needs on a GPU but for the mesh and the finished pictures."""
    pixels = resolution[0] * resolution[1]
    textures = (mesh.texture, mesh.metallic_roughness, mesh.normal_map)
    pyramids = sum(picture.numel() * 12 for picture in textures if picture is not None)
    return pixels * 160 + min(pixels, INTERPOLATED) * 160 + pyramids + len(mesh.faces) * 160 + (256 << 20)


def _check_number(value: float, name: str, least: float = -math.inf, most: float = math.inf) -> None:
    if not (is_finite(value) and least <= value <= most):
        limits = [f"at least {least:g}"] * (least > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
        raise ValueError(f"{name}: is {value!r}, expected {' and '.join(limits) or 'a finite number'}")


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
