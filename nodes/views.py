"""Camera Views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ..rasterizer.cameras.views import PRESETS, PROJECTIONS, View, custom_views, turntable, with_lens
from ..rasterizer.contract.checks import check_choice, check_integer
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.rendering.choose_views import MOST_EXTRA, add_views
from ..rasterizer.rendering.thumbnails import draw_thumbnails
from .host import inputs, previews, versions
from .host.cameras import write_cameras, write_hunyuan_cameras
from .host.meshes import read_meshes, uv_advice
from .host.runtime import for_each

KEY = "torch_raster_cameras"

_PRESETS = (*PRESETS, "turntable", "custom")
_THUMBNAIL = 128  # pixels, twice of what the browser shows


class CamerasNode(io.ComfyNode):
    """Camera lists for every kind of camera socket."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterCameras",
            display_name="Camera Views",
            category=inputs.CATEGORY,
            description="The views to render and texture a mesh from: Hunyuan3D's own, a turntable, or your own list. "
            "Use the same list for rendering and for baking.",
            search_aliases=["hunyuan3d", "hunyuan3d cameras", "multi view", "orbit", "turntable"],
            inputs=[
                versions.with_extras(
                    inputs.choice(
                        "preset",
                        _PRESETS,
                        "hunyuan3d-2 and 2.1: front, right, back, left, top, bottom with Hunyuan3D's weights. "
                        "turntable: evenly all around. custom: the three lists below.",
                    ),
                    views={name: [[v.azimuth, v.elevation, v.weight] for v in PRESETS[name]] for name in PRESETS},
                ),
                io.String.Input(
                    "azimuths",
                    default="0, 90, 180, 270, 0, 180",
                    tooltip="For custom: degrees around the mesh, a number for each view, commas between. "
                    "0 is the front (+Z), 90 is seen from +X.",
                ),
                io.String.Input(
                    "elevations",
                    default="0, 0, 0, 0, 90, -90",
                    tooltip="For custom: degrees up, 90 is from above. One number serves all views.",
                ),
                io.String.Input(
                    "weights",
                    default="1, 0.1, 0.5, 0.1, 0.05, 0.05",
                    tooltip="For custom: how much each view counts when baking. One number serves all views.",
                ),
                io.Int.Input("views", default=6, min=1, max=360, step=1, tooltip="For turntable: how many views."),
                inputs.choice(
                    "projection",
                    PROJECTIONS,
                    tooltip="Hunyuan3D's paint models expect orthographic.",
                ),
                io.Float.Input(
                    "ortho_scale",
                    default=1.2,
                    min=0.01,
                    max=100.0,
                    step=0.01,
                    tooltip="For orthographic: width and height of what is seen. The mesh is scaled to a diameter "
                    "of 1.15 for this.",
                ),
                io.Float.Input(
                    "distance",
                    default=1.45,
                    min=0.01,
                    max=100.0,
                    step=0.01,
                    tooltip="From the middle of the mesh, which has a diameter of 1.15. Below about 0.6 the camera is "
                    "inside the mesh.",
                ),
                io.Float.Input(
                    "fov",
                    default=49.13,
                    min=1.0,
                    max=170.0,
                    step=0.01,
                    tooltip="For perspective: vertical angle in degrees.",
                ),
                inputs.mesh_input(
                    "For extra_views, and where ComfyUI's own nodes use the list: places the cameras around this mesh "
                    "as it is. Nodes of this pack do not need it; with or without, they see the same.",
                    optional=True,
                ),
                io.Int.Input(
                    "extra_views",
                    default=0,
                    min=0,
                    max=MOST_EXTRA,
                    step=1,
                    optional=True,
                    tooltip="With a mesh: up to so many views more, chosen as Hunyuan3D 2.1 does, for what the others "
                    "do not show. They have little weight, and fill in where nothing else is seen.",
                ),
            ],
            outputs=[
                inputs.Camera.Output(display_name="cameras", tooltip="The list of cameras, for this pack and ComfyUI."),
                inputs.Hy3dCamera.Output(
                    display_name="hy3d_cameras", tooltip="The same for the Hunyuan3D packs, always orthographic."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,  # the picture of the cameras comes again from the cache
        )

    @classmethod
    def execute(
        cls,
        preset: str,
        azimuths: str,
        elevations: str,
        weights: str,
        views: int,
        projection: str,
        ortho_scale: float,
        distance: float,
        fov: float,
        mesh: Any = None,
        extra_views: int = 0,
    ) -> io.NodeOutput:
        """Make the list."""
        check_choice(preset, _PRESETS, "preset")
        if preset == "turntable":
            chosen = turntable(views)
        elif preset == "custom":
            chosen = custom_views(azimuths, elevations, weights)
        else:
            chosen = PRESETS[preset]
        chosen = with_lens(chosen, projection, ortho_scale, distance, fov)
        meshes = [] if mesh is None else read_meshes(mesh)
        around = meshes[0] if meshes else None
        said = [uv_advice(meshes)]
        check_integer(extra_views, 0, MOST_EXTRA, "extra_views")
        if extra_views and around is None:
            raise ValueError(
                f"extra_views: is {extra_views} with nothing connected to mesh, expected 0, or the mesh to look at"
            )
        given = chosen
        if extra_views:
            (chosen,) = for_each(lambda mesh, progress: add_views(mesh, given, extra_views, progress), [around])
            added = ", ".join(f"{view.azimuth:g}° {view.elevation:+g}°" for view in chosen[len(given) :])
            said.append(f"{len(chosen)} cameras, {len(chosen) - len(given)} of them added{': ' * bool(added)}{added}")
        if any(said):
            versions.show_text("\n".join(filter(None, said)), cls)
        shown = None
        if versions.somebody_watches():
            settings = {
                "preset": preset,
                "azimuths": azimuths,
                "elevations": elevations,
                "weights": weights,
                "views": views,
                "projection": projection,
                "ortho_scale": ortho_scale,
                "distance": distance,
                "fov": fov,
                "extra_views": extra_views,
            }
            shown = _shown(settings, chosen, len(chosen) - len(given), around)
        return io.NodeOutput(write_cameras(chosen, around), write_hunyuan_cameras(chosen), ui=shown)


def _shown(settings: dict[str, Any], views: Sequence[View], added: int, mesh: Mesh | None) -> dict[str, Any]:
    """What ``web/nodes/camera_views.js`` draws: the cameras, and what they see of a mesh."""
    pictures = []
    if mesh is not None:
        cameras = [view.camera() for view in views[: previews.MOST]]
        (images,) = for_each(lambda mesh, report: draw_thumbnails(mesh, cameras, _THUMBNAIL, report), [mesh])
        pictures = previews.save_pictures(images)
    spots = [[view.azimuth, view.elevation, view.weight] for view in views]
    return {KEY: [{"settings": settings, "views": spots, "added": added, "pictures": pictures}]}
