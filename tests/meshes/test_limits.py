"""What a mesh file may cost: what it stands for is counted before it is allocated, and refused beyond the limits."""

import base64
import io
import json
import logging
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from packaging.version import Version
from PIL import Image

from rasterizer.meshes.files import load_mesh
from rasterizer.runtime import limits
from tests.support.paths import ROOT

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()


def gltf(path, change=lambda document: None):
    """A triangle; ``change`` makes something else of it."""
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "buffers": [
            {"uri": "data:application/octet-stream;base64," + base64.b64encode(TRIANGLE).decode(), "byteLength": 36}
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    }
    change(document)
    path.write_text(json.dumps(document))
    return path


def zeros(document):
    document["accessors"].append({"componentType": 5126, "count": 200_000_000, "type": "VEC3"})
    document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"] = 1


def no_indices(document):
    document["accessors"][0]["count"] = 300_000_000


def many_faces(document):
    document["accessors"].append({"bufferView": 0, "componentType": 5121, "count": 400_000_000, "type": "SCALAR"})
    document["meshes"][0]["primitives"][0]["indices"] = 1


def many_places(document):
    document["accessors"].append({"bufferView": 1, "componentType": 5121, "count": 60_000, "type": "SCALAR"})
    document["bufferViews"].append({"buffer": 1, "byteLength": 60_000})
    document["buffers"].append({"uri": "data:;base64," + "AAEC" * 20_000, "byteLength": 60_000})
    document["meshes"][0]["primitives"][0]["indices"] = 1
    document["nodes"] = [{"mesh": 0}] * 1_000
    document["scenes"][0]["nodes"] = list(range(1_000))


def many_nodes(document):
    document["nodes"] = [{}] * 60_000


def many_images(document):
    document["images"] = [{}] * 60_000


def nested(document):
    document["nodes"] = [{"children": [number + 1]} for number in range(600)] + [{"mesh": 0}]


def overlapping(document):
    document["bufferViews"][0]["byteStride"] = 4
    document["accessors"] += [{"bufferView": 0, "componentType": 5126, "count": 50_000_000, "type": "MAT4"}]


def unplaced(document):
    integers = [{"componentType": 5121, "count": 2_000_000, "type": kind} for kind in ("VEC3", "VEC4")]
    corners = {"componentType": 5121, "count": 3, "type": "SCALAR"}
    document["accessors"] += [*integers, corners]
    attributes = {"POSITION": 1, "NORMAL": 1, "COLOR_0": 2}
    document["meshes"].append({"primitives": [{"attributes": attributes, "indices": 3}]})


BOMBS = [
    (zeros, limits.MEMORY),
    (no_indices, limits.MEMORY),
    (many_faces, limits.FACES),
    (many_places, limits.MEMORY),
    (many_nodes, limits.PARTS),
    (many_images, limits.PARTS),
    (nested, limits.NESTING),
    (overlapping, limits.MEMORY),
    (unplaced, limits.MEMORY),
]


@pytest.mark.parametrize(("change", "limit"), BOMBS, ids=[change.__name__ for change, _ in BOMBS])
def test_a_header_that_stands_for_more_than_the_file_holds(tmp_path, change, limit):
    with pytest.raises(ValueError, match=rf"bomb\.gltf: not readable.* environment variable {limit.variable}"):
        load_mesh(gltf(tmp_path / "bomb.gltf", change))


def test_a_limit_is_lifted_by_its_variable(tmp_path, monkeypatch):
    path = gltf(tmp_path / "nested.gltf", nested)
    monkeypatch.setenv(limits.NESTING.variable, "601")
    assert len(load_mesh(path).faces) == 1
    monkeypatch.setenv(limits.FACES.variable, "0")
    with pytest.raises(ValueError, match="found 1 faces, expected at most 0; .*TORCH_RASTERIZER_MAX_FACES lifts"):
        load_mesh(path)
    monkeypatch.setenv(limits.FACES.variable, "many")
    with pytest.raises(ValueError, match="TORCH_RASTERIZER_MAX_FACES: is 'many', expected a whole number"):
        load_mesh(path)


def _set(place, value):
    def change(document):
        *path, last = place
        for key in path:
            document = document[key]
        document[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_set(["nodes"], [{"mesh": 0, "children": [0]}]), "their own ancestors"),
        (_set(["nodes"], [{"mesh": 0, "children": [1]}, {"children": [0]}]), "their own ancestors"),
        (_set(["nodes"], [{"children": [2]}, {"children": [2]}, {"mesh": 0}]), "a child twice"),
        (_set(["nodes"], [{"mesh": 0, "children": [7]}]), "or of nothing"),
        (_set(["accessors", 0, "count"], -3), "count is '-3'"),
        (_set(["accessors", 0, "count"], 3.5), "count is '3.5'"),
        (_set(["accessors", 0, "count"], True), "count is 'True'"),
        (_set(["accessors", 0, "count"], 10**30), "TORCH_RASTERIZER"),
        (_set(["bufferViews", 0, "byteLength"], "x"), "byteLength is 'x'"),
        (_set(["nodes", 0, "mesh"], 9), "IndexError"),
        (_set(["meshes", 0, "primitives", 0, "attributes"], {}), "KeyError"),
    ],
)
def test_a_damaged_header_says_what_is_wrong(tmp_path, change, text):
    with pytest.raises(ValueError, match=rf"bad\.gltf: not readable.*{text}"):
        load_mesh(gltf(tmp_path / "bad.gltf", change))


def ply(rows, kind="char", index="uchar", count="uchar", form="binary_little_endian", vertices=3):
    return (
        f"ply\nformat {form} 1.0\nelement vertex {vertices}\nproperty {kind} x\nproperty {kind} y\nproperty {kind} z\n"
        f"element face {rows}\nproperty list {count} {index} vertex_indices\nend_header\n"
    ).encode()


CORNERS = bytes([0, 0, 0, 1, 0, 0, 0, 1, 0])
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
PROMISES = {
    "vertices.ply": (ply(1, vertices=2**31) + CORNERS + b"\3\0\1\2", "promises 2147483648 rows of 'vertex'"),
    "faces.ply": (ply(10**9) + CORNERS + b"\3\0\1\2", "promises 1000000000 rows of 'face'"),
    "text.ply": (ply(10**9, form="ascii") + b"0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "promises 1000000000 rows of 'face'"),
    "minus.ply": (ply(-1) + CORNERS, "promises -1 rows"),
    "nothing.ply": (ply(1).replace(b"property list uchar uchar vertex_indices\n", b"") + CORNERS, "promises 1 rows"),
    "type.ply": (ply(1, kind="quad") + CORNERS, "names the type 'quad'"),
    "polygon.ply": (
        ply(1, count="uint") + CORNERS + struct.pack("<I", 7_000_000) + b"\0\1\2\1" * 1_750_000,
        "LOAD_MEMORY",
    ),
    "words.ply": (ply(3_000_000, form="ascii") + b"0 0 0\n1 0 0\n0 1 0\n" + b"3 0 1 2\n" * 3_000_000, "LOAD_MEMORY"),
    "header.stl": (b"\0" * 80 + struct.pack("<I", 2**31) + b"\0" * 100, "has 184 bytes, expected 107374182484"),
    "counts.off": (b"OFF\n1000000000 5 0\n0 0 0\n", "has 4 lines for 1000000000 vertices"),
    "short.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n# nothing\n", "ends before all"),
    "polygon.obj": (OBJ + b"f " + b"1 2 3 " * 700_000, "LOAD_MEMORY"),
    "corner.obj": (OBJ + b"f " + b"1" * 1_000_000 + b" 2 3" * 100_000, "a polygon with the corner '1111"),
    "materials.obj": (OBJ + b"".join(b"usemtl m%d\nf 1 2 3\n" % n for n in range(60_000)), "MAX_PARTS"),
}


@pytest.mark.parametrize("name", PROMISES)
def test_a_promise_that_the_file_does_not_hold(tmp_path, name):
    data, text = PROMISES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}: not readable.*{text}"):
        load_mesh(tmp_path / name)


MEASURE = """
import sys
import numpy, PIL.Image, torch, trimesh
from rasterizer.meshes.files import load_mesh
warm, *paths = sys.argv[1:]
load_mesh(warm)

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

for path in paths:
    open("/proc/self/clear_refs", "w").write("5")  # the peak is now
    before = peak()
    try:
        found = len(load_mesh(path).faces)
    except ValueError as error:
        found = 0
    print(peak() - before, found, flush=True)
"""


def measure(tmp_path, paths):
    """The most memory that loading each file takes, and how many faces it has."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells the most memory that a process had since a moment")
    warm = gltf(tmp_path / "warm.gltf")
    command = [sys.executable, "-c", MEASURE, str(warm), *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return [tuple(map(int, line.split())) for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_memory_in_proportion_to_the_file(tmp_path):
    faces, rng = 400_000, np.random.default_rng(0)
    places = rng.integers(0, 1000, (faces, 3))
    points = "".join(f"{x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in rng.random((1000, 3)))
    vertices = "".join(f"v {row}\n" for row in points.splitlines())
    rows = "".join(f"3 {a} {b} {c}\n" for a, b, c in places)
    binary = np.empty(faces, [("count", "u1"), ("corners", "<i4", 3)])
    binary["count"], binary["corners"] = 3, places
    flat = np.zeros(faces, [("normal", "<f4", 3), ("corners", "<f4", 9), ("rest", "<u2")])
    flat["corners"] = rng.random((faces, 9))
    header = ply(faces, "float", "int", vertices=1000)
    files = {
        "mesh.obj": (vertices + "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in places)).encode(),
        "quads.obj": (vertices + "".join(f"f {a + 1} {b + 1} {c + 1} 1\n" for a, b, c in places)).encode(),
        "tiny.obj": OBJ + b"f 1 2 3\n" * faces,
        "mesh.off": f"OFF\n1000 {faces} 0\n{points}{rows}".encode(),
        "mesh.ply": header + rng.random((1000, 3)).astype("<f4").tobytes() + binary.tobytes(),
        "text.ply": header.replace(b"binary_little_endian", b"ascii") + points.encode() + rows.encode(),
        "mesh.stl": b"\0" * 80 + struct.pack("<I", faces) + flat.tobytes(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in files]
    for path, (used, found) in zip(paths, measure(tmp_path, paths), strict=True):
        assert found >= 0.9 * faces, path
        assert used <= 40 * path.stat().st_size + (256 << 20), path


def textured(path, picture):
    """A triangle with a base-colour texture."""

    def change(document):
        document["images"] = [{"uri": "data:image/png;base64," + base64.b64encode(picture).decode(), "name": "skin"}]
        document["textures"] = [{"source": 0}]
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        document["meshes"][0]["primitives"][0].update(material=0, attributes={"POSITION": 0, "TEXCOORD_0": 1})
        document["accessors"].append({"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC2"})

    return gltf(path, change)


def picture(form="PNG", size=(4, 4), mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, format=form)
    return stream.getvalue()


@pytest.mark.slow
def test_memory_of_bombs_and_large_textures(tmp_path):
    side = 5000
    bombs = [gltf(tmp_path / f"{change.__name__}.gltf", change) for change, _ in BOMBS]
    for name, (data, _) in PROMISES.items():
        (tmp_path / name).write_bytes(data)
        bombs.append(tmp_path / name)
    large = textured(tmp_path / "large.gltf", picture(size=(side, side)))
    for path, (used, found) in zip([*bombs, large], measure(tmp_path, [*bombs, large]), strict=True):
        texels = side * side if path == large else 0
        assert found == (path == large), path
        assert used <= 40 * path.stat().st_size + (256 << 20) + 16 * texels, path


def test_a_texture_of_the_largest_side_is_beyond_what_pillow_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert load_mesh(textured(tmp_path / "mesh.gltf", picture(size=(300, 200)))).texture.shape == (200, 300, 3)


def test_a_side_beyond_the_limit_is_refused_with_its_name(tmp_path):
    path = textured(tmp_path / "mesh.gltf", picture(size=(16_385, 1)))
    mesh_warnings = []
    assert load_mesh(path, mesh_warnings.append).texture is None
    (text,) = mesh_warnings
    assert "image 'skin', that is left out: found 16385 texels a side, expected at most 16384" in text
    assert limits.TEXTURE_SIDE.variable in text


def test_the_texels_of_all_textures_are_limited(tmp_path, monkeypatch):
    monkeypatch.setenv(limits.TEXTURE_PIXELS.variable, "15")
    with pytest.raises(ValueError, match="found 16 texels in all textures, expected at most 15; .*MAX_TEXTURE_PIXELS"):
        load_mesh(textured(tmp_path / "mesh.gltf", picture()))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF"])
def test_formats_that_are_read(tmp_path, form):
    assert load_mesh(textured(tmp_path / "mesh.gltf", picture(form))).texture.shape == (4, 4, 3)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
_started: list[str] | None = None


def _audit(event, arguments):
    if _started is not None and event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        _started.append(event)


sys.addaudithook(_audit)


@pytest.mark.parametrize(
    "data",
    [EPS, picture("GIF"), picture("PPM"), picture("ICO"), b"", b"\x89PNG\r\n\x1a\n damaged", b"DDS |" + bytes(200)],
)
def test_other_pictures_are_left_out_and_said(tmp_path, caplog, data):
    global _started
    (tmp_path / "skin").write_bytes(data)
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd skin\n")
    (tmp_path / "a.obj").write_bytes(b"mtllib a.mtl\n" + OBJ + b"vt 0 0\nusemtl m\nf 1/1 2/1 3/1\n")
    _started = []
    try:
        for path in (tmp_path / "a.obj", textured(tmp_path / "mesh.gltf", data)):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert load_mesh(path).texture is None
            assert "left out" in caplog.text
            assert "PNG, JPEG, WEBP, BMP, TIFF, TGA" in caplog.text
        assert not _started
    finally:
        _started = None


def test_a_damaged_picture_is_an_error_that_says_so(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    stream = io.BytesIO()
    noise.save(stream, format="PNG")
    with pytest.raises(ValueError, match=r"mesh\.gltf: found a texture that cannot be decoded"):
        load_mesh(textured(tmp_path / "mesh.gltf", stream.getvalue()[:3000]))


def write(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_uvs_of_one_number(tmp_path):
    write(tmp_path, "a.mtl", "newmtl m\n")
    path = write(
        tmp_path,
        "a.obj",
        "mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0\nvt 1\nvt 0.5\nf 1/1 2/2 3/3\n",
    )
    assert load_mesh(path).uvs.tolist() == [[0, 1], [1, 1], [0.5, 1]]


@pytest.mark.parametrize("numbers", [1, 2])
def test_positions_of_too_few_numbers_name_the_file(tmp_path, numbers):
    rows = "".join(f"v {' '.join('01'[n == k] for k in range(numbers))}\n" for n in range(3))
    with pytest.raises(ValueError, match=r"flat\.obj: .*expected"):
        load_mesh(write(tmp_path, "flat.obj", rows + "f 1 2 3\n"))


def test_a_fourth_number_of_a_position_is_the_weight_of_curves(tmp_path):
    path = write(tmp_path, "a.obj", "v 0 0 0 1\nv 1 0 0 1\nv 0 1 0 1\nf 1 2 3\n")
    assert load_mesh(path).vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_nan_colours_are_refused(tmp_path):
    write(tmp_path, "a.mtl", "newmtl m\n")
    corners = "v 0 0 0 0.2 0.8 nan\nv 1 0 0 0 0 0\nv 0 1 0 1 1 1\n"
    path = write(tmp_path, "a.obj", f"mtllib a.mtl\nusemtl m\n{corners}vt 0 0\nf 1/1 2/1 3/1\n")
    if Version(trimesh.__version__) < Version("4.5"):
        assert load_mesh(path).vertex_colors is None  # it does not see them
        return
    with pytest.raises(ValueError, match=r"a\.obj: found 1 of 3 vertices with NaN or infinite colours"):
        load_mesh(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_texts_in_other_encodings_need_no_package_to_guess(tmp_path, monkeypatch, encoding):
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    (tmp_path / "a.obj").write_bytes(("# Würfel\n" + OBJ.decode() + "f 1 2 3\n").encode(encoding))
    assert len(load_mesh(tmp_path / "a.obj").faces) == 1


def test_a_cut_off_binary_stl_is_named_without_a_guess(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    (tmp_path / "cut.stl").write_bytes(b"\xff" * 80 + struct.pack("<I", 9) + bytes(100))
    with pytest.raises(ValueError, match=r"cut\.stl: not readable.*has 184 bytes, expected 534 for the 9 faces"):
        load_mesh(tmp_path / "cut.stl")


def test_specular_glossiness_materials_keep_their_diffuse_colour(tmp_path, caplog):
    path = textured(tmp_path / "mesh.gltf", picture())
    document = json.loads(path.read_text())
    document["materials"] = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseTexture": {"index": 0}}}}]
    path.write_text(json.dumps(document))
    assert load_mesh(path).texture.shape == (4, 4, 3)
    assert "diffuse colour is taken for the base colour" in caplog.text
