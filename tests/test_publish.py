"""When a push publishes: the step of .github/workflows/publish.yml that decides, in a repository of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.support.paths import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"

pytestmark = pytest.mark.skipif(
    os.name != "posix" or not (shutil.which("git") and shutil.which("bash")) or not WORKFLOW.is_file(),
    reason="needs git, bash and the workflow",
)


class Repository:
    """Versions in a row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q")
        for number, (version, other) in enumerate([(1, 0), (1, 1), (2, 1), (2, 2), (2, 3)]):
            (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\nother = {other}\n')
            self.git("add", "-A")
            self.git("commit", "-qm", str(number))
            self.git("tag", f"c{number}")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def publishes(self, before: str, head: str, event: str = "push") -> bool:
        """Whether a push from one commit to another does."""
        self.git("checkout", "-q", head)
        run = re.search(
            r"^        run: \|\n((?: {10}.*\n)+)", WORKFLOW.read_text(encoding="utf-8"), re.MULTILINE
        ).group(1)
        # What GitHub puts in there before the script runs.
        run = run.replace("${{ github.event_name }}", event)
        output = self.folder.parent / "output"
        output.write_text("")
        environment = {**os.environ, "BEFORE": before, "GITHUB_EVENT_NAME": event, "GITHUB_OUTPUT": str(output)}
        # As GitHub runs it.
        subprocess.run(["bash", "-e", "-c", textwrap.dedent(run)], cwd=self.folder, env=environment, check=True)
        return output.read_text() == "changed=true\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "repository").mkdir()
    return Repository(tmp_path / "repository")


@pytest.mark.parametrize(
    ("before", "head", "expected"),
    [("c1", "c2", True), ("c1", "c4", True), ("c0", "c3", True), ("c2", "c4", False), ("c0", "c1", False)],
)
def test_pushes_that_bring_a_version(repository: Repository, before: str, head: str, expected: bool) -> None:
    assert repository.publishes(repository.git("rev-parse", before), head) == expected


def test_what_is_no_push_from_a_known_commit(repository: Repository) -> None:
    for before in ("", "0" * 40, "1234567890" * 4):
        assert repository.publishes(before, "c2") and not repository.publishes(before, "c3")
    assert repository.publishes("", "c4", "workflow_dispatch")
