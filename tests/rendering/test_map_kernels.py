"""The GPU kernels of maps against PyTorch's operators: emulated on the CPU, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

from rasterizer.cameras.camera import Camera, look_at, orbit_camera
from rasterizer.cameras.projection import normalization, to_clip
from rasterizer.cameras.views import PRESETS
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh, trefoil_knot
from rasterizer.rendering import map_choice, map_kernels
from rasterizer.rendering.map_kernel_check import check_kernels
from rasterizer.rendering.maps import STYLES, Maps, render_maps
from tests.support.emulator import emulated, with_fault
from tests.support.guards import Guards

Way = tuple[torch.device, Callable[[], AbstractContextManager[None]]]
"""Where to make maps, and what lets the kernels do it there."""


@contextmanager
def _emulating(backwards: bool = False) -> Iterator[None]:
    with (
        emulated(map_kernels.PROGRAM, backwards=backwards),
        mock.patch.object(map_choice, "kernels_work", lambda device: True),
    ):
        yield


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "emulated":
        return torch.device("cpu"), _emulating
    device = torch.device("cuda", 0)
    assert map_choice.kernels_work(device)
    return device, nullcontext


def _operators(*asked: object, **options: object) -> Maps:
    with mock.patch.object(map_choice, "kernels_work", lambda device: False):
        return render_maps(*asked, **options)


def _compare(ours: Maps, theirs: Maps, normals: float = 1e-5) -> None:
    for name, image in vars(ours).items():
        want = getattr(theirs, name)
        assert image.shape == want.shape and image.dtype == want.dtype and image.is_contiguous()
        # Where a GPU divides by multiplying with the reciprocal, the emulator's CPU does not.
        torch.testing.assert_close(image, want, rtol=0, atol=normals if name == "normal" else 2e-7)
    assert torch.equal(ours.mask, theirs.mask) and ours.mask.any()


SIX = [view.camera() for view in PRESETS["hunyuan3d-2"]]
PERSPECTIVE = [orbit_camera(turn, 20, ortho_scale=None) for turn in (0, 90, 250)]
OWN = [look_at((3.0, 1.0, 4.0), (0.0, 0.0, 0.0)), look_at((0.0, 2.0, 0.5), (0.0, 0.0, 0.0), half_height=1.5)]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("cameras", "size"),
    [
        pytest.param(SIX, (64, 64), id="six"),
        pytest.param(PERSPECTIVE, (33, 70), id="perspective"),
        pytest.param([*SIX[:2], *OWN], (50, 41), id="mixed"),
        pytest.param(OWN[:1], (20, 20), id="one"),
    ],
)
def test_agrees_with_operators(cameras: list[Camera], size: tuple[int, int], style: str, way: Way) -> None:
    device, working = way
    mesh = trefoil_knot(60, 12, radius=0.25).to(device)
    with working(), mock.patch.object(map_kernels, "maps", wraps=map_kernels.maps) as launched:
        ours = render_maps(mesh, cameras, size, style)
    assert launched.called
    _compare(ours, _operators(mesh, cameras, size, style))


def test_depth_and_mask_have_the_bits_of_operators(way: Way) -> None:
    device, working = way
    mesh = trefoil_knot(60, 12, radius=0.25).to(device)
    with working():
        ours = render_maps(mesh, [*SIX, *PERSPECTIVE], (64, 64))
    theirs = _operators(mesh, [*SIX, *PERSPECTIVE], (64, 64))
    assert torch.equal(ours.depth, theirs.depth) and torch.equal(ours.mask, theirs.mask)


def test_clip_space_has_the_bits_of_operators(way: Way) -> None:
    device, working = way
    mesh, cameras = trefoil_knot(60, 12, radius=0.25).to(device), [*SIX, *PERSPECTIVE, replace(SIX[0], near=1.5)]
    frame = normalization(mesh.vertices)
    with working(), mock.patch.object(map_kernels, "rasterize", wraps=map_kernels.rasterize) as drawing:
        render_maps(mesh, cameras, (40, 30))
    want = to_clip(mesh.vertices, cameras, 30, 40, frame)
    assert want.isnan().any() and torch.equal(drawing.call_args.args[0].nan_to_num(7.0), want.nan_to_num(7.0))


def test_cameras_without_a_hash(way: Way) -> None:
    device, working = way
    mesh = trefoil_knot(30, 8, radius=0.25).to(device)
    cameras = [replace(camera, position=list(camera.position)) for camera in SIX]
    with working():
        ours, want = (render_maps(mesh, some, (24, 24)) for some in (cameras, SIX))
    assert all(torch.equal(image, getattr(want, name)) for name, image in vars(ours).items())


def test_normals_do_not_depend_on_the_order_of_threads() -> None:
    mesh = trefoil_knot(60, 12, radius=0.25)
    found = []
    for backwards in (False, True):
        with _emulating(backwards), Guards(backwards):
            found.append(map_kernels.vertex_normals(mesh).clone())
    assert torch.equal(*found) and (found[0].norm(dim=1) - 1).abs().max() < 1e-6


def test_seams_do_not_crease_and_vertices_without_faces_have_no_normal(way: Way) -> None:
    device, working = way
    torus = sample_mesh("torus")
    apart = Mesh(torus.vertices[torus.faces.long().flatten()], torch.arange(torus.faces.numel()).int().view(-1, 3))
    vertices = torch.cat((apart.vertices, torch.tensor([[5.0, 5.0, 5.0], [0.0, 0.0, float("nan")]])))
    vertices[vertices == 0] *= -1  # -0 is where 0 is
    vertices[::2] += 0.0
    mesh = Mesh(vertices, apart.faces).to(device)
    with working():
        found = map_kernels.vertex_normals(mesh)
    torch.testing.assert_close(found, mesh.vertex_normals(), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        found[:-2].cpu(), torus.vertex_normals()[torus.faces.long().flatten()], rtol=0, atol=1e-5
    )
    assert not found[-2:].any()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("far", [float("nan"), float("inf")])
def test_a_vertex_that_is_nowhere(far: float, style: str, way: Way) -> None:
    device, working = way
    mesh = sample_mesh("torus")
    vertices = mesh.vertices.clone()
    vertices[int(mesh.vertices[:, 2].argmax())] = far
    mesh = Mesh(vertices, mesh.faces).to(device)
    with working():
        ours = render_maps(mesh, None, (48, 48), style)
    _compare(ours, _operators(mesh, None, (48, 48), style))


def test_a_view_that_sees_nothing(way: Way) -> None:
    device, working = way
    with working():
        found = render_maps(sample_mesh("torus").to(device), [orbit_camera(0, 0, ortho_scale=1e-4)], (16, 16))
    assert not found.mask.any() and not found.depth.any() and (found.normal == 1).all() and (found.position == 1).all()


def test_devices_share_views(way: Way) -> None:
    device, working = way
    mesh = sample_mesh("torus").to(device)
    with working():
        alone, shared = (render_maps(mesh, SIX, (32, 32), devices=some) for some in (None, [device] * 3))
    for name, image in vars(alone).items():
        assert torch.equal(image, getattr(shared, name))


def test_progress_and_errors(way: Way) -> None:
    device, working = way
    torus = sample_mesh("torus").to(device)
    shares: list[float] = []
    with working():
        render_maps(torus, SIX, (16, 16), on_progress=shares.append)
        with pytest.raises(ValueError, match="Mesh faces: face 0 is .* out of range"):
            render_maps(Mesh(torus.vertices[:5], torus.faces), SIX, (16, 16))
        with pytest.raises(ValueError, match="resolution: is 0 x 16"):
            render_maps(torus, SIX, (0, 16))
    assert shares == sorted(shares) and shares[0] < 0.25 and shares[-1] == 0.75

    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with working(), pytest.raises(KeyboardInterrupt):
        render_maps(torus, SIX, (16, 16), on_progress=stop)


def test_gradients_are_left_to_operators(way: Way) -> None:
    device, working = way
    torus = sample_mesh("torus").to(device)
    leaf = torus.vertices.clone().requires_grad_()
    with working():
        render_maps(Mesh(leaf, torus.faces), None, (16, 16)).position.sum().backward()
    assert leaf.grad is not None and leaf.grad.any()


@pytest.mark.parametrize("backwards", [False, True])
def test_self_test(backwards: bool) -> None:
    with _emulating(backwards), Guards(backwards):
        check_kernels(torch.device("cpu"))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("continue;", ";"),
        ("(u64)p.welded[index[k]] * 3", "(u64)index[k] * 3"),
        ("a = over(a, largest);", ""),
        ("seen.fitted > 0.0f", "false"),
        ("-a.z * factor", "a.z * factor"),
        ("order(-distance)", "order(distance)"),
        ("y * seen.down", "y * seen.across"),
        ("p.normals ? mean(tilt, weights)", "false ? mean(tilt, weights)"),
        ("k < count * 3;", "k < count * 3 - 1;"),
        ("drawn ? 1.0f", "true ? 1.0f"),
    ],
)
def test_self_test_sees_faults(right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = with_fault(map_kernels.PROGRAM, right, wrong, tmp_path)
    monkeypatch.setattr(map_kernels, "PROGRAM", program)
    with emulated(program), pytest.raises(RuntimeError, match="self-test: "):
        check_kernels(torch.device("cpu"))
