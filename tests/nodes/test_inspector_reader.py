"""What the nodes write for the inspector, read by the inspector's own JavaScript: the same numbers on both sides."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.javascript import run_node
from tests.support.pack import color, draw, settle
from tests.support.paths import ROOT

SCRIPT = ROOT / "tests" / "web" / "read_files.mjs"


def read(folder: Path, **job: Any) -> list[dict[str, Any]]:
    """What JavaScript finds; see the script."""
    path = folder / "job.json"
    path.write_text(json.dumps({"folder": str(folder), **job}), encoding="utf-8")
    return json.loads(run_node(SCRIPT, path))


def column(picture: dict[str, Any], key: str) -> np.ndarray:
    """One quantity of all pixels, ``[H, W, ...]``; NaN for null."""
    found = np.array([pixel[key] for pixel in picture["pixels"]], np.float64)
    return found.reshape(picture["height"], picture["width"], *found.shape[1:])


def colors(picture: dict[str, Any], kind: str) -> np.ndarray:
    """``[H, W, 3]`` of 0..255; nothing is transparent."""
    words = np.array(picture["colors"][kind], "<u4").reshape(picture["height"], picture["width"])
    channels = words.view(np.uint8).reshape(*words.shape, 4)
    assert (channels[..., 3] == 255).all()
    return channels[..., :3].astype(np.int64)


def test_files_are_read_byte_by_byte(inspector: ModuleType, tmp_path: Path) -> None:
    random = np.random.default_rng(20261127)
    pictures = [
        random.integers(0, 256, (17, 13, 4), np.uint8),
        random.integers(0, 65536, (9, 21, 3), np.uint16),
        np.zeros((3, 1, 4), np.uint8),
        np.full((1, 5, 3), 65535, np.uint16),
    ]
    files = [f"{number}.png" for number in range(len(pictures))]
    for name, pixels in zip(files, pictures, strict=True):
        (tmp_path / name).write_bytes(inspector.encode_png(pixels))
    for found, pixels in zip(read(tmp_path, files=files), pictures, strict=True):
        assert (found["height"], found["width"]) == pixels.shape[:2]
        assert bytes(found["bytes"]) == pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def test_pixels_are_those_of_the_raster(pack: SimpleNamespace, folders: SimpleNamespace, inspector: ModuleType) -> None:
    result = draw(pack, layers=2)
    (entry,) = result.ui[inspector.KEY]
    settle(pack)
    raster = result.args[0].rasters[0]
    for layer, found in enumerate(read(folders.temp, entry=entry)):
        ids = raster.findices[0, layer].numpy()
        drawn = ids > 0
        assert drawn.any() and not drawn.all()
        assert found["kinds"] == ["ids", "depth", "mask", "weights"]
        rows, columns = np.indices(ids.shape)
        assert (column(found, "x") == columns).all() and (column(found, "y") == rows).all()
        assert (column(found, "face") == ids).all()

        codes = np.rint(raster.barycentric[0, layer, ..., :2].numpy().clip(0, 1) * 65535).astype(np.float64)
        first, second = np.moveaxis(codes / 65535, -1, 0)
        weights = np.stack([first, second, np.maximum(0, 1 - first - second)], -1)
        assert (column(found, "weights") == weights * drawn[..., None]).all()

        distance = raster.distance()[0, layer].numpy()
        assert (column(found, "depth")[drawn] == distance[drawn]).all() and np.isnan(
            column(found, "depth")[~drawn]
        ).all()
        assert all(pixel["value"] is None for pixel in found["pixels"])

        assert (colors(found, "mask") == 255 * drawn[..., None]).all()
        third = np.maximum(0, 65535 - codes.sum(-1, keepdims=True))
        shades = np.concatenate([codes, third], -1).astype(np.int64) >> 8
        assert (colors(found, "weights") == shades * drawn[..., None]).all()


def test_pictures_look_like_the_outputs(pack: SimpleNamespace, folders: SimpleNamespace, inspector: ModuleType) -> None:
    result = draw(pack)
    (entry,) = result.ui[inspector.KEY]
    settle(pack)
    (found,) = read(folders.temp, entry=entry)
    faces, mask, depth = (output.numpy() for output in result.args[1:])
    for kind, image in (("ids", faces[0]), ("mask", mask[0, ..., None]), ("depth", depth[0])):
        assert np.abs(colors(found, kind) - 255 * image).max() <= 1, kind


@pytest.mark.parametrize("attribute", ["normal", "depth"])
@pytest.mark.parametrize("encoding", ["world", "raw"])
def test_values_are_those_of_the_image(
    pack: SimpleNamespace, folders: SimpleNamespace, inspector: ModuleType, attribute: str, encoding: str
) -> None:
    raster = draw(pack).args[0]
    result = color(pack, raster, attribute, encoding)
    (entry,) = result.ui[inspector.KEY]
    settle(pack)
    (found,) = read(folders.temp, entry=entry)
    assert found["kinds"][0] == "value"
    image = result.args[0][0].numpy().astype(np.float64)
    low, high = min(image.min(), 0.0), max(image.max(), 1.0)
    values = column(found, "value")
    if attribute == "depth":
        assert (values == image[..., :1]).all()
    else:
        assert np.abs(values - image).max() <= 0.51 * (high - low) / 65535
    assert np.abs(colors(found, "value") - (image - low) / (high - low) * 255).max() <= 1


def test_of_a_thinned_raster_every_second_pixel_is_read(
    pack: SimpleNamespace, folders: SimpleNamespace, inspector: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspector, "MAX_PIXELS", 300)
    result = draw(pack, 39, 29)
    (entry,) = result.ui[inspector.KEY]
    settle(pack)
    (found,) = read(folders.temp, entry=entry)
    ids = result.args[0].rasters[0].findices[0, 0].numpy()
    assert (column(found, "face") == ids[::2, ::2]).all()
    assert (column(found, "x")[0] == np.arange(0, 39, 2)).all() and (
        column(found, "y")[:, 0] == np.arange(0, 29, 2)
    ).all()
