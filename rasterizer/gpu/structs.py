"""A struct that Python fills in and GPU programs read, described once: its ctypes class and its text in C.

Both lay fields out alike because there is nothing to choose. A table that would leave a hole, between two fields or at
the end, is refused, so every field begins where the one before ends; and the text in C has the compiler check the size.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

_TYPES = {
    "u16": ctypes.c_uint16,
    "int": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
    "float": ctypes.c_float,
}
"""By name in C; those beside C's own are of ``common.cu``."""


_DTYPES = {
    "float": (torch.float32,),
    "int": (torch.int32,),
    "i64": (torch.int64,),
    "short": (torch.int16,),
    "u16": (torch.int16,),  # which holds the same bits
    "unsigned char": (torch.uint8, torch.bool),
}
"""Of tensors that hold what C calls so."""


class Struct(ctypes.Structure):
    """What :func:`struct` makes a class of.

    Attributes:
        c_text: its declaration in C.
        pointers: by field, what C takes an address for.
    """

    c_text: ClassVar[str]
    pointers: ClassVar[dict[str, str]]

    def point(self, device: torch.device, **tensors: Tensor | None) -> None:
        """Fill in addresses of tensors by field; None is null.

        Raises:
            TypeError: a kernel that reads or writes there would find something else than the tensor's values.
        """
        for name, tensor in tensors.items():
            if tensor is None:
                setattr(self, name, None)
                continue
            kind = self.pointers[name]
            if tensor.dtype not in _DTYPES[kind] or tensor.device != device or not tensor.is_contiguous():
                raise TypeError(
                    f"{type(self).__name__}.{name}: found {tensor.dtype} on {tensor.device}, strides {tensor.stride()} "
                    f"of {list(tensor.shape)}; expected {kind}, contiguous on {device}"
                )
            setattr(self, name, tensor.data_ptr())


Fields = tuple["str | type[Struct]", str, str]
"""Type in C, or another struct; names, separated by commas, with ``[count]`` where there are several; what they hold.
Pointers are to be filled with addresses on the device."""


def struct(name: str, *table: Fields) -> type[Struct]:
    """The class for a table of fields, in their order.

    Raises:
        TypeError: C would leave a hole between the fields or at their end.
    """
    fields: list[tuple[str, Any]] = []
    pointers: dict[str, str] = {}
    lines = []
    for kind, names, meaning in table:
        note = f"// {meaning}" if meaning else ""
        for declared in names.split(", "):
            field, _, count = declared.rstrip("]").partition("[")
            one = _ctype(kind)
            fields.append((field, one * int(count) if count else one))
            if isinstance(kind, str) and kind.endswith("*"):
                pointers[field] = kind.rstrip("*").removeprefix("const ")
            declaration = f"{kind if isinstance(kind, str) else kind.__name__} {declared};"
            lines.append(f"    {declaration:<27} {note}".rstrip())
            note = ""
    made: Any = type(name, (Struct,), {"_fields_": fields})
    size = ctypes.sizeof(made)
    if size != sum(ctypes.sizeof(kind) for _, kind in fields):
        raise TypeError(f"{name}: its fields leave a hole; order them by size, largest first")
    check = f'static_assert(sizeof({name}) == {size}, "{name}: Python and this compiler lay it out differently");'
    made.pointers = pointers
    made.c_text = "\n".join((f"struct {name} {{", *lines, "};", check, ""))
    return made


def _ctype(kind: str | type[Struct]) -> Any:
    if not isinstance(kind, str):
        return kind
    return ctypes.c_void_p if kind.endswith("*") else _TYPES[kind]


def c_text(structs: Sequence[type[Struct]], defines: Mapping[str, int | float]) -> str:
    """Declarations of structs, each before those that name it, and constants, in C."""
    return "\n".join((*(one.c_text for one in structs), *(f"#define {n} {_number(v)}" for n, v in defines.items()), ""))


def _number(value: int | float) -> str:
    """A constant in C: ``float``, ``int``, or ``i64`` where ``int`` does not hold it."""
    if isinstance(value, float):
        return f"{value!r}f"
    return str(value) if -(2**31) < value < 2**31 else f"{value}ll"
