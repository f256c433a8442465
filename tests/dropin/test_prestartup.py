"""The start of ComfyUI, in processes of their own: light, any order of packs, never the library twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import ROOT

START = f"""
    import importlib.util, json, logging, sys, time

    def execute(path):  # as ComfyUI does: under its path, and not into sys.modules
        spec = importlib.util.spec_from_file_location(str(path)[:-3], path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def load(folder):  # as ComfyUI does: under its path with the dots replaced
        name = str(folder).replace(".", "_x_")
        spec = importlib.util.spec_from_file_location(name, f"{{folder}}/__init__.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    def libraries():
        return sorted(name for name in sys.modules if name.endswith("rasterizer.version"))

    ROOT = {str(ROOT)!r}
    NAME = ROOT.replace(".", "_x_")
"""


def run(code: str, **environment: str) -> dict:
    """What a fresh Python prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(START) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "", **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_light(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = """
        before = set(sys.modules)
        start = time.perf_counter()
        execute(f"{ROOT}/prestartup_script.py")
        spent = time.perf_counter() - start
        start = time.perf_counter()
        for number in range(10000):
            sys.meta_path[0].find_spec(f"some.package.module{number}")
        look = (time.perf_counter() - start) / 10000
        print(json.dumps([spent, look, sorted(set(sys.modules) - before)]))
        """
    kept = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    first, _, _ = run(code, **kept)
    spent, look, modules = run(code, **kept)
    with capsys.disabled():
        print(
            f"\nprestartup_script.py: {1e3 * spent:.2f} ms ({1e3 * first:.2f} ms the first time, without bytecode); "
            f"{1e6 * look:.2f} us for each import of others"
        )
    outside = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert outside == {"torch_rasterizer_dropin_finder"}


@pytest.mark.slow
def test_a_pack_that_comes_first_and_the_pack_itself_share_one_library(pack: Callable[[str], Path]) -> None:
    found = run(
        f"""
        execute(f"{{ROOT}}/prestartup_script.py")
        other = load({str(pack("VB"))!r})
        early = libraries()
        ours = load(ROOT)
        import custom_rasterizer
        from importlib import import_module
        import_module(f"{{NAME}}.rasterizer.cameras.camera")
        print(json.dumps([other.MeshRender.__init__.__defaults__[-1], early, libraries(), custom_rasterizer.__name__,
            ours.__file__, len([f for f in sys.meta_path if hasattr(f, "is_torch_rasterizer")])]))
        """,
        CUDA_VISIBLE_DEVICES="",
    )
    name = str(ROOT).replace(".", "_x_")
    library = [f"{name}.rasterizer.version"]
    assert found == [
        "cpu",
        library,
        library,
        f"{name}.rasterizer.dropin.modules.custom_rasterizer",
        str(ROOT / "__init__.py"),
        1,
    ]


@pytest.mark.slow
def test_without_the_prestartup_script_the_pack_itself_repairs(pack: Callable[[str], Path]) -> None:
    found = run(
        f"""
        other = load({str(pack("VB"))!r})
        module = sys.modules[other.MeshRender.__module__]
        before = hasattr(module, "meshVerticeInpaint")
        load(ROOT)
        print(json.dumps([before, module.meshVerticeInpaint.__module__, other.MeshRender.__init__.__defaults__[-1]]))
        """,
        CUDA_VISIBLE_DEVICES="",
    )
    name = str(ROOT).replace(".", "_x_")
    assert found == [False, f"{name}.rasterizer.dropin.modules.mesh_inpaint_processor", "cpu"]


def test_the_pack_alone_imports_nothing_heavy() -> None:
    modules = run("load(ROOT); print(json.dumps(sorted(sys.modules)))")
    assert not {"torch", "numpy"} & set(modules)


@pytest.mark.slow
def test_nvdiffrast_before_the_pack_is_of_the_same_library() -> None:
    found = run(
        """
        execute(f"{ROOT}/prestartup_script.py")
        import importlib.metadata
        version = importlib.metadata.version("nvdiffrast")
        import torch
        import nvdiffrast.torch as dr
        pos = torch.tensor([[[-1.0, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]]], requires_grad=True)
        tri = torch.tensor([[0, 1, 2]], dtype=torch.int32)
        rast, _ = dr.rasterize(dr.RasterizeCudaContext(device="cuda"), pos, tri, resolution=[8, 8])
        dr.antialias((rast[..., 3:] > 0).float(), rast, pos, tri).sum().backward()
        early = libraries()
        load(ROOT)
        import nvdiffrast.torch.ops
        import pickle
        name = pickle.dumps(dr.rasterize).decode("latin-1")
        print(json.dumps([version, int((rast[..., 3] > 0).sum()), bool(pos.grad.any()), early, libraries(),
            dr.__name__, nvdiffrast.torch is dr, "nvdiffrast.torch.ops" in name and "dropin" not in name]))
        """
    )
    library = [f"{str(ROOT).replace('.', '_x_')}.rasterizer.version"]
    module = library[0].removesuffix("version") + "dropin.modules.nvdiffrast.torch"
    assert found == ["0.4.0", 32, True, library, library, module, True, True]
