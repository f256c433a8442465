"""Runs one property on inputs that hypothesis makes, round after round, until its time is up.

Each round has a seed of its own, so that a finding is made again by ``--fuzz-seed`` with the number it prints.
"""

from __future__ import annotations

import math
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy

from tests.support.paths import ROOT

OURS = tuple(str(ROOT / name) for name in ("rasterizer", "nodes"))

_ROUND = 300  # inputs; each round starts from the simplest input, which must not become a large part of all
_SLOW = 1.0  # seconds; an input that takes longer is not shrunk, which means to run it hundreds of times
_SHRINKING = 10.0  # seconds at most
_LONGEST = 2000  # characters of a message or an input


class Fault(AssertionError):  # noqa: N818 - the fault is the library's, not this program's
    """A promise that was not kept; ``key`` tells it from others, whatever the input."""

    def __init__(self, key: str, text: str = "") -> None:
        super().__init__(f"{key}: {text}" if text else key)
        self.key = key


class _Hangs(Exception):  # noqa: N818 - thrown into the code that hangs, and seen by nobody else
    pass


class _TimeUp(BaseException):
    pass


@dataclass
class Account:
    """What became of a target; travels from the workers of pytest-xdist as a plain dict."""

    target: str
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    findings: list[dict[str, Any]] = field(default_factory=list)


def key_of(error: BaseException) -> str:
    """The type of an error, and the place in this project that it comes from."""
    if isinstance(error, Fault):
        return error.key
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if frame.filename.startswith(OURS)), frames[-1])
    name = frame.filename.removeprefix(f"{ROOT}/")
    return f"{type(error).__name__} at {name}:{frame.lineno} in {frame.name}"


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise a :class:`Fault` when the block takes longer, on systems that have the signal for it."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    late = []

    def ring(number: int, frame: Any) -> None:
        where = next(
            (line for line in reversed(traceback.extract_stack(frame)) if line.filename.startswith(OURS)), None
        )
        late.append(f"{where.filename.removeprefix(f'{ROOT}/')}:{where.lineno}" if where else "the test")
        raise _Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Hangs:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if late:  # also where the code has swallowed what was thrown into it
            raise Fault(f"hangs at {late[0]}", f"more than {seconds:g} s") from None


@dataclass
class Fuzzer:
    """Calls a property until the time is up; the first finding ends it, unless findings are collected.

    To ``repeat`` a finding, the first round is not cut short.
    """

    account: Account
    seconds: float
    collect: bool
    repeat: bool

    def __call__(
        self,
        check: Callable[..., None],
        *,
        limit: float = 30.0,
        repeatable: bool = True,
        **strategies: SearchStrategy[Any],
    ) -> None:
        """Try ``check(**inputs)``, an error of which is a finding.

        Args:
            check: the property.
            limit: seconds that one input may take.
            repeatable: whether the same input gives the same error; otherwise it is not shrunk.
            **strategies: of its arguments.
        """
        account, start, number = self.account, time.monotonic(), self.account.seed
        end = start + self.seconds
        known: set[str] = set()
        try:
            while time.monotonic() < end:
                until = math.inf if self.repeat and number == account.seed else end
                found = _Round(account, check, limit, known, end=until).run(number, strategies)
                if found is not None:
                    if repeatable and found.seconds < _SLOW:
                        # The same round again, in which nothing else counts, so that shrinking stays on this finding.
                        again = _Round(account, check, limit, known, wanted=found.key)
                        found = again.run(number, strategies) or found
                    where = f"found by round {number}: repeat with --fuzz-seed {number}"
                    found.error.__notes__ = [*getattr(found.error, "__notes__", ()), where]  # add_note of Python 3.11
                    account.findings.append({"key": found.key, "seed": number, "case": found.text()})
                    if not self.collect:
                        raise found.error
                    known.add(found.key)
                number += 1
        finally:
            account.seconds = time.monotonic() - start


@dataclass
class _Found:
    error: Exception
    key: str
    case: str
    seconds: float

    def text(self) -> str:
        """For people: the error, shortened, and the input."""
        return f"{type(self.error).__name__}: {str(self.error)[:_LONGEST]}\n{self.case[:_LONGEST]}"


@dataclass
class _Round:
    """A number of inputs from one seed, until the first error that is not ``known``.

    Where one is ``wanted``, its input is shrunk and no other error counts; otherwise inputs are counted, until ``end``.
    """

    account: Account
    check: Callable[..., None]
    limit: float
    known: set[str]
    wanted: str = ""
    end: float = math.inf
    found: _Found | None = None
    failing: set[str] = field(default_factory=set)

    def run(self, number: int, strategies: dict[str, SearchStrategy[Any]]) -> _Found | None:
        """What was found, if anything."""
        shrink_until = time.monotonic() + _SHRINKING

        def inputs(**drawn: Any) -> None:
            if not self.wanted and not self.found:
                if time.monotonic() > self.end:
                    raise _TimeUp
                self.account.inputs += 1
            elif time.monotonic() > shrink_until and repr(drawn) not in self.failing:
                return  # makes an end of shrinking; what has failed before must fail again
            self._try(drawn)

        chosen = settings(
            max_examples=_ROUND,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if self.wanted else [Phase.generate],
        )
        try:
            seed(number)(chosen(given(**strategies)(inputs)))()
        except _TimeUp:
            pass
        except Exception as error:
            if self.found is None:
                raise  # a fault of the test's own
            if self.found.error is error:
                self.found.case = "\n".join(getattr(error, "__notes__", ()))
        return self.found

    def _try(self, drawn: dict[str, Any]) -> None:
        start = time.monotonic()
        try:
            with _at_most(self.limit):
                self.check(**drawn)
        except HypothesisException:
            raise  # an input that was turned down
        except Exception as error:
            key = key_of(error)
            if key in self.known or self.wanted not in ("", key):
                return
            self.failing.add(repr(drawn))
            self.found = _Found(error, key, repr(drawn), time.monotonic() - start)
            raise
