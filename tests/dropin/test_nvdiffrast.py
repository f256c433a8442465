"""Who gets ``nvdiffrast`` from us, and that it looks like the original from outside."""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import importlib.util
import inspect
import pickle
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import rasterizer
from rasterizer import dropin
from rasterizer.backends.others import nvdiffrast as guest
from rasterizer.dropin.modules.nvdiffrast import torch as dr
from rasterizer.runtime.presence import StandInError, original

CUDA = torch.device("cuda", 0)

WORKING = """
    import torch
    class RasterizeCudaContext:
        def __init__(self, device=None): pass
    def rasterize(context, pos, tri, resolution):
        rast = torch.zeros(1, *resolution, 4, device=pos.device)
        rast[0, :6, :6, 3] = 1
        return rast, rast
    def interpolate(): pass
    def texture(): pass
    def antialias(): pass
"""
"""What draws the triangle that is asked for, and has the surface."""


@pytest.fixture
def install(installed: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a package ``nvdiffrast`` as Python would find it installed: ``install(torch="...")``."""

    def write(torch: str = "", version: str = "0.3.9") -> Path:
        folder = installed()
        inner = folder / "nvdiffrast" / "torch"
        inner.mkdir(parents=True)
        (inner.parent / "__init__.py").write_text(f"__version__ = {version!r}")
        (inner / "__init__.py").write_text("from .ops import *")
        (inner / "ops.py").write_text(textwrap.dedent(torch))
        info = folder / f"nvdiffrast-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: nvdiffrast\nVersion: {version}\n")
        return folder

    return write


def _is_ours(module: ModuleType) -> bool:
    return module.__name__.startswith("rasterizer.dropin.modules.nvdiffrast")


class TestSurface:
    """Names, parameters, their order and defaults are those of nvdiffrast 0.4."""

    @pytest.mark.parametrize(
        ("name", "signature"),
        {
            "RasterizeCudaContext": "device=None",
            "RasterizeGLContext": "output_db=True, mode='automatic', device=None",
            "rasterize": "glctx, pos, tri, resolution, ranges=None, grad_db=True",
            "DepthPeeler": "glctx, pos, tri, resolution, ranges=None, grad_db=True",
            "interpolate": "attr, rast, tri, rast_db=None, diff_attrs=None",
            "texture": "tex, uv, uv_da=None, mip_level_bias=None, mip=None, filter_mode='auto', boundary_mode='wrap', "
            "max_mip_level=None",
            "texture_construct_mip": "tex, max_mip_level=None, cube_mode=False",
            "antialias": "color, rast, pos, tri, topology_hash=None, pos_gradient_boost=1.0",
            "antialias_construct_topology_hash": "tri",
            "get_log_level": "",
            "set_log_level": "level",
        }.items(),
    )
    def test_signatures(self, name: str, signature: str) -> None:
        found = inspect.signature(getattr(dr, name))
        plain = [value.replace(annotation=inspect.Parameter.empty) for value in found.parameters.values()]
        assert str(inspect.Signature(plain)) == f"({signature})"

    def test_names(self) -> None:
        assert sorted(dr.__all__) == sorted(name for name in vars(dr) if name[0] != "_" and name != "ops")
        assert all(getattr(dr.ops, name) is getattr(dr, name) for name in dr.__all__)

    def test_log_level(self) -> None:
        assert dr.get_log_level() == 1
        assert dr.set_log_level(0) is None and dr.get_log_level() == 0
        dr.set_log_level(1)
        with pytest.raises(TypeError):
            dr.set_log_level("info")

    def test_what_versions_before_0_4_had(self) -> None:
        assert dr.ops._get_plugin() is None and dr.ops._get_plugin(gl=True) is None
        dr.ops._cached_plugin[False] = "compiled beforehand"
        assert dr.ops._get_plugin() == "compiled beforehand"
        dr.ops._cached_plugin.clear()


class TestContexts:
    """They may be made anywhere, for any device, and hold nothing."""

    @pytest.mark.parametrize("device", [None, "cuda", "cuda:0", "cpu", "mps", 0, torch.device("cuda", 3)])
    @pytest.mark.parametrize("kind", [dr.RasterizeCudaContext, dr.RasterizeGLContext])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_any_device(self, kind: type, device: Any) -> None:
        assert kind(device=device).active_depth_peeler is None

    @pytest.mark.parametrize(("device", "wrong"), [("gpu", RuntimeError), (1.5, TypeError), ([], TypeError)])
    def test_no_device(self, device: Any, wrong: type[Exception]) -> None:
        with pytest.raises(wrong, match="device"):
            dr.RasterizeCudaContext(device)

    def test_the_one_of_opengl_warns_once_where_it_is_made(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            context = dr.RasterizeGLContext(output_db=False, mode="manual")
        assert [(warning.category, warning.filename) for warning in caught] == [(DeprecationWarning, __file__)]
        assert isinstance(context, dr.RasterizeCudaContext)
        assert context.set_context() is context.release_context() is None

    def test_can_be_copied_and_pickled(self) -> None:
        context = dr.RasterizeCudaContext()
        assert copy.deepcopy(context).active_depth_peeler is None


class TestNothingInstalled:
    """It is ours, under every name that it is imported by, and said so once."""

    def test_every_form_of_import(self, finder: object, said: Callable) -> None:
        import nvdiffrast
        import nvdiffrast.torch
        import nvdiffrast.torch as named
        import nvdiffrast.torch.ops as ops
        from nvdiffrast import torch as member
        from nvdiffrast.torch import RasterizeGLContext

        assert nvdiffrast.torch is named is member is dr and ops is dr.ops
        assert RasterizeGLContext is dr.RasterizeGLContext
        assert nvdiffrast.__version__ == "0.4.0"
        assert said("nvdiffrast") == ["Torch Rasterizer: nvdiffrast is provided by this pack: not installed"]

    def test_parts_alone_bring_the_package(self, finder: object) -> None:
        assert importlib.import_module("nvdiffrast.torch.ops") is dr.ops
        assert sys.modules["nvdiffrast"].torch.ops is dr.ops

    def test_there_are_no_other_parts(self, finder: object) -> None:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("nvdiffrast.tensorflow")

    def test_it_is_found_by_those_who_only_look(self, finder: object) -> None:
        assert importlib.util.find_spec("nvdiffrast") is not None
        assert importlib.util.find_spec("nvdiffrast.torch") is not None
        assert importlib.metadata.version("nvdiffrast") == "0.4.0"
        assert "nvdiffrast.torch" not in sys.modules

    @pytest.mark.parametrize("name", ["rasterize", "antialias", "RasterizeCudaContext", "DepthPeeler"])
    def test_pickled_under_the_names_that_programs_know(self, finder: object, name: str) -> None:
        importlib.import_module("nvdiffrast.torch")
        data = pickle.dumps(getattr(dr, name))
        assert b"nvdiffrast.torch.ops" in data and b"dropin" not in data
        assert pickle.loads(data) is getattr(dr, name)
        context = pickle.loads(pickle.dumps(dr.RasterizeCudaContext()))
        assert type(context) is dr.RasterizeCudaContext

    def test_the_backend_of_that_name_stays_off(self, finder: object) -> None:
        assert guest.reason_against(CUDA) == "not installed"
        importlib.import_module("nvdiffrast.torch")
        assert guest.reason_against(CUDA) == "not installed"
        with pytest.raises(StandInError):
            guest.bare_call(torch.zeros(3, 4), torch.zeros(1, 3), (8, 8))
        with pytest.raises(StandInError):
            original("nvdiffrast.torch")

    def test_report(self, finder: object) -> None:
        assert "  nvdiffrast: provided by this pack; no other installed" in str(rasterizer.backend_info("cpu"))


class TestInstalled:
    """One that works stays; one that does not is replaced as a whole, and the log says why."""

    def test_a_working_one_wins(self, finder: object, install: Callable, said: Callable) -> None:
        folder = install(WORKING)
        import nvdiffrast.torch.ops

        assert Path(nvdiffrast.__file__).parent == folder / "nvdiffrast" and nvdiffrast.__version__ == "0.3.9"
        assert not hasattr(nvdiffrast.torch.ops, "__dropin__")
        assert said("nvdiffrast") == ["Torch Rasterizer: nvdiffrast is the installed one, which works"]
        assert importlib.metadata.version("nvdiffrast") == "0.3.9"
        assert guest.reason_against(CUDA) == "" and original("nvdiffrast.torch") is nvdiffrast.torch

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("raise ImportError('DLL load failed')", "installed but broken (ImportError: DLL load failed)"),
            ("import _no_such_extension", "installed but broken (ModuleNotFoundError: No module named"),
            (WORKING.replace("def texture", "def text"), "installed but without texture"),
            (
                WORKING.replace(
                    "pass\n", "raise RuntimeError('Ninja is required to load C++ extensions\\nhints')\n", 1
                ),
                "installed but fails on DEVICE (RuntimeError: Ninja is required to load C++ extensions)",
            ),
            (WORKING.replace("= 1", "= 0"), "installed but draws nothing on DEVICE"),
        ],
        ids=["library", "extension", "surface", "compiler", "nothing"],
    )
    def test_a_broken_one_is_replaced(
        self, finder: object, install: Callable, said: Callable, source: str, reason: str
    ) -> None:
        install(source)
        where = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
        import nvdiffrast.torch as found

        assert found is dr and importlib.import_module("nvdiffrast.torch.ops") is dr.ops
        (line,) = said("nvdiffrast")
        assert f"nvdiffrast is provided by this pack: {reason.replace('DEVICE', where)}" in line and "\n" not in line
        assert importlib.metadata.version("nvdiffrast") == sys.modules["nvdiffrast"].__version__ == "0.4.0"
        assert guest.reason_against(CUDA).startswith(reason[:20])

    def test_force(self, finder: object, install: Callable, monkeypatch: pytest.MonkeyPatch, said: Callable) -> None:
        install(WORKING)
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "force")
        assert guest.reason_against(CUDA) == "forced by TORCH_RASTERIZER_DROPIN"
        assert importlib.import_module("nvdiffrast.torch") is dr
        assert said("nvdiffrast") == [
            "Torch Rasterizer: nvdiffrast is provided by this pack: forced by TORCH_RASTERIZER_DROPIN"
        ]

    def test_off(self, finder: object, install: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        install("A = 1")
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "off")
        assert importlib.import_module("nvdiffrast.torch").A == 1
        assert importlib.metadata.version("nvdiffrast") == "0.3.9"

    def test_one_that_failed_before_the_finder_came(self, process: None, install: Callable, said: Callable) -> None:
        install("import _no_such_extension")
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("nvdiffrast.torch")
        dropin.install()
        dropin.finder.active().repair()
        assert importlib.import_module("nvdiffrast.torch") is dr
        assert len(said("nvdiffrast is provided by this pack: installed but broken")) == 1

    def test_one_that_was_imported_before_the_finder_came_stays(self, process: None, install: Callable) -> None:
        install("A = 1")
        before = importlib.import_module("nvdiffrast.torch")
        dropin.install()
        dropin.finder.active().repair()
        assert importlib.import_module("nvdiffrast.torch") is before
        assert not _is_ours(sys.modules["nvdiffrast"])
