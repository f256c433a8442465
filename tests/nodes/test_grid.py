"""Views to Grid, Grid to Views and Pictures to Views."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from tests.support.pack import CAMERAS, run

JOIN = {"columns": 0, "padding": 0, "size": 0, "background": "#ffffff"}
SPLIT = {"views": 6, "columns": 0, "padding": 0, "size": 0}


def pictures(views: int = 6, height: int = 16, width: int = 16, channels: int = 3) -> torch.Tensor:
    return torch.rand(views, height, width, channels, generator=torch.Generator().manual_seed(views))


def join(pack: SimpleNamespace, images: torch.Tensor, **inputs: Any) -> tuple[Any, ...]:
    return run(pack, "ViewsToGrid", images=images, **{**JOIN, **inputs})


def split(pack: SimpleNamespace, grid: torch.Tensor, **inputs: Any) -> tuple[Any, ...]:
    return run(pack, "GridToViews", grid=grid, **{**SPLIT, **inputs})


@pytest.mark.parametrize("channels", [3, 4])
def test_views_and_masks_come_back_bit_for_bit(pack: SimpleNamespace, channels: int) -> None:
    images, masks = pictures(5, 12, 20, channels), pictures(5, 12, 20, 3)[..., 0]
    grid, mask, layout, width, height = join(pack, images, masks=masks, columns=2, padding=3, background="#102030")
    assert grid.shape == (1, height, width, channels) and mask.shape == (1, height, width)
    assert (height, width) == (3 * 15 + 3, 2 * 23 + 3)
    assert grid[0, 0, 0, :3].tolist() == pytest.approx([16 / 255, 32 / 255, 48 / 255])
    assert mask[0, 0, 0] == 0 and mask[0, -8, -8] == 0, "where no view lies"
    for inputs in ({"layout": layout, "views": 1}, {"views": 5, "columns": 2, "padding": 3}):
        back, parts = split(pack, grid, mask=mask, **inputs)
        assert torch.equal(back, images) and torch.equal(parts, masks)


def test_without_masks_the_mask_says_where_views_lie(pack: SimpleNamespace) -> None:
    grid, mask, layout, *_ = join(pack, pictures(5), padding=2)
    assert mask.sum() == 5 * 16 * 16
    images, masks = split(pack, grid, layout=layout)
    assert masks.shape == (5, 16, 16) and bool((masks == 1).all())


def test_the_size_in_the_grid_does_not_change_that_of_the_views(pack: SimpleNamespace) -> None:
    smooth = torch.linspace(0, 1, 64).expand(6, 64, 64)[..., None].expand(-1, -1, -1, 3)
    grid, _, layout, width, height = join(pack, smooth, size=32)
    assert (height, width) == (64, 96)
    images, _ = split(pack, grid, layout=layout)
    assert images.shape == smooth.shape
    assert torch.allclose(images[:, :, 4:-4], smooth[:, :, 4:-4], atol=2e-3)
    assert split(pack, grid, layout=layout, size=16)[0].shape == (6, 16, 16, 3)
    assert split(pack, grid)[0].shape == (6, 32, 32, 3), "who only knows the picture"


def test_a_grid_that_was_enlarged_is_cut_in_the_same_places(pack: SimpleNamespace) -> None:
    images = torch.tensor([0.0, 1.0, 0.25, 0.5])[:, None, None, None].expand(4, 16, 16, 3)
    grid, _, layout, *_ = join(pack, images, padding=2)
    larger = torch.nn.functional.interpolate(grid.movedim(-1, 1), scale_factor=2, mode="nearest").movedim(1, -1)
    back, _ = split(pack, larger, layout=layout)
    assert back.shape == (4, 32, 32, 3)
    assert torch.equal(back[:, 0, 0, 0], images[:, 0, 0, 0]) and torch.equal(back, back[:, :1, :1].expand_as(back))


def test_a_batch_of_grids_gives_the_views_of_one_after_the_other(pack: SimpleNamespace) -> None:
    both = [pictures(6), 1 - pictures(6)]
    grids, masks = zip(*(join(pack, images)[:2] for images in both), strict=True)
    images, parts = split(pack, torch.cat(grids), mask=torch.cat(masks) * torch.tensor([0.5, 1.0])[:, None, None])
    assert torch.equal(images, torch.cat(both))
    assert parts[:6].unique().tolist() == [0.5] and parts[6:].unique().tolist() == [1]
    _, parts = split(pack, torch.cat(grids), mask=masks[0] * 0.25)
    assert parts.shape == (12, 16, 16) and parts.unique().tolist() == [0.25]


def test_results_are_where_comfyui_wants_them(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack.management, "intermediate_device", lambda: torch.device("meta"))
    images = pictures()
    grid, mask, *_ = join(pack, images)
    tensors = [grid, mask, *split(pack, torch.rand(1, 32, 48, 3)), *run(pack, "PicturesToViews", picture_1=images)]
    assert {(tensor.device.type, tensor.dtype) for tensor in tensors} == {("meta", torch.float32)}


def test_pictures_are_shown_where_somebody_looks(
    pack: SimpleNamespace, folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(node: str, **inputs: Any) -> list[tuple[int, int]] | None:
        found = pack.nodes[node].execute(**inputs).ui
        if found is None:
            return None
        places = [Path(folders.temp, entry["subfolder"], entry["filename"]) for entry in found["images"]]
        return [Image.open(place).size for place in places]

    grid = join(pack, pictures(6, 16, 24))[0]
    assert shown("ViewsToGrid", images=pictures(), **JOIN) is None
    assert shown("GridToViews", grid=grid, **SPLIT) is None
    monkeypatch.setattr(pack.compat, "somebody_watches", lambda: True)
    assert shown("ViewsToGrid", images=pictures(6, 16, 24), **JOIN) == [(48, 48)]
    assert shown("GridToViews", grid=grid, **SPLIT | {"columns": 2}) == [(24, 16)] * 6
    assert shown("ViewsToGrid", images=torch.zeros(5, 2, 1000, 3), **JOIN | {"columns": 5}) == [(2500, 1)]
    assert len(shown("GridToViews", grid=torch.zeros(1, 10, 10, 3), **SPLIT | {"views": 100})) == 36


def test_inputs_are_not_changed(pack: SimpleNamespace) -> None:
    images = pictures()
    before = images.clone()
    grid, _, layout, *_ = join(pack, images)
    kept = grid.clone()
    back, _ = split(pack, grid, layout=layout)
    back.zero_()
    gathered = run(pack, "PicturesToViews", picture_1=images)[0]
    gathered.zero_()
    assert torch.equal(images, before) and torch.equal(grid, kept)


def test_a_stop_is_answered_between_views(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def interrupted() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(pack.management, "throw_exception_if_processing_interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        join(pack, pictures())
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        split(pack, torch.rand(1, 32, 48, 3))


def test_pictures_become_a_batch_in_the_order_of_the_cameras(pack: SimpleNamespace) -> None:
    cameras, hy3d = run(pack, "Cameras", **CAMERAS)
    images = pictures()
    single = {f"picture_{number + 1}": images[number : number + 1] for number in (3, 0, 5, 1, 4, 2)}
    for given in (cameras, hy3d, None):
        (found,) = run(pack, "PicturesToViews", cameras=given, **single)
        assert torch.equal(found, images)
    (found,) = run(pack, "PicturesToViews", cameras=cameras, picture_1=images[:4], picture_5=images[4:])
    assert torch.equal(found, images)


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        ("ViewsToGrid", {"images": torch.zeros(0, 8, 8, 3)}, r"^images: found \[0, 8, 8, 3\], expected .*at least one"),
        ("ViewsToGrid", {"images": torch.zeros(2, 8, 8, 1)}, r"^images: found \[2, 8, 8, 1\]"),
        ("ViewsToGrid", {"masks": torch.ones(5, 16, 16)}, r"^masks: found \[5, 16, 16\], expected \[6, 16, 16\]"),
        ("ViewsToGrid", {"background": "grassy"}, "^background: is 'grassy'"),
        ("ViewsToGrid", {"columns": 1, "size": 8192}, "^columns: 6 cells of 8192 x 8192 in 1 columns"),
        ("GridToViews", {"grid": torch.zeros(8, 8, 3)}, r"^grid: found \[8, 8, 3\]"),
        ("GridToViews", {"views": 600, "columns": 600}, "^grid: 600 views in 600 columns"),
        ("GridToViews", {"layout": (6, 3)}, "^layout: is a tuple, expected the output 'layout' of Views to Grid"),
        ("GridToViews", {"mask": torch.ones(1, 8, 8)}, r"^mask: found \[1, 8, 8\], expected \[1, 32, 48\]"),
        ("PicturesToViews", {}, "^picture_1: nothing is connected, expected a picture for each camera"),
        ("PicturesToViews", {"picture_2": pictures(1)}, "^picture_1: nothing is connected, but picture_2 is"),
        ("PicturesToViews", {"picture_1": pictures(5)}, "^picture_6: nothing is connected, but there are 6 cameras"),
        ("PicturesToViews", {"picture_1": pictures(7)}, "^cameras: found 6 for 7 pictures"),
        ("PicturesToViews", {"picture_1": pictures(6), "cameras": []}, "^cameras: is list"),
    ],
)
def test_bad_input_is_named(pack: SimpleNamespace, node: str, inputs: dict[str, Any], message: str) -> None:
    usual = {
        "ViewsToGrid": JOIN | {"images": pictures()},
        "GridToViews": SPLIT | {"grid": torch.zeros(1, 32, 48, 3)},
        "PicturesToViews": {"cameras": run(pack, "Cameras", **CAMERAS)[0]},
    }
    with pytest.raises(ValueError, match=message):
        run(pack, node, **usual[node] | inputs)


def test_a_picture_of_another_shape_than_the_layout_is_refused(pack: SimpleNamespace) -> None:
    _, _, layout, *_ = join(pack, pictures())
    with pytest.raises(ValueError, match="^grid: is 48 x 48, but its views lie on a picture of 48 x 32"):
        split(pack, torch.zeros(1, 48, 48, 3), layout=layout)
