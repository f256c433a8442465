"""How good baked textures are, measured: views of a known colour baked, filled, and compared with that colour, as
seen from other sides and texel by texel.

Hunyuan3D's own bakes are measured in the same run where what they need is installed (:mod:`.peers.hunyuan3d`).
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from ..cameras.views import PRESETS
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import sample_mesh, trefoil_knot
from ..texturing import Baked, bake_views, fill_texture, spread
from ..texturing.unwrap.unwrap import unwrap_uv
from .fields import FIELDS, PICTURES, photograph
from .layout import Layout, Target, overlap
from .peers.hunyuan3d import PeerBake, find_peers, their_layout
from .seams import seam_difference
from .sides import psnr
from .timing import synchronize

_EXPONENT = 4.0  # what Hunyuan3D's pipelines use
_LITTLE_OVERLAP = 0.01

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Row:
    """One texture.

    Attributes:
        mesh, field, method: what was baked, from which pictures of which colour, and by whom: a way to fill after our
            bake, a peer, or what a texture holds at best.
        rendered: PSNR in dB from four other sides, of what is painted, by a bilinear look-up and antialiased: what one
            sees of the texture (:mod:`.sides`).
        share: painted part of the texels of the UV layout, 0..1.
        painted, whole: PSNR in dB over the painted texels, and over all of the layout after filling.
        shared, ours: for a peer, PSNR over the texels that both it and we have painted, of its texture and of ours.
        seam: mean difference of colour (0..255) between the two sides of UV seams, after filling.
        seam_exact: the same of a texture with the exact colour in every texel: what its pixels, or an edge of the
            colour that runs along a seam, or a layout that overlaps itself, cost any method.
        overlap: part of the UV layout's area that lies on another part of it, or outside of the texture, 0..1.
        bake, fill: seconds; None where nothing had to be done.
    """

    mesh: str
    field: str
    method: str
    rendered: float
    share: float
    painted: float
    whole: float
    seam: float
    seam_exact: float
    overlap: float
    bake: float | None = None
    fill: float | None = None
    shared: float | None = None
    ours: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


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


def measure(device: torch.device, meshes: list[Mesh], size: int = 1024) -> Iterator[Row]:
    """Bake six views of ``size x size`` pixels, of every kind of pictures, to textures as large, by every method.

    Beside them stand what textures hold at best: the exact colour of texel centres, and its mean over texels.
    """
    views = PRESETS["hunyuan3d-2"]
    cameras = [view.camera() for view in views]
    peers = find_peers()
    for original in meshes:
        mesh, host = original.to(device), original.to("cpu")
        layout, theirs = Layout.of(mesh, size), Layout.of(their_layout(host, size), size) if peers else None
        for name, color in FIELDS.items():
            target = layout.target(color)
            for kind, samples in PICTURES.items():
                field = f"{name}, {kind}" if kind else name
                images = photograph(mesh, cameras, size, color, samples)
                baked, seconds = _timed(partial(bake_views, mesh, images, cameras, size, exponent=_EXPONENT), device)
                if not kind:
                    yield _row(mesh, name, "exact colour of texel centres", target, target.color, baked.painted)
                    yield _row(mesh, name, "exact, averaged over texels", target, layout.averaged(color), baked.painted)
                rendered = target.rendered(baked.texture, baked.painted)
                for method in ("surface", "vertex smooth", "dilate"):
                    filled, wait = _timed(partial(fill_texture, baked.texture, baked.painted, mesh, method), device)
                    row = _row(mesh, field, method, target, baked.texture, baked.painted, filled[0], rendered)
                    yield replace(row, bake=seconds, fill=wait)
                if theirs is not None:
                    wanted = theirs.target(color)
                    for method, peer in peers.items():
                        yield _peer(host, field, method, peer(host, images.cpu(), views), wanted, baked, target)


def _timed(work: Callable[[], _Found], device: torch.device) -> tuple[_Found, float]:
    start = time.perf_counter()
    found = work()
    synchronize(device)
    return found, time.perf_counter() - start


def _row(
    mesh: Mesh,
    field: str,
    method: str,
    target: Target,
    texture: Tensor,
    painted: Tensor,
    filled: Tensor | None = None,
    rendered: float | None = None,
) -> Row:
    """All but times. ``filled`` is the texture where nothing had to be, ``rendered`` found out where it is None."""
    filled = spread(texture, target.covered) if filled is None else filled
    return Row(
        mesh=mesh.name,
        field=field,
        method=method,
        rendered=target.rendered(texture, painted) if rendered is None else rendered,
        share=target.share(painted),
        painted=target.error(texture, painted),
        whole=target.error(filled, target.covered),
        seam=seam_difference(filled, target.seams),
        seam_exact=target.seam,
        overlap=target.overlap,
    )


def _peer(mesh: Mesh, field: str, method: str, found: PeerBake, target: Target, baked: Baked, ours: Target) -> Row:
    """Also what it and we, in ``baked``, have made of what both have painted."""
    both = found.painted & target.covered & baked.painted.cpu()
    return replace(
        _row(mesh, field, method, target, found.texture, found.painted, found.filled),
        bake=found.bake,
        fill=found.fill,
        shared=target.error(found.texture, both),
        ours=psnr(baked.texture.cpu()[both], ours.color.cpu()[both]),
    )


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| mesh, field | method | rendered | painted | PSNR painted | painted by both: it, ours | PSNR all, filled "
        "| seam | seam, exact | bake | fill |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        both = "" if row.shared is None else f"{row.shared:.1f}, {row.ours:.1f} dB"
        bake, fill = ("" if wait is None else f"{wait:.2f} s" for wait in (row.bake, row.fill))
        lines.append(
            f"| {row.mesh}, {row.field} | {row.method} | {row.rendered:.2f} dB | {row.share:.1%} "
            f"| {row.painted:.1f} dB | {both} | {row.whole:.1f} dB | {row.seam:.2f} | {row.seam_exact:.2f} "
            f"| {bake} | {fill} |"
        )
    lines += [
        "",
        "Rendered: PSNR from four other sides, antialiased, by a bilinear look-up, of what is painted. Neither the "
        "exact colour of texel centres renders best, which is bad at hard edges, nor its mean over texels, which is "
        "bad at fine waves.",
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
