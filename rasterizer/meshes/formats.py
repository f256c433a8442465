"""Formats of 3D files: which are read, which are written, and what to do about the others."""

from __future__ import annotations

SUPPORTED_SUFFIXES = (".glb", ".gltf", ".obj", ".stl", ".ply", ".off")
"""Of files that :func:`~rasterizer.meshes.files.load_mesh` reads."""

SAVED_SUFFIXES = (".glb", ".obj", ".ply", ".stl")
"""Of files that :func:`~rasterizer.meshes.files.save_mesh` writes."""

_SPLATS = (".splat", ".spz", ".ksplat", ".sog")
_IN_BLENDER = "Open it in Blender (File, Import) and export it as glTF 2.0 with the format GLB"
_CURES = {
    ".blend": "Open it in Blender and export it as glTF 2.0 with the format GLB",
    ".max": "Export it from 3ds Max as glTF or OBJ",
    ".ma": "Export it from Maya as OBJ",
    ".mb": "Export it from Maya as OBJ",
    **dict.fromkeys((".fbx", ".dae", ".usd", ".usda", ".usdc", ".usdz", ".abc", ".x3d", ".3ds"), _IN_BLENDER),
    **dict.fromkeys(
        (".3mf", ".step", ".stp", ".iges", ".igs"), "Export it as STL or OBJ from the program it is made with"
    ),
    **dict.fromkeys(_SPLATS, "It holds points without a surface; make a mesh of them first"),
}


def unreadable(suffix: str) -> str:
    """What is wrong with a suffix that is none of :data:`SUPPORTED_SUFFIXES`, and what to do: text for a message."""
    readable = ", ".join(SUPPORTED_SUFFIXES)
    cure = _CURES.get(suffix.lower(), "Export the mesh to one of these formats")
    if suffix.lower() not in _SPLATS:
        cure += "; GLB keeps UVs, colours and textures in one file"
    return f"found suffix '{suffix[:20]}', expected one of {readable}. {cure}."
