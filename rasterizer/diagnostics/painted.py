"""How good textures are that come from views which do not agree: painted on purpose, baked, and seen from other sides.

Six views of half the texture's size go to it. Four other cameras look at the result, and are compared with what they
would see of the true surface, where at least one view has painted.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..cameras.camera import Camera
from ..cameras.views import PRESETS, View
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import sample_mesh, trefoil_knot
from ..rendering.raster import rasterize_mesh
from ..texturing import Baked, bake_views, refine_texture, spread
from ..texturing.unwrap.unwrap import unwrap_uv
from .examiner import Examiner, Made
from .fields import averaged
from .layout import overlap
from .painters import PAINTERS
from .peers.hunyuan3d import Peer, PeerBake, find_peers, their_layout
from .peers.lagrange import composite
from .peers.splat import splat
from .subjects import Subject, subjects
from .timing import synchronize

_LITTLE_OVERLAP = 0.01
_ROUNDS = 3  # of alignment, the nodes' default

Method = Callable[[Mesh, Tensor, Sequence[View], int], Made]
"""The mesh with the layout to bake to, pictures, views and the texture's size, to a texture; all on the CPU."""


@dataclass(frozen=True)
class Row:
    """One texture.

    Attributes:
        subject, painter, method: what, disturbed by whom, baked how.
        share: part of what the four cameras see that is painted, 0..1.
        psnr_g: dB over what is painted, after one gain a channel.
        psnr_reg: dB where two views or more overlap, after a smooth flow to the truth too: what remains is ghosting,
            blur and colour.
        sharp: gradient over the truth's.
        gcorr: correlation of the gradients of both after the flow, where views overlap.
        jump: mean length of the step of colour (of 255) from pixel to pixel that is not the truth's, across borders
            between the views that weigh most, less the same inside.
        uvseam: mean difference of colour (of 255) between the two sides of UV seams.
        seconds: for the bake, and what goes with it.
    """

    subject: str
    painter: str
    method: str
    share: float
    psnr_g: float
    psnr_reg: float
    sharp: float
    gcorr: float
    jump: float
    uvseam: float
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


def samples() -> list[Subject]:
    """A thick trefoil knot and a torus, both with photographs around them."""
    meshes = [replace(mesh, texture=None) for mesh in (trefoil_knot(radius=0.25), sample_mesh("torus"))]
    return subjects([(mesh, mesh) for mesh in meshes])


def subject_of(mesh: Mesh) -> Subject:
    """The mesh in its own picture, or in photographs; with UVs by xatlas where it has none, or they overlap."""
    fits = mesh.uvs is not None and overlap(mesh) <= _LITTLE_OVERLAP
    return subjects([(mesh, mesh if fits else replace(unwrap_uv(mesh, padding=4), name=mesh.name))])[0]


def find_methods(device: torch.device) -> dict[str, Method]:
    """Ours with each switch, on ``device``, and the peers that can be measured here."""
    agreeing = partial(bake_views, match_colors=True, align_views=_ROUNDS)
    found: dict[str, Method] = {
        "plain": partial(_ours, device, bake_views),
        "match_colors": partial(_ours, device, partial(bake_views, match_colors=True)),
        "align_views": partial(_ours, device, partial(bake_views, align_views=_ROUNDS)),
        "match_colors, align_views": partial(_ours, device, agreeing),
        "sharp": partial(_ours, device, partial(bake_views, blend="sharp")),
        "match_colors, align_views, sharp": partial(_ours, device, partial(agreeing, blend="sharp")),
        "match_colors, align_views, refined": partial(_ours, device, agreeing, refined=True),
    }
    for name, peer in find_peers().items():
        found[name] = partial(_enlarged, peer)
    found["splat"] = partial(_as_they_are, splat)
    if importlib.util.find_spec("lagrange") is not None:
        found["lagrange"] = partial(_as_they_are, composite)
    return found


def _ours(
    device: torch.device,
    bake: Callable[..., Baked],
    mesh: Mesh,
    pictures: Tensor,
    views: Sequence[View],
    size: int,
    refined: bool = False,
) -> Made:
    there, images, cameras = mesh.to(device), pictures.to(device), [view.camera() for view in views]
    made = bake(there, images, cameras, size)
    texture, painted = made.texture, made.painted
    if refined:
        agreed = images if made.agreement is None else made.agreement.apply(images)
        better = refine_texture(there, texture, painted, agreed, cameras)
        texture, painted = better.texture, better.painted
    texture = spread(texture, painted)
    synchronize(device)
    return Made(texture.cpu(), painted.cpu(), mesh)


def _enlarged(peer: Peer, mesh: Mesh, pictures: Tensor, views: Sequence[View], size: int) -> Made:
    """By a peer of Hunyuan3D, which enlarges pictures to the texture's size by a bicubic filter first."""
    large = interpolate(pictures.permute(0, 3, 1, 2), (size, size), mode="bicubic").clamp(0, 1)
    found = peer(mesh, large.permute(0, 2, 3, 1).contiguous(), views)
    return Made(spread(found.texture, found.painted), found.painted, their_layout(mesh, size))


def _as_they_are(
    peer: Callable[[Mesh, Tensor, Sequence[View], int], PeerBake],
    mesh: Mesh,
    pictures: Tensor,
    views: Sequence[View],
    size: int,
) -> Made:
    """By a peer that takes pictures of any size."""
    found = peer(mesh, pictures, views, size)
    return Made(found.filled, found.painted, mesh)


def measure(
    found: Sequence[Subject], methods: dict[str, Method], painters: Sequence[str], seed: int, size: int = 1024
) -> Iterator[Row]:
    """Every subject by every painter and method, to textures of ``size x size`` texels."""
    views, side = PRESETS["hunyuan3d-2"], size // 2
    for subject in found:
        exact, shown = photograph(subject, [view.camera() for view in views], side)
        examiner = Examiner(subject, views, side)
        for painter in painters:
            pictures = PAINTERS[painter](exact, shown, seed)
            for name, method in methods.items():
                start = time.perf_counter()
                made = method(subject.mesh, pictures, views, size)
                seconds = time.perf_counter() - start
                yield Row(subject.name, painter, name, **examiner.row(made), seconds=seconds)


def photograph(subject: Subject, cameras: Sequence[Camera], side: int) -> tuple[Tensor, Tensor]:
    """Pictures on white ``[V, H, W, 3]``, averaged over 3 x 3 samples a pixel, and where they show the mesh."""
    pictures, shown, fine = [], [], 3 * (side - 1) + 1
    for camera in cameras:
        raster = rasterize_mesh(subject.original, [camera], (fine, fine))
        there = raster.findices[:, 0] > 0
        pictures.append(averaged(torch.where(there[..., None], subject.surface(raster), 1.0), 3))
        shown.append(there[:, ::3, ::3])
    return torch.cat(pictures), torch.cat(shown)


def markdown(rows: Sequence[Row], seed: int, size: int) -> str:
    """The rows as a Markdown table."""
    lines = [
        f"Six views of {size // 2} px to a texture of {size}, seed {seed}.",
        "",
        "| subject, painter | method | psnr_g | psnr_reg | sharp | gcorr | jump | uvseam | painted | time |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.subject}, {row.painter} | {row.method} | {row.psnr_g:.2f} dB | {row.psnr_reg:.2f} dB "
        f"| {row.sharp:.3f} | {row.gcorr:.3f} | {row.jump:.2f} | {row.uvseam:.2f} | {row.share:.1%} "
        f"| {row.seconds:.2f} s |"
        for row in rows
    ]
    if importlib.util.find_spec("skimage") is None:
        lines += ["", "scikit-image is not installed: the photographs are clouds with text."]
    return "\n".join(lines)
