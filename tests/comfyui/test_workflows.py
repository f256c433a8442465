"""The example workflows as files: complete, and the API format says what the UI format shows. Needs no ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.paths import EXAMPLES

WORKFLOWS = sorted(EXAMPLES.glob("*.json"))
NOTES = ("Note", "MarkdownNote")
AFTER_RUN = (
    "fixed",
    "increment",
    "decrement",
    "randomize",
)  # what the frontend saves after each seed, and Load Mesh's index


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def shown_values(node: dict[str, Any]) -> dict[str, Any]:
    """Widget values of a UI node by name; the file has them by position, in the order of its widget inputs."""
    names = [entry["widget"]["name"] for entry in node.get("inputs", ()) if "widget" in entry]
    values = list(node.get("widgets_values") or [])
    for number, name in enumerate(names):
        if (
            name in ("seed", "noise_seed", "index")
            and values[number + 1 : number + 2]
            and values[number + 1] in AFTER_RUN
        ):
            del values[number + 1]
    assert len(names) == len(values), f"node {node['id']} {node['type']}: {len(values)} values for {names}"
    return dict(zip(names, values, strict=True))


def test_there_are_examples() -> None:
    assert WORKFLOWS, f"no workflow in {EXAMPLES}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestWorkflow:
    """Every example."""

    def test_api_format_has_the_same_nodes_values_and_links(self, path: Path) -> None:
        shown, api = read(path), read(path.parent / "api" / path.name)
        nodes = {str(node["id"]): node for node in shown["nodes"] if node["type"] not in NOTES}
        assert {key: node["type"] for key, node in nodes.items()} == {k: node["class_type"] for k, node in api.items()}
        sources = {link[0]: [str(link[1]), link[2]] for link in shown["links"]}
        for key, node in nodes.items():
            connected = {
                entry["name"]: sources[entry["link"]]
                for entry in node.get("inputs", ())
                if entry.get("link") is not None
            }
            assert shown_values(node) | connected == api[key]["inputs"], f"node {key} {node['type']}"

    def test_has_a_note_and_no_overlapping_nodes(self, path: Path) -> None:
        nodes = read(path)["nodes"]
        assert any(node["type"] in NOTES for node in nodes)
        title = 30  # drawn above a node's position
        boxes = [(*node["pos"], *node["size"], node["type"]) for node in nodes]
        for number, (x, y, w, h, kind) in enumerate(boxes):
            for x2, y2, w2, h2, other in boxes[:number]:
                apart = x + w <= x2 or x2 + w2 <= x or y + h <= y2 - title or y2 + h2 <= y - title
                assert apart, f"{kind} and {other} overlap"

    def test_has_a_small_thumbnail(self, path: Path) -> None:
        picture = path.with_suffix(".jpg")
        with Image.open(picture) as image:
            assert 400 <= image.width <= 640
        assert picture.stat().st_size < 60_000
