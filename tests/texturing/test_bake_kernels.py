"""The GPU kernels of the bake against PyTorch's operators: emulated on the CPU, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from unittest import mock

import pytest
import torch

from rasterizer.cameras.camera import Camera, orbit_camera
from rasterizer.cameras.views import PRESETS, turntable
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import trefoil_knot
from rasterizer.texturing import Baked, bake_views
from rasterizer.texturing.bake import choice, kernels
from rasterizer.texturing.bake.filter import RADII, calm_around
from rasterizer.texturing.bake.kernel_check import check_kernels
from tests.support.emulator import emulated, with_fault


@contextmanager
def _emulating() -> Iterator[None]:
    with emulated(kernels.PROGRAM), mock.patch.object(choice, "kernels_work", lambda device: True):
        yield


Way = tuple[torch.device, Callable[[], AbstractContextManager[None]]]
"""Where to bake, and what lets the kernels do it there."""


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "emulated":
        return torch.device("cpu"), _emulating
    device = torch.device("cuda", 0)
    assert choice.kernels_work(device)
    return device, nullcontext


def _both(way: Way, mesh: Mesh, images: torch.Tensor, cameras: list[Camera], size: object, **options: object):
    device, working = way
    asked = mesh.to(device), images.to(device), cameras, size
    launched = []
    launcher = kernels._launcher
    with working(), mock.patch.object(kernels, "_launcher", lambda *given: launched.append(1) or launcher(*given)):
        ours = bake_views(*asked, **options)
    assert launched
    with mock.patch.object(choice, "kernels_work", lambda device: False):
        theirs = bake_views(*asked, **options)
    return ours, theirs


ORTHOGRAPHIC = [view.camera() for view in PRESETS["hunyuan3d-2"]]
PERSPECTIVE = [orbit_camera(turn, 20, ortho_scale=None, weight=1 + turn / 90) for turn in (0, 90, 180, 250)]


@pytest.mark.parametrize(
    ("along", "around", "cameras", "pixels", "size", "channels", "options"),
    [
        pytest.param(60, 12, ORTHOGRAPHIC, (96, 96), 128, 3, {}, id="fine"),
        pytest.param(60, 12, PERSPECTIVE, (96, 96), 128, 3, {}, id="perspective"),
        pytest.param(60, 12, ORTHOGRAPHIC, (256, 256), 32, 3, {}, id="coarse"),
        pytest.param(20, 60, PERSPECTIVE, (192, 256), (40, 300), 4, {}, id="long"),
        pytest.param(60, 12, [*PERSPECTIVE, *ORTHOGRAPHIC], (100, 70), (90, 64), 1, {"border": 9}, id="both"),
        pytest.param(60, 12, ORTHOGRAPHIC[:3], (96, 96), 64, 7, {"blend": "sharp", "exponent": 1.5}, id="sharp"),
        pytest.param(60, 12, PERSPECTIVE[:1], (64, 64), 64, 2, {"max_angle": 40.0}, id="one view"),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_operators(
    along: int, around: int, cameras: list[Camera], pixels: tuple[int, int], size: object, channels: int,
    options: dict[str, object], masked: bool, way: Way,
) -> None:  # fmt: skip
    mesh = trefoil_knot(along, around, radius=0.25)
    random = torch.Generator().manual_seed(channels)
    images = torch.rand(len(cameras), *pixels, channels, generator=random)
    masks = None
    if masked:
        masks = torch.rand(images.shape[:3], generator=random)
        masks[:, 20:30, 30:50] = 0
    ours, theirs = _both(way, mesh, images, cameras, size, masks=masks, **options)
    assert ours.painted.any()
    for field in fields(Baked)[:5]:
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert one.shape == other.shape and one.dtype == other.dtype
        differing = ((one.float() - other.float()).abs() > 1e-4).float().mean()
        assert differing <= 5e-4, field.name  # rounding decides here and there what is just near enough


def test_what_cannot_be_seen_stays_black(way: Way) -> None:
    mesh = trefoil_knot(60, 12, radius=0.25)
    cameras = [orbit_camera(0, 0)]
    images = torch.ones(1, 64, 64, 3)
    ours, theirs = _both(way, mesh, images, cameras, 64, masks=torch.zeros(1, 64, 64))
    assert torch.equal(ours.covered, theirs.covered) and ours.covered.any()
    for baked in (ours, theirs):
        assert not baked.painted.any() and not baked.texture.any() and (baked.heaviest == -1).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float64, torch.float16])
def test_masks_of_any_kind_on_any_device(dtype: torch.dtype, way: Way) -> None:
    mesh = trefoil_knot(60, 12, radius=0.25)
    cameras = [orbit_camera(0, 0)]
    masks = torch.zeros(1, 64, 64, dtype=torch.float32)
    masks[:, :, :32] = 1
    images = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    turned = masks.to(dtype).transpose(1, 2).contiguous().transpose(1, 2)  # on the CPU, whatever the device
    (ours, theirs), (want, _) = (_both(way, mesh, images, cameras, 64, masks=given) for given in (turned, masks))
    assert torch.equal(ours.painted, want.painted)
    # On a GPU sums of normals differ in the last bit from run to run.
    torch.testing.assert_close(ours.texture, want.texture, rtol=0, atol=1e-5)
    assert (ours.painted != theirs.painted).float().mean() <= 5e-4 and 0 < ours.painted.sum() < ours.covered.sum() * 0.9


def test_a_constant_stays_what_it_is(way: Way) -> None:
    mesh = trefoil_knot(60, 12, radius=0.25)
    images = torch.tensor([0.1, 0.7, 1.0]).expand(6, 80, 80, 3)
    ours, _ = _both(way, mesh, images, ORTHOGRAPHIC, 96)
    assert (ours.texture[ours.painted] == images[0, 0, 0].to(ours.texture)).all()


def test_what_parameters_have_no_room_for_is_left_to_operators(way: Way) -> None:
    device, working = way
    mesh = trefoil_knot(30, 8, radius=0.25).to(device)
    few = kernels.CHANNELS + 1
    with working(), mock.patch.object(kernels, "blend", side_effect=AssertionError):
        baked = bake_views(mesh, torch.rand(1, 32, 32, few, device=device), [orbit_camera(0, 0)], 32)
    assert baked.painted.any()


def test_any_number_of_views(way: Way) -> None:
    many = [view.camera() for view in turntable(40)]
    ours, theirs = _both(way, trefoil_knot(30, 8, radius=0.25), torch.rand(len(many), 32, 32, 3), many, 32)
    assert len(ours.heaviest.unique()) > 20 and (ours.heaviest == theirs.heaviest).float().mean() > 0.95


@pytest.mark.parametrize("radii", [RADII[:1], RADII[:4], RADII])
def test_distances_to_breaks(radii: tuple[int, ...], way: Way) -> None:
    device, working = way
    rough = torch.rand(2, 170, 190, generator=torch.Generator().manual_seed(0)).to(device) > 0.9999
    rough[1] = False
    with working():
        found = kernels._calm(rough, radii)
    assert torch.equal(found, calm_around(rough, radii)) and found.amax() == radii[-1]


def test_self_test(way: Way) -> None:
    device, working = way
    with working():
        check_kernels(device)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("excess <= BREAK", "excess <= 0.1f * BREAK"),
        ("p.found[pixel - p.width] & ROUGH", "p.found[pixel] & ROUGH"),
        ("(float)p.reach + 1.5f", "(float)p.reach + 2.5f"),
        ("p.masks && p.masks[pixel] == 0.0f", "false"),
        ("p.masks ? shown * p.masks[pixel] : shown", "shown"),
        ("if (nearer < far) nearer = far;", ""),
        ("keys(off / scale) / sum * off", "0.0f"),
        ("balanced_four(beside - line)", "balanced_four(0.5f)"),
        ("a.x + b.x + c.x + d.x", "a.x + a.x + a.x + d.x"),
        ("* (nearness * nearness)", ""),
        ("weight = weight * weight * (weight * weight)", "weight = weight * weight"),
    ],
)
def test_self_test_sees_faults(right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = with_fault(kernels.PROGRAM, right, wrong, tmp_path)
    monkeypatch.setattr(kernels, "PROGRAM", program)
    with emulated(program), pytest.raises(RuntimeError, match="self-test: "):
        check_kernels(torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_stored_pictures_are_the_numbers_that_they_stand_for(dtype: torch.dtype, way: Way) -> None:
    device, working = way
    mesh = trefoil_knot(60, 12, radius=0.25).to(device)
    images = torch.rand(len(PERSPECTIVE), 48, 48, 4, generator=torch.Generator().manual_seed(1))
    images[0, :8] *= 1e-6  # which float16 holds as a denormal number
    stored = ((images * 255).round() if dtype == torch.uint8 else images - 0.3).to(dtype).to(device)
    numbers = stored.to(torch.float32).div(255 if dtype == torch.uint8 else 1)
    normals = mesh.vertex_normals()  # which a GPU sums in another order each time
    with working(), mock.patch.object(Mesh, "vertex_normals", lambda *_, **__: normals):
        found, wanted = (bake_views(mesh, some, PERSPECTIVE, 64) for some in (stored, numbers))
    assert found.painted.any() and torch.equal(found.texture, wanted.texture)
