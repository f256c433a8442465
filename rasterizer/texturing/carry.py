"""Textures carried from one UV layout of a mesh to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_faces, check_integer
from ..meshes.mesh import TEXTURES, Mesh
from ..pictures.sampling import corners
from ..runtime.policy import device_policy
from ..runtime.progress import shares
from ..runtime.threads import on_own_threads, share_rows
from .bumps import turning
from .fill.plane import spread
from .need import carry_bytes, check_memory
from .resample import Areas, Pyramid
from .scale import within_float32
from .texels import Texels

CHUNK = 1 << 20
"""Texels at once at most: some 600 bytes each."""

_LARGEST = 8192  # texels a side up to which a texture is made larger to hold what the old layout repeats
_FACES_PER_TEXEL = 16  # from which on a texture is taken for a palette
_TEXELS_PER_FACE = 16  # that faces are to have which lay on a palette
_ROUNDING = 1e-3  # of a texture: UVs that far outside have not been meant to repeat it


@on_own_threads
def carry_textures(
    old: Mesh,
    new: Mesh,
    texture_size: int | Mapping[str, int] = 0,
    on_progress: Callable[[float], None] | None = None,
) -> Mesh:
    """``new`` with the textures of ``old``, each texel with what the old texture has at its place of the surface.

    A texel is the cubic interpolation of the old texture where it is smaller than the old texels, and else the mean
    over its own area. What lies outside the old charts is not looked at, and the new gutters continue their charts.
    Normal maps are turned from the old tangents to the new ones. Old UVs may overlap and repeat the texture.

    Args:
        old: with UVs and textures.
        new: the same faces in the same order, their corners at the same places, with other UVs, such as
            :func:`~rasterizer.texturing.unwrap.unwrap.unwrap_uv` makes.
        texture_size: texels a side, or those of each of the textures that :func:`carried_sizes` names; 0 is what that
            proposes.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: one has no UVs, the meshes have not the same number of faces, or memory does not suffice.
    """
    sizes = texture_size if isinstance(texture_size, Mapping) else carried_sizes(old, new, texture_size)
    as_tensor(new.vertices, "new vertices")
    device = new.vertices.device
    check_memory(
        "texture_size", (max(sizes.values(), default=1),) * 2, new, carry_need(old, device), "free some memory"
    )
    old, new_here = within_float32(old.to(device)), within_float32(new)
    steps = shares(on_progress or (lambda share: None), max(1, len(sizes)))
    made: dict[str, Any] = {}
    texels: Texels | None = None
    for (name, side), report in zip(sizes.items(), steps, strict=False):
        image = getattr(old, name)
        if image.shape[:2] == (1, 1):
            made[name] = image.expand(side, side, -1).contiguous()
            continue
        drawing, reading = shares(report, 2)
        if texels is None or texels.size != (side, side):
            texels = Texels.of(new_here, (side, side), drawing)
        made[name] = _carried(old, image, texels, name == "normal_map", reading)
    return replace(new, **made, occlusion_in_mr=old.occlusion_in_mr and "metallic_roughness" in made)


def carried_sizes(old: Mesh, new: Mesh, texture_size: int = 0) -> dict[str, int]:
    """For each texture of ``old`` its name and the texels a side that it gets on the layout of ``new``.

    ``texture_size``, or where that is 0 the longer side that the texture has; doubled, up to 8192, while the surface
    would have less than half as many texels a length, because the old layout repeats its texture or shares it among
    parts; and where 16 faces have less than an old texel, as on a palette, while each has less than 16 new ones. A
    texture of a single texel is the same on every layout, and stays one.

    Raises:
        ValueError: one has no UVs, the meshes have not the same number of faces, or the size is out of range.
    """
    texture_size = check_integer(texture_size, 0, 16384, "texture_size")
    for name, mesh in (("old", old), ("new", new)):
        mesh.require_uvs(name)
        check_faces(mesh.faces, len(mesh.vertices), mesh.faces.device, name)
    if len(old.faces) != len(new.faces):
        raise ValueError(f"new: has {len(new.faces)} faces, expected {len(old.faces)} in the same order, as old has")
    sizes = {}
    for name in TEXTURES:
        image = getattr(old, name)
        if image is None:
            continue
        height, width, _ = image.shape
        side = 1 if height == width == 1 else texture_size or max(height, width)
        if side > 1 and not texture_size:
            detail = carried_detail(old, new, name, side)
            swatches = _area(old) * height * width * _FACES_PER_TEXEL < len(old.faces)
            texels = _area(new) * side * side / max(len(new.faces), 1)
            while 2 * side <= _LARGEST and (detail < 0.5 or swatches and texels < _TEXELS_PER_FACE):
                side, detail, texels = 2 * side, 2 * detail, 4 * texels
        sizes[name] = side
    return sizes


def carried_detail(old: Mesh, new: Mesh, name: str, side: int) -> float:
    """Texels for a length of the surface that a texture of ``side`` has on ``new``, by those that ``old``'s has.

    It is that of the mean area; infinite where ``old``'s layout has none.
    """
    height, width, _ = getattr(old, name).shape
    before = _area(old) * height * width
    return math.sqrt(_area(new) * side * side / before) if before else math.inf


def carry_need(old: Mesh, device: torch.device) -> Callable[[int, float], int]:
    """How much memory :func:`carry_textures` needs on a device, by texels of the new texture and the share covered."""
    images = [image for name in TEXTURES if (image := getattr(old, name)) is not None]
    largest = max((image.shape[0] * image.shape[1] for image in images), default=0)
    chunk = min(device_policy(device).chunk, CHUNK)
    return lambda texels, share: carry_bytes(texels, largest, chunk, share)


def _area(mesh: Mesh) -> float:
    """Of all faces in the layout, 1 for a whole texture."""
    first, second, third = _corners(mesh).unbind(1)
    one, other = second - first, third - first
    return float((one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).abs().nan_to_num(0, 0, 0).sum()) / 2


def _corners(mesh: Mesh) -> Tensor:
    """``[M, 3, 2]``: the UVs of each face, moved by whole textures so that the first lies in 0..1."""
    uvs = mesh.require_uvs().index_select(0, mesh.faces.long().reshape(-1)).view(-1, 3, 2)
    return uvs - uvs[:, :1].floor()


def _carried(old: Mesh, image: Tensor, texels: Texels, vectors: bool, report: Callable[[float], None]) -> Tensor:
    """``[S, S, C]`` image of ``old`` on the layout of ``texels``; ``vectors`` are normals in tangent space."""
    places = _corners(old)
    looking, filling, reading, finishing = shares(report, 4)
    image = spread(image, _looked_at(old, image.shape[0], image.shape[1], looking), filling)
    pyramid = Pyramid.of(image * 2 - 1 if vectors else image)
    areas = Areas.of(*_steps(places, _corners(texels.mesh), texels.size), pyramid)
    turn = turning(old, texels.mesh) if vectors else None
    values = image.new_empty((len(texels), image.shape[2]))
    ways, present = areas.ways()
    way = ways.index_select(0, texels.face)
    chunk = min(device_policy(values.device).chunk, CHUNK)
    done = 0
    for number, across, down in present:
        index = (way == number).nonzero().squeeze(1)

        def read(part: slice, index: Tensor = index, across: int = across, down: int = down) -> None:
            here = texels[index[part]]
            uv = (places.index_select(0, here.face) * here.weights[..., None]).sum(1)
            found = areas.read(pyramid, uv, here.face, across, down)
            values.index_copy_(0, index[part], turn(found, here) if turn else found)

        def tell(share: float, count: int = len(index), done: int = done) -> None:
            reading((done + share * count) / max(len(texels), 1))

        share_rows(read, len(index), values.device, weight=16 * across * down, chunk=chunk, report=tell)
        done += len(index)
    covered = texels.image(torch.ones_like(texels.index, dtype=torch.bool))
    filled = spread(texels.image(values.clamp_(0, 1)), covered, finishing)
    report(1.0)
    return filled


def _steps(before: Tensor, after: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``[M, 2]`` each: how far the old UVs move from one column, and from one row, of the new texture to the next.

    Args:
        before: ``[M, 3, 2]`` old UVs of each face.
        after: the same of the new ones.
        size: ``(height, width)`` of the new texture.
    """
    (ax, ay), (bx, by) = ((after[:, k] - after[:, 0]).unbind(1) for k in (1, 2))
    area = ax * by - bx * ay
    inverse = torch.where(area != 0, 1 / area, 0.0)[:, None]
    one, other = before[:, 1] - before[:, 0], before[:, 2] - before[:, 0]
    column = (one * by[:, None] - other * ay[:, None]) * inverse / size[1]
    row = (other * ax[:, None] - one * bx[:, None]) * inverse / size[0]
    return column, row


def _looked_at(mesh: Mesh, height: int, width: int, report: Callable[[float], None]) -> Tensor:
    """``[H, W]`` bool: texels that the layout covers, and where it has only faces between texels, those around them.

    All of them where the layout repeats the texture, which then has nothing outside.
    """
    uvs = mesh.require_uvs()
    used = uvs.index_select(0, mesh.faces.long().reshape(-1))
    moved = used.amin(0).add(_ROUNDING).floor()
    if float((used - moved).abs().sub(0.5).abs().amax()) > 0.5 + _ROUNDING:
        return torch.ones(height, width, dtype=torch.bool, device=uvs.device)
    texels = Texels.of(replace(mesh, uvs=uvs - moved), (height, width), report)
    covered = texels.image(torch.ones_like(texels.index, dtype=torch.bool)).view(-1)
    middle = (used - moved).view(-1, 3, 2).mean(1).nan_to_num(0.5, 0.5, 0.5)
    around = torch.stack(corners(middle, height, width)[0], dim=1)
    lost = (~covered.index_select(0, around.view(-1)).view_as(around).any(1)).nonzero().squeeze(1)
    covered.index_fill_(0, around.index_select(0, lost).view(-1), True)
    return covered.view(height, width)
