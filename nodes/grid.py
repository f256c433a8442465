"""Views to Grid, Grid to Views and Pictures to Views."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.pictures.colors import parse_color
from ..rasterizer.pictures.grids import MOST_VIEWS, Grid, gather_pictures, join_views, split_views
from .host import inputs, versions
from .host.cameras import read_cameras
from .host.runtime import result_device
from .host.values import read_grid

MOST_PICTURES = 12
"""Single pictures that Pictures to Views takes."""


def _out(images: torch.Tensor) -> torch.Tensor:
    return images.float().to(result_device())


def _columns_input() -> io.Int.Input:
    return io.Int.Input(
        "columns",
        default=0,
        min=0,
        max=MOST_VIEWS,
        step=1,
        tooltip="Views side by side. 0 makes the grid as square as it can be: 3 columns for 6 views.",
    )


def _padding_input() -> io.Int.Input:
    return io.Int.Input(
        "padding", default=0, min=0, max=1024, step=1, tooltip="Pixels between the views and around all of them."
    )


class ViewsToGridNode(io.ComfyNode):
    """All views on one picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterViewsToGrid",
            display_name="Views to Grid",
            category=inputs.TEXTURING,
            description="Lays all views out on one picture, row by row, so that an image model paints them together "
            "and alike: as the hint of a ControlNet, or to be edited. Grid to Views cuts them apart again.",
            search_aliases=["contact sheet", "image grid", "stitch views", "controlnet depth", "batch to grid"],
            inputs=[
                io.Image.Input("images", tooltip="The views, such as the depth maps of Render Maps."),
                _columns_input(),
                _padding_input(),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Pixels of a view's longer side in the grid. 0 keeps the views' size. SDXL paints best "
                    "about a million pixels in all: 512 for 6 views.",
                ),
                io.String.Input("background", default="#ffffff", tooltip="Colour between the views."),
                io.Mask.Input("masks", optional=True, tooltip="One mask per view, laid out in the same way."),
            ],
            outputs=[
                io.Image.Output(display_name="grid", tooltip="One picture of all views."),
                io.Mask.Output(display_name="mask", tooltip="The masks as one; without any, 1 where a view lies."),
                inputs.ViewGrid.Output(
                    display_name="layout",
                    tooltip="How the views lie: connect it to Grid to Views, and nothing can be set wrongly there.",
                ),
                io.Int.Output(display_name="width", tooltip="Of the grid: for Empty Latent Image."),
                io.Int.Output(display_name="height", tooltip="Of the grid: for Empty Latent Image."),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        columns: int,
        padding: int,
        size: int,
        background: str,
        masks: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Lay out the views."""
        color = parse_color(background)
        if images.ndim != 4:
            raise ValueError(f"images: found {list(images.shape)}, expected [B, H, W, 3]")
        grid = Grid.of(len(images), (int(images.shape[1]), int(images.shape[2])), columns, padding, size)
        if images.shape[3] == 4:
            color = (*color, 1.0)
        whole = join_views(images, grid, color)
        masks = torch.ones(images.shape[:3]) if masks is None else masks if masks.ndim == 3 else masks[None]
        if tuple(masks.shape) != tuple(images.shape[:3]):
            raise ValueError(f"masks: found {list(masks.shape)}, expected {list(images.shape[:3])}, one for each view")
        mask = join_views(masks[..., None].float(), grid, (0.0,))[..., 0]
        height, width = grid.size
        return io.NodeOutput(_out(whole[None]), _out(mask[None]), grid, width, height)


class GridToViewsNode(io.ComfyNode):
    """One picture of all views, to views."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterGridToViews",
            display_name="Grid to Views",
            category=inputs.TEXTURING,
            description="Cuts a picture of all views apart again, in the order of the cameras, for Bake Views to "
            "Texture. The picture may have been enlarged meanwhile: places are taken in proportion.",
            search_aliases=["split grid", "cut sheet", "grid to batch", "crop views", "zero123 grid"],
            inputs=[
                io.Image.Input("grid", tooltip="The painted grid; of several, all are cut, one after the other."),
                io.Int.Input(
                    "views",
                    default=6,
                    min=1,
                    max=MOST_VIEWS,
                    step=1,
                    tooltip="How many views are on it. Not used where layout is connected.",
                ),
                _columns_input(),
                _padding_input(),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Pixels of a view's longer side. 0 keeps what the grid has, or the size before Views to "
                    "Grid where that is larger and layout is connected.",
                ),
                inputs.ViewGrid.Input(
                    "layout", optional=True, tooltip="From Views to Grid; then views, columns and padding are its own."
                ),
                io.Mask.Input("mask", optional=True, tooltip="A mask of the grid, cut in the same way."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="One picture per view."),
                io.Mask.Output(display_name="masks", tooltip="The mask's parts; 1 everywhere without one."),
            ],
        )

    @classmethod
    def execute(
        cls,
        grid: torch.Tensor,
        views: int,
        columns: int,
        padding: int,
        size: int,
        layout: Any = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Cut the grid apart."""
        if grid.ndim != 4 or not len(grid):
            raise ValueError(f"grid: found {list(grid.shape)}, expected [B, H, W, 3]")
        height, width = int(grid.shape[1]), int(grid.shape[2])
        lies = read_grid(layout) if layout is not None else Grid.within((height, width), views, columns, padding)
        side = size or (max(lies.view) if layout is not None and max(lies.view) > max(lies.cell) else 0)
        wanted = lies.resized(side) if side else None
        images = torch.cat([split_views(picture, lies, wanted) for picture in grid])
        if mask is None:
            masks = torch.ones(images.shape[:3])
        else:
            mask = mask if mask.ndim == 3 else mask[None]
            if len(mask) not in (1, len(grid)):
                raise ValueError(f"mask: found {len(mask)}, expected {len(grid)}, one for each grid, or 1 for all")
            size_of_images = (int(images.shape[1]), int(images.shape[2]))
            parts = [split_views(item[..., None].float(), lies, size_of_images)[..., 0] for item in mask]
            masks = torch.cat(parts * (len(grid) // len(mask)))
        return io.NodeOutput(_out(images), _out(masks))


class PicturesToViewsNode(io.ComfyNode):
    """Single pictures to a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterPicturesToViews",
            display_name="Pictures to Views",
            category=inputs.TEXTURING,
            description="Puts single pictures into a batch in the order of the cameras, for Bake Views to Texture. "
            "With cameras connected, each input is called after what its camera sees.",
            search_aliases=["batch images", "images to batch", "make batch", "front left right back"],
            inputs=[
                inputs.cameras_input("The cameras whose pictures these are, such as Camera Views.", optional=True),
                *(
                    io.Image.Input(
                        f"picture_{number}", optional=True, tooltip=f"What camera {number} sees; a batch counts on."
                    )
                    for number in range(1, MOST_PICTURES + 1)
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="One picture per camera, all of one size.")],
        )

    @classmethod
    def execute(cls, cameras: Any = None, **pictures: torch.Tensor | None) -> io.NodeOutput:
        """Gather the pictures."""
        views = None if cameras is None else read_cameras(cameras)
        given = {name: pictures.get(name) for name in (f"picture_{n}" for n in range(1, MOST_PICTURES + 1))}
        found = gather_pictures({name: value for name, value in given.items() if value is not None})
        if views and len(found) != len(views):
            raise ValueError(
                f"picture_{min(len(found) + 1, MOST_PICTURES)}: found {len(found)} pictures for {len(views)} cameras, "
                f"expected {len(views)}; connect one picture for each camera, without gaps"
            )
        return io.NodeOutput(_out(found))
