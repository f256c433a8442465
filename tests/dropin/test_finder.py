"""Who gets our modules: nobody else's there, broken ones, working ones, forced, switched off."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import pickle
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import trimesh

import rasterizer
from rasterizer import dropin
from rasterizer.backends.others import custom_rasterizer as native
from rasterizer.runtime.presence import absent

WORKING = """
    import rasterizer
    def rasterize_image(*arguments):
        return list(rasterizer.rasterize_image(*arguments))
"""
ONE_TRIANGLE = (torch.tensor([[-1.0, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]]), torch.tensor([[0, 1, 2]]))


def _draws(module: ModuleType) -> bool:
    findices, _ = module.rasterize_image(*ONE_TRIANGLE, torch.empty(0), 8, 8, 1e-6, 0)
    return int(findices.sum()) > 0


class TestNothingInstalled:
    """Every name is ours, and is the library that is already imported."""

    @pytest.mark.parametrize("name", dropin.finder.TOP_LEVEL)
    def test_top_level_names(self, finder: object, name: str, said: Callable) -> None:
        module = importlib.import_module(name)
        assert module is sys.modules[f"rasterizer.dropin.modules.{name}"]
        assert module.__spec__.name == f"rasterizer.dropin.modules.{name}"
        importlib.import_module(name)
        assert said(name) == [f"Torch Rasterizer: {name} is provided by this pack: not installed"]

    def test_submodule_and_side_names(self, finder: object) -> None:
        import custom_rasterizer
        import custom_rasterizer.render as render

        assert render is custom_rasterizer.render and render.rasterize is custom_rasterizer.rasterize
        assert custom_rasterizer.torch is torch
        assert _draws(custom_rasterizer.custom_rasterizer_kernel)

    @pytest.mark.parametrize(
        ("module", "function", "home"),
        [
            ("custom_rasterizer", "rasterize", "custom_rasterizer.render"),
            ("custom_rasterizer", "interpolate", "custom_rasterizer.render"),
            ("custom_rasterizer_kernel", "rasterize_image", "custom_rasterizer_kernel"),
            ("mesh_inpaint_processor", "meshVerticeInpaint", "mesh_inpaint_processor"),
            ("mesh_processor", "meshVerticeInpaint", "mesh_processor"),
        ],
    )
    def test_functions_are_pickled_under_the_names_that_packs_know(
        self, finder: object, module: str, function: str, home: str
    ) -> None:
        found = getattr(importlib.import_module(module), function)
        data = pickle.dumps(found)
        assert pickle.loads(data) is found
        assert home.encode() in data and b"dropin" not in data

    def test_no_second_copy_of_the_library(self, finder: object) -> None:
        import custom_rasterizer

        assert custom_rasterizer.render.ops is rasterizer.ops

    def test_folder_of_that_name_is_not_an_installed_module(self, finder: object, installed: Callable) -> None:
        (installed() / "custom_rasterizer").mkdir()
        assert hasattr(importlib.import_module("custom_rasterizer"), "rasterize")

    def test_the_backend_of_that_name_stays_off(self, finder: object) -> None:
        assert absent("custom_rasterizer_kernel") == "not installed"
        assert _draws(importlib.import_module("custom_rasterizer_kernel"))
        assert absent("custom_rasterizer_kernel") == "not installed"
        assert native.reason_against(torch.device("cpu")) == "not installed"

    def test_other_imports_are_not_touched(self, finder: object, installed: Callable) -> None:
        installed(nodes="A = 1", render="A = 2", mesh_processor="A = 3", MeshRender="A = 4")
        for name, value in (("nodes", 1), ("render", 2), ("mesh_processor", 3)):
            module = importlib.import_module(name)
            assert value == module.A and type(module.__loader__).__name__ == "SourceFileLoader"
        assert finder.decisions == {} and finder.patched == {}
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("no_such_module")


class TestInstalled:
    """One that works stays; one that does not is replaced, and the log says why."""

    def test_a_working_one_wins(self, finder: object, installed: Callable, said: Callable) -> None:
        folder = installed(
            custom_rasterizer_kernel=WORKING,
            custom_rasterizer="from custom_rasterizer_kernel import *\nrasterize = interpolate = 1",
        )
        package, kernel = (importlib.import_module(f"custom_rasterizer{end}") for end in ("", "_kernel"))
        assert Path(package.__file__).parent == Path(kernel.__file__).parent == folder
        assert kernel.__spec__.loader is kernel.__loader__ and kernel.__spec__.name == "custom_rasterizer_kernel"
        assert type(kernel.__loader__).__name__ == "SourceFileLoader"
        assert len(said("is the installed one, which works")) == 2
        assert importlib.reload(kernel) is kernel and _draws(kernel)

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            (
                "raise ImportError('DLL load failed while importing custom_rasterizer_kernel')",
                "installed but broken (ImportError: DLL load failed while importing custom_rasterizer_kernel)",
            ),
            ("import no_such_dependency", "installed but broken (ModuleNotFoundError: No module named"),
            ("A = 1", "installed but without rasterize_image"),
            (
                "def rasterize_image(*_): raise RuntimeError('CUDA error: no kernel image is available for execution "
                "on the device\\nhints')",
                "installed but fails on DEVICE (RuntimeError: CUDA error: no kernel image is available for execution",
            ),
            (
                "import torch\ndef rasterize_image(*_): return [torch.zeros(8, 8), torch.zeros(8, 8, 3)]",
                "installed but draws nothing on DEVICE",
            ),
        ],
    )
    def test_a_broken_kernel_is_replaced(
        self, finder: object, installed: Callable, said: Callable, source: str, reason: str
    ) -> None:
        installed(
            custom_rasterizer_kernel=source,
            custom_rasterizer="import custom_rasterizer_kernel\nrasterize = 1\ninterpolate = 1",
        )
        package = importlib.import_module("custom_rasterizer")
        assert package is sys.modules["rasterizer.dropin.modules.custom_rasterizer"]
        assert _draws(importlib.import_module("custom_rasterizer_kernel"))
        (line,) = said("custom_rasterizer_kernel is provided by this pack")
        where = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
        assert reason.replace("DEVICE", where) in line and "\n" not in line
        (line,) = said("custom_rasterizer is provided by this pack")
        assert "its custom_rasterizer_kernel is not in use" in line
        assert native.reason_against(torch.device("cpu")).startswith(reason[:20])

    def test_a_package_that_lacks_its_dependencies_is_replaced(self, finder: object, installed: Callable) -> None:
        folder = installed(custom_rasterizer_kernel=WORKING) / "custom_rasterizer"
        folder.mkdir()
        (folder / "__init__.py").write_text("from .render import *\nfrom .io_glb import *")
        (folder / "render.py").write_text("import custom_rasterizer_kernel\nrasterize = interpolate = 1")
        (folder / "io_glb.py").write_text("import no_such_pygltflib")
        package = importlib.import_module("custom_rasterizer")
        assert package is sys.modules["rasterizer.dropin.modules.custom_rasterizer"]
        assert importlib.import_module("custom_rasterizer.render") is package.render
        assert sys.modules["custom_rasterizer_kernel"].__file__.startswith(str(folder.parent))

    def test_force(self, finder: object, installed: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "force")
        installed(custom_rasterizer_kernel=WORKING, mesh_processor="A = 3")
        assert importlib.import_module("custom_rasterizer_kernel").__name__.startswith("rasterizer.dropin.modules.")
        assert importlib.import_module("mesh_processor").A == 3
        assert native.reason_against(torch.device("cpu")) == "forced by TORCH_RASTERIZER_DROPIN"

    def test_off(self, finder: object, installed: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "off")
        installed(custom_rasterizer_kernel="A = 1")
        assert importlib.import_module("custom_rasterizer_kernel").A == 1
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("custom_rasterizer")
        assert {row.name: row.provider for row in dropin.statuses()} == {
            "custom_rasterizer_kernel": "native",
            "custom_rasterizer": "nobody",
            "mesh_inpaint_processor": "nobody",
            "mesh_processor": "nobody",
            "nvdiffrast": "nobody",
        }

    def test_setting_of_comfyui(
        self, finder: object, installed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "folder_paths", SimpleNamespace(get_user_directory=lambda: str(tmp_path)))
        settings = tmp_path / "default" / "comfy.settings.json"
        assert dropin.finder.mode() == "auto"
        settings.parent.mkdir()
        settings.write_text('{"TorchRasterizer.DropIn": "force"}')
        assert dropin.finder.mode() == "force"
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "off")
        assert dropin.finder.mode() == "off"
        monkeypatch.delenv("TORCH_RASTERIZER_DROPIN")
        settings.write_text("{ damaged")
        assert dropin.finder.mode() == "auto"

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[]", "null", "5", ""])
    def test_settings_that_are_none(self, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TORCH_RASTERIZER_DROPIN", raising=False)
        monkeypatch.setitem(sys.modules, "folder_paths", SimpleNamespace(get_user_directory=lambda: str(tmp_path)))
        (tmp_path / "default").mkdir()
        (tmp_path / "default" / "comfy.settings.json").write_text(text)
        assert dropin.finder.mode() == "auto"

    def test_no_user_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TORCH_RASTERIZER_DROPIN", raising=False)
        monkeypatch.setitem(sys.modules, "folder_paths", SimpleNamespace(get_user_directory=lambda: None))
        assert dropin.finder.mode() == "auto"

    def test_a_module_that_replaces_itself_is_judged_by_its_new_self(
        self, finder: object, installed: Callable, said: Callable
    ) -> None:
        installed(
            custom_rasterizer_kernel="""
            import sys, types
            import rasterizer
            new = types.SimpleNamespace(rasterize_image=lambda *a: list(rasterizer.rasterize_image(*a)))
            sys.modules[__name__] = new
            """,
            mesh_inpaint_processor="""
            import sys
            def meshVerticeInpaint(*_): pass
            sys.modules[__name__] = object()
            """,
        )
        assert isinstance(importlib.import_module("custom_rasterizer_kernel"), SimpleNamespace)
        assert len(said("custom_rasterizer_kernel is the installed one, which works")) == 1
        assert (
            importlib.import_module("mesh_inpaint_processor").__name__
            == "rasterizer.dropin.modules.mesh_inpaint_processor"
        )
        assert len(said("installed but without meshVerticeInpaint")) == 1

    def test_unknown_mode_is_said_and_taken_as_auto(
        self, finder: object, monkeypatch: pytest.MonkeyPatch, said: Callable
    ) -> None:
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "perhaps")  # which no other test has set: it is said once
        assert dropin.finder.mode() == dropin.finder.mode() == "auto"
        assert len(said("TORCH_RASTERIZER_DROPIN is 'perhaps', expected auto, force or off")) == 1


@pytest.mark.parametrize(
    ("provider", "reason", "text"),
    [
        ("ours", "not installed", "provided by this pack; no other installed"),
        (
            "ours",
            "installed but without rasterize",
            "provided by this pack; another is installed but without rasterize",
        ),
        ("ours", "forced by X", "provided by this pack; forced by X"),
        ("native", "works", "the installed one; works"),
        ("nobody", "ImportError: x", "provided by nobody; ImportError: x"),
        ("adapted", "works on copies", "adapted; works on copies"),
    ],
)
def test_what_people_read_of_it(provider: str, reason: str, text: str) -> None:
    assert str(dropin.DropInStatus("name", provider, reason)) == text


class TestPacks:
    """The import shapes of the packs, under the names ComfyUI gives them."""

    def test_slow_python_inpaint_is_overtaken(self, finder: object, pack: Callable, load: Callable) -> None:
        module = load(pack("H20"))
        render = importlib.import_module(f"{module.__name__}.hy3dgen.texgen.differentiable_renderer.mesh_render")
        assert render.meshVerticeInpaint is sys.modules["rasterizer.dropin.modules.mesh_processor"].meshVerticeInpaint
        (name,) = [name for name in finder.decisions if name.endswith(".mesh_processor")]
        assert finder.decisions[name] == (True, "the one there is not compiled")

    def test_compiled_inpaint_beside_it_stays(self, finder: object, pack: Callable, load: Callable) -> None:
        class Compiled(importlib.machinery.ExtensionFileLoader):
            def create_module(self, spec: object) -> None:
                return None

            def exec_module(self, module: ModuleType) -> None:
                module.meshVerticeInpaint = len

        class Compiler:
            @staticmethod
            def find_spec(name: str, path: object = None, target: object = None) -> object:
                if name.endswith(".mesh_processor"):
                    return importlib.util.spec_from_file_location(name, "x.so", loader=Compiled(name, "x.so"))
                return None

        sys.meta_path.insert(1, Compiler)
        module = load(pack("H20"))
        render = importlib.import_module(f"{module.__name__}.hy3dgen.texgen.differentiable_renderer.mesh_render")
        assert render.meshVerticeInpaint is len

    def test_compiled_inpaint_that_does_not_load_is_replaced(
        self, finder: object, pack: Callable, load: Callable, said: Callable
    ) -> None:
        folder = pack("H20")
        library = (
            folder
            / "hy3dgen/texgen/differentiable_renderer"
            / f"mesh_processor{sysconfig.get_config_var('EXT_SUFFIX')}"
        )
        library.write_bytes(b"for another system")
        render = importlib.import_module(f"{load(folder).__name__}.hy3dgen.texgen.differentiable_renderer.mesh_render")
        assert render.meshVerticeInpaint is sys.modules["rasterizer.dropin.modules.mesh_processor"].meshVerticeInpaint
        (line,) = said("mesh_processor is provided")
        assert "installed but broken (ImportError: " in line

    def test_relative_inpaint_import(self, finder: object, pack: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(pack("H21")))
        module = importlib.import_module("DifferentiableRenderer.MeshRender")
        inpaint = sys.modules["rasterizer.dropin.modules.mesh_inpaint_processor"]
        assert module.meshVerticeInpaint is inpaint.meshVerticeInpaint
        assert sys.modules["DifferentiableRenderer.mesh_inpaint_processor"] is inpaint

    def test_top_level_inpaint_import(self, finder: object, pack: Callable, load: Callable) -> None:
        name = load(pack("VB")).__name__
        module = sys.modules[f"{name}.hy3dpaint.DifferentiableRenderer.MeshRender"]
        assert module.meshVerticeInpaint is sys.modules["mesh_inpaint_processor"].meshVerticeInpaint

    @pytest.mark.parametrize("kind", ["H20", "VB"])
    def test_packs_loaded_before_the_finder_are_repaired(
        self, process: None, pack: Callable, load: Callable, said: Callable, kind: str
    ) -> None:
        name = load(pack(kind)).__name__
        end = {
            "H20": "hy3dgen.texgen.differentiable_renderer.mesh_render",
            "VB": "hy3dpaint.DifferentiableRenderer.MeshRender",
        }[kind]
        module = importlib.import_module(f"{name}.{end}")
        assert not hasattr(module, "meshVerticeInpaint") or kind == "H20"
        dropin.install()
        dropin.finder.active().repair()
        assert (
            module.meshVerticeInpaint
            is sys.modules["rasterizer.dropin.modules.mesh_inpaint_processor"].meshVerticeInpaint
        )
        assert len(said(f"{end}.meshVerticeInpaint is provided by this pack: that module was imported before")) == 1
        if not torch.cuda.is_available():
            assert module.MeshRender().device == "cpu"

    def test_a_kernel_without_functions_loaded_before_the_finder(self, process: None, installed: Callable) -> None:
        installed(custom_rasterizer_kernel="A = 1")
        importlib.import_module("custom_rasterizer_kernel")
        dropin.install()
        dropin.finder.active().repair()
        assert _draws(importlib.import_module("custom_rasterizer_kernel"))


class TestVersion:
    """What ``importlib.metadata`` says; some packs ask before they import."""

    @staticmethod
    def _version(name: str = "custom_rasterizer") -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    @staticmethod
    def _install(folder: Path, version: str) -> None:
        info = folder / f"custom_rasterizer-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: custom_rasterizer\nVersion: {version}\n")

    def test_ours_has_one_before_and_after_its_import(self, finder: object) -> None:
        assert self._version() == self._version("Custom-Rasterizer") == "0.1"
        assert "custom_rasterizer" not in sys.modules and finder.decisions == {}
        importlib.import_module("custom_rasterizer")
        assert self._version() == "0.1"
        assert importlib.metadata.files("custom_rasterizer") is None
        assert importlib.metadata.requires("custom_rasterizer") is None

    def test_no_other_name_and_not_in_the_list_of_all(self, finder: object) -> None:
        for name in ("custom_rasterizer_kernel", "mesh_processor", "no_such_distribution"):
            assert self._version(name) is None
        assert self._version("trimesh") == trimesh.__version__
        assert not list(finder.find_distributions(importlib.metadata.DistributionFinder.Context()))

    def test_only_where_python_looks_for_all(self, finder: object, tmp_path: Path) -> None:
        def found(**context: object) -> int:
            return len(list(importlib.metadata.distributions(name="custom_rasterizer", **context)))

        assert found() == found(path=sys.path) == found(path=list(sys.path)) == 1
        assert found(path=[str(tmp_path)]) == found(path=[]) == 0

    def test_an_installed_one_has_its_own(self, finder: object, installed: Callable) -> None:
        folder = installed(
            custom_rasterizer_kernel=WORKING,
            custom_rasterizer="import custom_rasterizer_kernel\nrasterize = interpolate = 1",
        )
        self._install(folder, "0.7")
        assert self._version() == "0.7"
        importlib.import_module("custom_rasterizer")
        assert self._version() == "0.7"

    def test_one_that_was_replaced_has_ours(self, finder: object, installed: Callable) -> None:
        self._install(installed(custom_rasterizer_kernel="A = 1", custom_rasterizer="A = 1"), "0.0")
        importlib.import_module("custom_rasterizer")
        assert self._version() == "0.1"

    def test_off(self, finder: object, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_RASTERIZER_DROPIN", "off")
        assert self._version() is None


class TestInstall:
    """Installing."""

    def test_twice_is_once(self, process: None) -> None:
        dropin.install()
        first = dropin.finder.active()
        dropin.install()
        assert [entry for entry in sys.meta_path if hasattr(entry, "is_torch_rasterizer")] == [first]

    def test_report(self, finder: object, installed: Callable) -> None:
        installed(custom_rasterizer_kernel="A = 1")
        text = str(rasterizer.backend_info("cpu"))
        broken = "provided by this pack; another is installed but without ras"
        assert f"Modules for other packs:\n  custom_rasterizer_kernel: {broken}" in text
        assert "  mesh_inpaint_processor: provided by this pack; no other installed" in text

    def test_report_without_finder(self, process: None) -> None:
        info = rasterizer.backend_info("cpu")
        assert info.dropin == () and "other packs" not in str(info)
        assert "custom_rasterizer" not in sys.modules
