"""Refining: the texture that, rendered through the same cameras, gives back the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...meshes.mesh import Mesh
from ...rendering.raster import Raster, rasterize_mesh
from ...runtime.threads import on_own_threads
from ..bake.pictures import prepare_pictures
from ..bake.view import Lens, columns, unit
from .operator import Sampling
from .sight import look_ups
from .solve import Problem, prior, solve


@dataclass(frozen=True)
class Refined:
    texture: Tensor
    painted: Tensor
    before: Tensor
    after: Tensor


@on_own_threads
def refine_texture(mesh, texture, painted, images, cameras, *, steps=24, strength=1.0, masks=None, on_progress=None, samples=3, rounds=3, robust=2.5, floor=.01, exponent=4.0, max_angle=75.0):
    report = on_progress or (lambda share: None)
    height, width = images.shape[1:3]
    raster = rasterize_mesh(mesh, cameras, (height, width))
    border = max(1, round(max(height, width) / 256))
    pictures, lenses = prepare_pictures(raster, images, masks, border, report)
    faded = pictures.color.view(*images.shape[:3], -1)[..., images.shape[3]]
    edge = (pictures.depth.view(*images.shape[:3]) > 1e29)
    weights = pixel_weights(raster, lenses, cameras, math.cos(math.radians(max_angle)), exponent) * faded * ~edge
    ids = torch.where(painted, (painted.view(-1).cumsum(0, dtype=torch.int32) - 1).view_as(painted), -1)
    stand_ins = _stand_ins(ids)
    views, pixels, counts = [], [], []
    for number, camera in enumerate(cameras):
        some = (weights[number].view(-1) > 1e-8).nonzero().squeeze(1)
        whole, forward = look_ups(mesh, camera, (height, width), some, samples, stand_ins)
        views.append(Sampling.of(forward))
        pixels.append(images[number].reshape(-1, images.shape[3]).index_select(0, some))
        counts.append(weights[number].view(-1).index_select(0, some) * whole)
    where = painted.view(-1).nonzero().squeeze(1)
    counts = _even(views, counts, len(where))
    problem = Problem(views, pixels, counts, prior(ids))
    flat = texture.reshape(-1, texture.shape[2])
    start = flat[where]
    change = solve(problem, start, steps, rounds, report, robust, floor)
    result = flat.clone()
    result[where] = start + strength * change
    problem.start, problem.end = start, start + change
    return result.view_as(texture), problem


def pixel_weights(raster: Raster, lenses: Sequence[Lens], cameras: Sequence[Camera], limit: float, exponent: float) -> Tensor:
    found = []
    normals = raster.mesh.vertex_normals()
    for number, (lens, camera) in enumerate(zip(lenses, cameras)):
        one = raster.view(number)
        points = columns(one.interpolate(raster.mesh.vertices)[0, 0].reshape(-1, 3))
        smooth = unit(columns(one.interpolate(normals)[0, 0].reshape(-1, 3)))
        cosine = lens.cosine(points, smooth).view(one.findices.shape[2:])
        found.append(torch.where((cosine > limit) & (one.findices[0, 0] > 0), cosine.clamp(min=0) ** exponent * camera.weight, 0.0))
    return torch.stack(found)


def _even(views, counts, texels):
    total = counts[0].new_zeros((texels, 1))
    for view, count in zip(views, counts):
        part, share = torch.zeros_like(total), torch.zeros_like(total)
        view.add_to(part, count[:, None])
        view.add_to(share, (count > 0).to(count)[:, None])
        total += part / share.clamp(min=1e-9)
    return [count / view.render(total)[:, 0].clamp(min=1e-9) for view, count in zip(views, counts)]


def _stand_ins(ids: Tensor) -> Tensor:
    for _ in range(2):
        grown = ids.clone()
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            moved = ids.roll((dy, dx), (0, 1))
            grown = torch.where(grown < 0, moved, grown)
        ids = grown
    return ids
