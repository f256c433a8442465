"""Manifests: what a job follows from, and that every fault is named with its line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rasterizer.batch.manifest import Manifest, check_safe_id, read_manifest
from rasterizer.batch.scan import manifest_text, scan
from tests.support.batch import manifest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two meshes and six pictures, which nobody opens here, and something outside."""
    inside = tmp_path / "inside"
    (inside / "views").mkdir(parents=True)
    for name in ("a.glb", "b.obj", "notes.txt", *(f"views/{number}.png" for number in range(6)), "views/notes.txt"):
        (inside / name).write_text(name)
    (tmp_path / "outside.glb").write_text("outside")
    return inside


def one(folder: Path, row: object, recipe: str = "render", **options: Any) -> Manifest:
    """What is made of a single row."""
    return read_manifest(manifest_of(folder, row), recipe, **options)  # type: ignore[arg-type]


def test_rows_become_jobs(folder: Path) -> None:
    rows = ({"id": "a", "mesh": "a.glb", "size": 64}, {"id": "B 2", "mesh": str(folder / "b.obj")})
    text = "\ufeff" + "\n\n".join(map(json.dumps, rows))  # as some editors write it
    (folder / "m.jsonl").write_text(text, encoding="utf-8")
    made = read_manifest(folder / "m.jsonl", "render", {"size": 32, "samples": 1})
    assert not made.faults
    first, second = made.jobs
    assert (first.id, second.id) == ("a", "B 2")
    assert first.mesh == str(folder / "a.glb") and second.mesh == str(folder / "b.obj")
    assert (first.parameters["size"], second.parameters["size"]) == (64, 32)
    assert first.parameters["samples"] == 1 and first.parameters["attribute"] == "lit"
    assert first.bytes == 5


@pytest.mark.parametrize("views", ["views", [f"views/{number}.png" for number in range(6)]])
def test_views_are_a_folder_or_a_list(folder: Path, views: object) -> None:
    (job,) = one(folder, {"id": "a", "mesh": "a.glb", "views": views}, "texture").jobs
    assert [Path(view).name for view in job.views] == [f"{number}.png" for number in range(6)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([1], "is list, expected an object"),
        ({"mesh": "a.glb"}, "id: is None"),
        ({"id": 3, "mesh": "a.glb"}, "id: is 3"),
        ({"id": "a"}, "mesh: is None"),
        ({"id": "a", "mesh": "gone.glb"}, "gone.glb is no file"),
        ({"id": "a", "mesh": "notes.txt"}, "expected one of .glb"),
        ({"id": "a", "mesh": "../outside.glb"}, "outside"),
        ({"id": "a", "mesh": "views/../../outside.glb"}, "outside"),
        ({"id": "a", "mesh": "/etc/a.glb"}, "outside"),
        ({"id": "a", "mesh": "a\0.glb"}, "zero"),
        ({"id": "a", "mesh": "a.glb", "sise": 3}, "'sise' is unknown, expected id, mesh, views"),
        ({"id": "a", "mesh": "a.glb", "size": 0}, "size: is 0"),
        ({"id": "a", "mesh": "a.glb", "size": "64"}, "size: is '64'"),
        ({"id": "a", "mesh": "a.glb", "attribute": "nomral"}, "attribute: is 'nomral'"),
        ({"id": "a", "mesh": "a.glb", "background": "reddish"}, "background: is 'reddish'"),
        ({"id": "a", "mesh": "a.glb", "transparent": 1}, "transparent: is 1"),
        ({"id": "a", "mesh": "a.glb", "perspective": 180}, "perspective: is 180"),
        ({"id": "a", "mesh": "a.glb", "cameras": []}, "cameras: is []"),
        ({"id": "a", "mesh": "a.glb", "cameras": "turntable"}, "no pictures to count"),
        ({"id": "a", "mesh": "a.glb", "cameras": [[0]]}, "cameras 1: is [0]"),
        ({"id": "a", "mesh": "a.glb", "cameras": [{"azimuth": 1, "elevation": 2, "zoom": 3}]}, "has 'zoom'"),
        ({"id": "a", "mesh": "a.glb", "cameras": [[0, "up"]]}, "elevation is 'up'"),
        ({"id": "a", "mesh": "a.glb", "views": "views"}, "expected none"),
    ],
)
def test_a_fault_is_named(folder: Path, row: object, words: str) -> None:
    made = one(folder, row)
    (fault,) = made.faults
    assert not made.jobs and fault.line == 1 and words in fault.text


@pytest.mark.parametrize(
    ("views", "words"),
    [
        (None, "views: are none"),
        ([], "views: are none"),
        ("gone", "gone is no folder"),
        (["views/0.png", 3], "expected a folder, a list"),
        (["views/7.png"], "7.png is no file"),
        ("..", "outside"),
        (["../outside.glb"], "outside"),
        (["views/0.png"], "are 1 pictures, expected 6"),
    ],
)
def test_a_fault_of_views_is_named(folder: Path, views: object, words: str) -> None:
    (fault,) = one(folder, {"id": "a", "mesh": "a.glb", "views": views}, "texture").faults
    assert words in fault.text


@pytest.mark.parametrize("link", ["mesh", "folder"])
def test_a_link_leads_nowhere_else(folder: Path, link: str) -> None:
    try:
        (folder / "link.glb").symlink_to(folder.parent / "outside.glb")
        (folder / "up").symlink_to(folder.parent, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    (fault,) = one(folder, {"id": "a", "mesh": "link.glb" if link == "mesh" else "up/outside.glb"}).faults
    assert "outside" in fault.text and "link" in fault.text
    assert one(folder, {"id": "a", "mesh": "inside/a.glb"}, root=folder.parent).jobs


def test_faults_have_their_lines_and_stop_nothing_else(folder: Path) -> None:
    lines = [
        '{"id": "a", "mesh": "a.glb"}',
        "",
        '{"id": "twice", "mesh": "a.glb"}',
        "no JSON",
        '{"id": "Twice", "mesh": "b.obj"}',
        '{"id": "b", "mesh": "b.obj"}',
        '{"id": "c", "id": "d", "mesh": "b.obj"}',
    ]
    (folder / "m.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"id": "\xff"}')
    made = read_manifest(folder / "m.jsonl", "render")
    assert [job.id for job in made.jobs] == ["a", "b"]
    assert [fault.line for fault in made.faults] == [3, 4, 5, 7, 8]
    texts = [fault.text for fault in made.faults]
    assert "as in line 5" in texts[0] and "is no JSON" in texts[1] and "as in line 3" in texts[2]
    assert "'id' twice" in texts[3] and "is no JSON" in texts[4]


@pytest.mark.parametrize(
    "name",
    ["..", ".hidden", "a/b", "a\\b", "C:a", "nul", "COM1.x", "end.", "end ", " a", "a\nb", "a?", "x" * 151, "é" * 80],
)
def test_unsafe_ids(name: str) -> None:
    with pytest.raises(ValueError):
        check_safe_id(name)


@pytest.mark.parametrize("name", ["a", "chair 2", "Stuhl-ä", "椅子", "a.b", "x" * 150, "_"])
def test_safe_ids(name: str) -> None:
    check_safe_id(name)


def test_given_parameters_are_checked(folder: Path) -> None:
    with pytest.raises(ValueError, match="'sise' is unknown"):
        one(folder, {"id": "a", "mesh": "a.glb"}, given={"sise": 3})


def test_keys_change_with_what_an_output_follows_from(folder: Path) -> None:
    row = {"id": "a", "mesh": "a.glb", "views": "views"}
    key = one(folder, row, "texture").jobs[0].key
    assert one(folder, {**row, "size": 2048}, "texture").jobs[0].key == key, "what is so anyway may be said"
    keys = {
        key,
        one(folder, {**row, "id": "b"}, "texture").jobs[0].key,
        one(folder, {**row, "size": 64}, "texture").jobs[0].key,
        one(folder, row, "bake").jobs[0].key,
        one(folder, {**row, "views": [f"views/{5 - number}.png" for number in range(6)]}, "texture").jobs[0].key,
        one(folder, row, "texture", by_content=True).jobs[0].key,
    }
    (folder / "a.glb").write_text("other")
    keys.add(one(folder, row, "texture").jobs[0].key)
    assert len(keys) == 7


def test_keys_by_content_outlast_a_copy(folder: Path) -> None:
    row = {"id": "a", "mesh": "a.glb"}
    by_time, by_content = (one(folder, row, by_content=how).jobs[0].key for how in (False, True))
    os.utime(folder / "a.glb", (1, 1))
    assert one(folder, row).jobs[0].key != by_time
    assert one(folder, row, by_content=True).jobs[0].key == by_content


def test_scan_makes_a_manifest_that_can_be_run(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / ".hidden").mkdir()
    for name in (
        "sub/a.glb",
        "sub_a.glb",
        "a.obj",
        "con.glb",
        ".hidden/x.glb",
        "what?.ply" if os.name != "nt" else "w.ply",
    ):
        (folder / name).write_text(name)
    (folder / "views").rename(folder / "b_views")
    rows = list(scan(folder))
    assert [row["id"] for row in rows[:4]] == ["a", "a_obj", "b", "mesh_con"]
    assert len({row["id"].casefold() for row in rows}) == len(rows) == 7
    assert [row.get("views") for row in rows].count("b_views") == 1
    (folder / "m.jsonl").write_text(manifest_text(iter(rows)), encoding="utf-8")
    made = read_manifest(folder / "m.jsonl", "texture")
    assert [job.id for job in made.jobs] == ["b"] and {"are none" in fault.text for fault in made.faults} == {True}
    with pytest.raises(ValueError, match="is no folder"):
        list(scan(folder / "gone"))


def test_results_within_the_folder_are_no_meshes(tmp_path: Path) -> None:
    for name in ("chair.glb", "out/chair/chair.glb", "other/lamp.glb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "out" / ".batch" / "ledger").mkdir(parents=True)
    assert [row["mesh"] for row in scan(tmp_path)] == ["chair.glb", "other/lamp.glb"]
