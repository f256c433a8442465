"""What the user's environment asks of the choice of a backend. Nothing else reads it."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

ENVIRONMENT = "TORCH_RASTERIZER_BACKEND"
"""``NAME`` makes ``auto`` mean that backend; ``-NAME`` forbids one. Several are separated by commas."""

BACKEND_NAMES = ("kernels", "vulkan", "torch", "custom_rasterizer", "nvdiffrast")
"""What may be named there and in calls, in order of priority; :mod:`rasterizer.backends.registry` says what each is."""


def environment() -> str:
    """The variable's value now, empty where it is not set."""
    return os.environ.get(ENVIRONMENT, "")


class Wishes(NamedTuple):
    """The backend that is forced, or an empty string, and those that are forbidden."""

    forced: str
    forbidden: frozenset[str]


def wishes(text: str | None = None) -> Wishes:
    """What a value of the variable asks for, the one it has now unless given.

    Raises:
        ValueError: it names what is no backend.
    """
    return _wishes(environment() if text is None else text)


@lru_cache(maxsize=8)
def _wishes(text: str) -> Wishes:
    forced, forbidden = "", set()
    for word in text.replace(" ", "").split(","):
        if word.startswith("-"):
            forbidden.add(_known(word[1:]))
        elif word and word != "auto":
            forced = _known(word)
    return Wishes(forced, frozenset(forbidden))


def _known(name: str) -> str:
    if name not in BACKEND_NAMES:
        raise no_backend(name, f"environment variable {ENVIRONMENT}")
    return name


def no_backend(name: object, source: str) -> ValueError:
    """The error for a name, given in ``source``, that is none of :data:`BACKEND_NAMES`."""
    return ValueError(f"{source}: {name!r} is no backend, expected one of auto, {', '.join(BACKEND_NAMES)}")


def kernels_allowed() -> bool:
    """Whether the environment leaves ``auto`` free to use GPU kernels, also for what is no rasterizing."""
    forced, forbidden = wishes()
    return forced in ("", "kernels") and "kernels" not in forbidden
