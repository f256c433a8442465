"""Pictures for the inspector in the browser: what a run drew, pixel by pixel, as lossless PNG files.

The files lie in ComfyUI's temp folder, and a node's ``ui`` result names them (``web/lib/fragments.js`` reads them):

* ``ids``: 8-bit RGBA, the four bytes of a face index, high byte first; 0 = background.
* ``weights``: 8-bit RGBA, the first two barycentrics in 1/65535, two bytes each; the third is what they lack of 1.
* ``depth``: 8-bit RGBA, the four bytes of a float32, high byte first: the distance from the camera plane.
* ``value``: what Interpolate Attributes made. 16-bit RGB between ``low`` and ``high``; where all channels are the same,
  8-bit RGBA with the four bytes of a float32 (``grey``).

Nothing is written for a prompt that came without a client id: nobody could look. Only the first picture is waited for,
the others follow while the next nodes work already.
"""

from __future__ import annotations

import os
import struct
import threading
import uuid
import weakref
import zlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from torch import Tensor

from ...rasterizer.rendering.raster import Raster
from ...rasterizer.runtime.files import write_atomically
from ...rasterizer.runtime.log import log
from . import versions
from .values import RasterValue

KEY = "torch_raster_inspector"
SUBFOLDER = "torch_raster"

MAX_PICTURES = 16
MAX_PIXELS = 2**22  # of one picture; of larger ones every 2nd, 3rd, ... pixel is kept
TOTAL_PIXELS = 2**24

_KEPT_BYTES = 512 * 2**20  # of all runs together; ComfyUI empties the folder only when it starts or ends
_WAITING = 64  # files; whoever would add more waits, for each keeps its tensors alive

_pool: ThreadPoolExecutor | None = None
_slots = threading.BoundedSemaphore(_WAITING)
_lock = threading.Lock()
_written: deque[tuple[Path, int]] = deque()
_known: weakref.WeakKeyDictionary[RasterValue, dict[str, Any]] = weakref.WeakKeyDictionary()


def show_fragments(value: RasterValue, distances: Sequence[Tensor | None] | None = None) -> dict[str, Any] | None:
    """The ``ui`` result of Rasterize, None where nobody can look.

    Args:
        value: what was drawn.
        distances: :meth:`Raster.distance` of each raster where it is known already.
    """
    return {KEY: [_fragments(value, distances)]} if versions.somebody_watches() else None


def show_images(value: RasterValue, images: Sequence[Tensor]) -> dict[str, Any] | None:
    """The ``ui`` result of Interpolate Attributes: its images ``[V * L, H, W, 3]``, one tensor per raster."""
    if not versions.somebody_watches():
        return None
    entry = dict(_fragments(value, None))
    token, first, pictures = uuid.uuid4().hex[:16], None, []
    for number, picture in enumerate(entry["pictures"]):
        raster = value.rasters[picture["mesh"]]
        image = images[picture["mesh"]][picture["view"] * raster.findices.shape[1] + picture["layer"]]
        image = image[:: entry["step"], :: entry["step"]].detach().cpu()
        low, high = (float(bound) for bound in torch.aminmax(image.nan_to_num(0.0, 0.0, 0.0)))
        grey = bool((image == image[..., :1]).all())
        low, high = min(low, 0.0), max(high, 1.0)  # so that usual pictures have the usual codes
        name = f"{token}_{number}_value.png"
        job = _submit(name, lambda image=image, grey=grey, low=low, high=high: _pack_value(image, grey, low, high))
        first = first or job
        pictures.append({**picture, "value": {"file": name, "grey": grey, "low": low, "high": high}})
    _wait(first)
    return {KEY: [{**entry, "pictures": pictures}]}


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG file of ``[H, W, 4]`` uint8 (RGBA) or ``[H, W, 3]`` uint16 (RGB).

    Every row is stored as its difference to the one above, which suits what a raster holds, and compressed at the
    fastest level: three times as fast as Pillow, and the reader in the browser need not know more.
    """
    height, width, channels = pixels.shape
    depth, kind = {(1, 4): (8, 6), (2, 3): (16, 2)}[pixels.itemsize, channels]
    data = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">"))).view(np.uint8).reshape(height, -1)
    rows = np.empty((height, data.shape[1] + 1), np.uint8)
    rows[:, 0] = 2  # filter type "up"
    rows[0, 1:] = data[0]
    np.subtract(data[1:], data[:-1], out=rows[1:, 1:])

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def _fragments(value: RasterValue, distances: Sequence[Tensor | None] | None) -> dict[str, Any]:
    """The entry of a raster; its files are written once, whichever node asks first."""
    entry = _known.get(value)
    if entry is not None and all((_folder() / picture["ids"]).exists() for picture in entry["pictures"][:1]):
        return entry
    height, width = value.rasters[0].findices.shape[-2:]
    step = 1
    while -(-height // step) * -(-width // step) > MAX_PIXELS:
        step += 1
    limit = max(1, min(MAX_PICTURES, TOTAL_PIXELS // (-(-height // step) * -(-width // step))))
    numbers = [
        (mesh, view, layer)
        for mesh, raster in enumerate(value.rasters)
        for view in range(raster.findices.shape[0])
        for layer in range(raster.findices.shape[1])
    ]
    token, first, pictures = uuid.uuid4().hex[:16], [], []
    for number, (mesh, view, layer) in enumerate(numbers[:limit]):
        distance = distances[mesh] if distances else None
        jobs = _submit_picture(f"{token}_{number}", value.rasters[mesh], distance, view, layer, step)
        first = first or list(jobs.values())
        pictures.append(
            {"mesh": mesh, "view": view, "layer": layer, **{kind: f"{token}_{number}_{kind}.png" for kind in jobs}}
        )
    for job in first:
        _wait(job)
    entry = {
        "version": 1,
        "subfolder": SUBFOLDER,
        "width": width,
        "height": height,
        "step": step,
        "faces": [len(raster.mesh.faces) for raster in value.rasters],
        "total": len(numbers),
        "pictures": pictures,
    }
    _known[value] = entry
    return entry


def _submit_picture(
    name: str, raster: Raster, distance: Tensor | None, view: int, layer: int, step: int
) -> dict[str, Future[None]]:
    part = (view, layer, slice(None, None, step), slice(None, None, step))
    ids, weights = raster.findices[part].cpu(), raster.barycentric[part].cpu()
    jobs = {
        "ids": _submit(f"{name}_ids.png", lambda: _bytes(ids.numpy().astype(">u4"))),
        "weights": _submit(f"{name}_weights.png", lambda: _pack_weights(weights)),
    }
    if raster.cameras:

        def depth() -> np.ndarray:
            found = raster.view(view).distance()[0, layer] if distance is None else distance[view, layer]
            return _bytes(found[::step, ::step].cpu().numpy().astype(">f4"))

        jobs["depth"] = _submit(f"{name}_depth.png", depth)
    return jobs


def _bytes(numbers: np.ndarray) -> np.ndarray:
    """``[H, W]`` big-endian numbers of four bytes as ``[H, W, 4]``."""
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(*numbers.shape, 4)


def _pack_weights(weights: Tensor) -> np.ndarray:
    codes = np.rint(weights[..., :2].numpy().clip(0.0, 1.0) * 65535).astype(">u2")
    return np.ascontiguousarray(codes).view(np.uint8)


def _pack_value(image: Tensor, grey: bool, low: float, high: float) -> np.ndarray:
    if grey:
        return _bytes(image[..., 0].numpy().astype(">f4"))
    unit = (np.nan_to_num(image.numpy(), nan=low) - low) / (high - low)
    return np.rint(unit.clip(0.0, 1.0) * 65535).astype(np.uint16)


def _folder() -> Path:
    return Path(folder_paths.get_temp_directory()) / SUBFOLDER


def _submit(name: str, pack: Any) -> Future[None]:
    """Pack and write in the background; at most :data:`_WAITING` files wait."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="torch_raster_inspector")
    path = _folder() / name

    def work() -> None:
        try:
            with torch.inference_mode():
                data = encode_png(pack())
            write_atomically(path, lambda temporary: temporary.write_bytes(data))
            _remember(path, len(data))
        finally:
            _slots.release()

    _slots.acquire()
    try:
        return _pool.submit(work)
    except BaseException:
        _slots.release()
        raise


def _wait(job: Future[None] | None) -> None:
    """Wait; that a picture could not be written is no reason to fail a run."""
    try:
        if job is not None:
            job.result()
    except Exception as error:
        log.warning("Torch Rasterizer: no picture for the inspector: %s", error)


def _remember(path: Path, size: int) -> None:
    with _lock:
        _written.append((path, size))
        total = sum(bytes_ for _, bytes_ in _written)
        while total > _KEPT_BYTES and len(_written) > 3 * MAX_PICTURES:
            oldest, bytes_ = _written.popleft()
            total -= bytes_
            oldest.unlink(missing_ok=True)
