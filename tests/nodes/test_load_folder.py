"""Load Mesh on a folder, and results that are called after the meshes they are made of."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh

from rasterizer.meshes.files import load_mesh
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.meshes.trimesh_objects import from_trimesh, to_trimesh
from tests.support.pack import run

NAMES = ("a.glb", "B.ply", "c.obj")


@pytest.fixture
def chairs(folders: SimpleNamespace) -> Path:
    """Three meshes of 12, 20 and 80 faces, and what is to be passed over."""
    folder = folders.input / "3d" / "chairs"
    (folder / "below").mkdir(parents=True)
    shapes = [trimesh.creation.box(), trimesh.creation.icosphere(subdivisions=0), trimesh.creation.icosphere(1)]
    for name, shape in zip(NAMES, shapes, strict=True):
        shape.export(folder / name)
    (folder / "notes.txt").write_text("no mesh")
    (folder / ".hidden.glb").write_bytes(b"")
    (folder / "dir.glb").mkdir()
    shapes[0].export(folder / "below" / "d.glb")
    return folder


def load(pack: SimpleNamespace, index: int, folder: str = "3d/chairs") -> tuple[Any, ...]:
    return run(pack, "LoadMesh", mesh_file="sample: torus", folder=folder, index=index)


def test_every_mesh_of_a_folder_by_name(pack: SimpleNamespace, chairs: Path) -> None:
    for index, (faces, name) in enumerate(zip((12, 20, 80), ("a", "B", "c"), strict=True)):
        mesh, twin, info, called, count = load(pack, index)
        assert mesh.faces.shape == (1, faces, 3) and len(twin.faces) == faces and f"{faces} faces" in info
        assert (called, count) == (name, 3)
        assert pack.nodes["LoadMesh"].validate_inputs("sample: torus", "3d/chairs", index) is True
    assert run(pack, "LoadMesh", mesh_file="sample: torus", folder="no folder", index=7)[3:] == ("torus", 1)


def test_folders_are_listed(pack: SimpleNamespace, chairs: Path) -> None:
    (choice,) = [entry for entry in pack.nodes["LoadMesh"].define_schema().inputs if entry.id == "folder"]
    assert choice.options == ["no folder", "3d/chairs", "3d/chairs/below"] and choice.default == "no folder"


@pytest.mark.parametrize(
    ("folder", "index", "words"),
    [
        ("3d/chairs", 3, "index: is 3, and the folder '3d/chairs' has 3 meshes, expected 0 to 2"),
        ("3d/chairs", -1, "index: is -1"),
        ("3d/none", 0, "folder: no folder '3d/none'"),
        ("3d/chairs/a.glb", 0, "folder: no folder"),
        ("3d/chairs/dir.glb", 0, "folder: '3d/chairs/dir.glb' has no mesh file in it"),
        ("../x", 0, "folder: '../x' lies outside"),
        ("/etc", 0, "folder: '/etc' lies outside"),
        ("C:/x", 0, "folder: 'C:/x' lies outside"),
        ("\\\\server\\share", 0, "lies outside"),
        ("", 0, "lies outside"),
        (None, 0, "folder: is NoneType"),
    ],
)
def test_what_is_refused(pack: SimpleNamespace, chairs: Path, folder: Any, index: int, words: str) -> None:
    with pytest.raises(ValueError, match="^(index|folder): ") as caught:
        load(pack, index, folder)
    assert words in str(caught.value)
    assert pack.nodes["LoadMesh"].validate_inputs("sample: torus", folder, index) == str(caught.value)


def test_a_link_out_of_the_folder_is_refused(pack: SimpleNamespace, chairs: Path, tmp_path: Path) -> None:
    (chairs / "a.glb").rename(tmp_path / "secret.glb")
    try:
        (chairs / "a.glb").symlink_to(tmp_path / "secret.glb")
    except OSError:
        pytest.skip("this system lets nobody make links")
    with pytest.raises(ValueError, match="folder: '3d/chairs/a.glb' lies outside .*: it is a link"):
        load(pack, 0)
    assert load(pack, 1)[3] == "B"


def test_what_other_nodes_give_is_looked_at_when_it_is_there(pack: SimpleNamespace, chairs: Path) -> None:
    node = pack.nodes["LoadMesh"]
    assert node.validate_inputs(folder="3d/chairs") is True and node.validate_inputs(index=99) is True
    assert "no folder" in node.validate_inputs(folder="3d/none")


def test_any_change_of_the_folder_is_seen(pack: SimpleNamespace, chairs: Path) -> None:
    def fingerprint() -> str:
        return pack.nodes["LoadMesh"].fingerprint_inputs("sample: torus", folder="3d/chairs", index=1)

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    os.utime(chairs / "B.ply", ns=(1, 1))
    seen.append(fingerprint())
    trimesh.creation.box().export(chairs / "aa.glb")  # now the one at index 1
    seen.append(fingerprint())
    (chairs / "aa.glb").unlink()
    (chairs / "c.obj").unlink()
    seen.append(fingerprint())
    assert len({*seen}) == len(seen)


class TestSource:
    """What a file is called goes with its mesh."""

    def test_through_nodes_that_change_it(self, pack: SimpleNamespace, chairs: Path, folders: SimpleNamespace) -> None:
        mesh = load(pack, 2)[0]
        image = torch.rand(1, 8, 8, 3)
        mesh.uvs = torch.rand(1, mesh.vertices.shape[1], 2)
        mesh = run(pack, "ApplyTexture", mesh=mesh, base_color=image)[0]
        for value in (mesh, run(pack, "ApplyTexture", mesh=mesh, base_color=image)[1]):  # MESH and TRIMESH
            saved = run(pack, "SaveMesh", mesh=value, filename_prefix="3d/%source%", format="glb")[0]
            assert [name.rpartition("_0000")[0] for name in saved] == ["3d/c"]

    @pytest.mark.parametrize(
        ("source", "name", "stem"),
        [
            ("my chair.v2", "x", "my chair.v2"),
            ("", "Ring of gold", "Ring of gold"),
            ("", "", "mesh"),
            ("../../up", "", "_.._up"),
            ('a/b\\c:d%date:yyyy%"', "", "a_b_c_d_date_yyyy__"),
            ("CON", "", "_CON"),
            (" . ", "", "mesh"),
            ("ü" * 200, "", "ü" * 75),
            ("𠮷" * 100, "", "𠮷" * 37),  # four bytes each
        ],
    )
    def test_as_one_plain_name(
        self, pack: SimpleNamespace, folders: SimpleNamespace, source: str, name: str, stem: str
    ) -> None:
        torus = replace(sample_mesh("torus"), source=source, name=name)
        mesh = pack.border.write_mesh(torus)
        (saved,) = run(pack, "SaveMesh", mesh=mesh, filename_prefix="%source%", format="stl")[0]
        assert saved == f"{stem}_00001_.stl" and (folders.output / saved).is_file()

    def test_in_the_library(self, tmp_path: Path) -> None:
        path = tmp_path / "my.chair.glb"
        trimesh.creation.box().export(path)
        mesh = load_mesh(path)
        assert mesh.source == "my.chair" and from_trimesh(to_trimesh(mesh)).source == "my.chair"
        with pytest.raises(ValueError, match="Mesh source: found int"):
            Mesh(mesh.vertices, mesh.faces, source=3)
