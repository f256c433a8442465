"""Decompresses what EXT_meshopt_compression and KHR_meshopt_compression compress: a buffer view each.

Written from the bitstreams' descriptions in the appendices A of these two extensions of glTF 2.0 (Khronos Group). The
files come from strangers: nothing here trusts a number of theirs, and no time or memory grows with anything but the
bytes that there are and the bytes that are promised, which the caller has checked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .meshopt_filters import FILTERS

_GROUP = 16  # elements whose deltas have one width
_BLOCK_BYTES, _BLOCK_ELEMENTS = 8192, 256
_ZERO, _BYTES = 0, 8  # bits of a delta: none at all, and no shorter than they are
_WIDTHS = {None: (0, 2, 4, 8), 0: (0, 1, 2, 4), 1: (1, 2, 4, 8)}  # of the four kinds of group, by control mode
_LITERAL, _NOTHING = 3, 2  # the other control modes
_AT_ONCE = 1 << 14  # groups that are unpacked together
_ROWS = 1 << 16  # elements that are filtered together
_FOURS = [tuple(byte >> shift & 3 for shift in (0, 2, 4, 6)) for byte in range(256)]
_SHORT = "its compressed data are damaged: they end too early, or too late"


def decompress(data: bytes, count: int, stride: int, mode: str, filter: str = "NONE") -> bytes:
    """``count * stride`` bytes.

    Args:
        data: the compressed bytes.
        count: elements.
        stride: bytes of an element.
        mode: ``ATTRIBUTES``, ``TRIANGLES`` or ``INDICES``.
        filter: ``NONE``, ``OCTAHEDRAL``, ``QUATERNION``, ``EXPONENTIAL`` or ``COLOR``.

    Raises:
        ValueError: these are no bytes of that kind.
    """
    try:
        if mode == "ATTRIBUTES" and stride and stride % 4 == 0 and stride <= 256 and filter in FILTERS:
            return _filtered(_attributes(data, count, stride), FILTERS[filter]).tobytes()
        if mode in ("TRIANGLES", "INDICES") and stride in (2, 4) and filter == "NONE":
            decode = _triangles if mode == "TRIANGLES" else _indices
            return decode(data, count).astype("<u2" if stride == 2 else "<u4").tobytes()
    except IndexError:
        raise ValueError(_SHORT) from None
    raise ValueError(f"meshopt has no mode '{str(mode)[:20]}' of {stride} bytes with the filter '{str(filter)[:20]}'")


def _filtered(values: np.ndarray, apply: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``values [N, stride]`` uint8 with a filter applied, which needs many times the memory, to some at a time."""
    for start in range(0, max(len(values), 1), _ROWS):
        part = values[start : start + _ROWS]
        part[:] = np.ascontiguousarray(apply(part)).view(np.uint8).reshape(part.shape)
    return values


def _attributes(data: bytes, count: int, stride: int) -> np.ndarray:
    """``[count, stride]`` uint8."""
    version = data[0] - 0xA0
    if version not in (0, 1):
        raise ValueError(f"meshopt has no version {version} of attributes")
    tail = stride + version * stride // 4
    end = len(data) - max(tail, 24 if version else 32)
    modes = data[len(data) - stride // 4 :] if version else bytes(stride // 4)
    if end < 1:
        raise IndexError
    deltas = _Deltas(data, count, stride).read(version, end)
    base = np.frombuffer(data, np.uint8, stride, len(data) - tail)
    made = np.empty((count, stride), np.uint8)
    for channel, mode in enumerate(modes):
        part = slice(4 * channel, 4 * channel + 4)
        made[:, part] = _undo(deltas[part, :count], base[part], mode)
    return made


def _undo(deltas: np.ndarray, base: np.ndarray, mode: int) -> np.ndarray:
    """``[N, 4]`` uint8, a channel whose encoded ``deltas [4, N]`` begin at ``base [4]``."""
    kind, turn = mode & 15, np.uint32(mode >> 4)
    if kind > 2 or (kind < 2 and turn):
        raise ValueError(f"meshopt has no channel mode {mode}")
    number = (np.dtype("u1"), np.dtype("<u2"), np.dtype("<u4"))[kind]
    values = np.ascontiguousarray(deltas.T).view(number)
    first = np.ascontiguousarray(base).view(number)
    if kind == 2:
        turned = values >> turn | values << (np.uint32(32) - turn & np.uint32(31))
        return (np.bitwise_xor.accumulate(turned, axis=0) ^ first).view(np.uint8)
    one = number.type(1)
    steps = values >> one ^ (number.type(0) - (values & one))
    return (np.cumsum(steps, axis=0, dtype=number) + first).astype(number).view(np.uint8)


class _Deltas:
    """The deltas of attributes, byte by byte of an element. Where a group ends follows from what is in it: these places
    are found one after another, and what is at them is read together."""

    def __init__(self, data: bytes, count: int, stride: int) -> None:
        self._data, self._count, self._stride = data, count, stride
        self._bytes = np.frombuffer(data, np.uint8)
        self._sizes = {_ZERO: bytes(len(data)), _BYTES: bytes([_GROUP]) * len(data)}
        self._sizes.update({bits: self._sizes_of(bits) for bits in (1, 2, 4)})

    def _sizes_of(self, bits: int) -> bytes:
        """For every place, the bytes of a group that would begin there: its numbers, and those that follow."""
        escapes = (self._numbers(self._bytes, bits) == (1 << bits) - 1).sum(-1, dtype=np.uint8)
        sums = np.concatenate(([0], np.cumsum(escapes, dtype=np.int64), np.zeros(2 * bits, np.int64)))
        sums[len(escapes) + 1 :] = sums[len(escapes)]
        wide = 2 * bits
        return (sums[wide : wide + len(escapes)] - sums[: len(escapes)] + wide).astype(np.uint8).tobytes()

    @staticmethod
    def _numbers(values: np.ndarray, bits: int) -> np.ndarray:
        """``[..., 8 / bits]``: the numbers in each byte, in their order."""
        places = np.arange(0, 8, bits, dtype=np.uint8)
        return values[..., None] >> (places if bits == 1 else places[::-1]) & np.uint8((1 << bits) - 1)

    def read(self, version: int, end: int) -> np.ndarray:
        """``[stride, N]`` uint8 for at least all elements, from the blocks that lie before ``end``."""
        data, sizes, stride, left = self._data, self._sizes, self._stride, self._count
        most = min(_BLOCK_BYTES // stride & ~15, _BLOCK_ELEMENTS)
        columns, place, first = -(-left // _GROUP), 1, 0
        found: dict[int, tuple[list[int], list[int]]] = {bits: ([], []) for bits in (1, 2, 4, 8)}
        while left > 0:
            block = min(left, most)
            groups = -(-block // _GROUP)
            controls: list[int | None] = [None] * stride
            if version:
                controls = [mode for byte in data[place : place + stride // 4] for mode in _FOURS[byte]]
                place += stride // 4
            for row, control in enumerate(controls):
                column = row * columns + first
                if control == _NOTHING:
                    continue
                if control == _LITERAL:
                    found[_BYTES][0].extend(range(place, place + groups * _GROUP, _GROUP))
                    found[_BYTES][1].extend(range(column, column + groups))
                    place += block
                    continue
                widths, heads = _WIDTHS[control], data[place : place + -(-groups // 4)]
                place += -(-groups // 4)
                for number in range(groups):
                    bits = widths[heads[number >> 2] >> (number & 3) * 2 & 3]
                    if bits:
                        found[bits][0].append(place)
                        found[bits][1].append(column + number)
                        place += sizes[bits][place]
            left, first = left - block, first + groups
        if place != end:
            raise IndexError
        made = np.zeros((stride * columns, _GROUP), np.uint8)
        for bits, (starts, targets) in found.items():
            for some in range(0, len(starts), _AT_ONCE):
                part = slice(some, some + _AT_ONCE)
                made[targets[part]] = self._groups(np.array(starts[part], np.int64), bits)
        return made.reshape(stride, -1)

    def _groups(self, starts: np.ndarray, bits: int) -> np.ndarray:
        """``[N, 16]`` uint8, groups that begin at ``starts``."""
        reach = np.arange(2 * bits)
        packed = self._bytes[np.minimum(starts[:, None] + reach, len(self._bytes) - 1)]
        if bits == _BYTES:
            return packed
        values = self._numbers(packed, bits).reshape(-1, _GROUP)
        escaped = values == (1 << bits) - 1
        places = starts[:, None] + 2 * bits + np.cumsum(escaped, axis=1) - 1
        return np.where(escaped, self._bytes[np.minimum(places, len(self._bytes) - 1)], values)


def _varints(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint32 values of LEB128 numbers that follow one another, and where each ends."""
    ends = np.flatnonzero(data < 128) + 1
    starts = np.concatenate(([0], ends[:-1])).astype(np.int64)
    if len(ends) == 0 or ends[-1] != len(data) or (ends - starts).max() > 5:
        raise IndexError
    values = np.zeros(len(ends), np.uint64)
    for number in range(5):
        there = starts + number < ends
        part = data[np.minimum(starts + number, len(data) - 1)].astype(np.uint64) & np.uint64(127)
        values |= np.where(there, part << np.uint64(7 * number), np.uint64(0))
    return values.astype(np.uint32), ends


def _indices(data: bytes, count: int) -> np.ndarray:
    """``[count]`` uint32."""
    if data[0] != 0xD1:
        raise ValueError("meshopt has no such version of indices")
    values, _ = _varints(np.frombuffer(data, np.uint8)[1:-4]) if count else (np.zeros(0, np.uint32), None)
    if len(values) != count:
        raise IndexError
    half = values >> np.uint32(2)
    steps = np.where(values & np.uint32(2), ~half, half)
    made = np.empty(count, np.uint32)
    for line in (0, 1):
        mine = (values & np.uint32(1)) == line
        made[mine] = np.cumsum(steps[mine], dtype=np.uint32)
    return made


def _triangles(data: bytes, count: int) -> np.ndarray:
    """``[count]`` uint32."""
    if data[0] != 0xE1:
        raise ValueError("meshopt has no such version of triangles")
    faces = count // 3
    if count % 3 or len(data) < 1 + faces + 16:
        raise IndexError
    return np.array(_Triangles(data, faces).read(), np.uint64).astype(np.uint32)


class _Triangles:
    """The triangles of a list, each from the edges and vertices that came shortly before."""

    def __init__(self, data: bytes, faces: int) -> None:
        self._data, self._faces = data, faces
        self._place, self._end = 1 + faces, len(data) - 16
        self._table = data[self._end :]
        self._next = self._last = 0
        # The newest lies at the end. Entries that nothing was written to are refused by what they are: None.
        self._edges: list[tuple[int, int] | None] = [None] * 16
        self._vertices: list[int | None] = [None] * 16

    def read(self) -> list[int]:
        """Three vertices for each."""
        made: list[int] = []
        edges, vertices, data = self._edges, self._vertices, self._data
        for number in range(1, 1 + self._faces):
            code = data[number]
            if code < 0xF0:
                edge = edges[~(code >> 4)]
                if edge is None:
                    raise IndexError
                a, b = edge
                c = self._third(code & 15)
                edges += ((c, b), (a, c))
            else:
                a, b, c = self._whole(code)
                edges += ((b, a), (c, b), (a, c))
            made += (a, b, c)
            if len(edges) > 4096:
                del edges[:-16]
                del vertices[:-16]
        if self._place != self._end:
            raise IndexError
        return made

    def _third(self, code: int) -> int:
        """The vertex opposite to a known edge."""
        if 0 < code < 13:
            known = self._vertices[~code]
            if known is None:
                raise IndexError
            return known
        if code == 0:
            return self._new()
        if code == 15:
            vertex = self._explicit()
        else:
            vertex = self._last = (self._last + (1 if code == 14 else -1)) & 0xFFFFFFFF
        self._vertices.append(vertex)
        return vertex

    def _whole(self, code: int) -> tuple[int, int, int]:
        """A triangle without a known edge."""
        if code < 0xFE:
            pair, explicit = self._table[code & 15], False
            if pair >> 4 == 15 or pair & 15 == 15:
                raise IndexError
        else:
            if self._place >= self._end:
                raise IndexError
            pair, explicit = self._data[self._place], code == 0xFF
            self._place += 1
            if pair == 0:
                self._next = 0
        a = self._explicit() if explicit else self._next
        self._next += not explicit
        b, b_is_new = self._choose(pair >> 4)
        c, c_is_new = self._choose(pair & 15)
        self._vertices.append(a)
        self._vertices += [b] * b_is_new + [c] * c_is_new
        return a, b, c

    def _choose(self, code: int) -> tuple[int, bool]:
        """A vertex that is new, the next, or a known one."""
        if code == 15:
            return self._explicit(), True
        if code == 0:
            self._next += 1
            return self._next - 1, True
        known = self._vertices[-code]
        if known is None:
            raise IndexError
        return known, False

    def _new(self) -> int:
        self._vertices.append(self._next)
        self._next += 1
        return self._next - 1

    def _explicit(self) -> int:
        """A vertex that is written out, as its distance from the last such."""
        value = shift = 0
        while True:
            if self._place >= self._end or shift > 28:
                raise IndexError
            byte = self._data[self._place]
            self._place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        value &= 0xFFFFFFFF
        self._last = (self._last + (~(value >> 1) if value & 1 else value >> 1)) & 0xFFFFFFFF
        return self._last
