"""Modules under the names that other packs import, and the finder that serves them.

:mod:`.finder` says who gets them and when; the modules beside it have the surface of the compiled ones.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from . import finder


@dataclass(frozen=True)
class DropInStatus:
    """One name that other packs import.

    Attributes:
        name: as they import it.
        provider: ``ours``, ``native`` (whatever is installed under that name), ``nobody``, or ``adapted`` (another
            pack's module, changed after its import).
        reason: why.
    """

    name: str
    provider: str
    reason: str

    def __str__(self) -> str:
        """Who provides it and why, for people."""
        if self.provider == "ours":
            reason = "no other installed" if self.reason == "not installed" else self.reason
            another = "another is " if reason.startswith("installed but") else ""
            return f"provided by this pack; {another}{reason}"
        if self.provider == "native":
            return f"the installed one; {self.reason}"
        if self.provider == "nobody":
            return f"provided by nobody; {self.reason}"
        return f"{self.provider}; {self.reason}"


def install() -> None:
    """Put the finder into this process, as ComfyUI's start does."""
    finder.install(__package__.rpartition(".")[0])


def statuses() -> tuple[DropInStatus, ...]:
    """Who provides each name in this process; empty if the finder is not in it.

    Imports the top-level modules to find out, as the first pack that needs them does.
    """
    running = finder.active()
    if running is None:
        return ()
    if finder.mode() == "off":
        reason = f"switched off by {finder.mode_source()}"
        return tuple(
            DropInStatus(name, "native" if finder.elsewhere(name) else "nobody", reason) for name in finder.TOP_LEVEL
        )
    rows = {}
    for name in finder.TOP_LEVEL:
        rows[name] = DropInStatus(name, "native", "not of this pack")
        if name == "mesh_processor" and finder.elsewhere(name):
            continue  # anything may have that name: not ours to run
        try:
            importlib.import_module(name)
        except Exception as error:
            rows[name] = DropInStatus(name, "nobody", f"{type(error).__name__}: {error}")
    for name, (ours, reason) in running.decisions.items():
        rows[name] = DropInStatus(name, "ours" if ours else "native", reason)
    return (*rows.values(), *(DropInStatus(name, "adapted", text) for name, text in running.patched.items()))
