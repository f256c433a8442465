"""The budget of the search for faults, and its account.

``--fuzz-seconds`` or TORCH_RASTERIZER_FUZZ_SECONDS is for all targets that are run together; without it each has about
half a second, and the same inputs each time. Which these are is by chance otherwise, or by TORCH_RASTERIZER_FUZZ_SEED:
whether a change lands should not be. ``--fuzz-collect`` or TORCH_RASTERIZER_FUZZ_COLLECT=1 goes on after a finding. A
JSON file for the account is named by TORCH_RASTERIZER_FUZZ_REPORT.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fuzz.driver import Account, Fuzzer

_EACH = 0.6  # seconds of each target, unless told otherwise
_GRACE = 300.0  # seconds for what comes before and after, and for shrinking


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options; pytest knows them where this folder is named on the command line, the variables everywhere."""
    group = parser.getgroup("fuzz", "the search for faults")
    group.addoption("--fuzz-seconds", type=float, help="for all targets together; about half a second each otherwise")
    group.addoption("--fuzz-seed", type=int, help="of the first round, to repeat a finding")
    group.addoption("--fuzz-collect", action="store_true", help="go on after a finding and list all")


def _seconds(config: pytest.Config, targets: int) -> float:
    """Of one target."""
    given = config.getoption("--fuzz-seconds", default=None)
    given = os.environ.get("TORCH_RASTERIZER_FUZZ_SECONDS") if given is None else given
    return _EACH if given in (None, "") else float(given) / targets


def _seed(config: pytest.Config) -> int:
    """Of the first round: by chance where a search was asked for, the same each time beside the other tests."""
    given = os.environ.get("TORCH_RASTERIZER_FUZZ_SEED")
    searching = config.getoption("--fuzz-seconds", default=None) or os.environ.get("TORCH_RASTERIZER_FUZZ_SECONDS")
    return int(given) if given else random.getrandbits(32) if searching else 0


def _targets(items: list[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if "fuzz" in getattr(item, "fixturenames", ())]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The search is slow. A target runs as long as its budget; the signal of pytest-timeout is the driver's."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
    for item in _targets(items):
        seconds = _seconds(config, 1) + _GRACE
        item.add_marker(pytest.mark.timeout(seconds, method="thread"))


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Iterator[Fuzzer]:
    """Runs a property until the target's share of the time is up; on one thread, as suits inputs of a few pixels."""
    config, threads = request.config, torch.get_num_threads()
    first = config.getoption("--fuzz-seed", default=None)
    account = Account(request.node.name.removeprefix("test_"), _seed(config) if first is None else first)
    seconds = _seconds(config, len(_targets(request.session.items)))
    collect = (
        config.getoption("--fuzz-collect", default=False) or os.environ.get("TORCH_RASTERIZER_FUZZ_COLLECT") == "1"
    )
    torch.set_num_threads(1)
    yield Fuzzer(account, seconds, collect, repeat=first is not None)
    torch.set_num_threads(threads)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[Any]:
    """Hand in the account of a target, and fail it when it has collected findings."""
    fuzzer = pyfuncitem.funcargs.get("fuzz")
    try:
        return (yield)
    finally:
        if fuzzer is not None:
            pyfuncitem.user_properties.append(("fuzz", asdict(fuzzer.account)))
            if fuzzer.collect and fuzzer.account.findings:
                pytest.fail(f"{len(fuzzer.account.findings)} findings, listed at the end", pytrace=False)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many inputs each target has had, and what was found."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    accounts = [
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "fuzz"
    ]
    if not accounts:
        return
    for account in accounts:
        for finding in account["findings"]:
            terminalreporter.section(f"{account['target']}: {finding['key']}, --fuzz-seed {finding['seed']}", sep="-")
            terminalreporter.write_line(finding["case"])
    figures = [
        f"{account['target']} {format(account['inputs'], ',').replace(',', ' ')} inputs, "
        f"{len(account['findings'])} findings"
        for account in accounts
    ]
    terminalreporter.write_line(f"fuzz: {'; '.join(figures)}")
    report = os.environ.get("TORCH_RASTERIZER_FUZZ_REPORT")
    if report:
        Path(report).write_text(json.dumps(accounts, indent=1), encoding="utf-8")
