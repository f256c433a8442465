"""The Vulkan driver of this machine, which may be one that computes on the CPU (Mesa's lavapipe)."""

from __future__ import annotations

import pytest
import torch

from rasterizer.backends.vulkan import session


@pytest.fixture(autouse=True)
def vulkan_waits() -> None:
    """Here ``auto`` means what it does."""


@pytest.fixture(scope="session")
def opened() -> session.Card:
    """A card that is ready for use."""
    found = session.card()
    if found.gpu is None:
        pytest.skip(f"no Vulkan: {found.reason}")
    assert not session.reason_against(torch.device("cpu"))
    return found


@pytest.fixture
def card(opened: session.Card, monkeypatch: pytest.MonkeyPatch) -> session.Card:
    """The same, for a test that may have it fail."""
    monkeypatch.setattr(opened, "reason", "")
    monkeypatch.setattr(opened, "slower", {})
    return opened
