"""A mesh file may come from a stranger: no file outside its own folder is opened, whatever it names.

What is opened is seen by Python's audit events, so that it does not matter who opens it.
"""

import base64
import json
import logging
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rasterizer.meshes.files import load_mesh
from rasterizer.meshes.folder import MeshFolder
from rasterizer.runtime.safe_names import is_reserved, relative_parts

_seen: list[str] | None = None


def _audit(event, arguments):
    if _seen is None:
        return
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        _seen.append(os.fsdecode(arguments[0]))
    elif event.startswith("socket.") and event != "socket.__new__":
        _seen.append(event)


sys.addaudithook(_audit)  # which cannot be taken back


@contextmanager
def opened():
    """What is opened within the block: paths, and network calls as ``socket.*``."""
    global _seen
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4")
UVS = np.array([[0, 0], [1, 0], [0, 1]], "<f4")


def _data(*arrays):
    return "data:application/octet-stream;base64," + base64.b64encode(b"".join(a.tobytes() for a in arrays)).decode()


def _gltf(path, **more):
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "buffers": [{"uri": _data(TRIANGLE, UVS), "byteLength": 60}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 24}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC2"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}]}],
        "materials": [{}],
    }
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    attributes.update(more.pop("attributes", {}))
    for key, value in more.items():
        document[key] = document.get(key, []) + value
    path.write_text(json.dumps(document))
    return path


def gltf_buffer(folder, name):
    """Colours of the vertices from a buffer."""
    return _gltf(
        folder / "mesh.gltf",
        attributes={"COLOR_0": 2},
        buffers=[{"uri": name, "byteLength": 12}],
        bufferViews=[{"buffer": 1, "byteLength": 12}],
        accessors=[{"bufferView": 2, "componentType": 5121, "normalized": True, "count": 3, "type": "VEC4"}],
    )


def gltf_image(folder, name):
    """A base-colour texture."""
    path = _gltf(folder / "mesh.gltf", images=[{"uri": name}], textures=[{"source": 0}])
    document = json.loads(path.read_text())
    document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    path.write_text(json.dumps(document))
    return path


_OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n"


def obj_mtllib(folder, name):
    """A material library."""
    (folder / "mesh.obj").write_text(f"mtllib {name}\n{_OBJ}")
    return folder / "mesh.obj"


def mtl_map(folder, name):
    """A picture named by a material library."""
    (folder / "mesh.mtl").write_text(f"newmtl m\nKd 1 1 1\nmap_Kd {name}\n")
    return obj_mtllib(folder, "mesh.mtl")


def ply_texture(folder, name):
    """A picture named by a PLY file's comment."""
    head = f"ply\nformat ascii 1.0\ncomment TextureFile {name}\nelement vertex 3\n"
    head += "".join(f"property float {key}\n" for key in ("x", "y", "z", "s", "t"))
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [" ".join(str(value) for value in (*v, *uv)) for v, uv in zip(TRIANGLE, UVS, strict=True)]
    (folder / "mesh.ply").write_text(head + "\n".join(rows) + "\n3 0 1 2\n")
    return folder / "mesh.ply"


FORMS = {form.__name__: form for form in (gltf_buffer, gltf_image, obj_mtllib, mtl_map, ply_texture)}


@pytest.fixture
def places(tmp_path):
    """The mesh's folder, with a folder of its own, and a folder beside it that is nobody's business."""
    inside, outside = tmp_path / "mesh", tmp_path / "out"
    for folder in (inside / "sub", outside):
        folder.mkdir(parents=True)
    return inside, outside


def put(folder, form, name="file"):
    """The file that a form refers to, such that it would work."""
    path = folder / name
    if form == "gltf_buffer":
        path.write_bytes(bytes(range(12)))
    elif form == "obj_mtllib":
        path.write_text("newmtl m\nKd 0.25 0.5 0.75\n")
    else:
        Image.new("RGB", (4, 4), (255, 0, 0)).save(path, format="PNG")
    return path


def shows(mesh):
    """Whether the file that the mesh refers to has come into it."""
    return mesh.texture is not None or mesh.vertex_colors is not None


ESCAPES = [
    "../out/file",
    "sub/../../out/file",
    " ../out/file",
    "..\\out\\file",
    "%2e%2e/out/file",
    "..%2fout%2ffile",
    "..%5Cout%5Cfile",
    "%20../out/file",
    "{outside}/file",
    "file://{outside}/file",
    "http://127.0.0.1:9/file",
    "//127.0.0.1/out/file",
    "\\\\127.0.0.1\\out\\file",
    "link",
    "folder_link/file",
    "/dev/zero",
    "fifo",
    "sub",
    "",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_outside_is_opened(places, form, name, caplog):
    inside, outside = places
    put(outside, form)
    try:
        (inside / "link").symlink_to(outside / "file")
        (inside / "folder_link").symlink_to(outside)
        os.mkfifo(inside / "fifo")
    except (OSError, AttributeError):
        pass  # a system without: the names lead nowhere
    path = FORMS[form](inside, name.format(outside=outside.as_posix()))
    with opened() as found, caplog.at_level(logging.WARNING):
        try:
            assert not shows(load_mesh(path))
        except ValueError as error:
            # Without its numbers there is no mesh; trimesh 4.4 takes an image no less seriously.
            assert form.startswith("gltf")
            assert "mesh.gltf: not readable" in str(error)
    bad = [name for name in found if str(outside) in name or name.startswith(("/dev/z", "socket.", str(inside / "f")))]
    assert not bad
    if form != "gltf_buffer" and name:
        assert "mesh's own folder" in caplog.text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("file", "file"),
        ("./file", "file"),
        ("sub/file", "sub/file"),
        ("sub\\file", "sub/file"),
        ("sub/./file", "sub/file"),
        ("a%20file", "a file"),
        ("a%20file", "a%20file"),
        ("%E8%B4%B4.png", "贴.png"),
        ("a..b", "a..b"),
        ("C:\\art\\file", "file"),
        ("/home/author/file", "file"),
        ("textures/file", "file"),
    ],
)
def test_files_beside_the_mesh_are_found(places, form, name, place):
    inside, _ = places
    put(inside, form, place)
    assert shows(load_mesh(FORMS[form](inside, name)))


def test_the_mesh_itself_may_be_reached_through_a_link(places, tmp_path):
    inside, _ = places
    put(inside, "gltf_image")
    gltf_image(inside, "file")
    try:
        (tmp_path / "elsewhere").symlink_to(inside)
    except OSError:
        pytest.skip("this system does not let us make links")
    assert shows(load_mesh(tmp_path / "elsewhere" / "mesh.gltf"))


def test_a_file_named_often_is_read_once(places):
    inside, _ = places
    folder = MeshFolder(inside / "mesh.gltf")
    put(inside, "mtl_map")
    with opened() as found:
        first, second = folder.read("file"), folder.read("./file")
    assert first is second
    assert [Path(name).name for name in found] == ["file"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a/b.png", ("a", "b.png")), (".\\a\\\\b", ("a", "b")), ("...a", ("...a",)), ("nulls", ("nulls",))],
)
def test_relative_names(name, parts):
    assert relative_parts(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/..",
        "a/.. /b",
        "...",
        ". .",
        "/a",
        "\\a",
        "c:a",
        "a:b",
        "http://a",
        "a\0b",
        "a\nb",
        "NUL",
        "a/com1.png",
    ]
    + ["Lpt9.x.y", "con .txt", "aux", "CONOUT$"],
)
def test_names_that_lead_elsewhere(name):
    with pytest.raises(ValueError, match=r"has|is|names|leads"):
        relative_parts(name)


def test_reserved_names_are_whole_words():
    assert [is_reserved(name) for name in ("nul", "NUL.tar.gz", "COM¹", "com0")] == [True] * 4
    assert not any(is_reserved(name) for name in ("null", "com", "com10", "console", "a.nul"))
