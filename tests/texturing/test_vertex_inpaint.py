"""Vertex inpaint against the native module's own outputs, and against the rule written out plainly."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from rasterizer.texturing import inpaint_vertices, vertex_colors
from rasterizer.texturing.fill.vertices import schedule as sweep_schedule

INPUTS = ("texture", "mask", "vtx_pos", "vtx_uv", "pos_idx", "uv_idx")
METHODS = ("smooth", "forward")


@pytest.fixture(params=["as planned", "short periods"])
def planning(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small meshes are not worth looking for short periods; here they are."""
    if request.param == "short periods":
        monkeypatch.setattr(sweep_schedule, "_ENTRY_COST", 0.0)
        monkeypatch.setattr(sweep_schedule, "_STEP_ENTRIES", 1 << 30)
        monkeypatch.setattr(sweep_schedule, "_CHUNK", 100)


def _plain_smooth(colors, painted, positions, faces, listed):
    """The sweeps corner by corner: colours and how many sweeps it took."""
    neighbours = defaultdict(list)
    for face in faces.tolist():
        for k in range(3):
            neighbours[face[k]].append(face[(k + 1) % 3])
    colors, colored, filled = colors.astype(np.float64), painted.copy(), np.zeros_like(painted)
    budget, last, sweeps = 2, 0, 0
    while budget > 0:
        missed = 0
        for p in listed.tolist():
            near = [q for q in neighbours[p] if colored[q]]
            weights = [1 / max(float(np.linalg.norm(positions[p] - positions[q])), 1e-4) ** 2 for q in near]
            if near:
                colors[p] = sum(w * colors[q] for w, q in zip(weights, near, strict=True)) / sum(weights)
                colored[p] = filled[p] = True
            else:
                missed += 1
        budget += -1 if missed == last else 1
        last = missed
        sweeps += 1
    return colors, np.where(filled, 2, colored).astype(np.uint8), sweeps


def _scene(seed: int, channels: int = 3) -> tuple[np.ndarray, ...]:
    """A grid, or faces at random, with UV corners of its own or those of the vertices."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        count = int(rng.integers(3, 40))
        faces = rng.integers(0, count, (int(rng.integers(1, 50)), 3))
    else:
        width, height = rng.integers(3, 12, 2)
        index = np.arange(width * height).reshape(height, width)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
        faces = np.stack((np.stack((a, b, c), -1), np.stack((a, c, d), -1)), 2).reshape(-1, 3)
        faces, count = (rng.permutation(faces) if seed % 2 else faces), int(width * height)
    positions = rng.normal(size=(count, 3)).astype(np.float32)
    positions[rng.integers(0, count, count // 5)] = positions[0]  # at one place
    uv_count = count if rng.random() < 0.5 else 2 * count
    uv_faces = faces if uv_count == count else rng.integers(0, uv_count, faces.shape)
    texture = rng.random((17, 23, channels), dtype=np.float32)
    mask = (rng.random((17, 23)) < rng.choice((0.02, 0.2, 0.6))).astype(np.uint8) * 255
    uvs = rng.random((uv_count, 2), dtype=np.float32)
    return texture, mask, positions, uvs, faces.astype(np.int32), uv_faces.astype(np.int32)


def _row(painted: list[int], count: int) -> tuple[np.ndarray, ...]:
    """A strip of ``2 * count`` vertices, each with a texel of its own, those in the given columns painted."""
    column, row = np.meshgrid(np.arange(count), np.arange(2))
    index = np.arange(2 * count).reshape(2, count)
    a, b, c, d = index[0, :-1], index[0, 1:], index[1, 1:], index[1, :-1]
    faces = np.stack((np.stack((a, b, c), -1), np.stack((a, c, d), -1)), 1).reshape(-1, 3).astype(np.int32)
    positions = np.stack((column, row, np.zeros_like(row)), -1).reshape(-1, 3).astype(np.float32)
    uvs = np.stack((column / (count - 1), 1.0 - row), -1).reshape(-1, 2).astype(np.float32)
    texture, mask = np.random.default_rng(0).random((2, count, 3), dtype=np.float32), np.zeros((2, count), np.uint8)
    mask[:, painted] = 1
    return texture, mask, positions, uvs, faces, faces


@pytest.mark.parametrize("method", METHODS)
def test_native_texture(golden_inpaint: dict[str, np.ndarray], method: str) -> None:
    texture, mask = inpaint_vertices(*(golden_inpaint[name] for name in INPUTS), method=method)
    np.testing.assert_array_equal(mask.numpy(), golden_inpaint[f"{method}_mask"])
    np.testing.assert_allclose(texture.numpy(), golden_inpaint[f"{method}_texture"], rtol=0, atol=5e-6)


@pytest.mark.slow
def test_native_vertex_colors(golden_inpaint: dict[str, np.ndarray], planning: None) -> None:
    colors, states = vertex_colors(*(golden_inpaint[name] for name in INPUTS))
    np.testing.assert_array_equal(states.numpy(), golden_inpaint["color_mask"])
    np.testing.assert_allclose(colors.numpy(), golden_inpaint["color_smooth"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("seed", range(24))
def test_smooth_is_the_sequential_rule(seed: int, planning: None) -> None:
    texture, mask, positions, uvs, faces, uv_faces = _scene(seed)
    row = np.floor((1.0 - uvs[:, 1].astype(np.float64)) * 16 + 0.5).astype(int)[uv_faces.ravel()]
    column = np.floor(uvs[:, 0] * np.float32(22) + 0.5).astype(int)[uv_faces.ravel()]
    colors, painted = np.zeros((len(positions), 3), np.float32), np.zeros(len(positions), bool)
    for vertex, i, j in zip(faces.ravel(), row, column, strict=True):
        if mask[i, j]:
            colors[vertex], painted[vertex] = texture[i, j], True
    want, states, _ = _plain_smooth(colors, painted, positions, faces, faces.ravel()[mask[row, column] == 0])
    found, found_states = vertex_colors(texture, mask, positions, uvs, faces, uv_faces)
    np.testing.assert_array_equal(found_states.numpy(), states)
    np.testing.assert_allclose(found.numpy(), want, rtol=0, atol=1e-5)

    for vertex, i, j in zip(faces.ravel(), row, column, strict=True):
        if states[vertex]:
            texture[i, j], mask[i, j] = want[vertex], 255
    new_texture, new_mask = inpaint_vertices(*_scene(seed))
    np.testing.assert_array_equal(new_mask.numpy(), mask)
    np.testing.assert_allclose(new_texture.numpy(), texture, rtol=0, atol=1e-5)


def test_many_sweeps_at_once() -> None:
    # The strip's faces go left to right and colour has to come from the right, one column in a sweep or two.
    texture, mask, positions, uvs, faces, _ = _row([59], 60)
    colors = np.zeros((120, 3), np.float32)
    colors[[59, 119]] = texture[:, 59]
    painted = np.zeros(120, bool)
    painted[[59, 119]] = True
    want, states, sweeps = _plain_smooth(colors, painted, positions, faces, faces.ravel()[~painted[faces.ravel()]])
    assert sweeps > 50
    found, found_states = vertex_colors(texture, mask, positions, uvs, faces, faces)
    np.testing.assert_array_equal(found_states.numpy(), states)
    np.testing.assert_allclose(found.numpy(), want, rtol=0, atol=1e-5)


def test_forward_by_hand() -> None:
    # Vertex 2 is reached from 1 only (edges 0>1, 1>2, 2>0), vertex 3 from 2 (2>3), in the next ring.
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    positions = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 2, 0]], np.float32)
    uvs = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    texture = np.array([[[0.0], [0.5]], [[0.0], [0.0]]], np.float32)
    mask = np.array([[0, 1], [0, 0]])
    colors, states = vertex_colors(texture, mask, positions, uvs, faces, faces, method="forward")
    assert states.tolist() == [2, 1, 2, 2]
    assert colors[:, 0].tolist() == [0.5, 0.5, 0.5, 0.5]
    mask[0, 0] = 1  # now 2 has two neighbours: 1 at a distance of 1 weighs 1, 0 at the root of 2 weighs a half
    colors, states = vertex_colors(texture, mask, positions, uvs, faces, faces, method="forward")
    assert states.tolist() == [1, 1, 2, 2]
    assert colors[2, 0].item() == pytest.approx(0.5 / 1.5, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_component_without_paint_stays_as_it_is(method: str) -> None:
    texture, mask, positions, uvs, faces, _ = _row([0, 1], 10)
    faces = faces[[0, 1, 2, 3, 12, 13, 14, 15]]  # columns 0 to 2 and 6 to 8
    colors, states = vertex_colors(texture, mask, positions, uvs, faces, faces, method=method)
    assert states.reshape(2, 10).tolist() == [[1, 1, 2, 0, 0, 0, 0, 0, 0, 0]] * 2
    assert not colors.reshape(2, 10, 3)[:, 3:].any()
    new_texture, new_mask = inpaint_vertices(texture, mask, positions, uvs, faces, faces, method=method)
    assert new_mask.tolist() == [[255] * 3 + [0] * 7] * 2
    np.testing.assert_array_equal(new_texture[:, 3:].numpy(), texture[:, 3:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("painted", [[], list(range(8))])
def test_nothing_to_do(method: str, painted: list[int]) -> None:
    scene = _row(painted, 8)
    texture, mask = inpaint_vertices(*scene, method=method)
    np.testing.assert_array_equal(texture.numpy(), scene[0])
    assert (mask.numpy() == (255 if painted else 0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_faces(method: str) -> None:
    texture, mask, positions, uvs, faces, _ = _row([1], 4)
    new_texture, new_mask = inpaint_vertices(texture, mask, positions, uvs, faces[:0], faces[:0], method=method)
    np.testing.assert_array_equal(new_texture.numpy(), texture)
    np.testing.assert_array_equal(new_mask.numpy(), mask)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_channels_do_not_mix(method: str, channels: int) -> None:
    texture, *rest = _scene(1, channels)
    colors, _ = vertex_colors(texture, *rest, method=method)
    for channel in range(channels):
        alone, _ = vertex_colors(texture[..., channel : channel + 1], *rest, method=method)
        np.testing.assert_allclose(colors[:, channel].numpy(), alone[:, 0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_means_stay_within_the_painted_colours(method: str) -> None:
    texture, mask, *rest = _scene(4)
    texture *= 255.0
    colors, states = vertex_colors(texture, mask, *rest, method=method)
    painted, filled = texture[mask > 0], colors[states == 2].numpy()
    assert len(filled)
    assert (filled <= painted.max(0) + 1e-3).all() and (filled >= painted.min(0) - 1e-3).all()


@pytest.mark.parametrize("method", METHODS)
def test_uvs_outside_the_texture_are_clamped(method: str) -> None:
    texture, mask, positions, uvs, faces, _ = _row([0, 4], 9)
    outside = uvs.copy()
    outside[uvs == 0] = -3.0
    outside[uvs == 1] = np.inf
    want = inpaint_vertices(texture, mask, positions, uvs, faces, faces, method=method)
    found = inpaint_vertices(texture, mask, positions, outside, faces, faces, method=method)
    assert all(torch.equal(*pair) for pair in zip(want, found, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_whatever_callers_pass(method: str, device: torch.device) -> None:
    texture, mask, positions, uvs, faces, uv_faces = scene = _scene(5)
    want = inpaint_vertices(*scene, method=method)
    before = [array.copy() for array in scene]
    variants = {
        "tensors": [torch.from_numpy(array).to(device) for array in scene],
        "wide": [texture, mask != 0, positions.astype(np.float64), uvs.tolist(), faces.astype(np.int64), uv_faces],
        "not contiguous": [
            texture[::-1][::-1],
            np.asfortranarray(mask),
            torch.from_numpy(positions).t().contiguous().t(),
            np.repeat(uvs, 2, axis=0)[::2],
            np.asfortranarray(faces),
            torch.from_numpy(uv_faces)[:, [2, 1, 0]].flip(1),
        ],
        "gradients": [torch.from_numpy(texture).requires_grad_(), *scene[1:]],
    }
    for name, variant in variants.items():
        found = inpaint_vertices(*variant, method=method)
        assert found[0].device.type == (device.type if name == "tensors" else "cpu"), name
        assert found[0].dtype == torch.float32 and found[1].dtype == torch.uint8, name
        assert torch.equal(found[1].cpu() > 0, want[1] > 0), name
        assert torch.equal(found[0].detach().cpu(), want[0]), name
    assert all(np.array_equal(now, then) for now, then in zip(scene, before, strict=True))


def test_threads_are_given_back() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inpaint_vertices(*_row([0], 9))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match=r"^Invalid method\. Use 'smooth' or 'forward'\.$"):
        inpaint_vertices(*_row([0], 4), method="linear")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("texture", np.zeros((2, 4)), r"texture: shape is \[2, 4\], expected \[H, W, C\]"),
        ("mask", np.zeros((3, 4)), r"mask: shape is \[3, 4\], expected that of the texture, \[2, 4\]"),
        ("vtx_pos", np.zeros((8, 2)), r"vtx_pos: shape is \[8, 2\], expected \[V, 3\]"),
        ("vtx_uv", "none", r"vtx_uv: is str, expected a tensor or array \[U, 2\]"),
        ("pos_idx", np.array([[0, 1, 8]]), r"pos_idx: indices are 0 to 8, expected 0 to 7"),
        ("uv_idx", np.array([[0, -1, 2]]), r"uv_idx: indices are -1 to 2, expected 0 to 7"),
        ("uv_idx", np.array([[0, 1, 2]]), r"uv_idx: has 1 faces, expected as many as pos_idx, 6"),
    ],
)
def test_errors_name_the_input(name: str, value: object, message: str) -> None:
    scene = dict(zip(INPUTS, _row([0], 4), strict=True))
    with pytest.raises(ValueError, match=message):
        inpaint_vertices(**{**scene, name: value})
