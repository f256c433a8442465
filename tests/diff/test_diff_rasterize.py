"""Rasterization and its gradient in every way: against recordings, the plain reference, and autograd in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer.backends.diff_interface import NO_LAYER
from rasterizer.contract import scenes
from rasterizer.contract.diff_reference import Image, rasterize_reference
from rasterizer.contract.diff_rule import GRADIENT_OFFSET, MOST_PLAIN_ID, decode_ids
from tests.diff.conftest import OPERATORS, Way
from tests.support import nvdiffrast_golden as golden
from tests.support.nvdiffrast_golden import Case

Drawn = tuple[Tensor, Tensor, Tensor]

ODD = (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e38, -3e38, 1e-38, 1e-42)


def _draw(
    way: Way,
    pos: Tensor,
    tri: Tensor,
    size: tuple[int, int],
    ranges: Tensor | None = None,
    behind: Tensor | None = None,
) -> Drawn:
    """On the way's device; the results on the CPU."""
    behind = None if behind is None else behind.to(way.device)
    drawn = way("rasterize")(pos.to(way.device), tri.to(way.device), size, ranges, behind, True)
    rast, rast_db, depth = (values.cpu() for values in drawn)
    assert rast.shape == rast_db.shape == (*depth.shape, 4) and depth.shape[1:] == size
    assert (rast.dtype, rast_db.dtype, depth.dtype) == (torch.float32, torch.float32, torch.int32)
    assert rast.is_contiguous() and rast_db.is_contiguous()
    empty = rast[..., 3] == 0
    assert not rast[empty].any() and not rast_db[empty].any() and bool((depth[empty] == NO_LAYER).all())
    assert bool((depth[~empty] < NO_LAYER).all())
    return rast, rast_db, depth


def _pull_back(way: Way, pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
    given = (None if values is None else values.to(way.device) for values in (pos, tri, rast, d_rast, d_db))
    gradient = way("rasterize_backward")(*given).cpu()
    assert gradient.shape == pos.shape and gradient.dtype == torch.float32
    assert not gradient[..., 2].any(), "depth has no gradient"
    return gradient


def _reference(pos: Tensor, tri: Tensor, size: tuple[int, int], behind: np.ndarray | None = None) -> Image:
    return rasterize_reference(pos.numpy(), tri.numpy(), *size, behind)


def _same_triangles(drawn: Drawn, image: int, want: Image) -> None:
    rast, _, depth = drawn
    assert np.array_equal(decode_ids(rast[image, ..., 3]).numpy(), want.ids)
    assert np.array_equal(depth[image].numpy(), want.depth)


def _loss(case: Case, seeds: list[int], rast: Tensor) -> tuple[Tensor, Tensor | None]:
    """Upstream gradients of a recorded loss."""
    d_rast, d_db = (golden.normal(seed, *rast.shape) for seed in seeds)
    return d_rast, d_db if case.meta["grad_db"] else None


@pytest.mark.parametrize("name", golden.names("rast_"))
def test_recordings(name: str, way: Way) -> None:
    case = golden.load(name)
    pos, tri, size = case["in_pos"], case["in_tri"], tuple(case.meta["resolution"])
    ranges = case["in_ranges"] if name == "rast_range" else None
    if "out_ids" in case:
        rast, _, _ = _draw(way, pos, tri, size, ranges)
        assert np.array_equal(rast[..., 3].numpy(), case.arrays["out_ids"])
        return
    layers, behind, total = case.meta["layers"], None, torch.zeros_like(pos)
    for layer in range(max(1, layers)):
        suffix = str(layer) if layers else ""
        rast, rast_db, behind = _draw(way, pos, tri, size, ranges, behind)
        want = case[f"out_rast{suffix}"]
        assert torch.equal(rast[..., 3], want[..., 3])
        torch.testing.assert_close(rast[..., :2], want[..., :2], rtol=0, atol=2e-5)
        torch.testing.assert_close(rast[..., 2], want[..., 2], rtol=0, atol=5e-6)
        if f"out_db{suffix}" in case:
            torch.testing.assert_close(rast_db, case[f"out_db{suffix}"], rtol=1e-4, atol=1e-4)
        seeds = case.meta["dy_seeds_per_layer_rast_db"][layer] if layers else case.meta.get("dy_seeds_rast_db")
        if seeds:
            d_rast, d_db = _loss(case, seeds, rast)
            total += _pull_back(way, pos, tri, rast, d_rast, d_db)
            if "g_pos_from_rast_only" in case:
                _close(_pull_back(way, pos, tri, rast, d_rast, None), case["g_pos_from_rast_only"], 1e-5)
    if "g_pos" in case:
        _close(total, case["g_pos"], 1e-4)


def _close(found: Tensor, want: Tensor, tolerance: float) -> None:
    """Up to so much of the largest number."""
    torch.testing.assert_close(found, want, rtol=0, atol=tolerance * float(want.abs().max()))


def _scene(seed: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Vertices ``[V, 4]``, triangles and an image size, of one of six kinds."""
    random = np.random.RandomState(seed)
    vertices, kind = random.randint(3, 60), seed % 6
    pos = random.uniform(-1, 1, (vertices, 4))
    if kind == 0:  # pixel-aligned, as in UV space
        pos = np.concatenate((np.round(pos[:, :2] * 8) / 8, pos[:, 2:3], np.ones((vertices, 1))), 1)
    elif kind == 1:  # anything, half of it behind the eye
        pos = random.standard_normal((vertices, 4))
    elif kind == 2:  # in perspective, partly out of view
        pos = np.concatenate((pos[:, :3] * 2, random.uniform(0.3, 2, (vertices, 1))), 1)
    elif kind == 3:  # almost coplanar layers
        pos = np.concatenate((pos[:, :2], pos[:, 2:3] * 1e-6 + 0.7, np.ones((vertices, 1))), 1)
    elif kind == 4:  # of any size
        pos[:, :3] *= 10.0 ** random.uniform(-3, 3)
        pos[:, 3] = random.choice([1e-3, 1.0, -1.0, 0.0, 1e-30], vertices)
    else:
        w = random.uniform(0.5, 1.5, (vertices, 1))
        pos = np.concatenate((pos[:, :3] * w, w), 1)
    tri = random.randint(0, vertices, (random.randint(1, 60), 3))
    if seed % 4 == 0:
        tri = np.concatenate((tri, tri[:, [1, 2, 0]], tri[:, [0, 2, 1]]))
    height, width = random.randint(1, 50, 2)
    return torch.from_numpy(pos).float(), torch.from_numpy(tri).int(), (int(height), int(width))


def _conditions(pos: np.ndarray, tri: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``[H, W]`` each: how many times as large a rounding error of the areas is in u and v, and in z/w."""
    height, width = ids.shape
    x, y, _, w = np.moveaxis(pos.astype(np.float64)[tri[np.maximum(ids - 1, 0)]], -1, 0)
    x = x - ((2 * np.arange(width)[:, None] + 1) / width - 1) * w
    y = y - ((2 * np.arange(height)[:, None, None] + 1) / height - 1) * w
    ahead, behind = [1, 2, 0], [2, 0, 1]
    first, second = x[..., ahead] * y[..., behind], y[..., ahead] * x[..., behind]
    size, weights = abs(first) + abs(second), (first - second) * w
    with np.errstate(all="ignore"):
        return size.sum(-1) / abs((first - second).sum(-1)), (size * abs(w)).sum(-1) / abs(weights.sum(-1))


def _values_are_close(drawn: Drawn, want: Image, pos: Tensor, tri: Tensor) -> None:
    """To 16 roundings of the areas, as close as float32 can be; where they grow ten thousandfold, anything is."""
    of_uv, of_depth = _conditions(pos.numpy(), tri.numpy(), want.ids)
    rast, rast_db = drawn[0][0].numpy(), drawn[1][0].numpy()
    for found, wanted, condition in (
        (rast[..., :2], want.values[..., :2], of_uv),
        (rast[..., 2:3], want.values[..., 2:], of_depth),
        (rast_db, want.derivatives, of_uv),
    ):
        sound = (want.ids > 0) & (condition < 1e4)
        difference = np.abs(found - wanted)[sound] / (1 + np.abs(wanted[sound]))
        assert (difference <= 1e-6 * condition[sound][:, None]).all()


@pytest.mark.parametrize("seed", range(48))
def test_random_scenes(seed: int, way: Way) -> None:
    """Triangles and depths of three layers as in the reference; values as close as float32 can be."""
    pos, tri, size = _scene(seed)
    behind = None
    for _ in range(3):
        want = _reference(pos, tri, size, None if behind is None else behind[0].numpy())
        drawn = _draw(way, pos[None], tri, size, behind=behind)
        _same_triangles(drawn, 0, want)
        _values_are_close(drawn, want, pos, tri)
        behind = drawn[2]


@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("value", ODD)
def test_odd_vertices(value: float, axis: int, way: Way) -> None:
    """They spoil their own triangles, and nothing else."""
    pos, tri = scenes.soup(30, 0.8, seed=axis, behind=0.2)
    pos[::7, axis] = value
    want = _reference(pos, tri, (33, 40))
    drawn = _draw(way, pos[None], tri, (33, 40))
    _same_triangles(drawn, 0, want)
    assert drawn[0].isfinite().all() and want.ids.any()
    _pull_back(way, pos[None], tri, drawn[0], torch.ones_like(drawn[0]), torch.ones_like(drawn[0]))


def test_vertices_at_the_eye(way: Way) -> None:
    pos, tri = torch.zeros((1, 6, 4)), torch.tensor([[0, 1, 2], [3, 4, 5], [0, 4, 5]], dtype=torch.int32)
    pos[0, 3:] = torch.tensor([[-1.0, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]])
    rast, _, _ = _draw(way, pos, tri, (16, 16))
    assert set(rast[..., 3].unique().tolist()) == {0.0, 2.0}


def test_indices_out_of_range_draw_nothing(way: Way) -> None:
    pos, tri = scenes.sphere(80)
    spoilt = tri.clone()
    for place, index in enumerate((-1, len(pos), 2**31 - 1, -(2**31))):
        spoilt[7 * place, place % 3] = index
    good = (spoilt == tri).all(1)
    drawn = _draw(way, pos[None], spoilt, (40, 40))
    _same_triangles(drawn, 0, _reference(pos, spoilt, (40, 40)))
    kept = torch.where(good[:, None], tri, 0)  # the others without an area
    assert torch.equal(drawn[2], _draw(way, pos[None], kept, (40, 40))[2])


@pytest.mark.parametrize(("vertices", "triangles"), [(0, 0), (0, 2), (3, 0)])
def test_nothing_to_draw(vertices: int, triangles: int, way: Way) -> None:
    pos, tri = torch.ones((2, vertices, 4)), torch.zeros((triangles, 3), dtype=torch.int32)
    rast, _, _ = _draw(way, pos, tri, (3, 5))
    assert rast.shape == (2, 3, 5, 4) and not rast.any()
    assert not _pull_back(way, pos, tri, rast, torch.ones_like(rast), None).any()


def test_ranges(way: Way) -> None:
    """Each image as if its triangles were the only ones, with the ids that they have among all."""
    pos, tri = scenes.soup(80, 0.7, seed=3, behind=0.1)
    ranges = torch.tensor([[0, 80], [30, 20], [10, 0], [70, 40], [-3, 40], [90, 5], [-9, 4], [25, 20]])
    drawn = _draw(way, pos, tri, (21, 30), ranges.int())
    for image, (first, count) in enumerate(ranges.tolist()):
        chosen = [min(max(each, 0), 80) for each in (first, first + count)]
        some = torch.zeros_like(tri)
        some[chosen[0] : chosen[1]] = tri[chosen[0] : chosen[1]]
        _same_triangles(drawn, image, _reference(pos, some, (21, 30)))
    upstream = torch.rand(drawn[0].shape, generator=torch.Generator().manual_seed(0))
    parts = [
        _pull_back(way, pos[None], tri, drawn[0][image, None], upstream[image, None], upstream[image, None])[0]
        for image in range(len(ranges))
    ]
    _close(_pull_back(way, pos, tri, drawn[0], upstream, upstream), torch.stack(parts).sum(0), 1e-5)


def test_images_do_not_touch_each_other(way: Way) -> None:
    pos, tri = scenes.soup(40, 1.2, seed=8, behind=0.2)
    views = torch.stack([pos * torch.tensor([1.0, factor, 1.0, 1.0]) for factor in (1.0, 0.4, -0.8)])
    behind = None
    for _ in range(2):
        drawn = _draw(way, views, tri, (19, 26), behind=behind)
        upstream = torch.rand(drawn[0].shape, generator=torch.Generator().manual_seed(1))
        whole = _pull_back(way, views, tri, drawn[0], upstream, upstream)
        for image in range(3):
            part = slice(image, image + 1)
            limit = None if behind is None else behind[part]
            alone = _draw(way, views[part], tri, (19, 26), behind=limit)
            assert all(torch.equal(values[part], single) for values, single in zip(drawn, alone, strict=True))
            gradient = _pull_back(way, views[part], tri, alone[0], upstream[part], upstream[part])
            _close(whole[part], gradient, 1e-5)
        behind = drawn[2]


@pytest.mark.parametrize("aligned", [True, False])
def test_every_centre_belongs_to_one_of_two_neighbours(aligned: bool, way: Way) -> None:
    """A mesh without holes, each triangle an image of its own: every pixel is covered in just one of them."""
    random = torch.Generator().manual_seed(5)
    line = torch.linspace(-1.2, 1.2, 7)
    x, y = (values.reshape(-1) for values in torch.meshgrid(line, line, indexing="xy"))
    moved = (torch.rand((2, 49), generator=random) - 0.5) * 0.2
    inner = (x.abs() < 1.1) & (y.abs() < 1.1)
    x, y = x + moved[0] * inner, y + moved[1] * inner
    w = torch.ones(49)
    if aligned:  # corners and edges on centres of pixels
        x, y = ((values * 16 - 0.5).round() + 0.5 for values in (x, y))
        x, y = x / 16, y / 16
    else:
        w = 0.5 + torch.rand(49, generator=random)
    pos, tri = torch.stack((x * w, y * w, torch.zeros(49), w), 1), scenes.grid_faces(6, 6)
    tri[::5] = tri[::5, [0, 2, 1]]
    ranges = torch.stack((torch.arange(len(tri)), torch.ones(len(tri), dtype=torch.int64)), 1)
    rast, _, _ = _draw(way, pos, tri, (32, 32), ranges.int())
    assert bool(((rast[..., 3] > 0).sum(0) == 1).all())


def test_the_last_of_equals_is_shown(way: Way) -> None:
    """Whatever the order of their vertices; and no layer shows the others."""
    corners = torch.tensor([[0, 1, 2], [2, 0, 1], [1, 0, 2], [0, 2, 1], [2, 1, 0]], dtype=torch.int32)
    pos = torch.tensor([[[-0.83, -0.71, -0.37, 1.1], [0.94, -0.62, 0.58, 1.7], [-0.13, 0.91, 0.21, 0.95]]])
    for order in range(5):
        rast, _, depth = _draw(way, pos, corners.roll(order, 0), (29, 31))
        assert set(rast[..., 3].unique().tolist()) == {0.0, 5.0}
        again, _, _ = _draw(way, pos, corners.roll(order, 0), (29, 31), behind=depth)
        assert not again.any()


def test_layers_end(way: Way) -> None:
    """A sphere has two; and nothing lies behind what shows nothing."""
    pos, tri = scenes.sphere(500)
    covered, behind = [], None
    for _ in range(4):
        rast, _, behind = _draw(way, pos[None], tri, (16, 16), behind=behind)
        covered.append(int((rast[..., 3] > 0).sum()))
    assert covered[0] == covered[1] > 100 and covered[2:] == [0, 0]


@pytest.mark.parametrize("size", [(2, 2060), (4100, 3), (2051, 2050)])
def test_tiles(size: tuple[int, int], way: Way) -> None:
    pos, tri = scenes.soup(12, 1.0, seed=4, behind=0.2)
    if min(size) > 1000:  # keeps the reference fast
        pos[:, :2] = pos[:, :2] * 0.02 + pos[:, 3:] * torch.tensor([0.003, 0.002])
        tri = tri[:6]
    _same_triangles(_draw(way, pos[None], tri, size), 0, _reference(pos, tri, size))


def test_ids_that_are_no_whole_floats(way: Way) -> None:
    pos, tri = scenes.soup(5, 1.5, seed=2)
    many = torch.zeros((MOST_PLAIN_ID + 3, 3), dtype=torch.int32)
    many[-5:] = tri
    ranges = torch.tensor([[MOST_PLAIN_ID - 2, 5]], dtype=torch.int32)
    rast, _, _ = _draw(way, pos, many, (24, 24), ranges)
    want = _reference(pos, tri, (24, 24)).ids
    found = decode_ids(rast[0, ..., 3]).numpy()
    assert len(np.unique(want)) > 4 and np.array_equal(found, np.where(want > 0, want + MOST_PLAIN_ID - 2, 0))
    upstream = torch.ones_like(rast)
    few = rast.clone()
    few[0, ..., 3] = torch.from_numpy(want)
    gradients = (_pull_back(way, pos, each, drawn, upstream, upstream) for each, drawn in ((many, rast), (tri, few)))
    _close(*gradients, 1e-6)


@pytest.mark.parametrize("size", [(40, 56), (300, 200)])
def test_results_are_repeatable(size: tuple[int, int], way: Way) -> None:
    pos, tri = scenes.soup(200, 0.5, seed=6, behind=0.1)
    first, second = (_draw(way, pos[None], tri, size) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


@OPERATORS
def test_gradients_are_repeatable_when_asked_to_be(way: Way) -> None:
    pos, tri = scenes.soup(200, 0.5, seed=6, behind=0.1)
    rast, _, _ = _draw(way, pos[None], tri, (300, 200))
    upstream = torch.rand(rast.shape, generator=torch.Generator().manual_seed(2))
    torch.use_deterministic_algorithms(True)
    try:
        gradients = [_pull_back(way, pos[None], tri, rast, upstream, upstream) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*gradients)


def _smooth(pos: Tensor, tri: Tensor, rast: Tensor) -> tuple[Tensor, Tensor]:
    """u and v, and their derivatives, at the pixels that show triangles: the rule's formulas without clamps.

    Args:
        pos: ``[B, V, 4]`` float64.
        tri: ``[T, 3]``.
        rast: ``[B, H, W, 4]``, of which the ids count.
    """
    _, height, width, _ = rast.shape
    image, row, column = torch.nonzero(rast[..., 3], as_tuple=True)
    x, y, _, w = pos[image[:, None], tri.long()[(rast[image, row, column, 3] - 1).long()]].unbind(2)
    moved_x = x - ((2 * column + 1).double() / width - 1)[:, None] * w
    moved_y = y - ((2 * row + 1).double() / height - 1)[:, None] * w
    ahead, behind = [1, 2, 0], [2, 0, 1]
    a = moved_x[:, ahead] * moved_y[:, behind] - moved_y[:, ahead] * moved_x[:, behind]
    by_x = y[:, ahead] * w[:, behind] - y[:, behind] * w[:, ahead]
    by_y = x[:, behind] * w[:, ahead] - x[:, ahead] * w[:, behind]
    total = a.sum(1, keepdim=True)
    total = total + torch.copysign(torch.full_like(total, GRADIENT_OFFSET), total).detach()
    uv = a[:, :2] / total
    by_pixel = [
        2 / pixels * (slope[:, :2] - uv * slope.sum(1, keepdim=True)) / total
        for slope, pixels in ((by_x, width), (by_y, height))
    ]
    return uv, torch.stack(by_pixel, 2).flatten(1)


@pytest.mark.parametrize("given", ["rast", "db", "both"])
@pytest.mark.parametrize("behind", [0.0, 0.3])
def test_gradient_is_that_of_the_formulas(behind: float, given: str, way: Way) -> None:
    scene = [scenes.soup(40, 0.9, seed=seed, behind=behind) for seed in (1, 2)]
    pos, tri = torch.stack([vertices for vertices, _ in scene]), scene[0][1]
    rast, _, _ = _draw(way, pos, tri, (37, 29))
    random = torch.Generator().manual_seed(0)
    d_rast = torch.rand(rast.shape, generator=random) - 0.5 if given != "db" else None
    d_db = torch.rand(rast.shape, generator=random) - 0.5 if given != "rast" else None
    exact = pos.double().requires_grad_()
    shown = rast[..., 3] > 0
    loss = torch.zeros((), dtype=torch.float64)
    for values, upstream in zip(_smooth(exact, tri, rast), (d_rast, d_db), strict=True):
        if upstream is not None:
            loss = loss + (values * upstream[shown][:, : values.shape[1]]).sum()
    loss.backward()
    assert exact.grad is not None
    _close(_pull_back(way, pos, tri, rast, d_rast, d_db), exact.grad.float(), 5e-5)


def test_background_and_depth_have_no_say_in_the_gradient(way: Way) -> None:
    """Nor have ids of triangles that are not there. No gradient of a pixel that is given none, whatever it shows."""
    pos, tri = scenes.sphere(120)
    rast, _, _ = _draw(way, pos[None], tri, (24, 24))
    upstream = torch.rand(rast.shape, generator=torch.Generator().manual_seed(3))
    want = _pull_back(way, pos[None], tri, rast, upstream, upstream)
    assert want.any()
    spoilt = upstream.clone()
    spoilt[rast[..., 3] == 0] = float("nan")
    spoilt[..., 2:] = float("nan")
    only_uv = _pull_back(way, pos[None], tri, rast, upstream, None)
    _close(_pull_back(way, pos[None], tri, rast, spoilt, None), only_uv, 1e-6)
    foreign = rast.clone()
    foreign[..., 3] = torch.where(rast[..., 3] == 0, len(tri) + 1.0, rast[..., 3])
    _close(_pull_back(way, pos[None], tri, foreign, upstream, upstream), want, 1e-6)
    spoilt_pos = pos.clone()
    spoilt_pos[tri[int(rast[0, 12, 12, 3]) - 1].long()] = float("nan")
    shows_it = torch.isin(rast[..., 3], rast[0, 12, 12, 3])
    reach = (tri[None].long() == tri[int(rast[0, 12, 12, 3]) - 1].long()[:, None, None]).any(0).any(1)
    touched = torch.isin(rast[..., 3].long() - 1, torch.nonzero(reach).view(-1)) | shows_it
    masked = torch.where(touched[..., None], 0.0, upstream)
    assert _pull_back(way, spoilt_pos[None], tri, rast, masked, masked).isfinite().all()
