"""A real ComfyUI server with this pack in it: one per version found, for the whole session."""

from __future__ import annotations

import io
import urllib.parse
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

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


class Run:
    """A prompt that a listening client has run, which is one that looks: its outputs and pictures."""

    def __init__(self, server: Server, headless: ModuleType, prompt: dict[str, Any]) -> None:
        comfy = headless.Comfy(server.url)
        messages = comfy.listen()
        number = comfy.submit(prompt)
        list(comfy.follow(number, messages))
        comfy.made(number)  # the last message comes before the history knows of it
        self.outputs = server.get(f"/history/{number}")[number]["outputs"]
        self._server = server

    def pictures(self, node: str) -> list[np.ndarray]:
        """``[H, W, 3]`` of 0 to 255, signed: what a node shows."""
        entries = self.outputs[node]["images"]
        files = [self._server.download(f"/view?{urllib.parse.urlencode(entry)}") for entry in entries]
        return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int) for file in files]


@pytest.fixture
def run(server: Server, headless: ModuleType) -> Callable[[dict[str, Any]], Run]:
    """Runs a prompt."""
    return lambda prompt: Run(server, headless, prompt)
