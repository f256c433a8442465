"""The output folder: whole or not there, and the first who is done stays."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from rasterizer.batch import output as module
from rasterizer.batch.jobs import Job, sha256_of
from rasterizer.batch.output import Output
from rasterizer.batch.recipes import RECIPES
from rasterizer.batch.work import do_job
from rasterizer.runtime import leftovers
from tests.support.batch import add_recipe

CPU = [torch.device("cpu")]


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a recipe that takes no time, and no waiting."""
    monkeypatch.setitem(RECIPES, "trial", RECIPES["maps"])
    add_recipe()
    monkeypatch.setattr(module, "_PAUSE", 0.0)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    made = Output(tmp_path / "out")
    made.make()
    return made


def job(key: str = "k", do: str = "write") -> Job:
    return Job("a", "trial", "torus", parameters={"do": do, "milliseconds": 0}, key=key)


def work(output: Output) -> list[str]:
    """What is being written."""
    return os.listdir(output.folder / ".batch" / "work")


def test_a_job_is_made(output: Output) -> None:
    assert do_job(job(), output, CPU)["what"] == "done"
    done = json.loads((output.folder / "a" / "done.json").read_text())
    made = output.folder / "a" / "sub" / "made.txt"
    assert done["key"] == "k" and done["id"] == "a" and done["recipe"] == "trial" and done["result"] == {"faces": 1}
    assert done["files"] == {"sub/made.txt": {"sha256": sha256_of(made), "bytes": made.stat().st_size}}
    assert done["device"].startswith("CPU") and set(done["versions"]) == {"rasterizer", "torch", "python"}
    assert [name for name, _ in output.all_done()] == ["a"] and not work(output)


def test_what_is_done_is_not_done_again(output: Output) -> None:
    do_job(job(), output, CPU)
    before = (output.folder / "a" / "done.json").stat().st_mtime_ns
    assert do_job(job(do="fail"), output, CPU) == {"what": "done", "seconds": 0.0, "by_other": True}
    assert (output.folder / "a" / "done.json").stat().st_mtime_ns == before
    assert do_job(job(), output, CPU, force=True)["by_other"] is False
    assert (output.folder / "a" / "done.json").stat().st_mtime_ns != before


def test_what_is_of_another_key_is_replaced_whole(output: Output) -> None:
    do_job(job("old"), output, CPU)
    (output.folder / "a" / "more.txt").touch()
    assert do_job(job("new"), output, CPU)["by_other"] is False
    assert output.done("a")["key"] == "new"
    assert sorted(os.listdir(output.folder / "a")) == ["done.json", "sub"] and not work(output)


def test_the_slower_of_two_workers_throws_its_work_away(output: Output) -> None:
    with output.temporary() as slow, output.temporary() as fast:
        (slow / "x").write_text("slow")
        (fast / "x").write_text("fast")
        assert output.publish(fast, "a", {"key": "k"})
        assert not output.publish(slow, "a", {"key": "k"})
    assert (output.folder / "a" / "x").read_text() == "fast" and not work(output)


@pytest.mark.parametrize("content", [{}, {"done.json": "{"}, {"done.json": "{}"}, {"mine.txt": "x"}])
def test_what_no_batch_has_written_stays(output: Output, content: dict[str, str]) -> None:
    (output.folder / "a").mkdir()
    for name, text in content.items():
        (output.folder / "a" / name).write_text(text)
    made = do_job(job(), output, CPU)
    if content:
        assert made["what"] == "failed" and "move it away" in made["error"]
        assert {path.name: path.read_text() for path in (output.folder / "a").iterdir()} == content
    assert not work(output)


@pytest.mark.parametrize(("do", "words"), [("fail", "mesh: is broken"), ("full", "No space left on device")])
def test_whatever_a_job_raises_ends_it_alone(output: Output, do: str, words: str) -> None:
    made = do_job(job(do=do), output, CPU)
    assert made["what"] == "failed" and words in made["error"] and "Traceback" in made["traceback"]
    assert output.done("a") is None and not work(output)
    assert do_job(job(), output, CPU)["what"] == "done"


def test_a_disk_that_is_full_at_the_end(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(module, "flush", full)
    assert "No space left" in do_job(job(), output, CPU)["error"]
    assert output.done("a") is None and not (output.folder / "a").exists() and not work(output)


def test_what_killed_workers_left_is_removed_and_nothing_else(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    place = output.folder / ".batch" / "work"
    with output.temporary() as mine:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 2**31 - 2)  # nobody's
            left = place / leftovers.temporary_name()
        (left / "sub").mkdir(parents=True)
        (left / "sub" / "x").touch()
        (place / "other").mkdir()
        output.make()
        assert mine.is_dir() and not left.exists() and (place / "other").is_dir()


def test_a_file_in_the_way(output: Output) -> None:
    (output.folder / "a").write_text("mine")
    assert "move it away" in do_job(job(), output, CPU)["error"]
    assert (output.folder / "a").read_text() == "mine"
