"""Manifests in Parquet."""

from __future__ import annotations

from pathlib import Path

import pytest

from rasterizer.batch import parquet
from rasterizer.batch.manifest import read_manifest
from tests.support.batch import manifest_of
from tests.support.needs import needs_pyarrow

VIEWS = [{"azimuth": 30.5, "elevation": 0}, {"azimuth": 90, "elevation": 10, "weight": 0.5}]


@pytest.mark.long
@needs_pyarrow
def test_parquet_says_what_jsonl_says(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    rows = [
        {"id": "a", "mesh": "torus", "size": 64, "cameras": VIEWS},
        {"id": "b", "mesh": "gone.glb"},
        {"id": "c", "mesh": "torus", "attribute": "normal", "perspective": 40.5},
        {"id": "c ", "mesh": "torus"},
    ]
    wanted = read_manifest(manifest_of(tmp_path, *rows), "render")
    columns = {key: [row.get(key) for row in rows] for key in ("id", "mesh", "cameras", "attribute", "perspective")}
    columns["size"] = [64.0, None, float("nan"), None]  # as pandas writes whole numbers with gaps
    write_table(pyarrow.table(columns), tmp_path / "m.any")
    found = read_manifest(tmp_path / "m.any", "render")
    assert found == wanted and [job.id for job in found.jobs] == ["a", "c"]
    assert [(fault.line, fault.id) for fault in found.faults] == [(2, "b"), (4, "c ")]


@pytest.mark.long
@needs_pyarrow
def test_broken_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="m.parquet: is Parquet that pyarrow cannot read"):
        read_manifest(tmp_path / "m.parquet", "render")


def test_without_pyarrow_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.jsonl").write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setattr(parquet, "absent", lambda name: "not installed")
    with pytest.raises(ValueError, match="needs the package pyarrow, which is not installed; pip install pyarrow"):
        read_manifest(tmp_path / "m.jsonl", "render")
