"""Runs DracoPy: what :mod:`rasterizer.runtime.process.child` is told to do."""

import sys
from typing import Any

import numpy as np


def work(memory: np.ndarray, **blobs: np.ndarray) -> dict[str, Any]:
    """Decompress primitives.

    Args:
        memory: bytes that this may take, where the system can see to it.
        **blobs: the bytes of each, uint8, called ``blob_0``, ``blob_1``...

    Returns:
        ``0_faces [M, 3]`` and, by Draco's ids, ``0_7 [N, C]`` for each attribute; so for each primitive.
    """
    import DracoPy

    _limit(int(memory))
    made: dict[str, Any] = {}
    for name, data in blobs.items():
        number = name.removeprefix("blob_")
        try:
            mesh = DracoPy.decode(data.tobytes())
        except Exception as error:  # DracoPy's own classes, and MemoryError
            raise ValueError(f"{type(error).__name__}: {error}") from None
        made[f"{number}_faces"] = getattr(mesh, "faces", np.zeros((0, 3), np.uint32))
        for attribute in mesh.attributes:
            values = np.asarray(attribute["data"])
            made[f"{number}_{attribute['unique_id']}"] = values.reshape(len(values), -1)
    return made


def _limit(memory: int) -> None:
    """Have the system refuse more memory than that; only Linux does."""
    if sys.platform.startswith("linux"):
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
