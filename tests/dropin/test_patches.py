"""What changes in the packs' renderer where there is no CUDA, and that nothing else does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from rasterizer.dropin import patches

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA nothing is changed")

RENDERERS = {
    "H20": "hy3dgen.texgen.differentiable_renderer.mesh_render",
    "VB": "hy3dpaint.DifferentiableRenderer.MeshRender",
}


@pytest.fixture(params=RENDERERS)
def renderer(request: pytest.FixtureRequest, finder: object, pack: Callable, load: Callable) -> ModuleType:
    """A pack's renderer module, imported with the finder in place."""
    return importlib.import_module(f"{load(pack(request.param)).__name__}.{RENDERERS[request.param]}")


def test_default_device_and_only_the_default(renderer: ModuleType, said: Callable) -> None:
    assert renderer.MeshRender().device == "cpu"
    assert renderer.MeshRender(8).size == 8
    assert renderer.MeshRender(device="cuda").device == "cuda"
    (line,) = said(
        "the default device of MeshRender is cpu instead of cuda, MeshRender.set_mesh works on copies, "
        "MeshRender.get_mesh works on copies"
    )
    assert renderer.__name__ in line and "TORCH_RASTERIZER_PATCHES=off prevents this" in line


@pytest.mark.parametrize("by_name", [False, True])
def test_set_mesh_leaves_the_mesh_alone(renderer: ModuleType, by_name: bool) -> None:
    positions, uv = (np.random.default_rng(seed).random((5, size), np.float32) for seed, size in ((1, 3), (2, 2)))
    given = {"vtx_pos": positions.copy(), "vtx_uv": uv.copy()}
    render = renderer.MeshRender()
    render.set_mesh(**given) if by_name else render.set_mesh(*given.values())
    np.testing.assert_array_equal(render.vtx_uv[:, 1], 1 - uv[:, 1])
    np.testing.assert_array_equal(given["vtx_pos"], positions)
    np.testing.assert_array_equal(given["vtx_uv"], uv)


def test_set_mesh_elsewhere_copies_anyway(renderer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    render = renderer.MeshRender(device="meta")
    monkeypatch.setattr(patches, "_copy", None)
    render.set_mesh(np.zeros((5, 3)), np.zeros((5, 2)))
    assert render.vtx_uv.device.type == "meta"


def test_get_mesh_leaves_the_renderer_alone(renderer: ModuleType) -> None:
    render = renderer.MeshRender()
    positions, uv = np.random.default_rng(1).random((5, 3)), np.random.default_rng(2).random((5, 2))
    render.set_mesh(positions, uv)
    before = render.vtx_pos, render.vtx_uv
    first, second = render.get_mesh(), render.get_mesh(sign=-1)
    for found, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(first[0], positions.astype(np.float32))
    np.testing.assert_allclose(first[1], uv, atol=1e-7)
    assert (render.vtx_pos, render.vtx_uv) == before
    np.testing.assert_array_equal(render.vtx_pos.numpy()[:, 0], -positions[:, 0].astype(np.float32))
    np.testing.assert_array_equal(render.vtx_uv.numpy()[:, 1], 1 - uv[:, 1].astype(np.float32))


def test_get_mesh_that_fails_leaves_the_renderer_alone(renderer: ModuleType) -> None:
    render = renderer.MeshRender()
    render.vtx_pos, render.vtx_uv = torch.zeros(2, 3), None
    before = render.vtx_pos
    with pytest.raises(AttributeError):
        render.get_mesh()
    assert render.vtx_pos is before


def test_conversion_of_pictures(finder: object, pack: Callable, load: Callable, said: Callable) -> None:
    nodes = sys.modules[f"{load(pack('VB')).__name__}.nodes"]
    np.testing.assert_array_equal(nodes.convert_ndarray_to_pil(torch.ones(2, 2, 3)), np.ones((2, 2, 3)))
    assert len(said("convert_ndarray_to_pil works on the CPU instead of cuda")) == 1


def test_second_time_changes_nothing(renderer: ModuleType) -> None:
    before = renderer.MeshRender.get_mesh, renderer.MeshRender.set_mesh
    assert patches.patch(renderer) == ""
    assert (renderer.MeshRender.get_mesh, renderer.MeshRender.set_mesh) == before


@pytest.mark.parametrize(
    ("variable", "value"), [("TORCH_RASTERIZER_PATCHES", "off"), ("TORCH_RASTERIZER_DROPIN", "off")]
)
def test_can_be_switched_off(
    finder: object, pack: Callable, load: Callable, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    module = load(pack("VB"))
    assert module.MeshRender.__init__.__defaults__ == (16, "cuda")
    assert not any(hasattr(getattr(module.MeshRender, name), "__wrapped__") for name in ("get_mesh", "set_mesh"))
    assert finder.patched == {}


def test_with_cuda_nothing_changes(
    finder: object, pack: Callable, load: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert load(pack("VB")).MeshRender.__init__.__defaults__ == (16, "cuda")


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", "cpu"), ("meta", "meta"), ("privateuseone", "cpu"), ("mps", "cpu"), ("xpu", "cpu")],
)
def test_device_follows_comfyui_where_its_float64_arrays_can_go(
    finder: object, pack: Callable, load: Callable, monkeypatch: pytest.MonkeyPatch, device: str, expected: str
) -> None:
    # None of the last three exists here, so that moving to it fails, as moving float64 to a real "mps" does.
    management = SimpleNamespace(get_torch_device=lambda: torch.device(device))
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    assert load(pack("VB")).MeshRender.__init__.__defaults__ == (16, expected)


def test_a_renderer_unlike_the_known_ones_still_loads(
    finder: object, pack: Callable, load: Callable, monkeypatch: pytest.MonkeyPatch, said: Callable
) -> None:
    folder = pack("VB")
    (folder / "hy3dpaint/DifferentiableRenderer/MeshRender.py").write_text("class MeshRender:\n    A = 1")
    assert load(folder).MeshRender.A == 1
    (line,) = said("could not be adapted")
    assert "MeshRender" in line


def test_a_renderer_that_replaces_its_module(finder: object, pack: Callable, load: Callable, said: Callable) -> None:
    folder = pack("VB")
    path = folder / "hy3dpaint/DifferentiableRenderer/MeshRender.py"
    path.write_text(
        path.read_text() + "\nimport sys, types\nnew = types.ModuleType(__name__)\n"
        "new.MeshRender = type('MeshRender', (MeshRender,), {'__module__': __name__})\n"
        "new.MeshRender.__init__ = lambda self, size=16, device='cuda': setattr(self, 'device', device)\n"
        "sys.modules[__name__] = new\n"
    )
    assert load(folder).MeshRender().device == "cpu"
    assert len(said("the default device of MeshRender is cpu instead of cuda")) == 1


def test_a_renderer_that_replaces_its_module_by_no_module(
    finder: object, pack: Callable, load: Callable, said: Callable
) -> None:
    folder = pack("VB")
    (folder / "hy3dpaint/DifferentiableRenderer/MeshRender.py").write_text(
        "import sys\nclass New:\n    class MeshRender: pass\nsys.modules[__name__] = New()"
    )
    assert load(folder).MeshRender()
    assert len(said("could not be adapted")) == 1
