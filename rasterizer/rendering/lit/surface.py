"""What a mesh is made of at the points that pixels show: normals, tangents, material."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...meshes.mesh import Mesh
from ...meshes.tangents import vertex_tangents
from ...ops import interpolate
from ...pictures.colors import srgb_to_linear
from ...runtime.threads import share_rows
from .brdf import Material, cross, dot, unit
from .textures import Pyramid

_ROWS = 256  # of a texture that become linear at once


@dataclass(frozen=True)
class Surface:
    """A mesh prepared to be looked up point by point.

    Attributes:
        mesh: the mesh.
        normals: ``[N, 3]``, or None for those of the faces.
        face_normals: ``[M, 3]`` by winding.
        tangents: ``[2 N, 3]`` along u: those of faces whose texture is mirrored stand after the others; None without a
            normal map.
        mirrored: ``[M]`` bool, for the same.
        color, orm, normal_map: textures; None where the mesh has none.
        metallic, roughness: where the mesh has no texture of them.
    """

    mesh: Mesh
    normals: Tensor | None
    face_normals: Tensor
    tangents: Tensor | None
    mirrored: Tensor | None
    color: Pyramid | None
    orm: Pyramid | None
    normal_map: Pyramid | None
    metallic: float
    roughness: float

    @classmethod
    def of(
        cls, mesh: Mesh, flat: bool, metallic: float, roughness: float, tell: Callable[[], None] = lambda: None
    ) -> Surface:
        """Prepare a mesh.

        Args:
            mesh: the mesh.
            flat: take the normals of its faces.
            metallic, roughness: where it has no texture of them.
            tell: called now and then; an exception it raises stops the work.
        """
        pyramids: list[Pyramid | None] = []
        for picture in (mesh.texture, mesh.metallic_roughness, mesh.normal_map):
            tell()
            if picture is None or mesh.uvs is None:
                pyramids.append(None)
            else:
                pyramids.append(Pyramid.of(_linear(picture, tell) if picture is mesh.texture else picture))
        color, orm, bumps = pyramids
        normals = None if flat else mesh.vertex_normals() if mesh.normals is None else mesh.normals
        tangents, mirrored = (None, None) if bumps is None else vertex_tangents(mesh)
        return cls(mesh, normals, mesh.face_normals(), tangents, mirrored, color, orm, bumps, metallic, roughness)


@dataclass(frozen=True)
class Points:
    """What pixels show of a surface.

    Attributes:
        face: ``[P]`` int64.
        position: ``[3, P]`` in the frame that the camera looks at.
        uv: ``[2, P]``; None without UVs.
        footprint: ``[4, P]`` as :meth:`Pyramid.at` takes it; None without UVs.
        normal: ``[3, P]`` of the vertices, interpolated, of any length; None for that of the face.
        tangent: ``[3, P]`` of any length; None without a normal map.
        vertex_color: ``[3, P]`` linear; None where the mesh has none.
    """

    face: Tensor
    position: Tensor
    uv: Tensor | None
    footprint: Tensor | None
    normal: Tensor | None
    tangent: Tensor | None
    vertex_color: Tensor | None


class Seen:
    """A surface as one camera sees it.

    Args:
        surface: the surface.
        vertices: ``[N, 3]`` in the frame that the camera looks at.
        clip: ``[N, 4]`` of the vertices.
        resolution: ``(height, width)``.
    """

    def __init__(self, surface: Surface, vertices: Tensor, clip: Tensor, resolution: tuple[int, int]) -> None:
        self._surface = surface
        self._faces = surface.mesh.faces
        parts = {"position": vertices, "normal": surface.normals}
        if surface.mesh.vertex_colors is not None:
            parts["vertex_color"] = surface.mesh.vertex_colors[:, :3]
        self._slopes = None
        uvs = surface.mesh.uvs
        if uvs is not None and (surface.color or surface.orm or surface.normal_map):
            parts["uv"], parts["w"] = uvs, clip[:, 3:]
            self._slopes = _slopes(clip, uvs, self._faces.long(), resolution)
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._table = torch.cat(list(self._parts.values()), dim=1)

    def points(self, findices: Tensor, barycentric: Tensor) -> Points:
        """What ``[P]`` fragments with ``[P, 3]`` barycentrics show; those of the background show something."""
        surface = self._surface
        values = interpolate(self._table, findices[None], barycentric[None], self._faces)[0].t().contiguous()
        sizes = [part.shape[1] for part in self._parts.values()]
        found = dict(zip(self._parts, values.split(sizes), strict=True))
        face = (findices.long() - 1).clamp(min=0)
        tangent = None
        if surface.tangents is not None and surface.mirrored is not None:
            moved = self._faces + surface.mirrored[:, None].to(self._faces.dtype) * len(surface.mesh.vertices)
            tangent = interpolate(surface.tangents, findices[None], barycentric[None], moved)[0].t().contiguous()
        uv, footprint = found.get("uv"), None
        if uv is not None and self._slopes is not None:
            footprint = _footprint(self._slopes.index_select(0, face).t(), uv, found["w"])
        return Points(face, found["position"], uv, footprint, found.get("normal"), tangent, found.get("vertex_color"))


def part_of(points: Points, part: slice) -> Points:
    """Some of the points."""

    def some(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[:, part]

    return Points(
        points.face[part],
        points.position[:, part],
        some(points.uv),
        some(points.footprint),
        some(points.normal),
        some(points.tangent),
        some(points.vertex_color),
    )


def normals_at(surface: Surface, points: Points, v: Tensor, finer: Tensor) -> Tensor:
    """``[3, P]`` unit normals that the viewer sees, those of the normal map where there is one.

    Both sides of a face are shaded alike, whatever its winding: a normal counts as pointing to the side that is seen.

    Args:
        surface: the surface.
        points: some of its points.
        v: ``[3, P]`` direction to the viewer.
        finer: ``[P]`` added to the mip level.
    """
    plane = surface.face_normals.index_select(0, points.face).t()
    smooth = plane if points.normal is None else unit(points.normal)
    smooth = torch.where(dot(smooth, smooth) < 0.5, plane, smooth)  # those of the vertices may cancel out
    # Bent by winding and then turned over whole: seen from behind, a bump is a dent.
    bent = _bent(surface, points, smooth, finer)
    seen = torch.where(dot(plane, v) < 0, -plane, plane)
    n = torch.where(dot(smooth, seen) < 0, -bent, bent)
    # Interpolated normals may turn away from the viewer near silhouettes; they are brought back to the edge.
    away = (1e-3 - dot(n, v)).clamp(min=0.0)
    return unit(n + v * away)


def _bent(surface: Surface, points: Points, smooth: Tensor, finer: Tensor) -> Tensor:
    """Normals turned as the normal map says (glTF 2.0, 3.9.3): red along u, green up in the picture, blue out."""
    if surface.normal_map is None or points.uv is None or points.tangent is None or surface.mirrored is None:
        return smooth
    x, y, z = surface.normal_map.at(points.uv, finer, points.footprint) * 2.0 - 1.0
    tangent = unit(points.tangent - smooth * dot(points.tangent, smooth))
    side = 1.0 - 2.0 * surface.mirrored[points.face].to(x.dtype)
    bent = unit(tangent * x + cross(smooth, tangent) * (side * y) + smooth * z)
    # Where the UVs have no extent there is no tangent, and where mips cancel out no normal.
    return torch.where((dot(tangent, tangent) > 0.5) & (dot(bent, bent) > 0.5), bent, smooth)


def material_at(surface: Surface, points: Points, finer: Tensor) -> tuple[Material, Tensor | None]:
    """Material of the points, and how open they are to light from around, ``[P]`` 0..1; None where nobody said."""
    color = torch.ones_like(points.position)
    if surface.color is not None and points.uv is not None:
        color = surface.color.at(points.uv, finer, points.footprint)
    if points.vertex_color is not None:
        color = color * points.vertex_color.clamp(0.0, 1.0)
    if surface.orm is None or points.uv is None:
        metallic, roughness = (torch.full_like(color[0], value) for value in (surface.metallic, surface.roughness))
        return Material(color, metallic, roughness), None
    openness, roughness, metallic = surface.orm.at(points.uv, finer, points.footprint).clamp(0.0, 1.0)
    return Material(color, metallic, roughness), openness if surface.mesh.occlusion_in_mr else None


def _linear(texture: Tensor, tell: Callable[[], None]) -> Tensor:
    linear = torch.empty_like(texture)

    def work(rows: slice) -> None:
        linear[rows] = srgb_to_linear(texture[rows])

    height, width, channels = texture.shape
    share_rows(work, height, texture.device, weight=width * channels, chunk=_ROWS, report=lambda share: tell())
    return linear


def _slopes(clip: Tensor, uvs: Tensor, faces: Tensor, resolution: tuple[int, int]) -> Tensor:
    """``[M, 6]``: how u / w, v / w and 1 / w change with a pixel to the right and with one down.

    On a triangle, each is a linear function of the place on the screen, whose coefficients are the inverse of the
    matrix of its corners (x, y, w) times its values there (Olano and Greer, "Triangle Scan Conversion Using 2D
    Homogeneous Coordinates", 1997, section 4).
    """
    height, width = resolution
    a, b, c = clip[:, [0, 1, 3]][faces].unbind(1)
    inverse = [torch.linalg.cross(*pair) for pair in ((b, c), (c, a), (a, b))]
    volume = (a * inverse[0]).sum(-1, keepdim=True)
    pixel = clip.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
    scale = pixel / torch.where(volume == 0, torch.inf, volume)
    u, v = uvs[faces].unbind(-1)

    def slope(values: Tensor) -> Tensor:
        return sum(column[:, :2] * values[:, k : k + 1] for k, column in enumerate(inverse)) * scale

    return torch.cat((slope(u), slope(v), slope(torch.ones_like(u))), dim=1)


def _footprint(slopes: Tensor, uv: Tensor, w: Tensor) -> Tensor:
    """``[4, P]`` from slopes ``[6, P]``: the quotient rule."""
    across_u, down_u, across_v, down_v, across_w, down_w = slopes
    u, v = uv
    found = (across_u - u * across_w, down_u - u * down_w, across_v - v * across_w, down_v - v * down_w)
    return torch.stack(found) * w
