"""ComfyUI's 3D files on the nodes' inputs, and of what Save Mesh has saved."""

from __future__ import annotations

import gc
import io
import json
import os
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rasterizer.meshes.files import load_mesh, save_mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from tests.fuzz.mesh_seeds import document, with_parts
from tests.support.needs import needs_simplification
from tests.support.pack import rasterize, run


class File:
    """As ComfyUI's ``File3D``, in any version."""

    def __init__(self, source: Path | bytes, format: str = "") -> None:
        self.source, self.reads = source, 0
        self.is_disk_backed = isinstance(source, Path)
        self.format = format or (source.suffix[1:] if isinstance(source, Path) else "")

    def get_source(self) -> Any:
        return str(self.source) if isinstance(self.source, Path) else io.BytesIO(self.source)

    def get_bytes(self) -> bytes:
        self.reads += 1
        return self.source.read_bytes() if isinstance(self.source, Path) else self.source


@pytest.fixture
def torus_file(folders: SimpleNamespace) -> Path:
    """A GLB in ComfyUI's input folder."""
    (folders.input / "3d").mkdir()
    save_mesh(sample_mesh("torus"), folders.input / "3d" / "ring.glb")
    return folders.input / "3d" / "ring.glb"


def load(pack: SimpleNamespace, value: Any, mesh_file: str = "sample: torus") -> tuple[Any, ...]:
    return run(pack, "LoadMesh", mesh_file=mesh_file, model_3d=value)


@pytest.mark.parametrize("in_memory", [False, True])
def test_load_mesh_takes_it_instead_of_the_named_file(pack: SimpleNamespace, torus_file: Path, in_memory: bool) -> None:
    file = File(torus_file.read_bytes(), "GLB") if in_memory else File(torus_file)
    mesh, trimesh_mesh, info, name, count = load(pack, file)
    assert (name, count) == ("torus" if in_memory else torus_file.stem, 1)
    torch.testing.assert_close(mesh.vertices[0], sample_mesh("torus").vertices)
    assert len(trimesh_mesh.faces) == len(sample_mesh("torus").faces) and info.startswith("torus: ")


def test_any_mesh_input_takes_it_and_reads_it_once(pack: SimpleNamespace, torus_file: Path, torus: Any) -> None:
    file = File(torus_file)
    found = [rasterize(pack, file)[1] for _ in range(3)]
    assert all(torch.equal(picture, rasterize(pack, torus)[1]) for picture in found) and file.reads == 1


def test_a_file_that_has_changed_is_read_again(pack: SimpleNamespace, torus_file: Path) -> None:
    file = File(torus_file)
    load(pack, file)
    save_mesh(sample_mesh("trefoil knot"), torus_file)
    os.utime(torus_file, (1, 1))
    assert len(load(pack, file)[0].vertices[0]) == len(sample_mesh("trefoil knot").vertices) and file.reads == 2


def test_nothing_is_kept_of_a_file_that_is_gone(pack: SimpleNamespace, torus_file: Path) -> None:
    file = File(torus_file)
    mesh = weakref.ref(pack.border.read_meshes(file)[0])
    assert mesh() is not None
    del file
    gc.collect()
    assert mesh() is None


def test_what_is_left_out_is_said_each_time(pack: SimpleNamespace, folders: SimpleNamespace) -> None:
    (folders.input / "a.obj").write_text("mtllib gone.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    file = File(folders.input / "a.obj")
    rasterize(pack, file)
    texts = [load(pack, file)[2] for _ in range(2)]
    assert all("\na.obj refers to a file that is left out: 'gone.mtl'" in text for text in texts) and file.reads == 1
    assert str(folders.input) not in "".join(texts)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "model_3d: is empty: the node before it gave nothing. In a Load 3D node, choose a file"),
        ("3d/ring.glb", "model_3d: is a str, expected a 3D file"),
        (File(b"Kaydara", "fbx"), r"model_3d: .*found suffix '.fbx', expected one of .glb.*Blender.*GLB"),
        (File(b"", "ksplat"), r"model_3d: .*found suffix '.ksplat'.*points without a surface"),
        (File(b"no glTF", "glb"), "model_3d: mesh data: not readable as .glb"),
        (File(Path("gone.glb")), r"model_3d: the 3D file gone.glb cannot be read .*run the node before again"),
    ],
)
def test_what_cannot_be_read_is_named(
    pack: SimpleNamespace, folders: SimpleNamespace, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(pack, value)


def test_files_beside_it_are_read_in_comfyuis_folders_only(
    pack: SimpleNamespace, folders: SimpleNamespace, tmp_path: Path
) -> None:

    header, data = document()
    files = with_parts({"a.gltf": json.dumps(header).encode(), "mesh.bin": data})
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    for folder in (folders.output, outside):
        for name, content in files.items():
            (folder / name).write_bytes(content)
    assert load(pack, File(folders.output / "a.gltf"))[0].texture is not None
    for value in (File(outside / "a.gltf"), File(files["a.gltf"], "gltf")):
        with pytest.raises(ValueError, match="'mesh.bin' is a file of its own"):
            load(pack, value)
    (folders.output / "link.gltf").symlink_to(outside / "a.gltf")
    with pytest.raises(ValueError, match="'mesh.bin' is a file of its own"):
        load(pack, File(folders.output / "link.gltf"))


def test_save_mesh_gives_one_for_each_mesh(pack: SimpleNamespace, folders: SimpleNamespace) -> None:
    pair = pack.border.write_mesh(sample_mesh("torus"), sample_mesh("trefoil knot"))
    paths, files = run(pack, "SaveMesh", mesh=pair, filename_prefix="3d/pair", format="glb")
    assert len(files) == len(paths) == 2
    if files[0] is None:
        pytest.skip("this ComfyUI has no 3D files")
    assert [Path(file.get_source()) for file in files] == [folders.output.resolve() / path for path in paths]
    found = [load(pack, file)[0].vertices[0] for file in files]
    assert [len(vertices) for vertices in found] == [
        len(sample_mesh(name).vertices) for name in ("torus", "trefoil knot")
    ]


def test_names_travel_from_file_to_file(pack: SimpleNamespace, torus_file: Path) -> None:

    save_mesh(replace(sample_mesh("torus"), name="Ring of gold", material="Gold"), torus_file)
    mesh, trimesh_mesh, *_ = load(pack, File(torus_file))
    for kind, value in enumerate((mesh, trimesh_mesh)):
        (path,), _ = run(pack, "SaveMesh", mesh=value, filename_prefix=f"again{kind}", format="glb")
        found = load_mesh(torus_file.parents[2] / "output" / path)
        assert (found.name, found.material) == ("Ring of gold", "Gold")


class TestFactors:
    """Of ComfyUI's attribute ``material``."""

    @staticmethod
    def read(pack: SimpleNamespace, torus: Any, **material: Any) -> Any:
        torus.material = material
        return pack.border.read_meshes(torus)[0]

    def test_base_colour_tints(self, pack: SimpleNamespace, torus: Any) -> None:
        plain = self.read(pack, torus, base_color_factor=[1.0, 1.0, 1.0, 1.0])
        assert plain.vertex_colors is None
        tinted = self.read(pack, torus, base_color_factor=(0.5, 0.25, 1.0, 1.0))
        assert torch.unique(tinted.vertex_colors, dim=0).tolist() == [[0.5, 0.25, 1.0]]
        torus.vertex_colors = torch.full((*torus.vertices.shape[:2], 4), 0.5)
        both = self.read(pack, torus, base_color_factor=[1.0, 1.0, 0.5, 0.5])
        assert torch.unique(both.vertex_colors, dim=0).tolist() == [[0.5, 0.5, 0.25, 0.25]]

    def test_surface(self, pack: SimpleNamespace, torus: Any) -> None:
        assert self.read(pack, torus, metallic_factor=-1.0, roughness_factor=-1.0).metallic_roughness is None
        found = self.read(pack, torus, metallic_factor=1.0, roughness_factor=0.25).metallic_roughness
        assert found.tolist() == [[[1.0, 0.25, 1.0]]]
        torus.metallic_roughness = torch.full((1, 2, 2, 3), 0.5)
        torus.occlusion_in_mr = True
        found = self.read(pack, torus, metallic_factor=0.5, roughness_factor=1.0, occlusion_strength=0.5)
        assert torch.unique(found.metallic_roughness.flatten(0, 1), dim=0).tolist() == [[0.75, 0.5, 0.25]]

    def test_normals(self, pack: SimpleNamespace, torus: Any) -> None:
        torus.normal_map = torch.tensor([[[[0.8, 0.5, 0.9]]]])
        found = self.read(pack, torus, normal_scale=0.0).normal_map
        torch.testing.assert_close(found, torch.tensor([[[0.5, 0.5, 1.0]]]))

    def test_what_is_no_number_is_named(self, pack: SimpleNamespace, torus: Any) -> None:
        with pytest.raises(ValueError, match="mesh: material has metallic_factor 'shiny', expected 1 numbers"):
            self.read(pack, torus, metallic_factor="shiny")

    def test_a_new_texture_is_not_multiplied_again(self, pack: SimpleNamespace, torus: Any) -> None:
        torus.metallic_roughness = torch.full((1, 2, 2, 3), 0.5)
        torus.material = {"metallic_factor": 0.5, "base_color_factor": [0.5, 0.5, 0.5, 1.0]}
        result, _ = run(pack, "ApplyTexture", mesh=torus, base_color=torch.full((1, 4, 4, 3), 0.5))
        found = pack.border.read_meshes(result)[0]
        assert found.vertex_colors is None and float(found.metallic_roughness[0, 0, 2]) == 0.25

    @needs_simplification
    @pytest.mark.parametrize("keep_uvs", [False, True])
    def test_a_simplified_mesh_is_not_multiplied_again(self, pack: SimpleNamespace, torus: Any, keep_uvs: bool) -> None:
        torus.material = {"base_color_factor": [0.5, 1.0, 0.25, 0.5], "metallic_factor": 0.5, "double_sided": True}
        result = run(pack, "Simplify", mesh=torus, target_faces=2000, keep_uvs=keep_uvs)[0]
        found = pack.border.read_meshes(result)[0]
        expected = torch.tensor([0.5, 1.0, 0.25, 0.5]).expand(len(found.vertices), 4)
        torch.testing.assert_close(found.vertex_colors, expected)
        assert result.material["double_sided"] and torus.material["base_color_factor"] == [0.5, 1.0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("node", "values"),
    [("Simplify", {"target_faces": 10_000, "keep_uvs": True}), ("UnwrapUV", {"resolution": 64, "padding": 1})],
)
def test_what_passes_as_it_is_comes_out_as_a_mesh(
    pack: SimpleNamespace, torus_file: Path, node: str, values: dict[str, Any]
) -> None:
    mesh, trimesh_mesh = run(pack, node, mesh=File(torus_file), **values)[:2]
    torch.testing.assert_close(mesh.vertices[0], sample_mesh("torus").vertices)
    assert len(trimesh_mesh.faces) == len(sample_mesh("torus").faces)


@needs_simplification
def test_a_file_is_simplified(pack: SimpleNamespace, torus_file: Path) -> None:
    assert run(pack, "Simplify", mesh=File(torus_file), target_faces=500, keep_uvs=False)[0].faces.shape == (1, 500, 3)
