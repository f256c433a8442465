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
  ``docs/exactness.md``). Gradients agree to rounding: of fewer views at a time they are summed in another order.
* Devices work at the same time: work that only launches is launched on one after the other, piece by piece, and work
  that waits for its device has a thread for each share, in the caller's modes. All of it is on the caller's streams.
* Progress is that of all shares, told on the caller's thread, where an exception stops every share at its next step.
  The first error of any share stops the others, too, and is raised.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar

import torch
from torch import Tensor

from .progress import Report
from .threads import split_threads

Work = Callable[[int, slice, Report], Sequence[Tensor]]
"""Of :func:`over_devices`."""

_TELL = 0.05  # seconds between two calls of a progress callback, while only other threads work


class _Movable(Protocol):
    def to(self, device: torch.device, /) -> Any: ...


Moved = TypeVar("Moved", bound=_Movable)


class Sharing(TypedDict):
    """How work is shared out: arguments of :func:`over_devices`."""

    waits: bool
    together: int


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


def over_devices(
    shares: Sequence[Share],
    work: Callable[[int, slice, Report], Sequence[Tensor]],
    report: Report | None,
    *,
    waits: bool,
    together: int,
) -> list[Tensor]:
    """What ``work(number, views, report)`` makes of all views, as tensors on the first share's device.

    Args:
        shares: of the views, more than one of them.
        work: takes a share's number, some of its views (a slice of all), and a progress callback, which may raise;
            returns tensors whose first dimension are these views.
        report: takes the mean of the shares' progress, on this thread.
        waits: whether work waits for its device, or is done by the host; then each share has a thread of its own. Work
            that only launches is launched from here, device by device in turn: threads would wait for Python's lock at
            each operator, for longer than launching takes.
        together: views at once, where work does not wait: their results are on their way while the next are made.
    """
    landing = Landing(shares)
    told = report or (lambda share: None)
    if waits:
        _Team(shares, landing, work, told).run()
    else:
        _launch(shares, landing, work, told, together)
    return landing.results()


def _launch(shares: Sequence[Share], landing: Landing, work: Work, report: Report, together: int) -> None:
    """All shares from this thread, piece by piece; the first device, to which all results come, is last each time."""
    pieces = [list(_pieces(share.views, together)) for share in shares]
    count, done = sum(map(len, pieces)), 0
    for turn in range(max(map(len, pieces))):
        for number in (*range(1, len(shares)), 0):
            if turn < len(pieces[number]):
                views = pieces[number][turn]
                landing.take(views, work(number, views, partial(_within, report, done, count)))
                done += 1


def _pieces(views: slice, together: int) -> Iterator[slice]:
    for start in range(views.start, views.stop, together):
        yield slice(start, min(start + together, views.stop))


def _within(report: Report, done: int, count: int, share: float) -> None:
    report((done + share) / count)


class Landing:
    """Where results come together: tensors of all views on the first device, which shares write into."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self._home, self._views = shares[0].device, shares[-1].views.stop
        self._kept: dict[int, Sequence[Tensor]] = {}  # of gradients, which are to find their way back
        self._whole: list[Tensor] = []
        self._receiving: Any = None  # a stream of the first device, where copies wait for nothing that is drawn there
        self._sending: dict[torch.device, Any] = {}
        self._lock = threading.Lock()

    def take(self, views: slice, made: Sequence[Tensor]) -> None:
        """The results of some views. Any thread may bring them, on the streams of the caller of all."""
        with self._lock:
            if self._kept or any(value.requires_grad for value in made):
                self._kept[views.start] = made
                return
            if not self._whole:
                self._prepare(made)
        for whole, value in zip(self._whole, made, strict=True):
            if value.device == self._home or value.device.type != "cuda" or self._receiving is None:
                whole[views].copy_(value)
            else:
                self._send(value, whole[views])

    def _prepare(self, made: Sequence[Tensor]) -> None:
        shapes = [(self._views, *value.shape[1:]) for value in made]
        self._whole = [
            torch.empty(shape, dtype=value.dtype, device=self._home) for shape, value in zip(shapes, made, strict=True)
        ]
        if self._home.type == "cuda":
            self._receiving = torch.cuda.Stream(self._home)
            self._receiving.wait_stream(torch.cuda.current_stream(self._home))  # whose memory it was
            for whole in self._whole:
                whole.record_stream(self._receiving)

    def _send(self, value: Tensor, place: Tensor) -> None:
        with self._lock:
            if value.device not in self._sending:
                self._sending[value.device] = torch.cuda.Stream(value.device)
            sending = self._sending[value.device]
        sending.wait_stream(torch.cuda.current_stream(value.device))
        with torch.cuda.stream(self._receiving), torch.cuda.stream(sending):
            place.copy_(value, non_blocking=True)
        value.record_stream(sending)

    def results(self) -> list[Tensor]:
        """All of them, when every view has been brought; on the thread that all is for."""
        if self._kept:
            parts = [self._kept[start] for start in sorted(self._kept)]
            return [torch.cat([value.to(self._home) for value in values]) for values in zip(*parts, strict=True)]
        if self._receiving is not None:
            torch.cuda.current_stream(self._home).wait_stream(self._receiving)
        return self._whole


class _Stopped(BaseException):
    """Raised in a share when another has failed."""


class _Team:
    """Shares at work."""

    def __init__(self, shares: Sequence[Share], landing: Landing, work: Work, report: Report) -> None:
        self._shares, self._landing, self._work, self._report = shares, landing, work, report
        self._done = [0.0] * len(shares)
        self._error: BaseException | None = None
        self._modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        self._streams = {share.device: _stream(share.device) for share in shares}

    def run(self) -> None:
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
                    self._do(number, self._tell)
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

    def _do(self, number: int, report: Callable[[int, float], None]) -> None:
        views = self._shares[number].views
        self._landing.take(views, self._work(number, views, partial(report, number)))

    def _other(self, number: int, begin: Callable[[], None]) -> None:
        """A share on a thread of its own."""
        inference, gradients = self._modes
        try:
            begin()
            # All of these belong to a thread.
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients), self._on_streams(number):
                self._do(number, self._note)
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
