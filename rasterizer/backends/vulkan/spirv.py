"""A word more in a compiled shader: that its floats be rounded to nearest even, where a driver can be told so."""

from __future__ import annotations

import struct

_HEADER = 5  # words
_CAPABILITY, _EXTENSION, _ENTRY_POINT, _EXECUTION_MODE, _MEMORY_MODEL = 17, 10, 15, 16, 14
_ROUNDING_MODE_RTE = (4467, 4462)  # capability and mode of SPV_KHR_float_controls


def instructions(code: bytes) -> list[tuple[int, ...]]:
    """Each a tuple of words, of which the lower half of the first is the operation."""
    words = struct.unpack(f"<{len(code) // 4}I", code)
    found, place = [], _HEADER
    while place < len(words):
        length = words[place] >> 16
        found.append(words[place : place + length])
        place += length
    return found


def rounding_to_even(code: bytes) -> bytes:
    """``code`` with RoundingModeRTE for float32 of its entry point; modules keep the order that SPIR-V wants."""
    name = b"SPV_KHR_float_controls\0".ljust(24, b"\0")
    capability = (2 << 16 | _CAPABILITY, _ROUNDING_MODE_RTE[0])
    extension = (7 << 16 | _EXTENSION, *struct.unpack("<6I", name))
    out: list[tuple[int, ...]] = []
    for each in instructions(code):
        operation = each[0] & 0xFFFF
        if operation != _CAPABILITY and capability not in out:
            out += [capability, extension]
        out.append(each)
        if operation == _ENTRY_POINT:
            out.append((4 << 16 | _EXECUTION_MODE, each[2], _ROUNDING_MODE_RTE[1], 32))
    words = [word for each in out for word in each]
    return code[: 4 * _HEADER] + struct.pack(f"<{len(words)}I", *words)
