"""Odd arguments to public functions: a well-formed result, or a ValueError."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st

from tests.fuzz.calls import CALLS, RARE, assemble
from tests.fuzz.driver import Fuzzer
from tests.fuzz.strategies import CHANGES, ODD

_DEFAULT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Attempt:
    """A call that works, and what is changed in it."""

    function: str
    variant: int
    changes: dict[str, Any]
    dtype: torch.dtype


_RARELY = {name: st.integers(0, rate).map(lambda k, rate=rate: k == rate // 2) for name, rate in RARE.items()}


def _odd(value: Any) -> st.SearchStrategy[Any]:
    odd = st.sampled_from(ODD)
    return st.sampled_from(list(CHANGES)) | odd if isinstance(value, torch.Tensor) else odd


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    """One call with up to three changes."""
    name = draw(st.sampled_from(list(CALLS)))
    assume(name not in RARE or draw(_RARELY[name]))
    call = CALLS[name]
    variant = draw(st.integers(0, len(call.variants) - 1))
    arguments = call.variants[variant]()
    changed = draw(st.lists(st.sampled_from(list(arguments)), max_size=3, unique=True))
    changes = {argument: draw(_odd(arguments[argument])) for argument in changed}
    dtype = draw(st.sampled_from(_DEFAULT_DTYPES)) if draw(st.integers(0, 9)) == 9 else torch.float32
    return Attempt(name, variant, changes, dtype)


def _changed(value: Any, change: Any) -> Any:
    if not (isinstance(value, torch.Tensor) and isinstance(change, str) and change in CHANGES):
        return copy.deepcopy(change)  # a call may change what it is given
    try:
        return CHANGES[change](value)
    except Exception:  # PyTorch has no such tensor: of this dtype, of so few dimensions
        assume(False)


def _check(attempt: Attempt) -> None:
    call = CALLS[attempt.function]
    arguments = call.variants[attempt.variant]()
    for name, change in attempt.changes.items():
        arguments[name] = _changed(arguments[name], change)
    before = torch.get_default_dtype()
    torch.set_default_dtype(attempt.dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = assemble(arguments)
            found = call.function(**given)
    except ValueError:
        return
    finally:
        torch.set_default_dtype(before)
    call.check(found, given)


def test_api(fuzz: Fuzzer) -> None:
    fuzz(_check, attempt=attempts())
