"""Fixtures that several rooms use, how the marks act, and the account of what was skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rasterizer.backends import registry
from rasterizer.gpu import program
from rasterizer.runtime.policy import force_policy
from tests.support import comfyui, skips
from tests.support.golden import golden_names, load_golden
from tests.support.gpus import KINDS, reason_against
from tests.support.pack import load_nodes
from tests.support.paths import ROOT
from tests.support.policies import POLICIES

_nodes_ran_in = ""  # for the summary


@pytest.fixture(autouse=True)
def programs_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPU programs pass their tests in each run of these, whatever an earlier run has found."""
    monkeypatch.setattr(program, "once", lambda parts, work: work())


@pytest.fixture(autouse=True)
def vulkan_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``auto`` means is the same on every machine, whatever graphics card it has beside PyTorch."""
    for known in registry.IMPLEMENTATIONS.values():
        if "vulkan" in known:
            waits = known["vulkan"]._replace(reason_to_pass_over=lambda device: "used only when asked for: a test runs")
            monkeypatch.setitem(known, "vulkan", waits)


@pytest.fixture(params=golden_names("raster_*"))
def golden_raster(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """One reference file of the native rasterizer."""
    return load_golden(request.param)


@pytest.fixture(params=golden_names("inpaint_*"))
def golden_inpaint(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """One reference file of the native vertex inpaint."""
    return load_golden(request.param)


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on this machine's CPU with the operators each kind of device is allowed."""
    chosen = POLICIES[request.param]
    with force_policy(chosen) if chosen else nullcontext():
        yield request.param


@pytest.fixture(params=["cpu", *(pytest.param(kind, marks=pytest.mark.gpu(kind)) for kind in KINDS)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every kind of device this machine has."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def pack() -> SimpleNamespace:
    """See :func:`load_nodes`."""
    global _nodes_ran_in
    try:
        loaded = load_nodes()
    except comfyui.NoComfyUIError as error:
        _nodes_ran_in = f"skipped: {error}"
        pytest.skip(str(error))
    _nodes_ran_in = loaded.host
    return loaded


@pytest.fixture
def folders(pack: SimpleNamespace, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """ComfyUI's input, output and temp folders, empty, for one test."""
    with comfyui.folders_in(tmp_path) as made:
        yield made


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip a test marked ``gpu``, or ``gpu("mps")``, where there is no such device; ``long`` ones only run by name."""
    if "long" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    for item in items:
        for mark in item.iter_markers("gpu"):
            if reason := reason_against(*mark.args):
                item.add_marker(pytest.mark.skip(reason=reason))


class _RootIsNoPackage:
    """The pack's own ``__init__.py`` is for ComfyUI, which imports the folder whatever it is called.

    pytest would import it before the first test, and cannot where the name is no identifier, as with a hyphen. Hooks
    of a conftest.py are asked about the folders below it only, so this is a plugin of its own.
    """

    @staticmethod
    def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """A plain folder in place of a package."""
        return pytest.Dir.from_parent(parent, path=path) if path.resolve() == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    """See :class:`_RootIsNoPackage`."""
    config.pluginmanager.register(_RootIsNoPackage(), "root-is-no-package")


def _skipped(config: pytest.Config) -> list[str]:
    reports = config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    return [str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr) for report in reports]


def pytest_terminal_summary(config: pytest.Config, terminalreporter: Any) -> None:
    """Say what the nodes ran in, and how many tests were skipped for want of what."""
    if _nodes_ran_in:
        terminalreporter.write_line(f"tests/nodes: {_nodes_ran_in}")
    if reasons := _skipped(config):
        line, others = skips.account(reasons)
        terminalreporter.write_line(line)
        for reason in others:
            terminalreporter.write_line(f"  {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where TORCH_RASTERIZER_STRICT_SKIPS is set, a test that is skipped for another reason fails the run."""
    if os.environ.get("TORCH_RASTERIZER_STRICT_SKIPS") and exitstatus == pytest.ExitCode.OK:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and skips.account(_skipped(session.config))[1]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
