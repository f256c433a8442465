"""Names of files from strangers: a file in its folder, or a ValueError that says why not; never anything elsewhere."""

from __future__ import annotations

import ntpath
import os
import posixpath
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from rasterizer.meshes.files import SAVED_SUFFIXES, load_mesh, save_mesh
from rasterizer.runtime.safe_names import is_reserved, relative_parts
from tests.fuzz.driver import Fault, Fuzzer
from tests.fuzz.saved import marked, which

PARTS = [
    *(
        "",
        ".",
        "..",
        "...",
        ".. ",
        " ..",
        "a",
        "b",
        "mesh",
        "3d",
        " ",
        "a b",
        "a_b",
        "a  b",
        "a\tb",
        "é",
        "e\u0301",
        "贴图",
        "🙂",
    ),
    *(
        "NUL",
        "con",
        "com1.png",
        "a:b",
        "C:",
        "~",
        "$HOME",
        "%2e%2e",
        "%date%",
        "%year%",
        "%width%",
        "a\0b",
        "a\nb",
        "\x7f",
    ),
    *(
        "x" * 230,
        "x" * 240,
        "x" * 250,
        "x" * 260,
        "é" * 120,
        "🙂" * 60,
        "🙂" * 63,
        "a\ud800b",
        "-r",
        "a.",
        "a.obj",
        ".a",
        "#",
        "'",
        '"',
    ),
    *(
        "a_00001_",
        "mesh_roughness",
        "sample: torus",
        "[output]",
        "mesh.glb [output]",
        "*",
        "?",
        "<a>",
        "|",
        "{}",
        "\u202e",
        "\ufeff",
    ),
]

_PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
_DEVICES = {"nul", "con", "prn", "aux", "conin$", "conout$", *_PORTS}
"""What Windows has no files for."""

_PART = st.sampled_from(PARTS) | st.text(st.characters(), max_size=4)


@st.composite
def names(draw: st.DrawFn) -> str:
    """Parts with slashes or backslashes between."""
    parts = draw(st.lists(_PART, min_size=1, max_size=4))
    slashes = draw(st.sampled_from(["/", "/", "\\", "//"]))
    start = draw(st.sampled_from(["", "", "", "/", "\\\\", "{folder}/", "../{name}/"]))
    deep = draw(st.integers(0, 200))
    return start + slashes.join(parts) + ("/a" * 1500 if deep == 177 else "")


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder: its size, and when it was changed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(root, name))
            found[os.path.join(root, name)] = (status.st_size, status.st_mtime_ns)
        for name in folders:
            found[os.path.join(root, name)] = (0, 0)
    return found


def test_relative_parts(fuzz: Fuzzer) -> None:
    def check(name: str) -> None:
        try:
            parts = relative_parts(name)
        except ValueError as error:
            if not str(error):
                raise Fault("an error without a text") from error
            return
        for module, root in ((posixpath, "/root/folder"), (ntpath, "C:\\root\\folder")):
            path = module.normpath(module.join(root, *parts))
            if not path.startswith(root + module.sep):
                raise Fault("leads out of the folder", path)
        if any("\0" in part or is_reserved(part) for part in parts):
            raise Fault("names what is no file", str(parts))

    fuzz(check, name=names())


def _ordinary(name: str) -> bool:
    """Whether a file with a suffix must be allowed to be called so."""
    stem, suffix = os.path.splitext(name)
    # What goes with an OBJ file has longer names.
    longest = 255 - 25 * (suffix == ".obj")
    plain = name.isprintable() and not set("/\\:") & set(name)
    device = name.partition(".")[0].strip(" ").lower() in _DEVICES
    return bool(stem and suffix in SAVED_SUFFIXES and plain and not device and _size(name) <= longest)


def _size(name: str) -> int:
    try:
        return len(os.fsencode(name))
    except UnicodeEncodeError:
        return 1000


@pytest.mark.skipif(os.name != "posix", reason="knows which names POSIX systems allow")
def test_saved_names(fuzz: Fuzzer, tmp_path: Path) -> None:
    meshes = [marked(number) for number in range(1, 4)]

    def check(stems: list[str], suffix: str) -> None:
        stems = list(dict.fromkeys(stems))
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        photo = folder / f"{stems[0][:50]}.png".replace("/", "_").replace("\0", "_")
        try:
            photo.write_bytes(b"a picture of somebody else")
        except (OSError, UnicodeEncodeError):
            assume(False)
        saved = []
        for stem, mesh in zip(stems, meshes, strict=False):
            name = stem + suffix
            assume("/" not in name)
            before = _tree(tmp_path)
            try:
                save_mesh(mesh, folder / name)
            except (ValueError, OSError) as error:
                if _ordinary(name):
                    raise Fault(f"{suffix}: an ordinary name is refused: {type(error).__name__}", str(error)) from error
                if _tree(tmp_path) != before:
                    raise Fault(f"{suffix}: a refused name leaves something behind") from error
                continue
            saved.append((folder / name, mesh))
        for path, mesh in saved:
            try:
                which(path, [mesh])
            except Fault as fault:
                raise Fault(f"{path.suffix}: another mesh comes back", str(fault)) from fault
        if photo.read_bytes() != b"a picture of somebody else":
            raise Fault("a picture of somebody else is gone", str(photo))
        hidden = [name for name in os.listdir(folder) if name.startswith(".") and name != photo.name]
        if hidden and not any(stem.startswith(".") for stem in stems):
            raise Fault("temporary files are left", str(hidden))

    fuzz(check, stems=st.lists(_PART, min_size=1, max_size=3), suffix=st.sampled_from(SAVED_SUFFIXES))


def _without(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_save_mesh_prefixes(fuzz: Fuzzer, pack: SimpleNamespace, folders: SimpleNamespace, tmp_path: Path) -> None:
    mesh = pack.border.write_mesh(pack.samples.sample_mesh("torus"))

    def check(prefix: str, format: str) -> None:
        prefix = prefix.replace("{folder}", str(folders.output)).replace("{name}", folders.output.name)
        (folders.output / "link").symlink_to(tmp_path)
        before = _tree(tmp_path)
        try:
            paths, _ = pack.nodes["SaveMesh"].execute(mesh=mesh, filename_prefix=prefix, format=format).args
        except ValueError as error:
            if not any(name in str(error) for name in ("filename_prefix", "mesh file")):
                raise Fault("the message names neither the input nor the file", str(error)) from error
            new = {name for name in set(_tree(tmp_path)) - set(before) if not os.path.isdir(name)}
            if new:
                raise Fault("a refused prefix leaves something behind", str(new)) from error
            return
        finally:
            made = set(_tree(tmp_path)) - set(before)
            _without(folders.output)
        output = str(folders.output) + os.sep
        if not made or not all(name.startswith(output) and "/link/" not in name for name in made):
            raise Fault("a file lies elsewhere", str(made))
        if not all(os.path.join(output, path) in made for path in paths):
            raise Fault("the path is not that of the file", str(paths))
        hidden = {name for name in made if os.path.basename(name).startswith(".")}
        if hidden and not any(part.strip().startswith(".") for part in prefix.replace("\\", "/").split("/")):
            raise Fault("temporary files are left", str(hidden))

    odd = st.sampled_from(["link/a", "a/../link/b", ""])
    fuzz(check, prefix=names() | names() | names() | odd, format=st.sampled_from(["stl", "glb"]))


def test_load_mesh_names(fuzz: Fuzzer, pack: SimpleNamespace, folders: SimpleNamespace, tmp_path: Path) -> None:
    secret = tmp_path / "secret.stl"
    save_mesh(marked(1), secret)
    for folder in (folders.input, folders.input / "3d", folders.output):
        save_mesh(marked(2), folder / "mesh.stl")
    (folders.input / "link.stl").symlink_to(secret)
    (folders.input / "link").symlink_to(tmp_path)
    (folders.input / "folder.stl").mkdir()
    os.mkfifo(folders.input / "fifo.stl")
    node, outside = pack.nodes["LoadMesh"], len(load_mesh(secret).vertices)

    def check(name: Any) -> None:
        if isinstance(name, str):
            name = name.replace("{folder}", str(folders.output)).replace("{name}", folders.output.name)
        valid = node.validate_inputs(mesh_file=name)
        if not (valid is True or (isinstance(valid, str) and valid)):
            raise Fault("validate_inputs gives something else than True or a text", repr(valid))
        try:
            loaded = node.execute(mesh_file=name).args[0]
        except ValueError as error:
            if valid is True and "mesh file" not in str(error):
                raise Fault("what was validated is refused", str(error)) from error
            return
        if valid is not True:
            raise Fault("what was not validated is loaded", valid)
        vertices = loaded.vertices.shape[-2]
        if vertices == outside:
            raise Fault("a file outside the folders is loaded")

    sound = ["mesh.stl", "3d/mesh.stl", "mesh.stl [output]", "sample: torus", "../output/mesh.stl", "../secret.stl"]
    odd = [*sound, None, 3, ["a"], {}, "link.stl", "link/secret.stl", "folder.stl", "fifo.stl", "x" * 5000, "a\0b.stl"]
    named = st.tuples(names(), st.sampled_from(["", ".stl", ".stl [output]", " [input]"])).map("".join)
    fuzz(check, limit=10, name=st.sampled_from(odd) | named | named)
