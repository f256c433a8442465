"""Mesh sockets to meshes of the library and back.

``MESH`` is ComfyUI's class in any version: attributes may be missing, a batch may be zero-padded with ``vertex_counts``
and ``face_counts``, faces may be float. ``TRIMESH`` is a ``trimesh.Trimesh``. ``FILE_3D`` is a file
(:mod:`nodes.host.files3d`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...rasterizer.meshes.mesh import TEXTURES, Mesh
from ...rasterizer.meshes.trimesh_objects import from_trimesh, to_trimesh
from .factors import with_factors
from .files3d import is_file_3d, read_file_3d
from .values import named
from .versions import new_mesh

_NAMES = "torch_raster_names"
"""Our own attribute of MESH: for each item, what the mesh, its material and the file that it came from are called."""


def is_trimesh(value: Any) -> bool:
    """Whether a value came from a TRIMESH socket; asked without importing trimesh."""
    return any(base.__module__.split(".")[0] == "trimesh" for base in type(value).__mro__)


def is_mesh(value: Any) -> bool:
    """Whether a value is ComfyUI's MESH, which nodes may hand on as it is."""
    return hasattr(value, "vertices") and hasattr(value, "faces") and not is_trimesh(value)


def read_meshes(value: Any, name: str = "mesh", on_warning: Callable[[str], None] | None = None) -> list[Mesh]:
    """The meshes on a MESH, TRIMESH or FILE_3D socket, checked.

    ``on_warning`` is told what was left out of a file; None is a warning in the log.

    Raises:
        ValueError: not a mesh, no faces, an index out of range, positions that are not finite, or a file that cannot be
            read.
    """
    if is_trimesh(value):
        with named(name):
            meshes = [from_trimesh(value)]
    elif is_file_3d(value):
        meshes = [read_file_3d(value, name, on_warning)]
    elif hasattr(value, "vertices") and hasattr(value, "faces"):
        meshes = [_item(value, number, name) for number in range(_batch_size(value))]
    elif value is None:
        raise ValueError(f"{name}: is empty: the node before it gave nothing. In a Load 3D node, choose a file")
    else:
        raise ValueError(f"{name}: is a {type(value).__name__}, expected a MESH, a TRIMESH or a 3D file")
    if not meshes:
        raise ValueError(f"{name}: is an empty batch, expected at least one mesh")
    for number, mesh in enumerate(meshes):
        _check(mesh, f"{name} {number} of {len(meshes)}" if len(meshes) > 1 else name)
    return meshes


def write_mesh(*meshes: Mesh) -> Any:
    """ComfyUI's MESH: one item for each mesh, rows padded with zeros and counted where the meshes differ in size.

    All meshes have the same attributes, as those of a batch have. A version of ComfyUI that does not know an attribute
    yet has no nodes that look at it.
    """

    def batch(attribute: str) -> Tensor:
        values = [getattr(mesh, attribute) for mesh in meshes]
        # One picture alone is not copied: pictures may be the most of a mesh by far, and nobody changes them in place.
        if attribute in TEXTURES and len(values) == 1:
            return values[0][None].contiguous()
        return pad_sequence(values, batch_first=True)

    names = ("uvs", "normals", "vertex_colors", *TEXTURES)
    present: dict[str, Any] = {name: batch(name) for name in names if getattr(meshes[0], name) is not None}
    if len({(len(mesh.vertices), len(mesh.faces)) for mesh in meshes}) > 1:
        present["vertex_counts"] = torch.tensor([len(mesh.vertices) for mesh in meshes])
        present["face_counts"] = torch.tensor([len(mesh.faces) for mesh in meshes])
    if meshes[0].occlusion_in_mr:
        present["occlusion_in_mr"] = True
    if any(mesh.name or mesh.material or mesh.source for mesh in meshes):
        present[_NAMES] = [(mesh.name, mesh.material, mesh.source) for mesh in meshes]
    return new_mesh(batch("vertices"), batch("faces"), **present)


def as_it_is(value: Any, meshes: list[Mesh]) -> tuple[Any, Any]:
    """MESH and TRIMESH of a node that changes nothing: the value itself at the socket of its kind.

    Args:
        value: what the node was given, which may also be a file.
        meshes: the same as it was read.
    """
    return (value if is_mesh(value) else write_mesh(*meshes), value if is_trimesh(value) else to_trimesh(meshes[0]))


def uv_advice(meshes: list[Mesh]) -> str:
    """What to tell whoever has pictures painted of meshes that cannot be baked yet; empty if they can."""
    without = sum(mesh.uvs is None for mesh in meshes)
    if not without:
        return ""
    which = "The mesh has" if len(meshes) == 1 else f"{without} of {len(meshes)} meshes have"
    return (
        f"{which} no UVs, which Bake, Fill and Apply will need: connect Unwrap UV between the mesh and those three "
        "only. The views and pictures made here stay valid."
    )


def _batch_size(value: Any) -> int:
    vertices = value.vertices
    return 1 if vertices is None or getattr(vertices, "ndim", 3) == 2 else len(vertices)


def _item(value: Any, number: int, name: str) -> Mesh:
    size = _batch_size(value)

    def rows(attribute: str, count: str | None = None) -> Tensor | None:
        batch = getattr(value, attribute, None)
        if batch is None:
            return None
        # A single mesh may come without a batch dimension; one texture may serve the whole batch.
        if getattr(batch, "ndim", None) == (3 if attribute in TEXTURES else 2):
            batch = batch[None]
        if len(batch) not in (1, size):
            raise ValueError(
                f"{name}: has {size} blocks of vertices but {len(batch)} of {attribute}, expected as many, or 1 for all"
            )
        tensor = torch.as_tensor(batch[min(number, len(batch) - 1)])
        counts = getattr(value, count, None) if count else None
        if counts is None:
            return tensor
        if len(counts) != size:
            raise ValueError(f"{name}: has {len(counts)} {count} for {size} meshes, expected one for each")
        length = int(counts[number])
        if not 0 <= length <= len(tensor):
            raise ValueError(
                f"{name}: {count} of mesh {number} is {length}, expected 0 to {len(tensor)}, the rows of {attribute}"
            )
        return tensor[:length]

    def floats(attribute: str, count: str | None = "vertex_counts") -> Tensor | None:
        tensor = rows(attribute, count)
        return None if tensor is None else tensor.detach().to(torch.float32)

    vertices, faces = floats("vertices"), rows("faces", "face_counts")
    if vertices is None or faces is None:
        raise ValueError(f"{name}: has no {'vertices' if vertices is None else 'faces'}, expected a mesh with both")
    home = vertices.device
    images = {key: floats(key, None) for key in TEXTURES}
    others = {key: floats(key) for key in ("uvs", "normals", "vertex_colors")}
    # A node that picks from a batch copies this, too, and does not know that it goes with the items.
    names = getattr(value, _NAMES, None) or []
    called, material, source = names[number] if len(names) == size else ("", "", "")
    with named(name):
        mesh = Mesh(
            vertices=vertices,
            faces=_narrow(faces.detach().to(home), len(vertices)),
            **{key: None if image is None else image[..., :3].to(home) for key, image in images.items()},
            **{key: None if tensor is None else tensor.to(home) for key, tensor in others.items()},
            name=called,
            occlusion_in_mr=bool(getattr(value, "occlusion_in_mr", False)),
            material=material,
            source=source,
        )
        return with_factors(mesh, getattr(value, "material", None))


def _narrow(faces: Tensor, vertices: int) -> Tensor:
    """Faces of any dtype as int32, checked while nothing can have been cut off."""
    whole = faces.to(torch.int64)
    if faces.is_floating_point() and not torch.equal(whole.to(faces.dtype), faces):
        raise ValueError("faces are not whole numbers, expected vertex indices")
    if len(whole) and not (int(whole.min()) >= 0 and int(whole.max()) < vertices):
        raise ValueError(
            f"faces name vertices {int(whole.min())} to {int(whole.max())}, expected 0 to {vertices - 1}, "
            f"the mesh has {vertices}"
        )
    return whole.to(torch.int32)


def _check(mesh: Mesh, name: str) -> None:
    if not len(mesh.faces) or not len(mesh.vertices):
        raise ValueError(
            f"{name}: has {len(mesh.vertices)} vertices and {len(mesh.faces)} faces, expected at least one triangle"
        )
    broken = int((~torch.isfinite(mesh.vertices)).any(dim=1).sum())
    if broken:
        raise ValueError(
            f"{name}: {broken} of {len(mesh.vertices)} vertices are NaN or infinite, expected finite positions"
        )
