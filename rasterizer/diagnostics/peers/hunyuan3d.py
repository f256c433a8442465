"""Hunyuan3D's own bakes, to compare ours with (:mod:`rasterizer.diagnostics.quality`): 2.0's by running it, 2.1's
from its formulas.

The two place texel ``j`` of ``W`` at ``u = j / (W - 1)``; :func:`their_layout` makes a mesh of which that is true here.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...cameras.projection import look_frame, to_camera
from ...cameras.views import View
from ...meshes.mesh import Mesh
from ...rendering.raster import Raster, rasterize_mesh
from ...texturing import Texels, inpaint_vertices

_EXPONENT = 4.0  # what Hunyuan3D's pipelines use
_LEAST_COSINE = math.cos(math.radians(75))
_DEPTH_TOLERANCE = 3e-3
_ENOUGH = 0.99  # of a view's texels painted by others already: it is left out


@dataclass(frozen=True)
class PeerBake:
    """What a peer made, all on the CPU.

    Attributes:
        texture: ``[H, W, 3]`` float32, before filling.
        painted: ``[H, W]`` bool.
        filled: ``[H, W, 3]`` float32.
        bake, fill: seconds.
    """

    texture: Tensor
    painted: Tensor
    filled: Tensor
    bake: float
    fill: float


Peer = Callable[[Mesh, Tensor, Sequence[View]], PeerBake]


def find_peers() -> dict[str, Peer]:
    """Peers that can be measured here: hy3dgen where it is installed, the formulas of 2.1 where OpenCV is."""
    found: dict[str, Peer] = {}
    if importlib.util.find_spec("cv2") is None:
        return found
    if all(importlib.util.find_spec(name) is not None for name in ("hy3dgen", "scipy")):
        found["hy3dgen"] = _hy3dgen
    found["back_sample"] = back_sample
    return found


def their_layout(mesh: Mesh, size: int) -> Mesh:
    """The mesh with UVs by which texel ``j`` of ``size``, centred at ``(j + 0.5) / size``, has ``u = j / (size - 1)``.

    Rows and v are as columns and u.
    """
    return replace(mesh, uvs=(mesh.require_uvs() * (size - 1) + 0.5) / size)


def hy3dgen_renderer() -> ModuleType:
    """``hy3dgen.texgen.differentiable_renderer.mesh_render``, on whatever ``custom_rasterizer`` there is."""
    from ... import dropin

    dropin.install()
    found = importlib.util.find_spec("hy3dgen")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'hy3dgen'", name="hy3dgen")
    (root,) = found.submodule_search_locations
    for name, folder in (("hy3dgen", root), ("hy3dgen.texgen", str(Path(root) / "texgen"))):
        # The package itself would import its diffusion pipelines.
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return importlib.import_module("hy3dgen.texgen.differentiable_renderer.mesh_render")


def _hy3dgen(mesh: Mesh, images: Tensor, views: Sequence[View]) -> PeerBake:
    """2.0's chain: splat, merge, inpaint vertices, inpaint the rest with OpenCV. ``images [V, N, N, 3]`` on the CPU."""
    import trimesh

    size = images.shape[1]
    uv = mesh.require_uvs().numpy() * (1, -1) + (0, 1)
    visual = trimesh.visual.TextureVisuals(uv=uv)
    made = hy3dgen_renderer().MeshRender(default_resolution=size, texture_size=size, device="cpu")
    made.load_mesh(trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False, visual=visual))
    start = time.perf_counter()
    textures, weights = [], []
    for view, image in zip(views, images, strict=True):
        texture, cosine, _ = made.back_project(image, view.elevation, view.azimuth)
        textures.append(texture)
        weights.append(view.weight * cosine**_EXPONENT)
    texture, trusted = made.fast_bake_texture(textures, weights)
    middle = time.perf_counter()
    painted = trusted[..., 0].bool()
    filled = torch.from_numpy(made.uv_inpaint(texture, painted.numpy().astype("uint8") * 255)).float() / 255
    return PeerBake(texture, painted, filled, middle - start, time.perf_counter() - middle)


def back_sample(mesh: Mesh, images: Tensor, views: Sequence[View]) -> PeerBake:
    """2.1's chain: every texel looks up its pixel in every view; then 2.0's merge and inpainting.

    The pixel is ``trunc((ndc / 2 + 0.5) * N)``, up to one away from where the rasterizer, which counts ``N - 1``, has
    drawn the texel. If its depth is that of the texel, the texel takes the bilinear colour of it and the next ones,
    whatever these show, weighted by the cosine of that pixel's flat face; pixels that are not :func:`_reliable` count
    for nothing. The code is written from these formulas; the real one, run on the meshes of
    :func:`rasterizer.diagnostics.quality.samples` at 1024, paints the same texels but for 3 of 1.6 million, in the same
    colours within 0.001.

    Args:
        mesh: with UVs, on the CPU.
        images: ``[V, N, N, 3]`` float32, of orthographic ``views``; the texture has their size.
        views: where they were taken from.
    """
    size = images.shape[1]
    start = time.perf_counter()
    cameras = [view.camera() for view in views]
    raster = rasterize_mesh(mesh, cameras, (size, size))
    texels = Texels.of(their_layout(mesh, size), (size, size))
    points = texels.interpolate(look_frame(mesh.vertices, cameras[:1])[0])
    total, weights = images.new_zeros(len(texels), images.shape[3]), images.new_zeros(len(texels))
    for number, (view, camera) in enumerate(zip(views, cameras, strict=True)):
        some = raster.view(number)
        depth = -some.distance()[0, 0]  # camera space: negative, and 0 on background
        trust = _cosine(some, camera) * _reliable(depth, some.findices[0, 0] > 0)
        color, cosine = _sample(points, images[number], depth, trust, camera)
        weight = view.weight * cosine**_EXPONENT
        seen = weight > 0
        if int((seen & (weights > 0)).sum()) <= _ENOUGH * int(seen.sum()):
            total += color * weight[:, None]
            weights += weight
    texture, painted = texels.image(total / weights.clamp(min=1e-8)[:, None]), texels.image(weights > 1e-8)
    middle = time.perf_counter()
    filled = _inpaint(mesh, texture, painted)
    return PeerBake(texture, painted, filled, middle - start, time.perf_counter() - middle)


def _sample(points: Tensor, image: Tensor, depth: Tensor, trust: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Colour ``[T, C]`` and trust ``[T]`` of points ``[T, 3]`` of the look frame, from pictures of a view.

    ``image [N, N, C]``, ``depth [N, N]`` and ``trust [N, N]``; there is no trust in points that another one hides.
    """
    if camera.half_height is None:
        raise ValueError("views: one is in perspective, expected orthographic ones")
    size = len(image)
    right, up, toward = to_camera(points[None], [camera])[0].unbind(1)
    ndc = torch.stack((right, -up), dim=1) / camera.half_height
    place = (ndc.clamp(-1, 1) * 0.5 + 0.5) * size
    pixel = place.long().clamp(max=size - 1)
    (x, y), (fx, fy) = pixel.unbind(1), (place - pixel).unbind(1)
    nearest = y * size + x
    seen = (ndc.abs() <= 1).all(dim=1) & ((toward - depth.view(-1)[nearest]).abs() < _DEPTH_TOLERANCE)
    colors, x1, y1 = image.reshape(size * size, -1), (x + 1).clamp(max=size - 1), (y + 1).clamp(max=size - 1)
    fx, fy = fx[:, None], fy[:, None]
    upper = colors[nearest] * (1 - fx) + colors[y * size + x1] * fx
    lower = colors[y1 * size + x] * (1 - fx) + colors[y1 * size + x1] * fx
    return upper * (1 - fy) + lower * fy, trust.view(-1)[nearest] * seen


def _cosine(raster: Raster, camera: Camera) -> Tensor:
    """``[H, W]``: between the face of each pixel and the view, 0 beyond 75 degrees and on background."""
    face = raster.findices[0, 0].long()
    toward = raster.mesh.face_normals() @ -torch.tensor(camera.forward, dtype=torch.float32)
    cosine = toward[(face - 1).clamp(min=0)] * (face > 0)
    return torch.where(cosine < _LEAST_COSINE, 0.0, cosine)


def _reliable(depth: Tensor, visible: Tensor) -> Tensor:
    """``[H, W]`` bool: seen, and farther than a border from the background and from edges in the picture of depth."""
    import cv2

    if not visible.any():
        return visible
    radius = int(2 / 512 * len(depth))
    low, high = depth[visible].aminmax()
    gray = ((depth - low) / (high - low).clamp(min=1e-12)).clamp(0, 1) * visible
    edges = torch.from_numpy(cv2.Canny((gray * 255).to(torch.uint8).numpy(), 30, 80)) > 0
    bad = torch.nn.functional.max_pool2d((edges | ~visible)[None, None].float(), 2 * radius + 1, 1, radius)
    return bad[0, 0] == 0


def _inpaint(mesh: Mesh, texture: Tensor, painted: Tensor) -> Tensor:
    """Along the edges to the vertices' own texels, the rest by OpenCV.

    OpenCV's method is Bertalmio, Bertozzi and Sapiro's (Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting,
    CVPR 2001).
    """
    import cv2

    uv = mesh.require_uvs()
    uv = uv * uv.new_tensor([1.0, -1.0]) + uv.new_tensor([0.0, 1.0])
    points = look_frame(mesh.vertices, [View(0, 0).camera()])[0]
    mask = painted.to(torch.uint8) * 255
    texture, mask = inpaint_vertices(texture, mask, points, uv, mesh.faces, mesh.faces)
    pixels = (texture.numpy() * 255).astype("uint8")
    return torch.from_numpy(cv2.inpaint(pixels, 255 - mask.numpy(), 3, cv2.INPAINT_NS)).float() / 255
