"""Simplify Mesh."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ..rasterizer.meshes.mesh import TEXTURES, Mesh
from ..rasterizer.meshes.simplify import FEWEST_FACES, simplify_mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from .host import inputs, versions
from .host.meshes import as_it_is, is_mesh, read_meshes, write_mesh
from .host.pictures import join_reports
from .host.runtime import CPU, Progress, for_each

_COUNTS = ("vertex_counts", "face_counts")


class SimplifyMeshNode(io.ComfyNode):
    """Fewer faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterSimplify",
            display_name="Simplify Mesh",
            category=inputs.TEXTURING,
            description="Makes a mesh of fewer faces that looks alike (fast-simplification), so that Unwrap UV and "
            "viewers are quick. Between what made the mesh and Unwrap UV.",
            search_aliases=["decimate", "reduce faces", "polycount", "low poly", "quadric", "remesh", "retopology"],
            inputs=[
                inputs.mesh_input("What to simplify. One with no more faces than asked for passes as it is."),
                io.Int.Input(
                    "target_faces",
                    default=40_000,
                    min=FEWEST_FACES,
                    max=10_000_000,
                    step=1,
                    tooltip="Faces to be left. 40,000 suit Unwrap UV; a tenth of a generated mesh's faces is seldom "
                    "told from all of them.",
                ),
                io.Boolean.Input(
                    "keep_uvs",
                    default=True,
                    tooltip="UVs and textures stay, and no crack opens along UV seams: vertices there stay, which sets "
                    "a limit to how few faces there can be. Off: UVs and textures are dropped. Means nothing for a "
                    "mesh without UVs.",
                ),
            ],
            outputs=[
                *inputs.mesh_outputs("With fewer faces. Closed if it was; open borders stay as they were."),
                io.String.Output(display_name="report", tooltip="Faces before and after; also on the node."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, mesh: Any, target_faces: int, keep_uvs: bool) -> io.NodeOutput:
        """Simplify every mesh."""
        meshes = read_meshes(mesh)

        def simplify(mesh: Mesh, progress: Progress) -> Mesh:
            return simplify_mesh(mesh, target_faces, keep_uvs, progress)

        made = for_each(simplify, meshes, device=CPU)  # the library knows no other
        report = join_reports([_report(*pair, target_faces) for pair in zip(meshes, made, strict=True)])
        versions.show_text(report, cls)
        if any(len(item.faces) > target_faces for item in meshes):
            value = _remade(mesh, made) if is_mesh(mesh) else write_mesh(*made)
            return io.NodeOutput(value, to_trimesh(made[0]), report)
        return io.NodeOutput(*as_it_is(mesh, made), report)


def _remade(value: Any, meshes: Sequence[Mesh]) -> Any:
    """A copy of a MESH with other surfaces; what else ComfyUI keeps in it, such as its material, stays."""
    written = write_mesh(*meshes)
    result = copy.copy(value)
    on_uvs = () if meshes[0].uvs is not None else (*TEXTURES, "emissive", "occlusion_in_mr")
    for name in ("vertices", "faces", "uvs", "normals", "vertex_colors", "tangents", *_COUNTS, *on_uvs):
        setattr(result, name, getattr(written, name, None))
    if isinstance(getattr(value, "material", None), dict):
        # Its base colour is in the vertex colours now.
        result.material = {**value.material, "base_color_factor": [1.0, 1.0, 1.0, 1.0]}
    return result


def _report(old: Mesh, new: Mesh, target: int) -> str:
    before, after = len(old.faces), len(new.faces)
    if before <= target:
        return f"The mesh has {before} faces, no more than {target}; it passes as it is."
    text = f"{before} faces became {after}."
    if after > target:
        text += f" Fewer cannot be: what lies on {'UV seams and ' * (new.uvs is not None)}open borders stays"
        text += ", unless keep_uvs is off." if new.uvs is not None else ", and no face may turn over."
    if old.uvs is not None and new.uvs is None:
        lost = "UVs and textures" if any(getattr(old, name) is not None for name in TEXTURES) else "UVs"
        text += f" The {lost} are dropped; Unwrap UV makes new UVs."
    return text
