"""OBJ files with what lies beside them: whole at any time, and nobody else's."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice, permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rasterizer.meshes.beside import KINDS, stems
from rasterizer.meshes.files import load_mesh, save_mesh, saved_files
from rasterizer.meshes.mesh import Mesh


def square(seed: int) -> Mesh:
    """With three textures of 8 bits."""
    images = (torch.rand(3, 8, 16, 3, generator=torch.Generator().manual_seed(seed)) * 255).round() / 255
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    points = torch.cat((uvs, torch.full((4, 1), float(seed))), dim=1)
    faces = torch.tensor([[0, 2, 1], [1, 2, 3]], dtype=torch.int32)
    return Mesh(points, faces, uvs=uvs, texture=images[0], metallic_roughness=images[1], normal_map=images[2])


A, B = square(0), square(1)


def shows(path: Path, mesh: Mesh) -> bool:
    """Whether a file shows a mesh, its colours and its surface."""
    found = load_mesh(path)
    material = (path.parent / path.read_text().split("\n")[0].removeprefix("mtllib ")).read_text()
    name = next(line for line in material.splitlines() if line.startswith("map_Pr")).removeprefix("map_Pr ")
    rough = np.asarray(Image.open(path.parent / name)) / np.float32(255)
    same = np.array_equal(rough, mesh.metallic_roughness[..., 1].numpy()) and torch.equal(found.texture, mesh.texture)
    return same and torch.equal(found.vertices[found.faces.long()], mesh.vertices[mesh.faces.long()])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def beside(stem: str) -> set[str]:
    return {f"{stem}.mtl", *(f"{stem}{kind}.png" for kind in KINDS)}


@pytest.mark.parametrize(
    "pair", [("x y", "x_y"), ("q_", "q"), ("q_roughness", "q"), ("a\tb" if os.name != "nt" else "a#b", "a b")]
)
def test_two_names_share_nothing(tmp_path: Path, pair: tuple[str, str]) -> None:
    pair = tuple(name.replace("\t", "\u3000") for name in pair)
    for first, second in permutations(pair):
        folder = tmp_path / first
        one, other = folder / f"{first}.obj", folder / f"{second}.obj"
        assert not {*save_mesh(A, one)} & {*save_mesh(B, other)}
        assert shows(one, A) and shows(other, B)
        assert len(names(folder)) == 12


@given(
    st.lists(st.text("aA_ =#%-\\~\u3000\udc80ü.é" + "".join(KINDS), max_size=8), min_size=2, max_size=2, unique=True)
)
def test_no_two_stems_meet(pair: list[str]) -> None:
    made: list[set[str]] = []
    for stem in pair:
        path = Path(f"x{stem}.obj") if not stem.startswith("-") else Path(f"{stem}.obj")
        made.append({name for first in islice(stems(path), 4) for name in beside(first)})
        assert all(not set(name) & set(' \t\u3000#%"\\') for name in made[-1])
    assert not made[0] & made[1] and all(len(found) == 20 for found in made)


def test_plain_names_are_kept_and_long_ones_fit(tmp_path: Path) -> None:
    for stem in ("photo", "statue_00001_", "a.b-c(1)", "Büste", "雕像"):
        assert {path.name for path in saved_files(A, f"{stem}.obj")[1:]} == beside(stem)
    (reserved, other) = (tmp_path / f"{'n' * 250}{last}.obj" for last in "ab")
    assert not {*save_mesh(A, reserved)} & {*save_mesh(B, other)}
    save_mesh(A, tmp_path / (" " * 100 + "-o 1.obj"))
    assert shows(reserved, A) and shows(other, B) and shows(tmp_path / (" " * 100 + "-o 1.obj"), A)


@pytest.mark.parametrize("name", ["back\\", "two \\ \\\\", "a\nv 9 9 9", "#", "\\"])
def test_no_name_changes_what_follows_it(tmp_path: Path, name: str) -> None:
    save_mesh(replace(A, name=name, material=name), tmp_path / "a.obj")
    found = load_mesh(tmp_path / "a.obj")
    assert torch.equal(found.vertices, A.vertices) and shows(tmp_path / "a.obj", A)


def test_files_of_others_stay(tmp_path: Path) -> None:
    others = {"photo.png": b"mine", "photo_metallic.png": b"mine, too", "photo=v2.mtl": b"and this"}
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
    for mesh in (A, B, A):
        files = save_mesh(mesh, tmp_path / "photo.obj")
        assert shows(tmp_path / "photo.obj", mesh)
        assert names(tmp_path) == {*others, *(path.name for path in files)} and len(files) == 6
        assert all((tmp_path / name).read_bytes() == data for name, data in others.items())
    for name in ("photo.png", "photo_metallic.png"):
        (tmp_path / name).unlink()
    save_mesh(B, tmp_path / "photo.obj")
    assert shows(tmp_path / "photo.obj", B)
    assert names(tmp_path) == {"photo.obj", "photo=v2.mtl", *beside("photo")}


def test_a_picture_that_a_user_has_put_in_place_of_ours_stays(tmp_path: Path) -> None:
    save_mesh(A, tmp_path / "photo.obj")
    Image.new("RGB", (3, 3)).save(tmp_path / "photo.png")
    painted = (tmp_path / "photo.png").read_bytes()
    save_mesh(B, tmp_path / "photo.obj")
    assert (tmp_path / "photo.png").read_bytes() == painted and shows(tmp_path / "photo.obj", B)


def test_what_an_edited_file_names_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "art").mkdir()
    save_mesh(A, tmp_path / "art" / "own.obj")
    save_mesh(A, tmp_path / "own.obj")
    save_mesh(A, tmp_path / "copy.obj")
    before = contents(tmp_path / "art")
    for named in ("art/own", "../own", "own"):
        text = (tmp_path / "copy.obj").read_text().partition("\n")[2]
        (tmp_path / "copy.obj").write_text(f"mtllib {named}.mtl\n{text}")
        save_mesh(B, tmp_path / "copy.obj")
        assert shows(tmp_path / "copy.obj", B) and shows(tmp_path / "own.obj", A)
        assert contents(tmp_path / "art") == before


def test_saving_again_leaves_no_litter(tmp_path: Path) -> None:
    for mesh in (A, B):
        files = save_mesh(mesh, tmp_path / "a b.obj")
        assert names(tmp_path) == {"a b.obj", *beside("a=20b")} == {path.name for path in files}
        assert shows(tmp_path / "a b.obj", mesh)
    save_mesh(replace(A, metallic_roughness=None, normal_map=None), tmp_path / "a b.obj")
    assert names(tmp_path) == {"a b.obj", "a=20b.mtl", "a=20b.png"}
    save_mesh(replace(A, metallic_roughness=None, normal_map=None, texture=None), tmp_path / "a b.obj")
    assert names(tmp_path) == {"a b.obj"}


def test_what_a_killed_process_left_goes_at_the_next_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.obj"
    save_mesh(A, path)
    with monkeypatch.context() as patch:
        patch.setattr("rasterizer.meshes.obj.remove", lambda names: None)
        save_mesh(B, path)
    assert shows(path, B) and len(names(tmp_path)) == 11
    save_mesh(A, path)
    assert shows(path, A) and names(tmp_path) == {"mesh.obj", *beside("mesh")}


class FullError(OSError):
    """The disk is full."""


def failing(monkeypatch: pytest.MonkeyPatch, where: str, number: int, stays: bool) -> None:
    """Let the call of a function with this number fail, and with ``stays`` all after it."""
    owner = Path if where.startswith("write") else os
    real, calls = getattr(owner, where), 0

    def call(*args, **options):
        nonlocal calls
        calls += 1
        if calls == number or (stays and calls > number):
            if where.startswith("write"):
                real(args[0], args[1][:10])
            raise FullError(28, "No space left on device")
        return real(*args, **options)

    monkeypatch.setattr(owner, where, call)


CASES = [*product(("write_bytes", "replace", "link", "fsync"), (False, True), (False, True), range(1, 14))]


@pytest.mark.slow
@pytest.mark.parametrize(("where", "stays", "again", "number"), CASES)
def test_a_full_disk_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, stays: bool, again: bool, number: int
) -> None:
    path = tmp_path / "my mesh.obj"
    if again:
        save_mesh(A, path)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, where, number, stays)
        try:
            files = save_mesh(B, path)
        except FullError:
            assert contents(tmp_path) == before
            return
    assert shows(path, B)
    assert names(tmp_path) == {file.name for file in files}


def test_the_process_may_die_at_any_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each change of the folder, the OBJ file shows one mesh or the other."""
    path = tmp_path / "mesh.obj"
    save_mesh(A, path)
    states = []
    for name in ("link", "replace", "rename", "unlink"):
        real = getattr(os, name)

        def step(*args, real=real, **options):
            states.append((shows(path, A), shows(path, B)))
            return real(*args, **options)

        monkeypatch.setattr(os, name, step)
    save_mesh(B, path)
    monkeypatch.undo()
    assert {*states} == {(True, False), (False, True)} and shows(path, B)


def test_another_program_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, foreign = os.link, tmp_path / "mesh_roughness.png"

    def link(source: Path, target: Path) -> None:
        if target == foreign and not foreign.exists():
            foreign.write_bytes(b"other")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    files = save_mesh(A, tmp_path / "mesh.obj")
    assert foreign.read_bytes() == b"other" and shows(tmp_path / "mesh.obj", A)
    assert names(tmp_path) == {foreign.name, *(path.name for path in files)}


class TestNames:
    """Of mesh files."""

    @pytest.mark.parametrize(
        "name",
        [
            "a\0b.obj",
            "a\nb.glb",
            "CON.glb",
            "nul.obj",
            "com1.png.stl",
            "a:b.ply",
            "n" * 252 + ".obj",
            "ü" * 126 + ".obj",
        ],
    )
    def test_names_that_no_file_can_have(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match=r"^mesh file '.*: the name .*Choose another name\.$") as caught:
            save_mesh(A, tmp_path / "folder" / name)
        assert len(str(caught.value)) < 400 and not names(tmp_path)

    def test_folders(self, tmp_path: Path) -> None:
        for folder in ("a/" * 2000, "n" * 256, "\0"):
            with pytest.raises(ValueError, match="^mesh file "):
                save_mesh(A, tmp_path / folder / "mesh.glb")
        assert not names(tmp_path)

    def test_the_longest_can_be_saved(self, tmp_path: Path) -> None:
        for suffix in ("obj", "glb", "ply", "stl"):
            path = tmp_path / f"{'n' * 251}.{suffix}"
            assert save_mesh(A, path)[0] == path and path.is_file()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save_mesh(A, tmp_path / "a.obj")
    found = load_mesh(tmp_path / "a.obj")
    assert torch.equal(found.texture, A.texture) and torch.equal(found.normal_map, A.normal_map)
    assert torch.equal(found.metallic_roughness[..., 1:], A.metallic_roughness[..., 1:])
    assert not found.occlusion_in_mr


def material(folder: Path, lines: str, warnings: list[str] | None = None) -> Mesh:
    """The mesh A with another material."""
    if not (folder / "a.obj").exists():
        save_mesh(A, folder / "a.obj")
    (folder / "a.mtl").write_text("newmtl other\nmap_Pr none.png\nnewmtl material\nKd 1 1 1\n" + lines)
    return load_mesh(folder / "a.obj", (warnings if warnings is not None else []).append)


def test_maps_of_an_obj_file(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 51).save(tmp_path / "grey one.png")
    Image.new("RGB", (2, 8), (90, 120, 240)).save(tmp_path / "n.png")
    rough = material(tmp_path, "\tmap_Pr  grey one.png\nPm 0.6\nPr 0.1\n").metallic_roughness
    assert rough.shape == (4, 4, 3) and torch.allclose(rough[0, 0, 1:], torch.tensor([0.2, 0.6]), atol=1e-6)
    metal = material(tmp_path, "map_pm grey one.png\nPr 7\nmap_Bump n.png\n")
    assert torch.allclose(metal.metallic_roughness[0, 0, 1:], torch.tensor([1.0, 0.2])) and metal.normal_map is None
    both = material(tmp_path, "map_Pr n.png\nmap_Pm grey one.png\nnorm n.png\n")
    assert both.metallic_roughness.shape == (8, 4, 3) and both.normal_map.shape == (8, 2, 3)
    assert torch.allclose(both.metallic_roughness[3, 2, 1:] * 255, torch.tensor([90.0, 51.0]))
    Image.new("L", (9, 1), 51).save(tmp_path / "row.png")
    Image.new("L", (1, 8), 102).save(tmp_path / "column.png")
    thin = material(tmp_path, "map_Pr row.png\nmap_Pm column.png\n").metallic_roughness
    assert thin.shape == (1, 9, 3) and torch.allclose(thin[0, 4, 1:], torch.tensor([0.2, 0.4]))
    numbers = material(tmp_path, "Pr 0.2\nPm 1\n")
    assert numbers.metallic_roughness is None and numbers.normal_map is None


def test_maps_that_are_not_there_are_named(tmp_path: Path) -> None:
    warnings: list[str] = []
    found = material(tmp_path, "norm ../secret.png\nmap_Pm a.mtl\n", warnings)
    assert found.metallic_roughness is None and found.normal_map is None
    assert len(warnings) == 3 and "'none.png', that is left out" in warnings[0]
    assert any("'a.mtl', that is left out: is no picture" in text for text in warnings)
