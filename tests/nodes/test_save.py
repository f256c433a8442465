"""Save Mesh: free names, names that no file can have, and what clients are told."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image


def save(pack: SimpleNamespace, mesh: Any, prefix: str, format: str = "obj") -> tuple[list[str], list[str]]:
    """Paths that the node gives, and those that it tells clients of."""
    output = pack.nodes["SaveMesh"].execute(mesh=mesh, filename_prefix=prefix, format=format)
    shown = [os.path.join(entry["subfolder"], entry["filename"]) for entry in output.ui["3d"]]
    assert set(output.ui) == {"3d"} and all(entry["type"] == "output" for entry in output.ui["3d"])
    return output.args[0], shown


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_clients_are_told_of_every_file(pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    made = pack.nodes["ApplyTexture"].execute(
        mesh=torus, base_color=torch.rand(1, 8, 8, 3), metallic_roughness=torch.rand(1, 8, 8, 3)
    )
    paths, shown = save(pack, made.args[0], "3d/deep/my ring")
    assert paths == shown[:1] == ["3d/deep/my ring_00001_.obj"]
    assert len(shown) == len({*shown}) == 5 and {*shown} == files(folders.output)
    paths, shown = save(pack, made.args[0], "ring", "glb")
    assert paths == shown == ["ring_00001_.glb"]


def test_meshes_come_first(pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    batch = SimpleNamespace(
        **{name: torch.cat([getattr(torus, name)] * 2) for name in ("vertices", "faces", "uvs", "texture")}
    )
    paths, shown = save(pack, batch, "ring")
    assert shown[:2] == paths == ["ring_00001_.obj", "ring_00002_.obj"] and {*shown} == files(folders.output)


@pytest.mark.parametrize("suffix", ["mtl", "png", "obj"])
def test_a_number_for_which_no_file_is_there(
    pack: SimpleNamespace, torus: Any, folders: SimpleNamespace, suffix: str
) -> None:
    """ComfyUI counts files with the same prefix, which those beside an OBJ file need not have."""
    taken = "my=20ring_00001_" if suffix != "obj" else "my ring_00001_"
    (folders.output / f"{taken}.{suffix}").write_bytes(b"other")
    paths, shown = save(pack, torus, "my ring")
    assert paths == ["my ring_00002_.obj"]
    assert {*shown} == {"my ring_00002_.obj", "my=20ring_00002_.mtl", "my=20ring_00002_.png"}
    assert (folders.output / f"{taken}.{suffix}").read_bytes() == b"other"


@pytest.mark.parametrize("prefix", ["my mesh", "my_mesh", "mesh"])
@pytest.mark.parametrize("theirs", ["my mesh", "my_mesh", "mesh"])
def test_pictures_of_save_image_stay(
    pack: SimpleNamespace, torus: Any, folders: SimpleNamespace, prefix: str, theirs: str
) -> None:
    picture = folders.output / f"{theirs}_00001_.png"
    Image.new("RGB", (3, 3)).save(picture)
    before = picture.read_bytes()
    _, shown = save(pack, torus, prefix)
    assert picture.read_bytes() == before and picture.name not in shown
    assert files(folders.output) == {picture.name, *shown}


@pytest.mark.parametrize(
    "prefix",
    [
        "a\0b",
        "a\nb",
        "a/" * 2000 + "b",
        "n" * 245,
        "ü" * 123,
        "n" * 256 + "/b",
        "CON",
        "nul/b",
        "3d/com1.png",
        "a:b",
        "C:/b",
        "\\\\server\\share\\b",
        "//server/share/b",
        "\ud800",
        "a\ud800b",
        "3d/a\ud800b/c",
        "..",
        "a/../..",
        ".",
    ],
)
@pytest.mark.parametrize("format", ["obj", "glb"])
def test_names_that_no_file_can_have(
    pack: SimpleNamespace, torus: Any, folders: SimpleNamespace, monkeypatch: Any, prefix: str, format: str
) -> None:
    def resolve(self: Path, strict: bool = False) -> Path:
        assert "server" not in str(self)
        return real(self, strict)

    real = Path.resolve
    monkeypatch.setattr(Path, "resolve", resolve)
    with pytest.raises(ValueError, match="^filename_prefix: ") as caught:
        save(pack, torus, prefix, format)
    assert len(ascii(caught.value)) < 1500 and not list(folders.output.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="paths are limited to 260 letters")
def test_the_longest_prefix(pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    for format in ("obj", "glb"):
        paths, shown = save(pack, torus, "n" * 244, format)
        assert len(paths[0]) == 255 and {*shown} <= files(folders.output)


def test_a_folder_that_cannot_be(pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    (folders.output / "file").write_bytes(b"")
    for prefix in ("file/ring", "/".join(["n" * 250] * 50) + "/ring"):
        with pytest.raises(ValueError, match="^filename_prefix: .* has a folder that cannot be made"):
            save(pack, torus, prefix)


def test_places_inside_are_found(pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    for prefix in ("3d/../ring", f"{folders.output}/ring", " ring ", "./ring"):
        assert save(pack, torus, prefix, "glb")[0][0].startswith("ring_0000")


def test_dates_are_filled_in_as_by_the_frontend(
    pack: SimpleNamespace, torus: Any, folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = time.struct_time((2026, 3, 4, 15, 6, 7, 2, 63, 0))
    monkeypatch.setattr(time, "localtime", lambda *_: moment)
    paths, _ = save(pack, torus, "%date:yyyy-MM-dd%/ring %date:hh.mm.ss% %year%", "stl")
    assert paths == ["2026-03-04/ring 15.06.07 2026_00001_.stl"]
    with pytest.raises(ValueError, match=r"^filename_prefix: .*15:06.* has a colon"):
        save(pack, torus, "%date:hh:mm%", "stl")
