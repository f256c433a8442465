"""The pack's nodes, with what most of their tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.pack import run, settle


@pytest.fixture
def torus(pack: SimpleNamespace, folders: SimpleNamespace) -> Any:
    """The torus sample as MESH, with UVs and a texture."""
    return run(pack, "LoadMesh", mesh_file="sample: torus")[0]


@pytest.fixture
def inspector(pack: SimpleNamespace, folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that writes for the browser, as if somebody watched."""
    monkeypatch.setattr(pack.compat, "somebody_watches", lambda: True)
    yield pack.inspector
    settle(pack)
