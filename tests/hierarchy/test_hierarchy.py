"""The native hierarchy, output for output: golden files, and random images against the plain reference."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import rasterizer
from rasterizer.backends.others import custom_rasterizer as native
from rasterizer.gpu.platforms import LaunchError
from rasterizer.gpu.program import Loaded
from rasterizer.hierarchy import construct, kernels
from rasterizer.hierarchy.kernel_check import check_kernels
from rasterizer.runtime.policy import PORTABLE, force_policy
from tests.support.golden import golden_names, load_golden
from tests.support.hierarchy_reference import build_hierarchy_reference

Views = list[Tensor]


def _golden(name: str) -> tuple[list[Views], int, int, dict[str, np.ndarray]]:
    data = load_golden(name)
    kinds = [kind for kind in ("positions", "normals", "feats") if f"{kind}0" in data]
    views = [[torch.from_numpy(data[f"{kind}{view}"]) for view in range(3)] for kind in kinds]
    return views, int(data["num_level"]), int(data["resolution"]), data


def _build(views: list[Views], levels: int, resolution: int) -> list[list[Tensor]]:
    build = rasterizer.build_hierarchy_with_feat if len(views) == 3 else rasterizer.build_hierarchy
    return build(*views, levels, resolution)


@pytest.mark.parametrize("name", golden_names("hierarchy_*"))
@pytest.mark.parametrize("portable", [False, True])
def test_golden(name: str, portable: bool, device: torch.device) -> None:
    views, levels, resolution, data = _golden(name)
    there = [[view.to(device) for view in kind] for kind in views]
    if portable:
        with force_policy(PORTABLE):
            lists = _build(there, levels, resolution)
    else:
        lists = _build(there, levels, resolution)
    names = ["texture_positions", *["texture_feats"] * (len(views) == 3), "grid_neighbors", "grid_downsamples"]
    names += ["grid_evencorners", "grid_oddcorners"]
    expected = {key: torch.from_numpy(value) for key, value in data.items() if key.startswith("out_")}
    found = {
        f"out_{name}_{i}": tensor for name, parts in zip(names, lists, strict=True) for i, tensor in enumerate(parts)
    }
    assert found.keys() == expected.keys()
    for key, tensor in found.items():
        assert tensor.device.type == device.type
        assert tensor.dtype == expected[key].dtype, key
        assert torch.equal(tensor.cpu(), expected[key]), key


def random_images(seed: int) -> tuple[list[Views], int, int]:
    """Images that no renderer makes: holes, empty layers, unlike sizes, positions at exactly 1, NaN normals."""
    random = np.random.default_rng(seed)
    resolution = int(random.integers(3, 20))
    levels = int(random.integers(1, resolution.bit_length()))
    alike = random.random() < 0.5
    shape = random.integers(1, [4, 10, 10], endpoint=True)
    views: list[Views] = [[], [], []]
    for view in range(3):
        layers, height, width = shape if alike else random.integers(1, [4, 10, 10], endpoint=True)
        place = random.uniform(-1, 1, (layers, height, width, 3))
        if random.random() < 0.5:  # positions that fit their pixel
            row, column = np.meshgrid(*((np.arange(n) + 0.5) / n * 2 - 1 for n in (height, width)), indexing="ij")
            row, column, depth = np.broadcast_arrays(row, column, place[..., 0])
            place = np.stack(((column, row, depth), (depth, row, column), (column, depth, -row))[view], axis=-1)
        place = np.where(random.random(place.shape) < 0.05, np.sign(place), place)
        place = np.where(random.random(place.shape) < 0.1, np.round(place * 8) / 8, place)
        drawn = random.random((layers, height, width, 1)) < random.choice([1.0, 0.9, 0.5, 0.1])
        drawn[random.integers(layers)] &= random.random() < 0.8
        drawn &= random.random() < 0.95
        facing = random.uniform(-1, 1, place.shape)
        facing = np.where(random.random(place.shape) < 0.1, np.round(facing), facing)
        facing = np.where(random.random(place.shape) < 0.02, np.nan, facing)
        features = random.random((layers, height, width, 2))
        for kind, values in zip(views, (np.concatenate((place, drawn), axis=-1), facing, features), strict=True):
            kind.append(torch.from_numpy(values.astype(np.float32)))
    return views, levels, resolution


def _same(one: list[list[Tensor]], other: list[list[np.ndarray]] | list[list[Tensor]]) -> None:
    assert [len(parts) for parts in one] == [len(parts) for parts in other]
    for number, (parts, others) in enumerate(zip(one, other, strict=True)):
        for level, (tensor, wanted) in enumerate(zip(parts, others, strict=True)):
            assert torch.equal(tensor.cpu(), torch.as_tensor(wanted)), f"list {number}, level {level}"


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_random_images_equal_the_plain_reference(seed: int) -> None:
    views, levels, resolution = random_images(seed)
    plain = build_hierarchy_reference(*([view.numpy() for view in kind] for kind in views), levels, resolution)
    _same(_build(views, levels, resolution), plain)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(40))
def test_random_images_on_a_gpu(seed: int) -> None:
    views, levels, resolution = random_images(seed)
    there = [[view.cuda() for view in kind] for kind in views]
    _same(_build(there, levels, resolution), _build(views, levels, resolution))


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(60))
def test_kernels_on_regular_images(seed: int) -> None:
    """Views of one size and positions inside the cube, at a resolution that halves exactly: what the kernels take."""
    random = np.random.default_rng(seed)
    levels, layers, size = int(random.integers(1, 6)), int(random.integers(1, 5)), int(random.integers(4, 40))
    resolution = int(random.integers(1, 5)) << (levels - 1)
    shape = (layers, size, size + int(random.integers(3)))
    positions = [torch.from_numpy(random.uniform(-1, 0.999, (*shape, 4)).astype(np.float32)) for _ in range(3)]
    for view in positions:
        view[..., 3] = torch.from_numpy((random.random(shape) < 0.6).astype(np.float32))
    normals = [torch.from_numpy(random.normal(size=(*shape, 3)).astype(np.float32)) for _ in range(3)]
    normals[0][0, 0, 0] = torch.nan
    views = [positions, normals]
    there = [[view.cuda() for view in kind] for kind in views]
    assert construct.kernels_work(there[0][0].device)
    _same(_build(there, levels, resolution), _build(views, levels, resolution))


@pytest.mark.gpu
def test_a_failed_launch_builds_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    views, levels, resolution, _ = _golden("hierarchy_icosphere_32")
    there = [[view.cuda() for view in kind] for kind in views]
    assert construct.kernels_work(there[0][0].device)
    monkeypatch.setitem(kernels.PROGRAM._reasons, 0, "")

    def refuse(*_: object) -> None:
        raise LaunchError("cuLaunchKernel: no")

    monkeypatch.setattr(Loaded, "launcher", refuse)
    _same(_build(there, levels, resolution), _build(views, levels, resolution))
    assert "cuLaunchKernel: no" in kernels.PROGRAM.reason_against(there[0][0].device, check_kernels)


_REASON = native.reason_against(torch.device("cpu"))


@pytest.mark.skipif(bool(_REASON), reason=f"native module {_REASON}")
@pytest.mark.parametrize("seed", range(200))
def test_random_images_equal_the_native_module(seed: int) -> None:
    import custom_rasterizer_kernel

    views, levels, resolution = random_images(seed)
    _same(
        _build(views, levels, resolution),
        custom_rasterizer_kernel.build_hierarchy_with_feat(*views, levels, resolution),
    )


def test_inputs_in_other_layouts_and_dtypes() -> None:
    views, levels, resolution, _ = _golden("hierarchy_icosphere_32")
    strided = [[view.flip(0).double().flip(0) for view in kind] for kind in views]
    _same(_build(strided, levels, resolution), _build(views, levels, resolution))


def test_nothing_drawn() -> None:
    views = [[torch.zeros(2, 5, 4, size) for _ in range(3)] for size in (4, 3, 2)]
    lists = _build(views, 3, 16)
    assert [list(tensor.shape) for tensor in (*lists[0], *lists[1])] == [[0, 3], [0], [0, 2]]
    assert [list(tensor.shape) for tensor in lists[2]] == [[0, 9]] * 3
    assert [len(parts) for parts in lists] == [2, 1, 3, 2, 3, 3]


@pytest.mark.parametrize(("views", "levels"), [(2, 3), (4, 3), (3, 0)])
def test_what_the_native_module_refuses(views: int, levels: int, caplog: pytest.LogCaptureFixture) -> None:
    images = [torch.zeros(1, 4, 4, 4)] * views, [torch.zeros(1, 4, 4, 3)] * views
    with caplog.at_level(logging.WARNING):
        assert rasterizer.build_hierarchy(*images, levels, 8) == [[], [], [], []]
        assert rasterizer.build_hierarchy_with_feat(*images, images[1], levels, 8) == [[], [], [], []]
    assert f"found {views} views" in caplog.text and "expected 3 views and 1 level" in caplog.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"positions": torch.zeros(1, 4, 4, 3)}, r"view_layer_positions: found a view of \[1, 4, 4, 3\]"),
        ({"normals": torch.zeros(1, 4, 5, 3)}, r"view_layer_normals: .* expected \[1, 4, 4, 3\]"),
        ({"feats": torch.zeros(2, 4, 4, 2)}, r"view_layer_feats: .* expected \[1, 4, 4, 2\]"),
        ({"positions": torch.full((1, 4, 4, 4), float("nan"))}, "holds NaN"),
        ({"levels": 5}, r"num_level: is 5, expected at most 4 for a resolution of 8"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], text: str) -> None:
    values = {
        "positions": torch.zeros(1, 4, 4, 4),
        "normals": torch.zeros(1, 4, 4, 3),
        "feats": torch.zeros(1, 4, 4, 2),
        "levels": 2,
        **change,
    }
    views = [[values[kind]] + [torch.zeros(1, 4, 4, size)] * 2 for kind, size in (("positions", 4), ("normals", 3))]
    with pytest.raises(ValueError, match=text):
        rasterizer.build_hierarchy_with_feat(
            *views, [values["feats"]] + [torch.zeros(1, 4, 4, 2)] * 2, values["levels"], 8
        )
