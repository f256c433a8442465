"""The Vulkan driver of this machine, which may be one that computes on the CPU (Mesa's lavapipe)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from rasterizer.backends.vulkan import deaths, session


@pytest.fixture(autouse=True)
def vulkan_waits() -> None:
    """Here ``auto`` means what it does."""


@pytest.fixture(scope="session", autouse=True)
def no_deaths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests elsewhere kill processes, which may leave word of it."""
    folder = tmp_path_factory.mktemp("deaths")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deaths, "cache_folder", lambda: folder)
        yield


@pytest.fixture(scope="session")
def opened(no_deaths: None) -> session.Card:
    """A card that is ready for use.

    Threads of a driver on the CPU take after the one that starts them: they take denormals for 0, as many cards do.
    """
    torch.set_flush_denormal(True)
    try:
        found = session.card()
    finally:
        torch.set_flush_denormal(False)
    if found.gpu is None:
        pytest.skip(f"no Vulkan: {found.reason}")
    assert not found.test()
    return found


@pytest.fixture
def card(opened: session.Card, monkeypatch: pytest.MonkeyPatch) -> session.Card:
    """The same, for a test that may have it fail."""
    monkeypatch.setattr(opened, "reason", "")
    monkeypatch.setattr(opened, "slower", {})
    return opened
