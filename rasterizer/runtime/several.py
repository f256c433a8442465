"""One call over several devices: its views are shared out, done side by side, and brought together.

What every ``devices`` argument means, wherever it is taken:

* None is as if there were no such argument: work is done where the mesh or the vertices lie.
* A list shares the views out, in their order and as evenly as whole views allow; devices beyond the number of views are
  left alone. Inputs may lie anywhere and are copied once to each device; results come back on the first one. One view
  is one share: a single picture gains nothing.
* A device named twice takes two shares. Nothing is known of how fast devices are, so a slow one that takes as many
  views as the others is waited for.
* Each view is drawn by one device as it would be alone. On equal devices results are therefore those of the first one
  alone, to the bit; a CPU beside a GPU draws the same faces, and differs where the two do on their own (see
  ``docs/exactness.md``).
* Each share runs on a thread of its own, in the caller's modes and on the caller's streams, so that devices work at the
  same time whether launches wait for them or not. Progress is that of all shares, told on the caller's thread, where an
  exception stops every share at its next step. The first error of any share stops the others, too, and is raised.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from .progress import Report
from .threads import split_threads

T = TypeVar("T")

_TELL = 0.05  # seconds between two calls of a progress callback, while only other threads work


class _Movable(Protocol):
    def to(self, device: torch.device, /) -> Any: ...


Moved = TypeVar("Moved", bound=_Movable)


class Share(NamedTuple):
    """A device, and which views it takes: ``views`` is a slice of them, at least one unless there are none at all."""

    device: torch.device
    views: slice


def shares_of(views: int, devices: Sequence[torch.device]) -> list[Share]:
    """Share out so many views, in their order; no share is empty, unless there are no views."""
    parts = max(1, min(views, len(devices)))
    least, more = divmod(views, parts)
    starts = [number * least + min(number, more) for number in range(parts + 1)]
    return [Share(device, slice(*starts[number : number + 2])) for number, device in enumerate(devices[:parts])]


def copies(value: Moved, shares: Sequence[Share]) -> list[Moved]:
    """What has a method ``to(device)`` for each share, copied once for each device."""
    made = {device: value.to(device) for device in {share.device for share in shares}}
    return [made[share.device] for share in shares]


def gathered(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """The results of shares as one tensor on ``device``, joined along the first dimension."""
    if len(parts) == 1:
        return parts[0].to(device)
    if any(part.requires_grad for part in parts):
        return torch.cat([part.to(device) for part in parts])
    first, lengths = parts[0], [len(part) for part in parts]
    whole = torch.empty((sum(lengths), *first.shape[1:]), dtype=first.dtype, device=device)
    for place, part in zip(whole.split(lengths), parts, strict=True):
        place.copy_(part)  # without a second copy of it on that device
    return whole


def side_by_side(shares: Sequence[Share], work: Callable[[int, Report], T], report: Report | None = None) -> list[T]:
    """``work(number, report)`` for each share at the same time, the first on this thread; results in their order.

    Args:
        shares: say which device each works on.
        work: takes the share's number, and a progress callback of its own, which may raise.
        report: takes the mean of the shares' progress, on this thread.
    """
    told = report or (lambda share: None)
    if len(shares) == 1:
        return [work(0, told)]
    return _Team(shares, work, told).run()


class _Stopped(BaseException):
    """Raised in a share when another has failed."""


class _Team:
    """Shares at work."""

    def __init__(self, shares: Sequence[Share], work: Callable[[int, Report], T], report: Report) -> None:
        self._shares, self._work, self._report = shares, work, report
        self._done = [0.0] * len(shares)
        self._results: list[Any] = [None] * len(shares)
        self._error: BaseException | None = None
        self._modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        self._streams = {share.device: _stream(share.device) for share in shares}

    def run(self) -> list[Any]:
        on_cpu = [share.device.type == "cpu" for share in self._shares]
        threads: list[threading.Thread] = []
        with split_threads(sum(on_cpu)) as take:
            try:
                mine = [0]
                for number in range(1, len(self._shares)):
                    begin = take if on_cpu[number] else (lambda: None)
                    thread = threading.Thread(target=self._other, args=(number, begin), daemon=True)
                    try:
                        thread.start()
                        threads.append(thread)
                    except RuntimeError:  # the system allows no more
                        mine.append(number)
                if on_cpu[0]:
                    take()
                for number in mine:
                    self._results[number] = self._work(number, partial(self._tell, number))
                for thread in threads:
                    while thread.is_alive():
                        thread.join(_TELL)
                        self._tell(0, 1.0)
            except _Stopped:
                pass
            except BaseException as error:
                self._error = error
                raise
            finally:
                for thread in threads:
                    thread.join()
        if self._error is not None:
            raise self._error
        return self._results

    def _other(self, number: int, begin: Callable[[], None]) -> None:
        """A share on a thread of its own."""
        inference, gradients = self._modes
        try:
            begin()
            # All of these belong to a thread.
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients), self._on_streams(number):
                self._results[number] = self._work(number, partial(self._note, number))
            self._done[number] = 1.0
        except BaseException as error:  # raised on the caller's thread
            self._error = self._error or error

    @contextmanager
    def _on_streams(self, number: int) -> Iterator[None]:
        """On the streams that the caller uses, the share's own device current."""
        own = self._streams[self._shares[number].device]
        others = [stream for stream in self._streams.values() if stream is not own]
        with ExitStack() as held:
            for stream in (*others, own):
                if stream is not None:
                    held.enter_context(getattr(torch, stream.device.type).stream(stream))
            yield

    def _note(self, number: int, share: float) -> None:
        if self._error is not None:
            raise _Stopped
        self._done[number] = share

    def _tell(self, number: int, share: float) -> None:
        """The same for a share on the caller's thread."""
        self._note(number, share)
        self._report(sum(self._done) / len(self._done))


def _stream(device: torch.device) -> Any:
    """The stream that the caller works on, of devices whose streams belong to a thread."""
    return getattr(torch, device.type).current_stream(device) if device.type in ("cuda", "xpu") else None
