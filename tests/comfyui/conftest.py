"""A real ComfyUI server with this pack in it: one per version found, for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support import locations
from tests.support.modules import load_headless
from tests.support.servers import CannotStartError, Server

_INSTALLATIONS = locations.find_installations()


@pytest.fixture(scope="session", params=_INSTALLATIONS or [None], ids=lambda found: found.name if found else "absent")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server of each ComfyUI found."""
    if request.param is None:
        pytest.skip(locations.ABSENT)
    running = Server(request.param)
    try:
        running.start()
        yield running
    except CannotStartError as error:
        pytest.skip(
            f"ComfyUI in {request.param.root} does not start with {request.param.python}: {error}; install its "
            "requirements.txt, or name the right interpreter in COMFYUI_PYTHON"
        )
    finally:
        running.stop()


@pytest.fixture(scope="module")
def headless() -> ModuleType:
    """The script that runs workflows from outside, as a module."""
    return load_headless()
