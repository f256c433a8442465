"""Views to Grid, Grid to Views and Pictures to Views."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.pictures.colors import parse_color
from ..rasterizer.pictures.grids import MOST_VIEWS, Grid, check_room, gather_pictures, join_views, split_views
from .host import inputs, versions
from .host.cameras import read_cameras
from .host.pictures import batch_of
from .host.previews import show_pictures
from .host.runtime import Progress, result_device
from .host.values import read_grid

MOST_PICTURES = 12
"""Single pictures that Pictures to Views takes."""


def _out(images: torch.Tensor) -> torch.Tensor:
    return images.float().to(result_device())


def _check_pictures(value: Any, name: str) -> torch.Tensor:
    if value.ndim != 4 or not value.numel() or value.shape[3] not in (3, 4):
        raise ValueError(f"{name}: found {list(value.shape)}, expected [B, H, W, 3], at least one picture")
    return value


def _columns_input(zero: str) -> io.Int.Input:
    return io.Int.Input(
        "columns", default=0, min=0, max=MOST_VIEWS, step=1, tooltip=f"Views side by side. 0 {zero}: 3 for 6 views."
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
                _columns_input("makes the grid as square as it can be"),
                _padding_input(),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Pixels of a view's longer side in the grid. 0 keeps the views' size. SDXL paints "
                    "best where the grid has one to two million pixels: 512 for 6 views.",
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
            is_output_node=True,  # the grid is worth a look before a painter is started
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
        views, height, width, channels = _check_pictures(images, "images").shape
        color = (*parse_color(background), 1.0)[:channels]
        grid = Grid.of(views, (height, width), columns, padding, size)
        masks = torch.ones(views, height, width) if masks is None else batch_of(masks).float()
        if masks.shape != images.shape[:3]:
            raise ValueError(
                f"masks: found {list(masks.shape)}, expected {list(images.shape[:3])}, one for each view, of its size"
            )
        progress = Progress(2)
        whole = join_views(images, grid, color, progress)
        progress.next_stage()
        mask = join_views(masks[..., None], grid, (0.0,), progress)[..., 0]
        progress.next_stage()
        height, width = grid.size
        return io.NodeOutput(_out(whole[None]), _out(mask[None]), grid, width, height, ui=show_pictures(whole[None]))


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
                _columns_input("makes the views as square as they can be"),
                _padding_input(),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Pixels of a view's longer side. 0 keeps what the grid has, or what the views had before "
                    "Views to Grid, if that is more and layout is connected.",
                ),
                inputs.ViewGrid.Input(
                    "layout", optional=True, tooltip="From Views to Grid; then views, columns and padding are its own."
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="A mask of the grid, cut in the same way; one may serve all."
                ),
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
        count, height, width, channels = _check_pictures(grid, "grid").shape
        lies = Grid.within((height, width), views, columns, padding) if layout is None else read_grid(layout)
        masks = torch.ones(1, height, width) if mask is None else batch_of(mask).float()
        if masks.shape[0] not in (1, count) or masks.shape[1:] != grid.shape[1:3]:
            raise ValueError(
                f"mask: found {list(masks.shape)}, expected {list(grid.shape[:3])}, one for each grid and of its size, "
                "or one for all"
            )
        cell = lies.resized(size) if size else lies.cut_size((height, width))
        check_room(count * lies.views, cell, channels + 1, grid.device)
        progress = Progress(count + len(masks))

        def cut(picture: torch.Tensor) -> torch.Tensor:
            found = split_views(picture, lies, cell, progress)
            progress.next_stage()
            return found

        images = torch.cat([cut(picture) for picture in grid])
        parts = torch.cat([cut(picture[..., None])[..., 0] for picture in masks])
        return io.NodeOutput(_out(images), _out(parts.repeat(count // len(masks), 1, 1)), ui=show_pictures(images))


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
                        f"picture_{number}",
                        optional=True,
                        tooltip=f"What camera {number} sees; of a batch, the next cameras see the others.",
                    )
                    for number in range(1, MOST_PICTURES + 1)
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="One picture per camera, all of one size.")],
        )

    @classmethod
    def execute(cls, cameras: Any = None, **pictures: torch.Tensor | None) -> io.NodeOutput:
        """Gather the pictures."""
        views = read_cameras(cameras)
        given = {number: pictures.get(f"picture_{number}") for number in range(1, MOST_PICTURES + 1)}
        found = gather_pictures({number: value for number, value in given.items() if value is not None})
        if views and len(found) < len(views):
            raise ValueError(
                f"picture_{len(found) + 1}: nothing is connected, but there are {len(views)} cameras; expected a "
                "picture for each of them"
            )
        if views and len(found) > len(views):
            raise ValueError(
                f"cameras: found {len(views)} for {len(found)} pictures, expected a camera for each of them, in the "
                "same order"
            )
        return io.NodeOutput(_out(found))
