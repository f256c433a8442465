"""Wavefront OBJ files with materials."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from .colors import linear_to_srgb
from .images import save_image, write_atomically
from .mesh import Mesh


def save_obj(mesh: Mesh, path: Path) -> None:
    """Write an OBJ file, and beside it a ``.mtl`` and PNG files where the mesh has textures.

    Roughness and metallic become a grey image each (``map_Pr``, ``map_Pm``), as the PBR extension of MTL has it. The
    OBJ file comes last, so that what it names is there.
    """
    lines = []
    if mesh.uvs is not None and (mesh.texture is not None or mesh.metallic_roughness is not None):
        # Programs split these names at spaces.
        stem = re.sub(r"\s+", "_", path.stem)
        _save_material(mesh, path.parent, stem)
        lines = [f"mtllib {stem}.mtl", "usemtl material"]
    points = mesh.vertices
    if mesh.vertex_colors is not None:  # behind the position; not in the standard, but widely read, and sRGB
        points = torch.cat((points, linear_to_srgb(mesh.vertex_colors[:, :3])), dim=1)
    lines += _rows("v", points)
    corner = "%d"
    if mesh.uvs is not None:
        lines += _rows("vt", torch.stack((mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]), dim=1))
        corner = "%d/%d"
    if mesh.normals is not None:
        lines += _rows("vn", mesh.normals)
        corner += "/%d" if mesh.uvs is not None else "//%d"
    form = f"f {corner} {corner} {corner}"
    indices = (mesh.faces.cpu() + 1).repeat_interleave(corner.count("%"), dim=1)
    lines += [form % tuple(row) for row in indices.tolist()]
    text = "\n".join(lines) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _rows(keyword: str, values: Tensor) -> list[str]:
    form = " ".join([keyword] + ["%.9g"] * values.shape[1])
    return [form % tuple(row) for row in values.detach().cpu().tolist()]


def _save_material(mesh: Mesh, folder: Path, stem: str) -> None:
    lines = ["newmtl material", "Kd 1 1 1", "Ks 0 0 0", "illum 1"]
    images = {}
    if mesh.texture is not None:
        images["map_Kd"] = (f"{stem}.png", mesh.texture)
    if mesh.metallic_roughness is not None:
        base = stem.rstrip("_")
        images["map_Pr"] = (f"{base}_roughness.png", mesh.metallic_roughness[..., 1])
        images["map_Pm"] = (f"{base}_metallic.png", mesh.metallic_roughness[..., 2])
    for keyword, (name, image) in images.items():
        save_image(image, folder / name)
        lines.append(f"{keyword} {name}")
    text = "\n".join(lines) + "\n"
    write_atomically(folder / f"{stem}.mtl", lambda temporary: temporary.write_text(text, encoding="utf-8"))
