"""What a mesh file may cost. Real work stays far below; each limit is lifted by a variable of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """The most of something.

    Attributes:
        variable: of the environment, with another number than the default.
        default: the limit where the variable is not set.
        what: is counted.
    """

    variable: str
    default: int
    what: str

    def value(self) -> int:
        """The limit in force.

        Raises:
            ValueError: the variable is set to something that is no whole number.
        """
        text = os.environ.get(self.variable, "").strip()
        if not text:
            return self.default
        if not text.isdecimal():
            raise ValueError(f"environment variable {self.variable}: is {text!r}, expected a whole number, {self.what}")
        return int(text)

    def check(self, found: int) -> None:
        """
        Raises:
            ValueError: ``found`` is beyond the limit; the text says how to lift it.
        """
        if found > self.value():
            raise ValueError(
                f"found {found} {self.what}, expected at most {self.value()}; the environment variable {self.variable} "
                "lifts this limit"
            )


FACES = Limit("TORCH_RASTERIZER_MAX_FACES", 100_000_000, "faces")
VERTICES = Limit("TORCH_RASTERIZER_MAX_VERTICES", 300_000_000, "vertices")
PARTS = Limit("TORCH_RASTERIZER_MAX_PARTS", 50_000, "parts (meshes, materials, images, nodes)")
NESTING = Limit("TORCH_RASTERIZER_MAX_NESTING", 500, "nodes, one within the other")
TEXTURE_SIDE = Limit("TORCH_RASTERIZER_MAX_TEXTURE_SIDE", 16_384, "texels a side")
TEXTURE_PIXELS = Limit("TORCH_RASTERIZER_MAX_TEXTURE_PIXELS", 1 << 29, "texels in all textures")
MEMORY = Limit("TORCH_RASTERIZER_LOAD_MEMORY", 256, "MiB of memory beside 40 times the file's size")

_MEMORY_PER_BYTE = 40


def allowed_memory(size: int) -> int:
    """Bytes that reading ``size`` bytes of files may take, textures aside."""
    return (MEMORY.value() << 20) + _MEMORY_PER_BYTE * size


def check_memory(need: int, size: int) -> None:
    """Refuse a file before it is read that would take more memory than its size allows.

    A few bytes can stand for many: zeros that are not written out, one mesh in a thousand places.

    Args:
        need: bytes that reading it is estimated to take, textures aside.
        size: bytes of the file and of those it refers to.

    Raises:
        ValueError: the need is beyond :func:`allowed_memory`.
    """
    allowed = allowed_memory(size)
    if need > allowed:
        raise ValueError(
            f"reading it would take {need >> 20} MiB, expected at most {allowed >> 20} MiB for {size / 2**20:.3g} MiB "
            "of files: it stands for more than is in it. If that is meant, set the environment variable "
            f"{MEMORY.variable} to {(need >> 20) + 1}"
        )
