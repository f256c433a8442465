"""Kernels of interpolation, antialiasing and topology held against operators; what both must do is tested elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rasterizer.backends.eager.diff import antialias as eager_antialias
from rasterizer.backends.eager.diff import interpolate as eager_interpolate
from rasterizer.backends.eager.diff import topology as eager_topology
from rasterizer.backends.kernels.diff import antialias as kernels
from rasterizer.contract import scenes
from rasterizer.contract.diff_rule import ID_BITS, MOST_PLAIN_ID
from tests.diff.conftest import KERNELS, Way
from tests.support.emulator import emulated, programs_of
from tests.support.guards import Guards

BEFORE = pytest.mark.parametrize("before", [False, True])


def _numbers(seed: int) -> Any:
    random = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.rand(shape, generator=random, dtype=torch.float32) * 2 - 1


def _image(size: tuple[int, int, int], triangles: int, side: int, seed: int = 0) -> Tensor:
    """``rast`` of random numbers; squares of pixels show a triangle, one of those there are or another."""
    random = torch.Generator().manual_seed(seed)
    images, height, width = size
    ids = torch.randint(
        -triangles // 8 - 1, triangles + 2, (images, -(-height // side), -(-width // side)), generator=random
    )
    rast = _numbers(seed)(*size, 4)
    rast[..., 3] = ids.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :height, :width]
    return rast


def _triangles(count: int, vertices: int, seed: int = 0) -> Tensor:
    """Random ones, of which a few have a vertex that does not exist."""
    random = torch.Generator().manual_seed(seed)
    tri = torch.randint(vertices, (count, 3), generator=random, dtype=torch.int32)
    tri[::17, 1], tri[5::19, 2] = vertices, -1
    return tri


def _on(way: Way, *values: Any) -> tuple[Any, ...]:
    return tuple(value.to(way.device) if isinstance(value, Tensor) else value for value in values)


def _close(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    """Within a share of the largest value."""
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other.numel():
            bound = tolerance * (1 + float(other.abs().max()))
            torch.testing.assert_close(one.cpu(), other, rtol=0, atol=bound)


SLOPES = {"none": (False, ()), "all": (True, ()), "some": (False, (0, -1, 0))}


@KERNELS
@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize("attributes", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("side", [1, 3, 40])
def test_interpolation(way: Way, attributes: int, slopes: str, side: int) -> None:
    numbers, size, (every, chosen) = _numbers(attributes), (2, 45, 67), SLOPES[slopes]
    tables = ((50,), (1, 50), (2, 50))[attributes % 3]
    count = attributes if every else len(chosen)
    given = (
        numbers(*tables, attributes),
        _image(size, 200, side),
        _triangles(200, 50),
        numbers(*size, 4) if count else None,
        every,
        chosen,
    )
    _close(way("interpolate")(*_on(way, *given)), eager_interpolate.interpolate(*given))
    back = *given, numbers(*size, attributes), numbers(*size, 2 * count), (True, True, True)
    _close(way("interpolate_backward")(*_on(way, *back)), eager_interpolate.interpolate_backward(*back))


@KERNELS
@pytest.mark.parametrize("attributes", [2, 7])
@pytest.mark.parametrize("given", [(True, False), (False, True)])
@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_what_is_asked_for(
    way: Way, attributes: int, given: tuple[bool, bool], wanted: tuple[bool, bool, bool]
) -> None:
    numbers, size = _numbers(1), (1, 9, 50)
    d_out, d_da = numbers(*size, attributes), numbers(*size, 2 * attributes)
    arguments = (
        *(numbers(30, attributes), _image(size, 20, 4), _triangles(20, 30), numbers(*size, 4), True, ()),
        *(d_out if given[0] else None, d_da if given[1] else None, wanted),
    )
    found = way("interpolate_backward")(*_on(way, *arguments))
    _close(found, eager_interpolate.interpolate_backward(*arguments))
    assert tuple(each is not None for each in found) == wanted


@KERNELS
def test_pixels_of_few_triangles_take_turns(way: Way) -> None:
    """Every number of pixels of one triangle in a group of 32, and every way that they can lie."""
    numbers, size = _numbers(3), (1, 64, 64)
    random = torch.Generator().manual_seed(3)
    rast = _image(size, 3, 1)
    share = torch.linspace(0, 1, 64)[:, None] * torch.ones(64)
    rast[0, :, :, 3] = torch.where(torch.rand((64, 64), generator=random) < share, 1.0, rast[0, :, :, 3])
    d_out = numbers(*size, 3)
    d_out[0, :, ::5] = 0.0
    arguments = numbers(9, 3), rast, _triangles(3, 9), None, False, (), d_out, None, (True, True, False)
    _close(way("interpolate_backward")(*_on(way, *arguments)), eager_interpolate.interpolate_backward(*arguments), 1e-4)


@KERNELS
@pytest.mark.parametrize("attributes", [2, 3, 4])
def test_tensors_that_do_not_lie_on_16_bytes(way: Way, attributes: int) -> None:
    numbers, size = _numbers(4), (1, 12, 20)
    given = numbers(30, attributes), _image(size, 20, 4), _triangles(20, 30), numbers(*size, 4), True, ()
    back = *given, numbers(*size, attributes), numbers(*size, 2 * attributes), (True, True, True)
    shifted = [
        torch.empty(value.numel() + 1, dtype=value.dtype, device=way.device)[1:].view(value.shape).copy_(value)
        if isinstance(value, Tensor)
        else value
        for value in back
    ]
    _close(way("interpolate")(*shifted[:6]), eager_interpolate.interpolate(*given))
    _close(way("interpolate_backward")(*shifted), eager_interpolate.interpolate_backward(*back))
    scene = _silhouettes((1, 12, 20), 2)
    shifted = [torch.empty(v.numel() + 1, dtype=v.dtype, device=way.device)[1:].view(v.shape).copy_(v) for v in scene]
    _close(way("antialias")(*shifted)[:1], eager_antialias.antialias(*scene)[:1])


@KERNELS
def test_more_triangles_than_floats_count(way: Way) -> None:
    last = MOST_PLAIN_ID + 5
    tri = torch.zeros((last, 3), dtype=torch.int32, device=way.device)
    tri[MOST_PLAIN_ID - 1 :] = torch.arange(1, 7, dtype=torch.int32)[:, None]
    rast = torch.zeros((1, 1, 9, 4))
    rast[..., 0] = 1.0
    numbers = torch.arange(-2, 7, dtype=torch.int32)
    plain = (numbers + MOST_PLAIN_ID).to(torch.float32)
    rast[0, 0, :, 3] = torch.where(numbers <= 0, plain, (numbers + MOST_PLAIN_ID + ID_BITS).view(torch.float32))
    attr = torch.arange(7.0)[:, None]
    out, _ = way("interpolate")(*_on(way, attr, rast, tri, None, False, ()))
    assert out.flatten().tolist() == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]


def _drawn(pos: Tensor, tri: Tensor, height: int, width: int) -> Tensor:
    """``rast [height, width, 4]`` of triangles in front of the camera, about; u and v are left out."""
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) * 2 / height - 1, (torch.arange(width) + 0.5) * 2 / width - 1, indexing="ij"
    )
    rast = torch.zeros(height, width, 4)
    nearest = torch.full((height, width), 2.0)
    for number, row in enumerate(tri.tolist()):
        if min(row) < 0 or max(row) >= len(pos):
            continue
        corners = pos[row, :3] / pos[row, 3:]
        a, b, c = corners
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        to_b = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
        to_c = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
        depth = a[2] + to_b * (b[2] - a[2]) + to_c * (c[2] - a[2])
        shown = (to_b >= 0) & (to_c >= 0) & (to_b + to_c <= 1) & (depth < nearest)
        nearest = torch.where(shown, depth, nearest)
        rast[..., 2] = torch.where(shown, depth, rast[..., 2])
        rast[..., 3] = torch.where(shown, number + 1.0, rast[..., 3])
    return rast


def _silhouettes(
    size: tuple[int, int, int], channels: int, shared: bool = False, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What antialiasing takes: a ball among loose triangles. Some pixels show what is not there, and some vertices lie
    behind the camera."""
    numbers, (images, height, width) = _numbers(seed), size
    (ball, faces), (loose, others) = scenes.sphere(100, 0.5), scenes.soup(40, 0.5, seed)
    ball = ball + 0.02 * numbers(*ball.shape)  # so that no triangle is seen exactly from the side
    flat = torch.cat((ball, loose))
    tri = torch.cat((faces, others + len(ball), _triangles(20, len(flat), seed)))
    pos = torch.stack([flat + 0.2 * image * torch.tensor([1.0, -1.0, 0.0, 0.5]) for image in range(images)])
    pos = pos[:1].expand(images, -1, -1) if shared else pos
    rast = torch.stack([_drawn(each, tri, height, width) for each in pos])
    stray = _image(size, len(tri), 2, seed)
    rast = torch.where(torch.rand((*size, 1), generator=torch.Generator().manual_seed(seed)) < 0.05, stray, rast)
    pos = pos.clone()
    pos[:, ::31, 3] *= -1
    pos = pos[0] if shared else pos
    return numbers(*size, channels), rast, pos.contiguous(), tri, eager_topology.topology(tri, len(flat))


SIZES = [(1, 1, 90), (2, 70, 1), (1, 3, 190), (1, 170, 4), (1, 40, 64), (3, 33, 67), (2, 16, 32), (1, 120, 130)]


@KERNELS
@pytest.mark.parametrize("channels", [1, 3, 4, 6])
@pytest.mark.parametrize("size", SIZES)
def test_antialiasing(way: Way, size: tuple[int, int, int], channels: int) -> None:
    scene = _silhouettes(size, channels, shared=channels == 4)
    there = _on(way, *scene)
    out, work = way("antialias")(*there)
    expected, _ = eager_antialias.antialias(*scene)
    _close([out], [expected])
    d_out = _numbers(9)(*size, channels)
    gradients = eager_antialias.antialias_backward(*scene, None, d_out, (True, True))
    other = torch.zeros(3, dtype=torch.int32, device=way.device)  # that of another implementation
    for kept in (work, None, other):
        found = way("antialias_backward")(*there, kept, d_out.to(way.device), (True, True))
        _close(found, gradients, 1e-4)
    for wanted in ((True, False), (False, True)):
        found = way("antialias_backward")(*there, work, d_out.to(way.device), wanted)
        _close(found, [each if asked else None for each, asked in zip(gradients, wanted, strict=True)], 1e-4)
    if min(size[1:]) > 1:
        assert int((out != there[0]).any(-1).sum()) >= 5


def test_images_repeat_to_the_last_bit_in_any_order() -> None:
    scene = _silhouettes((2, 60, 70), 3)
    d_out = _numbers(9)(2, 60, 70, 3)
    results = []
    for backwards in (False, True):
        with emulated(*programs_of(kernels), backwards=backwards):
            out, work = kernels.antialias(*scene)
            results.append((out, work, kernels.antialias_backward(*scene, work, d_out, (True, False))[0]))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def _star(count: int) -> Tensor:
    """Triangles that all have vertex 0."""
    ring = torch.arange(1, count + 1, dtype=torch.int32)
    return torch.stack((torch.zeros_like(ring), ring, ring.roll(-1)), 1)


MESHES = {
    "closed": lambda: scenes.sphere(20_000)[1],
    "no two share an edge": lambda: torch.arange(30_000, dtype=torch.int32).view(-1, 3).flip(0),
    "many an edge": lambda: _triangles(5_000, 40),
    "few an edge": lambda: _triangles(5_000, 3_000),
    "doubled": lambda: torch.cat((scenes.sphere(3_000)[1], scenes.sphere(3_000)[1].roll(1, 1).flip(0))),
    "a star": lambda: _star(20_000),
    "one": lambda: torch.tensor([[5, 3, 9]], dtype=torch.int32),
}


@KERNELS
@pytest.mark.parametrize("vertices", [2**31 - 1, 2_000])
@pytest.mark.parametrize("mesh", MESHES)
def test_topology(way: Way, mesh: str, vertices: int) -> None:
    tri = MESHES[mesh]()
    found = way("topology")(tri.to(way.device), vertices)
    assert torch.equal(found.cpu(), eager_topology.topology(tri, vertices))


@BEFORE
@pytest.mark.parametrize("way", ["emulated"], indirect=True)
def test_nothing_outside_a_tensor_is_touched(way: Way, before: bool) -> None:
    """Ids, vertices and floats may be anything."""
    random = torch.Generator().manual_seed(5)
    wild = torch.tensor([float("nan"), float("inf"), -float("inf"), 3e38, -5.0, 0.5, 2.0**24, 1e9, 0.0])

    def spoiled(value: Tensor) -> Tensor:
        where = torch.rand(value.shape, generator=random) < 0.1
        return torch.where(where, wild[torch.randint(len(wild), value.shape, generator=random)], value)

    color, rast, pos, tri, topology = _silhouettes((2, 37, 45), 3)
    numbers, guards = _numbers(5), Guards(before)
    color, rast, pos = spoiled(color), spoiled(rast), spoiled(pos)
    tri[::5] = torch.randint(-(2**31), 2**31 - 1, tri[::5].shape, generator=random, dtype=torch.int64).to(torch.int32)
    topology[::3] = torch.randint(-(2**31), 2**31 - 1, topology[::3].shape, generator=random).to(torch.int32)
    with guards:
        scene = guards.guard((color, rast, pos, tri, topology))
        way("topology")(scene[3], 60)
        _, work = way("antialias")(*scene)
        for kept in (work, None):
            way("antialias_backward")(*scene, kept, numbers(2, 37, 45, 3), (True, True))
        for attributes in (1, 2, 3, 4, 5):
            given = spoiled(numbers(60, attributes)), scene[1], scene[3], numbers(2, 37, 45, 4), True, ()
            way("interpolate")(*given)
            upstream = numbers(2, 37, 45, attributes), numbers(2, 37, 45, 2 * attributes)
            way("interpolate_backward")(*given, *upstream, (True, True, True))


@KERNELS
def test_what_kernels_do_not_suit_is_done_by_operators(way: Way) -> None:
    numbers, size = _numbers(6), (1, 5, 6)
    given = numbers(9, 2), _image(size, 4, 2), _triangles(4, 9), numbers(*size, 4), False, (1,) * 40
    _close(way("interpolate")(*_on(way, *given)), eager_interpolate.interpolate(*given))


@pytest.mark.gpu
@pytest.mark.parametrize("way", ["kernels"], indirect=True)
def test_nobody_waits_for_the_gpu(way: Way) -> None:
    scene = _on(way, *_silhouettes((2, 37, 45), 3))
    attr, db, da = (torch.rand(shape, device=way.device) for shape in ((60, 3), (2, 37, 45, 4), (2, 37, 45, 6)))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            way("topology")(scene[3], 60)
            out, work = way("antialias")(*scene)
            way("antialias_backward")(*scene, work, out, (True, True))
            values, _ = way("interpolate")(attr, scene[1], scene[3], db, True, ())
            way("interpolate_backward")(attr, scene[1], scene[3], db, True, (), values, da, (True, True, True))
    finally:
        torch.cuda.set_sync_debug_mode("default")
