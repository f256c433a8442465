"""GLB files whose arrays are quantized or compressed.

Those in ``tests/golden/meshes`` hold the sample "trefoil knot" with 24 segments and 6 sides and colours of vertices.
They were written by gltfpack 1.3 (``-kv`` and: plain ``-noq``; quantized; normalized ``-vpn -vp 16 -vt 16 -vn 16``;
meshopt ``-c``; meshopt_khr ``-cc -ce khr``; meshopt_exponential ``-c -vpf -vtf``) and glTF-Transform 4.5.1 (``draco``,
``draco --method sequential``, transform ``meshopt``). ``meshopt.json`` holds what meshoptimizer 1.3's encoder made of
made-up arrays, and what its decoder makes of that.
"""

import base64
import hashlib
import json
import struct
import sys

import numpy as np
import pytest
import torch

from rasterizer.meshes.files import load_mesh, load_mesh_data
from rasterizer.meshes.gltf import draco
from rasterizer.meshes.gltf.meshopt import decompress
from rasterizer.runtime import limits
from tests.support.golden import FOLDER

FILES = FOLDER / "meshes"
VECTORS = json.loads((FILES / "meshopt.json").read_text())
needs_draco = pytest.mark.skipif(not draco.draco_is_there(), reason="no native module DracoPy")
BITS = {"quantized": 14, "normalized": 16, "meshopt": 14, "meshopt_khr": 14, "meshopt_exponential": 15, "transform": 14}
DRACO = {"draco": 14, "draco_sequential": 14}


def header_of(data: bytes) -> tuple[dict, bytes]:
    """The header of a GLB, and what follows it."""
    end = 20 + int.from_bytes(data[12:16], "little")
    return json.loads(data[20:end]), data[end:]


def glb_of(header: dict, rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def changed(name: str, change, bytes_changed=lambda rest: rest) -> bytes:
    header, rest = header_of((FILES / f"{name}.glb").read_bytes())
    change(header)
    return glb_of(header, bytes_changed(rest))


@pytest.mark.parametrize("name", [*BITS, *(pytest.param(name, marks=needs_draco) for name in DRACO)])
def test_a_compressed_file_holds_the_mesh_that_was_compressed(name):
    plain, mesh = load_mesh(FILES / "plain.glb"), load_mesh(FILES / f"{name}.glb")
    assert len(mesh.faces) == len(plain.faces) and len(mesh.vertices) == len(plain.vertices)
    step = 2.0 / (1 << {**BITS, **DRACO}[name])  # of a mesh two units wide
    assert (torch.stack(mesh.bounds()) - torch.stack(plain.bounds())).abs().max() <= step
    tree = torch.cdist(plain.vertices.double(), mesh.vertices.double())
    near, nearest = tree.min(1)
    assert near.max() <= 1.8 * step
    # Several vertices share a place at seams: of those there, one has the other numbers, too.
    there = tree <= near[:, None] + 4 * step
    apart = torch.cdist(plain.uvs.double(), mesh.uvs.double()).masked_fill(~there, 9).min(1).values
    assert apart.max() < 1 / 3000
    apart = torch.cdist(plain.normals.double(), mesh.normals.double()).masked_fill(~there, 9).min(1).values
    assert apart.max() < 0.02
    assert (mesh.normals.norm(dim=1) - 1).abs().max() < 1e-5
    apart = torch.cdist(plain.vertex_colors.double(), mesh.vertex_colors.double()).masked_fill(~there, 9).min(1).values
    assert apart.max() < (0.01 if name in ("meshopt_khr", "transform", *DRACO) else 1e-6)
    assert torch.equal(mesh.texture, plain.texture)
    facing = mesh.face_normals()[:, None] @ mesh.vertex_normals()[mesh.faces.long()[:, 0]][..., None]
    assert (facing > 0).all()


@pytest.mark.parametrize("row", VECTORS, ids=[row["name"] for row in VECTORS])
def test_meshopt_decodes_what_its_own_encoder_wrote(row):
    given = base64.b64decode(row["packed"])
    made = decompress(given, row["count"], row["stride"], row["mode"], row["filter"])
    if "sha256" in row:
        assert hashlib.sha256(made).hexdigest() == row["sha256"]
        return
    signs = "u" if row["filter"] == "COLOR" else "i"
    one, other = (
        np.frombuffer(data, f"<{signs}{row['stride'] // 4}") for data in (made, base64.b64decode(row["plain"]))
    )
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 1  # as exact as the filters are defined


def test_the_example_of_the_extension():
    # One element of 4 bytes for each of 16, the other three bytes 0; then the tail.
    group = bytes([0x17, 0x5F, 0xF0, 0xBC, 0x77, 0xA9, 0x21, 0x00, 0x34, 0xB5])
    made = decompress(b"\xa0\x02" + group + b"\0\0\0" + bytes(32), 16, 4, "ATTRIBUTES")
    steps = np.diff(np.frombuffer(made, np.uint8)[::4].astype(np.int8), prepend=np.int8(0))
    assert steps.tolist() == [-1, -4, -3, 26, -91, 0, -6, 6, -4, -4, 5, -5, 1, -1, 0, 0]


@pytest.mark.parametrize("row", VECTORS[::2], ids=[row["name"] for row in VECTORS[::2]])
def test_damaged_streams_are_refused_or_read_and_nothing_else(row):
    given, random = base64.b64decode(row["packed"]), np.random.default_rng(5)
    for trial in range(60):
        data = bytearray(given)
        for place in random.integers(0, len(data), trial % 4):
            data[place] = random.integers(256)
        if trial % 3 == 0:
            del data[random.integers(len(data)) :]
        try:
            made = decompress(bytes(data), row["count"], row["stride"], row["mode"], row["filter"])
        except ValueError:
            continue
        assert len(made) == row["count"] * row["stride"]


@pytest.mark.parametrize(
    ("mode", "stride", "filter", "data"),
    [
        ("ATTRIBUTES", 3, "NONE", b"\xa0"),
        ("ATTRIBUTES", 0, "NONE", b"\xa0"),
        ("ATTRIBUTES", 260, "NONE", b"\xa0"),
        ("ATTRIBUTES", 4, "SPIRAL", b"\xa0"),
        ("ATTRIBUTES", 12, "OCTAHEDRAL", b"\xa0\0\0\0\0\0\0\0\0\0\0\0\0" + bytes(32)),
        ("ATTRIBUTES", 4, "NONE", b"\xa2" + bytes(40)),
        ("ATTRIBUTES", 4, "NONE", b""),
        ("TRIANGLES", 4, "OCTAHEDRAL", b"\xe1"),
        ("TRIANGLES", 4, "NONE", b"\xe1\x00" + bytes(16)),  # an edge that nothing has written
        ("TRIANGLES", 4, "NONE", b"\xe1"),
        ("INDICES", 4, "NONE", b"\xd1\xff\xff\xff\xff\xff\xff\x01\0\0\0\0"),
        ("STRIPS", 4, "NONE", b"\xd1"),
    ],
)
def test_streams_that_are_none(mode, stride, filter, data):
    with pytest.raises(ValueError, match="meshopt|compressed data are damaged"):
        decompress(data, 3, stride, mode, filter)


@pytest.mark.parametrize("filter", ["OCTAHEDRAL", "QUATERNION", "EXPONENTIAL", "COLOR"])
def test_filters_take_some_elements_at_a_time(filter, monkeypatch):
    row = next(row for row in VECTORS if row["filter"] == filter)
    given = base64.b64decode(row["packed"]), row["count"], row["stride"], row["mode"], filter
    whole = decompress(*given)
    monkeypatch.setattr("rasterizer.meshes.gltf.meshopt._ROWS", 7)
    assert decompress(*given) == whole
    assert decompress(b"\xa1" + bytes(24), 0, 8 if filter == "QUATERNION" else 4, "ATTRIBUTES", filter) == b""


INTEGERS = [("i1", 5120), ("u1", 5121), ("<i2", 5122), ("<u2", 5123)]


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("dtype", "component"), INTEGERS, ids=["byte", "ubyte", "short", "ushort"])
def test_every_type_that_quantization_allows(dtype, component, normalized):
    limits_of = np.iinfo(dtype)
    low, high = (0, limits_of.max) if limits_of.min == 0 else (limits_of.min, limits_of.max)
    places = np.array([[low, 1, 2], [high, 5, 6], [3, high, 9]], dtype)
    uvs = np.array([[low, 0], [high, 1], [7, high]], dtype)
    width = places.dtype.itemsize
    data = b"".join(row.tobytes() + b"\0" * width for row in places)  # padded to 4 and 8 bytes, as must be
    step = max(4, 2 * width)
    data += (uv_bytes := b"".join(row.tobytes().ljust(step, b"\0") for row in uvs))
    header = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "scale": [2, 2, 2], "translation": [1, 0, 0]}],
        "buffers": [{"uri": "data:;base64," + base64.b64encode(data).decode(), "byteLength": len(data)}],
        "bufferViews": [
            {"buffer": 0, "byteLength": 12 * width, "byteStride": 4 * width},
            {"buffer": 0, "byteOffset": 12 * width, "byteLength": len(uv_bytes), "byteStride": step},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": component, "count": 3, "type": "VEC3", "normalized": normalized},
            {"bufferView": 1, "componentType": component, "count": 3, "type": "VEC2", "normalized": normalized},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}}]}],
        "extensionsRequired": ["KHR_mesh_quantization"],
    }
    mesh = load_mesh_data(json.dumps(header).encode(), ".gltf")
    scale = limits_of.max if normalized else 1
    want = np.maximum(places / scale, -1.0 if normalized else -np.inf)
    np.testing.assert_allclose(mesh.vertices.numpy(), want * 2 + [1, 0, 0], rtol=1e-6, atol=1e-6)
    want = np.maximum(uvs / scale, -1.0 if normalized else -np.inf)
    np.testing.assert_allclose(mesh.uvs.numpy(), want, rtol=1e-6, atol=1e-6)
    assert mesh.faces.tolist() == [[0, 1, 2]]


def test_the_example_of_texture_transform_shows_the_lower_left_quadrant():
    def turn(header):
        move = {"offset": [0, 1], "rotation": 1.57079632679, "scale": [0.5, 0.5]}
        header["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] = {
            "KHR_texture_transform": move
        }

    mesh, plain = (load_mesh_data(changed("plain", change), ".glb") for change in (turn, lambda header: None))
    want = torch.stack((0.5 * plain.uvs[:, 1], 1 - 0.5 * plain.uvs[:, 0]), dim=1)
    torch.testing.assert_close(mesh.uvs, want, rtol=0, atol=1e-6)


def test_a_texture_that_is_moved_otherwise_is_left_out():
    def move(header):
        slot = {"index": 0, "extensions": {"KHR_texture_transform": {"scale": [2, 2]}}}
        header["materials"][0]["normalTexture"] = slot

    warnings: list[str] = []
    mesh = load_mesh_data(changed("plain", move), ".glb", on_warning=warnings.append)
    assert mesh.normal_map is None and mesh.texture is not None
    assert "texture of normal on other UVs" in warnings[0]


@pytest.mark.parametrize("value", [{"scale": ["x", 1]}, {"rotation": 1e30}, {"offset": [float("nan"), 0]}])
def test_a_transform_without_numbers_is_refused(value):
    def spoil(header):
        slot = header["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
        slot["extensions"] = {"KHR_texture_transform": value}

    with pytest.raises(ValueError, match="KHR_texture_transform is .*expected numbers"):
        load_mesh_data(changed("plain", spoil), ".glb")


def test_attributes_that_are_not_as_many_as_positions_are_refused():
    def promise_more(header):
        slot = header["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
        slot["extensions"] = {"KHR_texture_transform": {"scale": [2, 2]}}
        header["accessors"].append({"componentType": 5121, "count": 60_000_000, "type": "VEC2"})
        header["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = len(header["accessors"]) - 1

    with pytest.raises(ValueError, match="POSITION and 60000000 TEXCOORD_0, expected as many"):
        load_mesh_data(changed("plain", promise_more), ".glb")


def test_elements_that_are_replaced_one_by_one():
    def replace(header):
        places, values = np.array([1, 4], "<u2"), np.array([[7, 8, 9], [-7, 0, 1]], "<f4")
        data = places.tobytes() + values.tobytes()
        uri = "data:;base64," + base64.b64encode(data).decode()
        header["buffers"].append({"uri": uri, "byteLength": len(data)})
        first = len(header["bufferViews"])
        header["bufferViews"] += [{"buffer": 1, "byteLength": 4}, {"buffer": 1, "byteOffset": 4, "byteLength": 24}]
        place = header["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
        indices = {"bufferView": first, "componentType": 5123}
        header["accessors"][place]["sparse"] = {"count": 2, "indices": indices, "values": {"bufferView": first + 1}}

    want = load_mesh(FILES / "plain.glb").vertices.clone()
    want[[1, 4]] = torch.tensor([[7.0, 8, 9], [-7, 0, 1]])
    assert torch.equal(load_mesh_data(changed("plain", replace), ".glb").vertices, want)

    def spoiled(**more):
        def change(header):
            replace(header)
            sparse = next(a["sparse"] for a in header["accessors"] if "sparse" in a)
            sparse.update(more)

        return changed("plain", change)

    wrong = {"bufferView": 0, "componentType": 5123, "byteOffset": 0}  # floats are no places
    for data in (spoiled(count=1 << 40), spoiled(indices=wrong), spoiled(indices={"componentType": 5123})):
        with pytest.raises(ValueError, match=r"its accessor \d+ (of|replaces|reaches)"):
            load_mesh_data(data, ".glb")


def test_a_buffer_in_the_header_is_decoded_once(monkeypatch):
    header, rest = header_of((FILES / "normalized.glb").read_bytes())
    header["buffers"][0]["uri"] = "data:;base64," + base64.b64encode(rest[8:]).decode()
    taken = []
    decode = base64.b64decode
    monkeypatch.setattr(base64, "b64decode", lambda text: taken.append(len(text)) or decode(text))
    mesh = load_mesh_data(json.dumps(header).encode(), ".gltf")
    assert torch.equal(mesh.vertices, load_mesh(FILES / "normalized.glb").vertices)
    assert len([length for length in taken if length > len(rest)]) == 1


def test_without_dracopy_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(draco.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"KHR_draco_mesh_compression.*pip install DracoPy"):
        load_mesh(FILES / "draco.glb")


def promise(name: str, count: int):
    """Meshopt's views, and the accessors, of more than the bytes hold."""

    def change(header):
        for accessor in header["accessors"]:
            accessor["count"] = count
        for view in header["bufferViews"]:
            if how := view.get("extensions", {}).get(name):
                how["count"], view["byteLength"] = count, count * how["byteStride"]

    return change


@pytest.mark.parametrize(
    ("name", "extension"),
    [("meshopt", "EXT_meshopt_compression"), ("meshopt_khr", "KHR_meshopt_compression"), ("draco", "")],
)
def test_promises_are_held_against_the_limits_before_anything_is_decompressed(name, extension, monkeypatch):
    monkeypatch.setattr("rasterizer.meshes.gltf.buffers.decompress", lambda *a: pytest.fail("decompressed"))
    monkeypatch.setattr("rasterizer.meshes.gltf.arrays.undraco", lambda *a: pytest.fail("decompressed"))
    with pytest.raises(ValueError, match=limits.MEMORY.variable):
        load_mesh_data(changed(name, promise(extension, 3_000_000)), ".glb")
    with pytest.raises(ValueError, match="found (200000000 faces|600000000 vertices)"):
        load_mesh_data(changed(name, promise(extension, 600_000_000)), ".glb")


@pytest.mark.parametrize("name", ["draco", "draco_sequential"])
def test_what_draco_promises_is_held_against_the_accessors(name, monkeypatch):
    monkeypatch.setattr(draco, "draco_is_there", lambda: True)
    monkeypatch.setattr(draco, "in_process", lambda *a: pytest.fail("decompressed"))
    with pytest.raises(ValueError, match="holds .* faces, expected the 33 and 11 of its accessors"):
        load_mesh_data(changed(name, promise("", 33)), ".glb")


@needs_draco
@pytest.mark.parametrize("seed", range(3))
def test_damage_within_draco_stays_in_its_process(seed):
    random = np.random.default_rng(seed)

    def damage(rest: bytes) -> bytes:
        header, _ = header_of((FILES / "draco.glb").read_bytes())
        view = header["bufferViews"][1]
        data = bytearray(rest)
        for place in random.integers(20, view["byteLength"], 3):
            data[8 + view.get("byteOffset", 0) + place] = random.integers(256)
        return bytes(data)

    try:
        mesh = load_mesh_data(changed("draco", lambda header: None, damage), ".glb")
    except ValueError:
        return
    assert mesh.vertices.isfinite().all()


@needs_draco
@pytest.mark.parametrize(
    ("worker", "what"),
    [
        ("import os; os.abort()", "code"),
        ("while True: pass", "takes longer"),
        ("raise ValueError('no mesh')", "no mesh"),
        ("return {'0_faces': np.zeros((1, 3), 'u4')}", "other numbers"),
    ],
)
def test_a_decoder_that_crashes_or_hangs_ends_nothing_but_itself(tmp_path, monkeypatch, worker, what):
    path = tmp_path / "worker.py"
    path.write_text(f"import numpy as np\ndef work(**given):\n    {worker}\n")
    monkeypatch.setattr(draco, "_WORKER", path)
    if what == "takes longer":
        monkeypatch.setattr(draco, "_SECONDS", 0.5)
        monkeypatch.setattr(draco, "_BYTES_PER_SECOND", 1e12)
    with pytest.raises(ValueError, match=what):
        load_mesh(FILES / "draco.glb")


def test_a_plain_copy_is_taken_where_draco_is_not_needed(monkeypatch):
    monkeypatch.setattr(draco.importlib.util, "find_spec", lambda name: None)

    def add(header):
        ids = {"POSITION": 0}
        header["meshes"][0]["primitives"][0]["extensions"] = {draco.DRACO: {"bufferView": 0, "attributes": ids}}

    mesh = load_mesh_data(changed("plain", add), ".glb")
    assert torch.equal(mesh.vertices, load_mesh(FILES / "plain.glb").vertices)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds memory as Linux does")
@pytest.mark.parametrize("memory", [1 << 24, 1 << 30])
def test_draco_gets_no_more_memory_than_it_is_given(tmp_path, memory):
    path = tmp_path / "worker.py"
    limit = f"runpy.run_path({str(draco._WORKER)!r})['_limit']({memory})"
    lines = ["import runpy", "import numpy as np", "def work(**given):", f"    {limit}"]
    path.write_text("\n".join([*lines, "    return {'made': np.ones(1 << 24)}"]))
    if memory >= 8 << 24:
        assert "made" in draco.in_process(path, {}, draco._until(60))
    else:
        with pytest.raises(draco.FailedError, match="Memory"):
            draco.in_process(path, {}, draco._until(60))
