"""The mesh that travels between loading, unwrapping, rasterizing and baking."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_faces

TEXTURES = ("texture", "metallic_roughness", "normal_map")
"""The attributes of a mesh that are images on its UVs."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh, right-handed with Y up, faces counter-clockwise seen from outside (glTF).

    Attributes:
        vertices: ``[N, 3]`` float32 positions.
        faces: ``[M, 3]`` int32, 0-based vertex indices.
        uvs: ``[N, 2]`` float32, one to one with ``vertices``, which are duplicated along seams. ``v = 0`` is row 0 of
            the texture, its top (glTF). Values outside 0..1 repeat the texture.
        normals: ``[N, 3]`` float32 unit vectors.
        vertex_colors: ``[N, 3]`` or ``[N, 4]`` float32 linear RGB or RGBA, 0..1; they multiply the texture.
        texture: ``[H, W, 3]`` float32 sRGB-coded base colour, 0..1, row 0 at ``v = 0``.
        metallic_roughness: ``[H, W, 3]`` float32 linear texture, 0..1, as glTF packs it: roughness in green, metallic
            in blue, and occlusion in red where ``occlusion_in_mr`` says so. Any size, whatever that of ``texture`` is.
        name: what to call the mesh in file names and messages.
        normal_map: ``[H, W, 3]`` float32, 0..1: unit vectors in tangent space as ``n / 2 + 0.5``, green up (glTF). The
            tangents are those of :func:`~rasterizer.meshes.tangents.vertex_tangents`. Any size.
        occlusion_in_mr: whether red of ``metallic_roughness`` is ambient occlusion, 1 = open; else it means nothing.
        material: what the file calls the material; empty where it has no name, or several materials became one.
        source: what the file is called that it was read from, without suffix; empty where it was not.

    Raises:
        ValueError: a tensor whose shape or dtype is none of the above, or a name that is no text.
    """

    vertices: Tensor
    faces: Tensor
    uvs: Tensor | None = None
    normals: Tensor | None = None
    vertex_colors: Tensor | None = None
    texture: Tensor | None = None
    metallic_roughness: Tensor | None = None
    name: str = ""
    normal_map: Tensor | None = None
    occlusion_in_mr: bool = False
    material: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for label in ("name", "material", "source"):
            text = getattr(self, label)
            if not isinstance(text, str):
                raise ValueError(f"Mesh {label}: found {type(text).__name__} {text!r}, expected a str.")
        _check("vertices", self.vertices, "[N, 3]", (None, (3,)))
        whole = not self.vertices.is_meta  # there, a mesh may lie until it is drawn or saved, but not a part of one
        _check("faces", self.faces, "[M, 3]", (None, (3,)), torch.int32, whole)
        rows = (len(self.vertices),)
        _check("uvs", self.uvs, "[N, 2], a row for each vertex,", (rows, (2,)), whole=whole)
        _check("normals", self.normals, "[N, 3], a row for each vertex,", (rows, (3,)), whole=whole)
        colors = "[N, 3] or [N, 4], a row for each vertex,"
        _check("vertex_colors", self.vertex_colors, colors, (rows, (3, 4)), whole=whole)
        for name in TEXTURES:
            _check(name, getattr(self, name), "[H, W, 3]", (None, None, (3,)), whole=whole)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and value.is_neg():  # a view of which PyTorch makes no new tensors
                object.__setattr__(self, field.name, value.resolve_neg())

    def to(self, device: torch.device | str) -> Mesh:
        """The same mesh with every tensor on ``device``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def require_uvs(self, input_name: str = "mesh") -> Tensor:
        """The ``[N, 2]`` UVs, for work that cannot do without.

        Raises:
            ValueError: the mesh has none; ``input_name`` is what the message calls it.
        """
        if self.uvs is None:
            called = f" '{self.name}'" if self.name else ""
            raise ValueError(
                f"{input_name}{called} has no UV coordinates: {len(self.vertices)} vertices and no uvs, expected uvs "
                f"[{len(self.vertices)}, 2]. Unwrap it first (Unwrap UV), or load a file that has UVs. For texturing, "
                "connect Unwrap UV between the mesh and Bake, Fill and Apply only: pictures made without it stay valid."
            )
        return self.uvs

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest corner of the axis-aligned box around all vertices, ``[3]`` each."""
        return self.vertices.amin(0), self.vertices.amax(0)

    def face_normals(self) -> Tensor:
        """``[M, 3]`` float32 unit normals by winding, zero for faces without area or with a corner that is not finite.

        Raises:
            ValueError: a face names a vertex that is not there.
        """
        check_faces(self.faces, len(self.vertices), self.vertices.device, "Mesh faces")
        a, b, c = self.vertices[self.faces.long()].unbind(1)
        return _unit(torch.linalg.cross(b - a, c - a))

    def vertex_normals(self, weld: bool = True, faces: Tensor | None = None) -> Tensor:
        """``[N, 3]`` float32: the mean of the unit normals of the adjacent faces, each counting the same, renormalised.

        Vertices without a face, and those whose faces cancel out, get zero.

        Args:
            weld: average over all vertices at exactly the same position, so that UV seams do not crease.
            faces: what :meth:`face_normals` gives, where that is known.

        Raises:
            ValueError: a face names a vertex that is not there.
        """
        normals = self.face_normals() if faces is None else faces
        index = weld_index(self.vertices) if weld else torch.arange(len(self.vertices), device=self.vertices.device)
        corners = index[self.faces.long()].flatten()
        sums = torch.zeros_like(self.vertices)
        sums.index_add_(0, corners, normals.repeat_interleave(3, dim=0))
        return _unit(sums)[index]


def _check(
    name: str,
    value: Tensor | None,
    expected: str,
    shape: tuple[tuple[int, ...] | None, ...],
    dtype: torch.dtype = torch.float32,
    whole: bool = False,
) -> None:
    """Raise unless ``value`` has the dtype and, dimension by dimension, one of the sizes of ``shape`` (None: any).

    ``whole`` refuses the device ``meta``, too.
    """
    if value is None and name not in ("vertices", "faces"):
        return
    if not isinstance(value, Tensor):
        raise ValueError(f"Mesh {name}: found {type(value).__name__}, expected a {expected} {dtype} tensor.")
    if whole or not value.is_meta:
        as_tensor(value, f"Mesh {name}")
    fits = value.ndim == len(shape) and all(
        sizes is None or size in sizes for size, sizes in zip(value.shape, shape, strict=True)
    )
    if not fits or value.dtype != dtype:
        raise ValueError(f"Mesh {name}: found {list(value.shape)} {value.dtype}, expected {expected} {dtype}.")


def _unit(vectors: Tensor) -> Tensor:
    """Rows scaled to length 1; zero rows stay zero, and those that are not finite become it."""
    # Squares of small cross products underflow in float32, so the largest component is brought to 1 first.
    largest = vectors.abs().amax(-1, keepdim=True)
    scaled = torch.where(largest < torch.inf, vectors / torch.where(largest > 0, largest, 1.0), 0.0)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True).clamp_min(1.0)


def weld_index(vertices: Tensor) -> Tensor:
    """``[N]`` int64, equal for vertices at exactly the same position and different otherwise, values below N."""
    # Two passes over packed int64 keys sort many times faster than torch.unique over rows. On the CPU unless the device
    # is known to sort int64. Adding 0 turns -0 into 0, which has other bits but is the same position.
    given = vertices.detach() if vertices.is_cuda else vertices.detach().cpu()
    x, y, z = (given + 0.0).contiguous().view(torch.int32).long().unbind(1)
    plane = _ranks(x << 32 | y & 0xFFFFFFFF)
    return _ranks(plane << 32 | z & 0xFFFFFFFF).to(vertices.device)


def _ranks(keys: Tensor) -> Tensor:
    """``[N]`` int64: how many different keys are less than each."""
    if not keys.is_cuda:
        return torch.unique(keys, return_inverse=True)[1]
    ordered, order = keys.sort()  # which does not wait for the device, as torch.unique does
    ranks = torch.zeros_like(keys)
    torch.cumsum(ordered[1:] != ordered[:-1], 0, out=ranks[1:])
    return torch.empty_like(keys).scatter_(0, order, ranks)
