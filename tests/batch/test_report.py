"""What is said of a batch afterwards."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rasterizer.batch import report
from rasterizer.batch.ledger import Ledger
from rasterizer.batch.output import Output


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """One job of each kind."""
    made = Output(tmp_path / "out")
    made.make()
    for name, key in (("done", "k1"), ("stale", "old")):
        with made.temporary() as folder:
            picture = np.zeros((30, 60, 3), np.uint8)
            picture[...] = (200, 0, 0)
            Image.fromarray(picture).save(folder / "view_01.png")
            made.publish(folder, name, {"key": key, "seconds": 1.5, "device": "CPU", "recipe": "render"})
    earlier = Ledger(made.ledger)
    earlier.write("run")
    earlier.write("queued", id="forgotten", key="k9")
    earlier.write("failed", id="failed", key="k2", error="=1+1", traceback="Traceback")
    earlier.close()
    later = Ledger(made.ledger)
    later.write("run")
    later.write("refused", id="", line=7, error="is no JSON")
    for name, key in (("done", "k1"), ("stale", "new"), ("failed", "k2"), ("left", "k3"), ("killer", "k4")):
        later.write("queued", id=name, key=key)
    later.write("blamed", id="killer", key="k4")
    later.write("blamed", id="killer", key="k4")
    later.write("failed", id="killer", key="k4", error="it has taken down workers", quarantine=True)
    later.close()
    with sorted(made.ledger.iterdir())[-1].open("a") as file:
        file.write('{"what": "fail')  # whose process was killed
    return made


def test_states(output: Output) -> None:
    states = {row["id"]: row["state"] for row in report.rows(output)}
    assert states == {
        **{name: name for name in ("done", "stale", "failed", "left")},
        "killer": "quarantine",
        "": "refused",
    }
    assert report.counts(report.rows(output)) == dict.fromkeys(
        ("done", "failed", "left", "stale", "quarantine", "refused"), 1
    )


def test_the_report(output: Output, tmp_path: Path) -> None:
    files = report.write_report(output, tmp_path / "report")
    assert [path.name for path in files] == ["report.json", "report.csv", "contact_sheet_01.png"]
    document = json.loads(files[0].read_text(encoding="utf-8"))
    assert document["counts"]["done"] == 1
    assert next(row for row in document["jobs"] if row["id"] == "failed")["traceback"] == "Traceback"
    with files[1].open(encoding="utf-8", newline="") as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    assert table["done"]["seconds"] == "1.5" and table["done"]["files"] == "view_01.png"
    assert table["failed"]["error"] == "'=1+1", "no formula"
    sheet = np.asarray(Image.open(files[2]))
    red = (sheet == (200, 0, 0)).all(-1)
    assert red.sum() == 2 * 128 * 64, "two pictures, whole, half as high as wide"


def test_many_jobs_take_several_sheets(output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_ON_SHEET", 1)
    names = [path.name for path in report.write_report(output, tmp_path / "report")]
    assert names[2:] == ["contact_sheet_01.png", "contact_sheet_02.png"]


def test_a_broken_picture_stays_white(output: Output, tmp_path: Path) -> None:
    (output.folder / "done" / "view_01.png").write_bytes(b"broken")
    sheet = np.asarray(Image.open(report.write_report(output, tmp_path / "report")[2]))
    assert (sheet == (200, 0, 0)).all(-1).sum() == 128 * 64
