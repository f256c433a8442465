"""Do the differentiable primitives compute what they should here? Small scenes beside plain formulas; gradients beside
differences of these, and by what holds of every adjoint: ``<dy, f(x)> = <gradient, x>`` where f is linear in x."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .. import diff
from ..contract import scenes
from ..contract.diff_reference import rasterize_reference
from . import diff_plain as plain
from .check import Check
from .diff_backends import chosen_backends

Array = np.ndarray

_FILTERS = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
_BOUNDARIES = ("wrap", "clamp", "zero", "cube")
_PLACES = 4, 16  # rows and columns of the image that a texture is looked up for
_STEP = 1e-6  # of differences: in clip space, barycentrics, texture coordinates


def _centred_grid(size: int, step: int) -> scenes.Scene:
    """A flat grid with its vertices on pixel centres, drawn twice: what is later wins everywhere."""
    line = (2 * torch.arange(0, size, step, dtype=torch.float32) + 1) / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack((x, y, torch.zeros_like(x), torch.ones_like(x)), dim=-1).view(-1, 4)
    faces = scenes.grid_faces(len(line) - 1, len(line) - 1)
    return points, torch.cat((faces, faces.flip(0)))


_SCENES = {
    "sphere": (scenes.sphere(200), (48, 36)),
    "slivers and large triangles": (scenes.soup(30, 1.5, seed=1), (48, 56)),
    "vertices behind the camera": (scenes.soup(40, 0.6, seed=3, behind=0.2), (40, 56)),
    "vertices on pixel centres": (_centred_grid(40, 7), (40, 40)),
}

CHECKS = 2 * len(_SCENES) + 1 + 2 + 2 * len(_FILTERS) + 3
"""How many comparisons :func:`run` makes."""


def run(device: torch.device) -> Iterator[Check]:
    """Check every step, forward and backward, on ``device``."""
    bench = _Bench(device)
    parts = [partial(_layers, bench, name, *scene) for name, scene in _SCENES.items()]
    parts += [partial(_of_vertices, bench), *(partial(_texture, bench, filter_mode) for filter_mode in _FILTERS)]
    for part in parts:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
        ):  # whatever mode the caller is in, and left before it acts
            checks = list(part())
        yield from checks


class _Bench:
    """Tensors for a device, numbers at random, and verdicts."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._backends = chosen_backends(device)
        self._random = np.random.RandomState(0)

    def tensor(self, values: Array) -> Tensor:
        kind = np.int32 if values.dtype.kind == "i" else np.float32
        return torch.from_numpy(values.astype(kind)).to(self._device)

    def leaf(self, values: Array) -> Tensor:
        return self.tensor(values).requires_grad_()

    def normal(self, *shape: int) -> Array:
        """What float32 holds, too."""
        return self._random.standard_normal(shape).astype(np.float32).astype(np.float64)

    def uniform(self, *shape: int) -> Array:
        return self._random.uniform(size=shape).astype(np.float32).astype(np.float64)

    def check(self, name: str, step: str, error: float, allowed: float, fault: str = "") -> Check:
        """A verdict on the error of a step, and on what else is at fault."""
        by = self._backends[step].replace("torch", "PyTorch operators")
        text = fault or f"off by {error:.1e}, allowed {allowed:.0e}"
        return Check(f"diff {step}: {name}".replace("_", " "), not fault and error <= allowed, f"{text}, by {by}")


def _numpy(value: Tensor) -> Array:
    return value.detach().cpu().numpy().astype(np.float64)


def _gradients(outputs: Tensor | tuple[Tensor, ...], leaves: list[Tensor], upstream: list[Tensor]) -> list[Array]:
    return [_numpy(gradient) for gradient in torch.autograd.grad(outputs, leaves, upstream)]


def _error(found: Array, want: Array) -> float:
    """The largest difference, next to the largest value where that is above 1; infinite where one is no number."""
    if not np.isfinite(found).all():
        return math.inf
    return float(np.abs(found - want).max() / max(1.0, np.abs(want).max()))


def _slope(of: Callable[[Array], float], at: Array, along: Array) -> float:
    """Derivative of a function in one direction."""
    return (of(at + _STEP * along) - of(at - _STEP * along)) / (2 * _STEP)


def _disagreement(gradient: Array, along: Array, slope: float) -> float:
    """Of a gradient with the slope in one direction, next to the sum of the magnitudes of what adds up to it; infinite
    where it is no number."""
    terms = gradient * along
    found = abs(float(terms.sum()) - slope) / max(float(np.abs(terms).sum()), 1e-30)
    return found if math.isfinite(found) else math.inf


def _layers(bench: _Bench, name: str, scene: scenes.Scene, size: tuple[int, int]) -> Iterator[Check]:
    """What is nearest, and what lies behind that."""
    pos, tri = (value.numpy() for value in scene)
    peeling = diff.Peeling(bench.tensor(pos)[None], bench.tensor(tri), size)
    behind = None
    for layer in ("", ", second layer"):
        rast, db = (_numpy(value[0]) for value in peeling.next_layer())
        want = rasterize_reference(pos, tri, *size, behind)
        behind = want.depth
        wrong = int((rast[..., 3] != want.ids).sum())
        fault = f"{wrong} of {want.ids.size} pixels show another triangle" if wrong else ""
        scale = 1 + np.abs(want.derivatives)
        error = max(_error(rast[..., :3], want.values), _error(db / scale, want.derivatives / scale))
        yield bench.check(f"{name}{layer}", "rasterize", error, 1e-4, fault)


class _View:
    """A rough sphere in perspective, rasterized on the device, with numbers to differentiate along."""

    def __init__(self, bench: _Bench) -> None:
        points, tri = (value.numpy() for value in scenes.sphere(120))
        # Uneven: what is upright or mirrored, or two vertices at one place, leads to ties, which rounding decides.
        points = points[:, :3] + 0.03 * bench.normal(len(points), 3)
        w = 1.25 + 0.25 * points[:, 2:]
        self.pos = np.concatenate((points, w), axis=1).astype(np.float32).astype(np.float64)
        self.tri = tri
        self.leaf, self.faces = bench.leaf(self.pos[None]), bench.tensor(tri)
        self.outputs = diff.rasterize(self.leaf, self.faces, (26, 34))
        self.rast, self.db = (_numpy(value[0]) for value in self.outputs)
        self.ids = self.rast[..., 3].astype(np.int64)
        self.along = bench.normal(*self.pos.shape)


def _of_vertices(bench: _Bench) -> Iterator[Check]:
    """What is differentiable in vertices."""
    view = _View(bench)
    yield _rasterize_gradient(bench, view)
    yield from _interpolation(bench, view)
    yield from _antialiasing(bench, view)


def _rasterize_gradient(bench: _Bench, view: _View) -> Check:
    dy, dy_db = bench.normal(*view.rast.shape), bench.normal(*view.db.shape)
    (gradient,) = _gradients(view.outputs, [view.leaf], [bench.tensor(dy[None]), bench.tensor(dy_db[None])])

    def loss(pos: Array) -> float:
        uv, db = plain.barycentrics(pos, view.tri, view.ids)
        return float((uv * dy[..., :2]).sum() + (db * dy_db).sum())

    along = view.along * [1, 1, 0, 1]
    error = _disagreement(gradient[0], view.along, _slope(loss, view.pos, along))
    return bench.check("gradient", "rasterize_backward", error, 1e-5)


def _interpolation(bench: _Bench, view: _View) -> Iterator[Check]:
    attr, other = (bench.normal(len(view.pos), 3) for _ in range(2))
    dy, dy_da = bench.normal(*view.ids.shape, 3), bench.normal(*view.ids.shape, 6)
    inputs = [attr[None], view.rast[None], view.db[None]]
    leaves = [bench.leaf(value) for value in inputs]
    outputs = diff.interpolate(leaves[0], leaves[1], view.faces, leaves[2], "all")

    def formula(attr: Array, uv: Array, db: Array) -> tuple[Array, Array]:
        return plain.interpolate(attr, uv, db, view.ids, view.tri)

    def loss(*values: Array) -> float:
        out, da = formula(*values)
        return float((out * dy).sum() + (da * dy_da).sum())

    uv = view.rast[..., :2]
    pairs = zip(outputs, formula(attr, uv, view.db), strict=True)
    error = max(_error(_numpy(found[0]), want) for found, want in pairs)
    yield bench.check("values and derivatives", "interpolate", error, 1e-5)
    of_attr, of_rast, of_db = _gradients(outputs, leaves, [bench.tensor(dy[None]), bench.tensor(dy_da[None])])
    shift, shift_db = bench.normal(*view.rast.shape), bench.normal(*view.db.shape)
    error = max(
        _disagreement(of_attr[0], other, loss(other, uv, view.db)),
        _disagreement(of_rast[0], shift, _slope(lambda at: loss(attr, at[..., :2], view.db), view.rast, shift)),
        _disagreement(of_db[0], shift_db, _slope(lambda at: loss(attr, uv, at), view.db, shift_db)),
    )
    yield bench.check("gradients", "interpolate_backward", error, 1e-5)


def _texture(bench: _Bench, filter_mode: str) -> Iterator[Check]:
    """With every boundary: colours, and gradients of whatever this filter has any of."""
    errors = [_look_up(bench, filter_mode, boundary) for boundary in _BOUNDARIES]
    yield bench.check(filter_mode, "texture", max(error for error, _ in errors), 1e-5)
    yield bench.check(f"{filter_mode}, gradients", "texture_backward", max(error for _, error in errors), 1e-5)


def _look_up(bench: _Bench, filter_mode: str, boundary: str) -> tuple[float, float]:
    """What the colours are off by, and their gradients."""
    cube = boundary == "cube"
    tex, other = (bench.normal(*((6, 8, 8, 3) if cube else (8, 16, 3))) for _ in range(2))
    uv = bench.normal(*_PLACES, 3) if cube else 1.6 * bench.uniform(*_PLACES, 2) - 0.3
    sizes = np.exp2(3 * bench.uniform(*_PLACES, 1) - 3)  # of footprints: from a texel to the whole texture
    uv_da = sizes * bench.normal(*_PLACES, 6 if cube else 4)
    given = [tex, uv, uv_da, bench.normal(*_PLACES)]
    leaves = [bench.leaf(value[None]) for value in given]
    # How many of the arguments this filter is differentiable in.
    used = {"nearest": 1, "linear-mipmap-linear": 4}.get(filter_mode, 2)
    detail = leaves[2:] if filter_mode.startswith("linear-mipmap") else (None, None)
    made = None  # levels: made before the look-up, or in one with it
    if filter_mode == "linear-mipmap-nearest":
        made = diff.texture_construct_mip(leaves[0], cube_mode=boundary == "cube")
    out = diff.texture(leaves[0], leaves[1], detail[0], detail[1], made, filter_mode, boundary)
    dy = bench.normal(*out.shape[1:])
    gradients = _gradients(out, leaves[:used], [bench.tensor(dy[None])])

    def loss(place: int, value: Array) -> float:
        values = [*given[:place], value, *given[place + 1 :]]
        return float((_picture(values, filter_mode, boundary) * dy).sum())

    disagreement = _disagreement(gradients[0][0], other, loss(0, other))
    for place in range(1, used):
        along = bench.normal(*given[place].shape)
        slope = _slope(partial(loss, place), given[place], along)
        disagreement = max(disagreement, _disagreement(gradients[place][0], along, slope))
    return _error(_numpy(out[0]), _picture(given, filter_mode, boundary)), disagreement


def _picture(given: list[Array], filter_mode: str, boundary: str) -> Array:
    tex, uv, uv_da, bias = given
    places, derivatives = uv.reshape(-1, uv.shape[-1]), uv_da.reshape(-1, uv_da.shape[-1])
    if boundary == "cube":
        derivatives = plain.on_faces(places, derivatives)
    detail = plain.detail(derivatives, *tex.shape[-3:-1]) + bias.reshape(-1)
    colors = plain.texture(plain.pyramid(tex), places, detail, filter_mode, boundary)
    return colors.reshape(*bias.shape, -1)


def _antialiasing(bench: _Bench, view: _View) -> Iterator[Check]:
    edges = _numpy(diff.antialias_construct_topology_hash(view.faces).opposite(len(view.tri)))
    wrong = int((edges != plain.topology(view.tri)).sum())
    fault = f"{wrong} of {edges.size} edges have another neighbour" if wrong else ""
    yield bench.check("shared edges", "topology", wrong, 0, fault)
    color, other, dy = (bench.normal(*view.ids.shape, 3) for _ in range(3))
    leaves = [bench.leaf(color[None]), bench.leaf(view.pos[None])]
    rast = bench.tensor(view.rast[None])
    out = diff.antialias(leaves[0], rast, leaves[1], view.faces)
    want = plain.antialias(color, view.rast, view.pos, view.tri)
    yield bench.check("values", "antialias", _error(_numpy(out[0]), want), 5e-5)
    of_color, of_pos = _gradients(out, leaves, [bench.tensor(dy[None])])

    def loss(color: Array, pos: Array, offset: float = 0.0) -> float:
        return float((plain.antialias(color, view.rast, pos, view.tri, offset) * dy).sum())

    along = view.along * [1, 1, 0, 1]
    slope = _slope(lambda at: loss(color, at, plain.HEIGHT_OFFSET), view.pos, along)
    error = max(_disagreement(of_color[0], other, loss(other, view.pos)), _disagreement(of_pos[0], view.along, slope))
    yield bench.check("gradients", "antialias_backward", error, 1e-5)
