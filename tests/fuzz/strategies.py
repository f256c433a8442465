"""Inputs that several targets share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from rasterizer.cameras.camera import orbit_camera
from rasterizer.cameras.projection import to_clip
from rasterizer.meshes.mesh import Mesh

COORDINATES = st.one_of(
    st.floats(-2, 2, width=32),
    st.integers(-8, 8).map(lambda k: k / 8),  # falls on pixel centres and edges
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-8, 1e-30, 1e8, -1e8, 1e20, 3e38, float("nan"), float("inf")]),
)
DEPTHS = st.one_of(st.floats(-1.5, 3, width=32), st.sampled_from([0.0, -1.0, 1.0, 1e4, 1e30, float("nan")]))
WEIGHTS = st.one_of(st.floats(0.25, 4, width=32), st.sampled_from([1.0, -1.0, 1e-6, -3.0, 0.0, 1e-38]))


@st.composite
def _few_vertices(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A few triangles over shared vertices in special positions."""
    vertices = draw(st.lists(st.tuples(COORDINATES, COORDINATES, DEPTHS, WEIGHTS), min_size=3, max_size=9))
    pos = torch.tensor(vertices, dtype=torch.float32)
    pos[:, :3] *= pos[:, 3:]
    return pos[None], draw(_faces(len(vertices), 12))


@st.composite
def _soups(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Many triangles of one size, from specks to larger than the screen, some as slivers, in one or two views."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, size = draw(st.integers(1, 60)), draw(st.sampled_from([0.02, 0.1, 0.4, 1.0, 3.0]))
    centre = random.uniform(-1.2, 1.2, (count, 1, 3))
    corners = centre + random.normal(size=(count, 3, 3)) * size * [1, 1, 0.3]
    if draw(st.booleans()):
        share = random.uniform(-0.2, 1.2, (count, 1))
        corners[:, 2] = corners[:, 0] + (corners[:, 1] - corners[:, 0]) * share + 10.0 ** -random.uniform(1, 8)
    w = random.uniform(-0.2 if draw(st.booleans()) else 0.5, 2.0, (count, 3, 1))
    pos = torch.from_numpy(np.concatenate((corners * w, w), axis=2).reshape(-1, 4)).float()
    views = draw(st.integers(1, 2))
    turned = torch.stack((pos, pos[:, [1, 0, 2, 3]]))[:views]
    return turned, torch.arange(3 * count, dtype=torch.int32).view(-1, 3)


@st.composite
def _through_cameras(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A bumpy sheet as cameras see it, also from inside."""
    mesh = sheet(draw(st.integers(2, 9)), draw(st.integers(0, 100)))
    angle = st.sampled_from([0.0, 45.0, 90.0, 180.0, 271.5])
    camera = st.builds(
        orbit_camera,
        azimuth=angle,
        elevation=angle.map(lambda a: a / 3),
        distance=st.sampled_from([0.05, 0.4, 1.45, 30.0]),
        ortho_scale=st.sampled_from([None, 0.2, 1.2]),
    )
    cameras = draw(st.lists(camera, min_size=1, max_size=2))
    return to_clip(mesh.vertices, cameras, 64, 48), mesh.faces


def clip_scenes() -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """``[B, N, 4]`` clip-space vertices and ``[M, 3]`` faces."""
    return st.one_of(_few_vertices(), _soups(), _through_cameras())


@st.composite
def _faces(draw: st.DrawFn, vertices: int, most: int) -> Tensor:
    corner = st.integers(0, vertices - 1)
    faces = draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=most))
    return torch.tensor(faces, dtype=torch.int32)


def sheet(side: int = 3, bumps: int = 1) -> Mesh:
    """``side x side`` vertices with UVs over the whole texture; different ``bumps`` give different heights."""
    steps = torch.linspace(0, 1, side)
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    uvs = torch.stack((u, v), dim=-1).view(-1, 2)
    height = torch.rand(side * side, 1, generator=torch.Generator().manual_seed(bumps)) * 0.3
    corner = torch.arange(side * side).view(side, side)
    a, b, c, d = (part.reshape(-1) for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = torch.cat((torch.stack((a, b, c), 1), torch.stack((a, c, d), 1))).int()
    flat = torch.stack((uvs[:, 0] * 2 - 1, 1 - uvs[:, 1] * 2), dim=1)
    return Mesh(torch.cat((flat, height), dim=1), faces, uvs=uvs * 0.96 + 0.02)


def _value(number: float) -> Callable[[Tensor], Tensor]:
    """A change of the first element."""

    def change(values: Tensor) -> Tensor:
        changed = values.detach().clone()
        changed.view(-1)[0] = number
        return changed

    return change


def _in_inference(values: Tensor) -> Tensor:
    with torch.inference_mode():
        return values.clone()


ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t.contiguous(),
    "from a transposed copy": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "from a rotated copy": lambda t: torch.rot90(t, -1, (0, 1)).contiguous().rot90(1, (0, 1)),
    "flipped twice": lambda t: t.flip(0).flip(0),
    "every second of a larger one": lambda t: torch.stack((t, t), dim=-1)[..., 0],
    "part of a larger one": lambda t: torch.nn.functional.pad(t, (1, 2))[..., 1:-2],
    "channels first": lambda t: t.movedim(-1, 0).contiguous().movedim(0, -1),
    "expanded": lambda t: t[:1].expand_as(t),
}
"""Ways to lay values out in memory; ``expanded`` alone changes them."""

DTYPES = [
    *(torch.float32, torch.bool, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.float8_e4m3fn),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64),
]

CHANGES: dict[str, Callable[[Tensor], Any]] = {
    **{str(dtype): lambda t, dtype=dtype: t.to(dtype) for dtype in DTYPES},
    **{name: change for name, change in ORDERS.items() if name != "contiguous"},
    "an array": lambda t: t.detach().numpy(),
    "a float64 array": lambda t: t.detach().numpy().astype(np.float64),
    "a big-endian array": lambda t: t.detach().numpy().astype(t.numpy().dtype.newbyteorder(">")),
    "an array of objects": lambda t: t.detach().numpy().astype(object),
    "a flipped array": lambda t: t.detach().numpy()[::-1],
    "a list": lambda t: t.tolist(),
    "on meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "for MKL-DNN": lambda t: t.float().to_mkldnn(),
    "quantized": lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.quint8),
    "nested": lambda t: torch.nested.nested_tensor([t, t[:1]]),
    "a negative view": lambda t: torch._neg_view(-t),  # of the same values; what is bool has none
    "of the inference mode": _in_inference,
    "with a gradient": lambda t: t.detach().clone().requires_grad_(),
    "a parameter": lambda t: torch.nn.Parameter(t.detach().clone()),
    "without rows": lambda t: t[:0],
    "without columns": lambda t: t[..., :0],
    "of one row": lambda t: t[:1],
    "a column less": lambda t: t[..., :-1],
    "a column more": lambda t: torch.cat((t, t[..., :1]), dim=-1),
    "a row more": lambda t: torch.cat((t, t[:1])),
    "a dimension more": lambda t: t[None],
    "two views": lambda t: torch.stack((t, t)),
    "flat": lambda t: t.reshape(-1),
    "a scalar": lambda t: t.reshape(-1)[0],
    "transposed": lambda t: t.transpose(0, -1),
    "all zero": lambda t: torch.zeros_like(t),
    "all -1": lambda t: torch.full_like(t, -1),
    **{
        f"{number:g} in it": _value(number)
        for number in (float("nan"), float("inf"), -float("inf"), 3e38, 1e20, 1e-40, -1, 2, 127, 2**31 - 1, -(2**31))
    },
    **{f"times {scale:g}": lambda t, scale=scale: t * scale for scale in (1e30, 1e19, 1e-25, 1e-38, -1)},
}
"""What may be wrong, or only unusual, with a tensor."""

NUMBERS: list[Any] = [
    *(0, 1, -1, 2, 2.0, 0.5, -0.0, 1e-30, 1e30, 2**31, 2**63, 2**70, 10**400, float("nan"), float("inf")),
    *(True, np.int64(8), np.int16(-1), np.uint8(9), np.float32(0.25), np.float64(8), np.bool_(True), 8 + 0j),
    *(torch.tensor(8), torch.tensor(0.5), torch.tensor([1, 2]), np.array(8), np.array([8, 8])),
]
"""Numbers and what is nearly one; none that is legal and means much work."""

ODD: list[Any] = [
    *NUMBERS,
    None,
    "",
    "8",
    "auto",
    b"8",
    (),
    [],
    {},
    (8,),
    (8, 8),
    [8, 8.0],
    (8, 9, 10),
    ("a", "b"),
    {8: 9},
]
"""Values for arguments that are no tensors."""
