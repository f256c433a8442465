"""Runs DracoPy: what :mod:`rasterizer.runtime.process.child` is told to do."""

import sys
from typing import Any

import numpy as np

_WIDEST = 5  # numbers of an element that are handed on: more than glTF has, so that too many are seen


def work(memory: np.ndarray, **given: np.ndarray) -> dict[str, Any]:
    """Decompress primitives.

    Args:
        memory: bytes that this may take, where the system can see to it.
        **given: the bytes of each, uint8, called ``blob_0``, ``blob_1``..., and the ids of the attributes that are
            wanted of it, ``ids_0``...

    Returns:
        ``0_faces [M, 3]`` and, by Draco's ids, ``0_7 [N, C]`` for each attribute that is wanted; so for each primitive.
    """
    import DracoPy

    _limit(int(memory))
    made: dict[str, Any] = {}
    for name in [name for name in given if name.startswith("blob_")]:
        number = name.removeprefix("blob_")
        try:
            mesh = DracoPy.decode(given[name].tobytes())
        except Exception as error:  # DracoPy's own classes, and MemoryError
            raise ValueError(f"{type(error).__name__}: {error}") from None
        made[f"{number}_faces"] = getattr(mesh, "faces", np.zeros((0, 3), np.uint32))
        for attribute in mesh.attributes:
            values = np.asarray(attribute["data"])
            if attribute["unique_id"] in given[f"ids_{number}"]:
                made[f"{number}_{attribute['unique_id']}"] = values.reshape(len(values), -1)[:, :_WIDEST]
    return made


def _limit(memory: int) -> None:
    """Have the system refuse more memory than that; only Linux does."""
    if sys.platform.startswith("linux"):
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
