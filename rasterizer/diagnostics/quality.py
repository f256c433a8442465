"""How good baked textures are, measured: views of a known colour baked, filled, and compared with that colour.

Hunyuan3D's own bakes are measured in the same run where what they need is installed (:mod:`.peers.hunyuan3d`).
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..cameras.camera import Camera
from ..cameras.projection import normalization
from ..cameras.views import PRESETS
from ..meshes.mesh import Mesh, weld_index
from ..meshes.sample_meshes import sample_mesh, trefoil_knot
from ..pictures.sampling import sample_texture
from ..rendering.raster import rasterize_mesh
from ..texturing import Baked, Texels, bake_views, fill_texture, spread
from ..texturing.unwrap.unwrap import unwrap_uv
from .peers.hunyuan3d import PeerBake, find_peers, their_layout

_EXPONENT = 4.0  # what Hunyuan3D's pipelines use
_SAMPLES_PER_EDGE = 8
_LITTLE_OVERLAP = 0.01


def _smooth(points: Tensor, frequency: float = 9.0) -> Tensor:
    return 0.5 + 0.4 * torch.sin(frequency * points + torch.arange(3).to(points))


def _hard(points: Tensor) -> Tensor:
    checker = (torch.floor(8 * points).sum(dim=-1, keepdim=True) % 2 + 1) / 2
    return (0.25 + 0.5 * (0.5 * torch.sin(14 * points) + 0.5)) * checker + 0.1


FIELDS: dict[str, Callable[[Tensor], Tensor]] = {
    "smooth": _smooth,
    "fine": lambda points: _smooth(points, 60.0),
    "hard": _hard,
}
"""Colours of the normalised position, that views show and textures should hold."""

PICTURES = {"": 1, "antialiased": 3}
"""Kinds of pictures, and from how many points along each axis a pixel of them is averaged: renderers and painters make
the latter, in which pixels at edges mix the colours of both sides."""


@dataclass(frozen=True)
class Row:
    """One texture.

    Attributes:
        mesh, field, method: what was baked, from which pictures of which colour, and by whom: a way to fill after our
            bake, or a peer.
        share: painted part of the texels of the UV layout, 0..1.
        painted, whole: PSNR in dB over the painted texels, and over all of the layout after filling.
        shared, ours: for a peer, PSNR over the texels that both it and we have painted, of its texture and of ours.
        seam: mean difference of colour (0..255) between the two sides of UV seams, after filling.
        seam_exact: the same of a texture with the exact colour in every texel: what its pixels, or an edge of the
            colour that runs along a seam, or a layout that overlaps itself, cost any method.
        bake, fill: seconds.
        overlap: part of the UV layout's area that lies on another part of it, or outside of the texture, 0..1.
    """

    mesh: str
    field: str
    method: str
    share: float
    painted: float
    whole: float
    seam: float
    seam_exact: float
    bake: float
    fill: float
    overlap: float
    shared: float | None = None
    ours: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


@dataclass(frozen=True)
class _Target:
    """What a texture should be: ``color [H, W, 3]`` at the texels ``covered [H, W]`` of the layout.

    ``seams`` are the two sides of its seams, ``seam`` and ``overlap`` what a :class:`Row` says about the exact texture.
    """

    color: Tensor
    covered: Tensor
    seams: tuple[Tensor, Tensor]
    seam: float
    overlap: float

    def share(self, painted: Tensor) -> float:
        """Part of the layout that is painted."""
        return float((painted & self.covered).sum() / self.covered.sum())

    def error(self, texture: Tensor, where: Tensor) -> float:
        """PSNR over some texels of the layout."""
        where = where & self.covered
        return psnr(texture[where], self.color[where])


def samples() -> list[Mesh]:
    """The two meshes that quality is measured on: a thick trefoil knot, much of it hidden, and a torus."""
    return [trefoil_knot(radius=0.25), sample_mesh("torus")]


def variants(mesh: Mesh) -> list[Mesh]:
    """The mesh, and where its UV layout overlaps itself, the same with UVs of its own for every face by xatlas.

    A texel that several places share cannot have the colours of all.
    """
    if overlap(mesh) <= _LITTLE_OVERLAP or importlib.util.find_spec("xatlas") is None:
        return [mesh]
    return [mesh, replace(unwrap_uv(mesh, padding=4), name=f"{mesh.name} unwrapped")]


def overlap(mesh: Mesh) -> float:
    """Part of the UV layout's area, 0..1, that lies on another part of it or outside of the texture."""
    size = 2048
    a, b, c = mesh.require_uvs()[mesh.faces.long()].unbind(1)
    (bx, by), (cx, cy) = (b - a).unbind(1), (c - a).unbind(1)
    area = float((bx * cy - by * cx).abs().sum()) / 2
    return max(0.0, 1 - len(Texels.of(mesh, (size, size))) / size**2 / max(area, 1e-12))


def measure(device: torch.device, meshes: list[Mesh], size: int = 1024) -> Iterator[Row]:
    """Bake six views of ``size x size`` pixels, of every kind of pictures, to textures as large, by every method."""
    views = PRESETS["hunyuan3d-2"]
    cameras = [view.camera() for view in views]
    peers = find_peers()
    for original in meshes:
        mesh, host = original.to(device), original.to("cpu")
        layout, theirs = _Layout.of(mesh, size), _Layout.of(their_layout(host, size), size) if peers else None
        for (name, color), (kind, samples) in product(FIELDS.items(), PICTURES.items()):
            field = f"{name}, {kind}" if kind else name
            images, target = photograph(mesh, cameras, size, color, samples), layout.target(color)
            start = time.perf_counter()
            baked = bake_views(mesh, images, cameras, size, exponent=_EXPONENT)
            share = target.share(baked.painted)  # also waits for the device
            seconds = time.perf_counter() - start
            for method in ("surface", "vertex smooth", "dilate"):
                yield _ours(mesh, field, method, baked, share, target, seconds)
            if theirs is None:
                continue
            for method, peer in peers.items():
                found, wanted = peer(host, images.cpu(), views), theirs.target(color)
                both = found.painted & wanted.covered & baked.painted.cpu()
                ours = psnr(baked.texture.cpu()[both], target.color.cpu()[both])
                yield _theirs(original.name, field, method, found, wanted, both, ours)


def photograph(
    mesh: Mesh, cameras: Sequence[Camera], size: int, color: Callable[[Tensor], Tensor], samples: int
) -> Tensor:
    """``[V, H, W, 3]`` pictures on white in a colour of the normalised position; ``samples`` as in :func:`averaged`."""
    points, fine = _normalized(mesh), samples * (size - 1) + 1
    pictures = []
    for camera in cameras:
        raster = rasterize_mesh(mesh, [camera], (fine, fine))
        picture = torch.where(raster.findices[:, 0, ..., None] > 0, color(raster.interpolate(points)[:, 0]), 1.0)
        pictures.append(averaged(picture, samples))
    return torch.cat(pictures)


def averaged(fine: Tensor, samples: int) -> Tensor:
    """``[V, H, W, C]`` pictures each pixel of which is the mean of ``samples`` by ``samples`` others; an odd number.

    ``fine`` has ``samples * (H - 1) + 1`` rows, and columns likewise: then every so many of its pixel centres are those
    of the result.
    """
    channels_first = fine.permute(0, 3, 1, 2)
    means = avg_pool2d(channels_first, samples, samples, padding=samples // 2, count_include_pad=False)
    return means.permute(0, 2, 3, 1).contiguous()


def _normalized(mesh: Mesh) -> Tensor:
    centre, scale = normalization(mesh.vertices)
    return (mesh.vertices - centre) * scale


@dataclass(frozen=True)
class _Layout:
    """A UV layout as a texture's texels see it.

    Attributes:
        positions: ``[H, W, 3]``, where on the normalised mesh they lie.
        covered: ``[H, W]`` bool, which of them the layout covers.
        seams, overlap: as in :class:`_Target`.
    """

    positions: Tensor
    covered: Tensor
    seams: tuple[Tensor, Tensor]
    overlap: float

    @classmethod
    def of(cls, mesh: Mesh, size: int) -> _Layout:
        texels = Texels.of(mesh, (size, size))
        covered = texels.image(torch.ones_like(texels.face, dtype=torch.bool))
        positions = texels.image(texels.interpolate(_normalized(mesh)))
        return cls(positions, covered, _seams(mesh), overlap(mesh))

    def target(self, color: Callable[[Tensor], Tensor]) -> _Target:
        exact = color(self.positions)
        seam = _seam(spread(exact, self.covered), self.seams)
        return _Target(exact, self.covered, self.seams, seam, self.overlap)


def psnr(found: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1; 120 for equal ones."""
    return -10 * math.log10(max(float((found - wanted).square().mean()), 1e-12))


def _ours(mesh: Mesh, field: str, method: str, baked: Baked, share: float, target: _Target, seconds: float) -> Row:
    start = time.perf_counter()
    texture, _ = fill_texture(baked.texture, baked.painted, mesh, method)
    whole = target.error(texture, target.covered)
    end = time.perf_counter()
    return Row(
        mesh=mesh.name,
        field=field,
        method=method,
        share=share,
        painted=target.error(baked.texture, baked.painted),
        whole=whole,
        seam=_seam(texture, target.seams),
        seam_exact=target.seam,
        bake=seconds,
        fill=end - start,
        overlap=target.overlap,
    )


def _theirs(mesh: str, field: str, method: str, found: PeerBake, target: _Target, both: Tensor, ours: float) -> Row:
    return Row(
        mesh=mesh,
        field=field,
        method=method,
        share=target.share(found.painted),
        painted=target.error(found.texture, found.painted),
        whole=target.error(found.filled, target.covered),
        seam=_seam(found.filled, target.seams),
        seam_exact=target.seam,
        bake=found.bake,
        fill=found.fill,
        overlap=target.overlap,
        shared=target.error(found.texture, both),
        ours=ours,
    )


def _seams(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """``[S, 2]`` UVs each of the same points on both sides of the seams: edges whose ends have other UVs there."""
    uvs, faces = mesh.require_uvs(), mesh.faces.long()
    welded = weld_index(mesh.vertices)
    edges = torch.cat((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))
    ends = welded[edges]
    edges = torch.where((ends[:, :1] > ends[:, 1:]), edges.flip(1), edges)
    low, high = welded[edges].unbind(1)
    _, place = torch.unique(low * len(uvs) + high, return_inverse=True)  # the same for edges in the same place
    order = torch.argsort(place, stable=True)
    one, other = order[:-1], order[1:]
    parted = (place[one] == place[other]) & (edges[one] != edges[other]).any(dim=1)
    share = (torch.arange(_SAMPLES_PER_EDGE, dtype=uvs.dtype, device=uvs.device) + 0.5) / _SAMPLES_PER_EDGE
    share = share[None, :, None]

    def along(side: Tensor) -> Tensor:
        start, end = uvs[edges[side[parted]]].unbind(1)
        return (start[:, None] * (1 - share) + end[:, None] * share).reshape(-1, 2)

    return along(one), along(other)


def _seam(texture: Tensor, seams: tuple[Tensor, Tensor]) -> float:
    one, other = (sample_texture(texture, uv.to(texture.device)) for uv in seams)
    return float((one - other).abs().mean() * 255) if len(one) else 0.0


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| mesh, field | method | painted | PSNR painted | painted by both: it, ours | PSNR all, filled | seam "
        "| seam, exact | bake | fill |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        both = "" if row.shared is None else f"{row.shared:.1f}, {row.ours:.1f} dB"
        lines.append(
            f"| {row.mesh}, {row.field} | {row.method} | {row.share:.1%} | {row.painted:.1f} dB | {both} "
            f"| {row.whole:.1f} dB | {row.seam:.2f} | {row.seam_exact:.2f} | {row.bake:.2f} s | {row.fill:.2f} s |"
        )
    lines += [
        "",
        "Seam: mean difference of colour (of 255) between the two sides of UV seams, after filling. Exact: that of a "
        "texture with the exact colour in every texel; it comes from the size of texels, from colours that change at "
        "a seam and from the layout, and no bake can be expected to do better.",
    ]
    overlaps = {row.mesh: row.overlap for row in rows if row.overlap > _LITTLE_OVERLAP}
    if overlaps:
        lines.append("")
    for mesh, share in overlaps.items():
        lines.append(
            f"{mesh}: {share:.0%} of its UV layout lies on other parts of it or outside of the texture, so that texels "
            "stand for several places and no texture has the right colours everywhere."
        )
    return "\n".join(lines)
