"""What the tests of saving share: meshes that can be told apart, and whether a folder holds one of them whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from rasterizer.meshes.files import load_mesh
from rasterizer.meshes.mesh import Mesh
from tests.fuzz.driver import Fault
from tests.fuzz.strategies import sheet


def marked(number: int) -> Mesh:
    """A mesh with textures that differ from those of every other ``number`` below 8, in size as in content."""
    mesh = sheet(3 + number % 4, number)
    color = torch.tensor([number & 1, number >> 1 & 1, number >> 2 & 1]).float()
    texture = color.expand(2 + number, 3, 3).contiguous()
    return replace(mesh, texture=texture, metallic_roughness=1 - texture)


def same_mesh(found: Mesh, wanted: Mesh, suffix: str) -> bool:
    """Whether a loaded file shows the mesh that was saved, as far as the format can."""
    corners = (mesh.vertices[mesh.faces.long()] for mesh in (found, wanted))
    one, other = corners
    if one.shape != other.shape or not torch.allclose(one, other, atol=1e-5):
        return False
    if suffix in (".ply", ".stl"):
        return True
    images = ((found.texture, wanted.texture), (found.metallic_roughness, wanted.metallic_roughness))
    # OBJ files have roughness and metallic, but red of neither, and not every version reads them.
    return all(
        a is not None and a.shape == b.shape and torch.allclose(a, b, atol=0.01)
        for a, b in images[: 1 if suffix == ".obj" else 2]
    )


def which(path: Path, meshes: Iterable[Mesh]) -> int:
    """The number of the mesh that a file shows.

    Raises:
        Fault: it shows none of them.
    """
    try:
        found = load_mesh(path)
    except (ValueError, OSError) as error:
        raise Fault(f"{path.suffix}: what is left cannot be loaded", str(error)) from error
    for number, mesh in enumerate(meshes):
        if same_mesh(found, mesh, path.suffix):
            return number
    raise Fault(f"{path.suffix}: what is left is neither the old mesh nor the new one")
