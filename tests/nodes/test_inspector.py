"""The pictures that the browser's inspector reads."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.pack import color, draw, settle


def read(pack: SimpleNamespace, folders: SimpleNamespace, name: str) -> np.ndarray:
    settle(pack)
    return np.asarray(Image.open(folders.temp / pack.inspector.SUBFOLDER / name))


def words(pixels: np.ndarray, kind: str) -> np.ndarray:
    """Four bytes of each pixel as one number."""
    return np.ascontiguousarray(pixels).view(kind)[..., 0]


def test_hold_what_was_drawn(pack: SimpleNamespace, folders: SimpleNamespace, inspector: Any) -> None:
    result = draw(pack, layers=2)
    (entry,) = result.ui[inspector.KEY]
    assert (entry["width"], entry["height"], entry["step"], entry["total"]) == (40, 30, 1, 2)
    raster = result.args[0].rasters[0]
    assert entry["faces"] == [len(raster.mesh.faces)]
    for layer, picture in enumerate(entry["pictures"]):
        assert (picture["mesh"], picture["view"], picture["layer"]) == (0, 0, layer)
        found = {kind: read(pack, folders, picture[kind]) for kind in ("ids", "weights", "depth")}
        assert (words(found["ids"], ">u4") == raster.findices[0, layer].numpy()).all()
        weights = np.ascontiguousarray(found["weights"]).view(">u2") / 65535
        assert np.abs(weights - raster.barycentric[0, layer, :, :, :2].numpy()).max() <= 0.5 / 65535 + 1e-7
        drawn = raster.findices[0, layer].numpy() > 0
        assert drawn.any()
        depth = words(found["depth"], ">f4")
        assert (depth[drawn] == raster.distance()[0, layer].numpy()[drawn]).all()


@pytest.mark.parametrize("attribute", ["normal", "depth"])
@pytest.mark.parametrize("encoding", ["world", "raw"])
def test_values(pack: SimpleNamespace, folders: SimpleNamespace, inspector: Any, attribute: str, encoding: str) -> None:
    raster = draw(pack)
    result = color(pack, raster.args[0], attribute, encoding=encoding)
    (entry,) = result.ui[inspector.KEY]
    (picture,) = entry["pictures"]
    value, image = picture["value"], result.args[0][0].numpy()
    assert picture["ids"] == raster.ui[inspector.KEY][0]["pictures"][0]["ids"], "written twice"
    assert value["grey"] == (attribute == "depth")
    settle(pack)
    path = folders.temp / inspector.SUBFOLDER / value["file"]
    if value["grey"]:
        assert (words(np.asarray(Image.open(path)), ">f4") == image[..., 0]).all()
        return
    found = value["low"] + (value["high"] - value["low"]) * decode16(path) / 65535
    assert np.abs(found - image).max() <= 0.51 * (value["high"] - value["low"]) / 65535


def decode16(path: Path) -> np.ndarray:
    """A 16-bit RGB file as the browser reads it; Pillow would cut it to 8 bits."""
    import zlib

    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    start = data.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompress(data[start : data.index(b"IEND") - 8]), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 2).all()
    pixels = np.ascontiguousarray(np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8))
    return pixels.view(">u2").reshape(height, width, 3)


def test_large_ones_are_thinned_and_many_are_cut_off(
    pack: SimpleNamespace, folders: SimpleNamespace, inspector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspector, "MAX_PIXELS", 400)
    monkeypatch.setattr(inspector, "MAX_PICTURES", 2)
    result = draw(pack, layers=3)
    (entry,) = result.ui[inspector.KEY]
    assert (entry["step"], entry["total"], len(entry["pictures"])) == (2, 3, 2)
    ids = words(read(pack, folders, entry["pictures"][1]["ids"]), ">u4")
    assert (ids == result.args[0].rasters[0].findices[0, 1, ::2, ::2].numpy()).all()


def test_nothing_is_written_where_nobody_watches(
    pack: SimpleNamespace, folders: SimpleNamespace, inspector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.compat, "somebody_watches", lambda: False)
    result = draw(pack)
    assert result.ui is None
    assert color(pack, result.args[0], "normal").ui is None
    assert list(folders.temp.rglob("*.png")) == []


def test_a_full_disk_costs_no_run(
    pack: SimpleNamespace, folders: SimpleNamespace, inspector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(inspector, "write_atomically", fail)
    assert torch.is_tensor(draw(pack).args[1])
