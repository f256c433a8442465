"""Primitives that are compressed by Draco (KHR_draco_mesh_compression), decompressed by the package DracoPy.

That is a library in C++ which gets a stranger's bytes. It runs in a process of its own, with so much memory and time as
the file may cost: what it does there, if it crashes or never ends, is that this file cannot be read.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.process.run import FailedError, RefusedError, in_process

DRACO = "KHR_draco_mesh_compression"
"""The extension of primitives."""

_WORKER = Path(__file__).with_name("draco_worker.py")
_MAGIC, _VERSION, _MESH, _METADATA = b"DRACO", (2, 2), 1, 0x8000
_SEQUENTIAL, _EDGEBREAKER = 0, 1
_SECONDS, _BYTES_PER_SECOND = 30.0, 20_000  # far more than it ever takes
_MEMORY_PER_VERTEX, _MEMORY_PER_FACE, _LEAST_MEMORY = 400, 400, 128 << 20  # four times what a real mesh took


@dataclass(frozen=True)
class Drawn:
    """A primitive as Draco has it.

    Attributes:
        faces: ``[M, 3]`` uint32.
        attributes: ``[N, C]`` numbers by Draco's id.
    """

    faces: np.ndarray
    attributes: dict[int, np.ndarray]


@dataclass(frozen=True)
class Blob:
    """A compressed primitive.

    Attributes:
        data: its bytes.
        vertices, faces: how many the file's header says that there are.
        ids: Draco's of the attributes that are wanted.
    """

    data: bytes
    vertices: int
    faces: int
    ids: tuple[int, ...]

    def check(self) -> None:
        """Hold what Draco's header promises against the file's, whose cost is known, before anything is allocated.

        The layout is that of "Draco Bitstream Specification" 2.2, sections 5 and 6 (Google).

        Raises:
            ValueError: they differ, or it is none that glTF may have.
        """
        data = self.data
        if data[:5] != _MAGIC or len(data) < 12 or tuple(data[5:7]) != _VERSION or data[7] != _MESH:
            raise ValueError(f"its {DRACO} holds no mesh of Draco's version 2.2")
        method = data[8]
        if int.from_bytes(data[9:11], "little") & _METADATA:
            raise ValueError(f"its {DRACO} has metadata of Draco's own, which is not supported: export it without")
        if method not in (_SEQUENTIAL, _EDGEBREAKER):
            raise ValueError(f"its {DRACO} names the method {method}, which Draco does not have")
        first, place = self._number(11 + method)  # the other has a byte before, how it walks
        second, _ = self._number(place)
        faces, vertices = (first, second) if method == _SEQUENTIAL else (second, first)
        if faces > self.faces or vertices > self.vertices:
            raise ValueError(
                f"its {DRACO} holds {vertices} vertices and {faces} faces, expected the {self.vertices} and "
                f"{self.faces} of its accessors"
            )

    def _number(self, place: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 35, 7):
            if place >= len(self.data):
                break
            byte = self.data[place]
            value, place = value | (byte & 127) << shift, place + 1
            if byte < 128:
                return value, place
        raise ValueError(f"its {DRACO} ends within a number")


def draco_is_there() -> bool:
    """Whether DracoPy is installed."""
    return importlib.util.find_spec("DracoPy") is not None


def undraco(blobs: Sequence[Blob]) -> list[Drawn]:
    """What is in compressed primitives.

    Raises:
        ValueError: DracoPy is not installed, a primitive is damaged or holds something else than its accessors say, or
            takes too long; the text says which.
    """
    if not draco_is_there():
        raise ValueError(
            f"it is compressed by Draco ({DRACO}), and to read that needs the Python package DracoPy, which is not "
            "installed. Install it into the Python that runs this (pip install DracoPy; ready-made for Python 3.10 to "
            "3.14 on Windows, Linux and macOS), or export the mesh without mesh compression"
        )
    for blob in blobs:
        blob.check()
    given = {f"blob_{number}": np.frombuffer(blob.data, np.uint8) for number, blob in enumerate(blobs)}
    given.update({f"ids_{number}": np.array(blob.ids, np.int64) for number, blob in enumerate(blobs)})
    need = sum(blob.vertices * _MEMORY_PER_VERTEX + blob.faces * _MEMORY_PER_FACE for blob in blobs)
    seconds = _SECONDS + sum(len(blob.data) for blob in blobs) / _BYTES_PER_SECOND
    try:
        made = in_process(_WORKER, {**given, "memory": np.array(_LEAST_MEMORY + need)}, _until(seconds))
    except (RefusedError, FailedError, TimeoutError) as error:
        raise ValueError(f"Draco cannot decompress it ({error})") from error
    found = [_drawn(made, f"{number}_") for number in range(len(blobs))]
    for blob, drawn in zip(blobs, found, strict=True):
        if drawn.faces.shape != (blob.faces, 3) or any(
            len(rows) != blob.vertices for rows in drawn.attributes.values()
        ):
            raise ValueError(f"its {DRACO} holds other numbers of vertices and faces than its accessors say")
    return found


def _drawn(made: dict[str, np.ndarray], start: str) -> Drawn:
    mine = {name.removeprefix(start): values for name, values in made.items() if name.startswith(start)}
    faces = mine.pop("faces", np.zeros((0, 3), np.uint32))
    return Drawn(faces.astype(np.uint32), {int(name): values for name, values in mine.items()})


def _until(seconds: float) -> Callable[[float], None]:
    end = time.monotonic() + seconds

    def report(share: float) -> None:
        if time.monotonic() > end:
            raise TimeoutError(f"it takes longer than {seconds:.0f} s")

    return report
