"""How good baked textures are, measured: views of a known colour baked, filled, and compared with that colour.

Hunyuan3D's own renderer is measured in the same run where ``hy3dgen`` is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .cameras import Camera, normalization
from .mesh import Mesh, weld_index
from .raster import rasterize_mesh
from .samples import sample_mesh, trefoil_knot
from .shading import sample_texture
from .texturing import Texels, bake_views, fill_texture
from .texturing.views import PRESETS

_EXPONENT = 4.0  # what Hunyuan3D's pipelines use
_SAMPLES_PER_EDGE = 8


def _smooth(points: Tensor, frequency: float = 9.0) -> Tensor:
    return 0.5 + 0.4 * torch.sin(frequency * points + torch.arange(3.0).to(points))


def _hard(points: Tensor) -> Tensor:
    checker = (torch.floor(8 * points).sum(dim=-1, keepdim=True) % 2 + 1) / 2
    return (0.25 + 0.5 * (0.5 * torch.sin(14 * points) + 0.5)) * checker + 0.1


FIELDS: dict[str, Callable[[Tensor], Tensor]] = {
    "smooth": _smooth,
    "fine": lambda points: _smooth(points, 60.0),
    "hard": _hard,
}
"""Colours of the normalised position, that views show and textures should hold."""


@dataclass(frozen=True)
class Row:
    """One texture.

    Attributes:
        mesh, field, method: what was baked, and by whom.
        share: painted part of the texels of the UV layout, 0..1.
        painted, whole: PSNR in dB over the painted texels, and over all of the layout after filling.
        seam: mean difference of colour (0..255) between the two sides of UV seams, after filling.
        bake, fill: seconds.
    """

    mesh: str
    field: str
    method: str
    share: float
    painted: float
    whole: float
    seam: float
    bake: float
    fill: float

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


def samples() -> list[Mesh]:
    """The two meshes that quality is measured on: a thick trefoil knot, much of it hidden, and a torus."""
    return [trefoil_knot(radius=0.25), sample_mesh("torus")]


def measure(device: torch.device, meshes: list[Mesh], size: int = 1024) -> Iterator[Row]:
    """Bake six views of ``size x size`` pixels to textures as large, by every method there is."""
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]]
    hunyuan = _hunyuan()
    for original in meshes:
        mesh = original.to(device)
        centre, scale = normalization(mesh.vertices)
        points = (mesh.vertices - centre) * scale
        raster = rasterize_mesh(mesh, cameras, (size, size))
        positions, seen = raster.interpolate(points)[:, 0], (raster.findices[:, 0] > 0)[..., None]
        seams, texels = _seams(mesh), Texels.of(mesh, (size, size))
        for field, color in FIELDS.items():
            images = torch.where(seen, color(positions), 1.0)
            truth = _truth(texels, points, color)
            for method in ("surface", "vertex smooth", "dilate"):
                yield _ours(mesh, field, method, images, cameras, truth, seams)
            if hunyuan is not None:
                yield _theirs(hunyuan, original, field, images.cpu(), cameras, points.cpu(), color, seams)


def _truth(texels: Texels, points: Tensor, color: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The exact colour of every texel ``[H, W, 3]``, and which texels ``[H, W]`` the layout covers."""
    covered = texels.image(torch.ones_like(texels.face, dtype=torch.bool))
    return texels.image(color(texels.interpolate(points))), covered


def psnr(found: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1; 120 for equal ones."""
    return -10 * math.log10(max(float((found - wanted).square().mean()), 1e-12))


def _ours(
    mesh: Mesh,
    field: str,
    method: str,
    images: Tensor,
    cameras: list[Camera],
    truth: tuple[Tensor, Tensor],
    seams: tuple[Tensor, Tensor],
) -> Row:
    wanted, covered = truth
    start = time.perf_counter()
    baked = bake_views(mesh, images, cameras, images.shape[1], exponent=_EXPONENT)
    share = float(baked.painted.sum() / covered.sum())  # also waits for the device
    middle = time.perf_counter()
    texture, _ = fill_texture(baked.texture, baked.painted, mesh, method)
    whole = psnr(texture[covered], wanted[covered])
    end = time.perf_counter()
    painted = psnr(baked.texture[baked.painted], wanted[baked.painted])
    return Row(mesh.name, field, method, share, painted, whole, _seam(texture, seams), middle - start, end - middle)


def _seams(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """``[S, 2]`` UVs each of the same points on both sides of the seams: edges whose ends have other UVs there."""
    uvs, faces = mesh.require_uvs(), mesh.faces.long()
    welded = weld_index(mesh.vertices)
    edges = torch.cat((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))
    ends = welded[edges]
    edges = torch.where((ends[:, :1] > ends[:, 1:]), edges.flip(1), edges)
    low, high = welded[edges].unbind(1)
    _, group = torch.unique(low * len(uvs) + high, return_inverse=True)
    order = torch.argsort(group, stable=True)
    one, other = order[:-1], order[1:]
    pair = (group[one] == group[other]) & (edges[one] != edges[other]).any(dim=1)
    share = ((torch.arange(_SAMPLES_PER_EDGE, device=uvs.device) + 0.5) / _SAMPLES_PER_EDGE)[None, :, None]

    def along(which: Tensor) -> Tensor:
        start, end = uvs[edges[which[pair]]].unbind(1)
        return (start[:, None] * (1 - share) + end[:, None] * share).reshape(-1, 2)

    return along(one), along(other)


def _seam(texture: Tensor, seams: tuple[Tensor, Tensor]) -> float:
    one, other = (sample_texture(texture, uv.to(texture.device)) for uv in seams)
    return float((one - other).abs().mean() * 255) if len(one) else 0.0


def _hunyuan() -> ModuleType | None:
    """hy3dgen's renderer, on whatever ``custom_rasterizer`` there is; None where it is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("hy3dgen", "cv2", "scipy")):
        return None
    from . import dropin

    dropin.install()
    (root,) = importlib.util.find_spec("hy3dgen").submodule_search_locations
    for name, folder in (("hy3dgen", root), ("hy3dgen.texgen", str(Path(root) / "texgen"))):
        module = ModuleType(name)  # the package itself would import its diffusion pipelines
        module.__path__ = [folder]
        sys.modules[name] = module
    return importlib.import_module("hy3dgen.texgen.differentiable_renderer.mesh_render")


def _theirs(
    renderer: Any,
    mesh: Mesh,
    field: str,
    images: Tensor,
    cameras: list[Camera],
    points: Tensor,
    color: Callable[[Tensor], Tensor],
    seams: tuple[Tensor, Tensor],
) -> Row:
    """Hunyuan3D's chain: splat, merge, inpaint vertices, inpaint the rest with OpenCV."""
    import trimesh

    size = images.shape[1]
    uv = mesh.require_uvs().numpy().copy()
    uv[:, 1] = 1 - uv[:, 1]
    faces = mesh.faces.numpy()
    loaded = trimesh.Trimesh(mesh.vertices.numpy(), faces, process=False, visual=trimesh.visual.TextureVisuals(uv=uv))
    made = renderer.MeshRender(default_resolution=size, texture_size=size, device="cpu")
    made.load_mesh(loaded)
    start = time.perf_counter()
    textures, weights = [], []
    for view, image in zip(PRESETS["hunyuan3d-2"], images, strict=True):
        texture, cosine, _ = made.back_project(image, view.elevation, view.azimuth)
        textures.append(texture)
        weights.append(view.weight * cosine**_EXPONENT)
    baked, trusted = made.fast_bake_texture(textures, weights)
    middle = time.perf_counter()
    painted = trusted[..., 0].bool()
    filled = torch.from_numpy(made.uv_inpaint(baked, painted.numpy().astype("uint8") * 255)).float() / 255
    end = time.perf_counter()
    # Its textures hold at column j the colour of u = j / (W - 1), and are judged by that.
    uvs = torch.from_numpy(uv) * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    theirs = Mesh(mesh.vertices, mesh.faces, uvs=(uvs * (size - 1) + 0.5) / size)
    wanted, covered = _truth(Texels.of(theirs, (size, size)), points, color)
    painted &= covered
    return Row(
        mesh.name,
        field,
        "hy3dgen",
        float(painted.sum() / covered.sum()),
        psnr(baked[painted], wanted[painted]),
        psnr(filled[covered], wanted[covered]),
        _seam(filled, seams),
        middle - start,
        end - middle,
    )


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| mesh, field | method | painted | PSNR painted | PSNR all, filled | seam | bake | fill |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row.mesh}, {row.field} | {row.method} | {row.share:.1%} | {row.painted:.1f} dB | {row.whole:.1f} dB | "
            f"{row.seam:.2f} | {row.bake:.2f} s | {row.fill:.2f} s |"
        )
    return "\n".join(lines)
