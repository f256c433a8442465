"""Every refusal is a ValueError that names the argument, what was found and what is expected."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import rasterizer
from rasterizer.cameras.camera import orbit_camera
from rasterizer.contract.checks import check_devices
from rasterizer.meshes.files import save_mesh
from rasterizer.meshes.mesh import Mesh
from rasterizer.texturing import apply_textures, bake_views, fill_texture

POS = torch.tensor([[-1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
TRI = torch.tensor([[0, 1, 2]], dtype=torch.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pos": POS[:, :3]}, ("pos", "[3, 3]", "[N, 4]")),
        ({"pos": POS.int()}, ("pos", "int32", "float")),
        ({"pos": POS[:0]}, ("tri", "face 0", "no vertex")),
        ({"pos": "mesh"}, ("pos", "str", "Tensor")),
        ({"tri": TRI[:, :2]}, ("tri", "[1, 2]", "[M, 3]")),
        ({"tri": TRI.float()}, ("tri", "float32", "integer")),
        ({"tri": TRI.bool()}, ("tri", "bool", "integer")),
        ({"tri": torch.tensor([[0, 1, 2], [0, 1, 3]])}, ("tri", "face 1", "[0, 1, 3]", "3 vertices")),
        ({"tri": torch.tensor([[0, 1, -1]])}, ("tri", "face 0", "[0, 1, -1]", "0 .. 2")),
        ({"tri": TRI.to("meta")}, ("tri", "meta", "no values", "cpu")),
        ({"resolution": (0, 64)}, ("resolution", "0 x 64", "1 to")),
        ({"resolution": (64, 99999)}, ("resolution", "64 x 99999")),
        ({"resolution": 64}, ("resolution", "64", "(height, width)")),
        ({"depth_prior": torch.zeros(3, 5)}, ("depth_prior", "[3, 5]", "[32, 48]")),
        ({"mode": "fast"}, ("mode", "fast", "auto, tiled, batched")),
        ({"tile_size": 4}, ("tile_size", "4", "8 to 512")),
        ({"tile_size": 32.5}, ("tile_size", "32.5", "whole number")),
        ({"batch_size": -1}, ("batch_size", "-1")),
        ({"tile_size": np.bool_(True)}, ("tile_size", "True")),
        ({"tile_size": torch.tensor(32)}, ("tile_size", "tensor(32)")),
        ({"mode": torch.tensor(0)}, ("mode", "tensor(0)")),
        ({"backend": "glide"}, ("backend", "glide", "auto, kernels, vulkan, torch")),
    ],
)
def test_refusals(change: dict, words: tuple[str, ...]) -> None:
    arguments = {"pos": POS, "tri": TRI, "resolution": (32, 48), **change}
    with pytest.raises(ValueError) as refusal:
        rasterizer.rasterize(**arguments)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_vertex_dtypes_are_converted(dtype: torch.dtype) -> None:
    got = rasterizer.rasterize(POS.to(dtype), TRI, (32, 48))  # these coordinates are exact in every dtype
    want = rasterizer.rasterize(POS, TRI, (32, 48))
    assert got.barycentric.dtype == torch.float32
    assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.uint8])
def test_face_dtypes_are_converted(dtype: torch.dtype) -> None:
    got = rasterizer.rasterize(POS, TRI.to(dtype), (32, 48))
    assert torch.equal(got.findices, rasterizer.rasterize(POS, TRI, (32, 48)).findices)


def test_any_strides_and_array_likes() -> None:
    want = rasterizer.rasterize(POS, TRI, (32, 48))
    wide = torch.zeros(3, 8)
    wide[:, ::2] = POS
    strided = rasterizer.rasterize(wide[:, ::2], TRI.t().contiguous().t(), (32, 48))
    arrays = rasterizer.rasterize(POS.numpy(), TRI.numpy(), np.array([32, 48]))
    for got in (strided, arrays):
        assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)


@pytest.mark.parametrize("inference", [False, True])
def test_faces_changed_in_place_are_read_again(inference: bool) -> None:
    with torch.inference_mode(inference):  # in which tensors do not count their changes
        tri = TRI.clone()
        rasterizer.rasterize(POS, tri, (8, 8))
        tri[0, 0] = 7
        with pytest.raises(ValueError, match="face 0"):
            rasterizer.rasterize(POS, tri, (8, 8))


def test_a_choice_is_refused_even_if_its_equal_was_accepted() -> None:
    rasterizer.rasterize(POS, TRI, (8, 8), batch_size=0)
    with pytest.raises(ValueError, match="batch_size: is False"):
        rasterizer.rasterize(POS, TRI, (8, 8), batch_size=False)


def test_single_views_and_batches_of_one() -> None:
    one, batch = rasterizer.rasterize(POS, TRI, (8, 9)), rasterizer.rasterize(POS[None], TRI, (8, 9))
    assert one.findices.shape == (8, 9) and batch.barycentric.shape == (1, 8, 9, 3)
    assert torch.equal(one.findices, batch.findices[0]) and torch.equal(one.barycentric, batch.barycentric[0])
    leaf = POS.clone().requires_grad_()
    weights = rasterizer.rasterize(leaf, TRI, (8, 9)).barycentric
    assert weights.shape == (8, 9, 3) and weights.requires_grad


def test_inputs_are_not_changed() -> None:
    pos, tri, prior = POS.clone(), TRI.clone(), torch.zeros(16, 16)
    rasterizer.rasterize(pos, tri, (16, 16), depth_prior=prior)
    assert torch.equal(pos, POS) and torch.equal(tri, TRI) and not prior.any()


@pytest.mark.parametrize("wrap", [lambda sides: sides, lambda sides: tuple(sides.unbind())], ids=["tensor", "tuple"])
def test_a_resolution_that_is_changed_in_place_is_read_again(wrap) -> None:
    sides = torch.tensor([8, 8])
    resolution = wrap(sides)
    assert rasterizer.rasterize(POS, TRI, resolution).findices.shape == (8, 8)
    sides.fill_(4)
    assert rasterizer.rasterize(POS, TRI, resolution).findices.shape == (4, 4)


def test_numbers_of_numpy() -> None:
    want = rasterizer.rasterize(POS, TRI, (8, 9), depth_prior=torch.zeros(8, 9), occlusion_truncation=0.5)
    got = rasterizer.rasterize(
        POS,
        TRI,
        (np.int32(8), np.float64(9.0)),
        depth_prior=torch.zeros(8, 9),
        occlusion_truncation=np.float32(0.5),
        tile_size=np.int64(32),
        batch_size=np.uint8(7),
    )
    assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)


UNUSABLE = {
    "sparse": (lambda values: values.to_sparse(), ("sparse_coo", ".to_dense()")),
    "mkldnn": (lambda values: values.float().to_mkldnn(), ("_mkldnn", ".to_dense()")),
    "quantized": (lambda values: torch.quantize_per_tensor(values.float(), 1.0, 0, torch.qint32), (".dequantize()",)),
    "meta": (lambda values: values.to("meta"), ("meta", "no values")),
    "nested": (lambda values: torch.nested.nested_tensor([values, values[:1]]), ("nested", ".to_padded_tensor(0)")),
}
PLACES, UVS = POS[:, :3].contiguous(), POS[:, :2].contiguous()
MESH, IMAGE = Mesh(PLACES, TRI, UVS), torch.zeros(4, 4, 3)
FOUND, WEIGHTS = rasterizer.rasterize(POS, TRI, (6, 7))
CALLS = {
    "rasterize": (
        rasterizer.rasterize,
        {"pos": POS, "tri": TRI, "resolution": (6, 7), "depth_prior": torch.zeros(6, 7)},
    ),
    "interpolate": (rasterizer.interpolate, {"col": POS, "findices": FOUND, "barycentric": WEIGHTS, "tri": TRI}),
    "barycentrics": (rasterizer.barycentrics, {"pos": POS, "tri": TRI, "findices": FOUND}),
    "from_mesh": (rasterizer.GridHierarchy.from_mesh, {"vertices": POS[:, :3], "faces": TRI}),
    "Mesh": (
        Mesh,
        {"vertices": PLACES, "faces": TRI, "uvs": UVS, "normals": PLACES, "vertex_colors": PLACES, "texture": IMAGE},
    ),
    "bake_views": (
        bake_views,
        {"mesh": MESH, "images": IMAGE[None], "cameras": [orbit_camera(0, 0)], "masks": torch.ones(1, 4, 4)},
    ),
    "fill_texture": (fill_texture, {"texture": IMAGE, "painted": IMAGE[..., 0] == 0, "mesh": MESH}),
    "apply_textures": (apply_textures, {"mesh": MESH, "base_color": IMAGE, "metallic_roughness": IMAGE}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("call", "name", "kind"),
    [
        (call, name, kind)
        for call, (_, values) in CALLS.items()
        for name, value in values.items()
        for kind in UNUSABLE
        # A mesh may lie on the device meta until it is drawn.
        if torch.is_tensor(value) and (call, name, kind) != ("Mesh", "vertices", "meta")
    ],
)
def test_tensors_that_no_operator_can_read(call: str, name: str, kind: str) -> None:
    function, arguments = CALLS[call]
    make, words = UNUSABLE[kind]
    try:
        value = make(arguments[name])
    except RuntimeError:
        pytest.skip("this PyTorch has no such tensors")
    with pytest.raises(ValueError) as refusal:
        function(**{**arguments, name: value})
    for word in (name, *words):
        assert word in str(refusal.value)


def test_a_mesh_without_values_is_not_worked_on(tmp_path: Path) -> None:
    mesh = MESH.to("meta")
    for work in (
        lambda: save_mesh(mesh, tmp_path / "mesh.glb"),
        lambda: bake_views(mesh, IMAGE[None], [orbit_camera(0, 0)]),
        lambda: fill_texture(IMAGE, IMAGE[..., 0] == 0, mesh),
        mesh.vertex_normals,
    ):
        with pytest.raises(ValueError, match="meta, where tensors have no values"):
            work()


@pytest.mark.parametrize("device", ["gpu", 2**70, (), "cuda:99", 1.5])
def test_devices_that_are_not_here(device: object) -> None:
    with pytest.raises(ValueError, match="^device: is "):
        rasterizer.create_optimized_rasterizer(device=device)


@pytest.mark.parametrize(
    "given",
    ["cuda:0", torch.device("cpu"), 3, [], (), ["cpu", "gpu"], ["cuda:99"], ["cpu", "meta"], [None], ["vulkan"], [1.5]],
)
def test_lists_of_devices_that_cannot_be_used(given: object) -> None:
    with pytest.raises(ValueError, match=r"^devices(\[[01]\])?: is .*(expected|'cpu' is always there)"):
        check_devices(given)


def test_lists_of_devices_that_are_here() -> None:
    cpu = torch.device("cpu")
    assert check_devices(["cpu", cpu, "cpu:0"]) == (cpu,) * 3
    assert check_devices(name for name in ("cpu",)) == (cpu,)


def test_what_is_no_number_or_name() -> None:
    with pytest.raises(ValueError, match="occlusion_truncation: is 1000"):
        rasterizer.rasterize(POS, TRI, (8, 8), occlusion_truncation=10**400)
    with pytest.raises(ValueError, match=r"backend: \['auto'\] is no backend"):
        rasterizer.rasterize(POS, TRI, (8, 8), backend=["auto"])


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn])
def test_dtypes_with_which_pytorch_hardly_computes(dtype: torch.dtype) -> None:
    want = rasterizer.interpolate(POS, FOUND, WEIGHTS, TRI)
    assert torch.equal(rasterizer.interpolate(POS, FOUND.to(dtype), WEIGHTS, TRI), want)
    if dtype.is_floating_point:
        assert torch.equal(rasterizer.interpolate(POS.to(dtype), FOUND, WEIGHTS, TRI), want)


@pytest.mark.parametrize("name", ["findices", "barycentric", "col"])
def test_complex_numbers_are_refused(name: str) -> None:
    arguments = {"col": POS, "findices": FOUND, "barycentric": WEIGHTS, "tri": TRI}
    with pytest.raises(ValueError, match=f"^{name}: dtype is torch.complex64, expected real numbers"):
        rasterizer.interpolate(**{**arguments, name: arguments[name].to(torch.complex64)})


def test_a_flag_is_one_number() -> None:
    for draw in (rasterizer.rasterize_image, rasterizer.RasterizerWrapper(device="cpu").rasterize_image):
        with pytest.raises(ValueError, match="^use_depth_prior: is tensor"):
            draw(POS, TRI, torch.zeros(6, 7), 7, 6, 1e-6, torch.tensor([1, 2]))


def test_an_account_stays_with_its_fragments() -> None:
    drawn = rasterizer.rasterize(POS, TRI, (6, 7))
    other = drawn._replace(findices=drawn.findices + 1)
    assert isinstance(other, rasterizer.Fragments) and other.info is drawn.info
    assert torch.equal(other.findices, drawn.findices + 1) and other.barycentric is drawn.barycentric
    assert other._replace(info=copy.copy(drawn.info)).info == drawn.info
    for copied in (copy.copy(drawn), pickle.loads(pickle.dumps(drawn))):
        assert copied.info == drawn.info
    made = rasterizer.Fragments(*drawn)
    assert made.info.invalid_faces == -1 and made._replace(findices=FOUND).info == made.info
