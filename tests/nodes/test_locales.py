"""Texts of the nodes: English as in the schemas, Chinese for every node, input and output, help pages in both.

``UPDATE_LOCALES=1`` writes the English file anew from the schemas.
"""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.paths import ROOT

NEWER = [("TorchRasterLoadMesh", "inputs", "model_3d")]
"""Texts of what only newer versions of ComfyUI have."""


def read(language: str) -> dict[str, Any]:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def read_for(schemas: dict[str, dict[str, Any]], language: str) -> dict[str, Any]:
    """The texts of a language, less those of what this version of ComfyUI is too old for."""
    shown = read(language)
    for node, kind, name in NEWER:
        if node in schemas and name not in schemas[node][kind]:
            shown[node][kind].pop(name)
    return shown


def texts(schema: Any) -> dict[str, Any]:
    """What a schema says, in the shape of ``nodeDefs.json``."""
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {entry.id: {"name": entry.id, "tooltip": entry.tooltip} for entry in schema.inputs},
        "outputs": {
            str(number): {"name": entry.display_name, "tooltip": entry.tooltip}
            for number, entry in enumerate(schema.outputs)
        },
    }


@pytest.fixture
def schemas(pack: SimpleNamespace) -> dict[str, dict[str, Any]]:
    """The texts of all nodes by id."""
    found = [node.GET_SCHEMA() for node in pack.nodes.values()]
    return {schema.node_id: texts(schema) for schema in found}


def leaves(value: Any, path: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {path: value}
    return {key: text for name, entry in value.items() for key, text in leaves(entry, f"{path}/{name}").items()}


def test_english_is_what_the_schemas_say(schemas: dict[str, dict[str, Any]]) -> None:
    if os.environ.get("UPDATE_LOCALES"):
        text = json.dumps(schemas, indent=2, ensure_ascii=False) + "\n"
        (ROOT / "locales" / "en" / "nodeDefs.json").write_text(text, encoding="utf-8")
    shown = read_for(schemas, "en")
    assert {node: shown.get(node) for node in schemas} == schemas, "run once with UPDATE_LOCALES=1"


def test_chinese_help_names_inputs_and_outputs_as_the_node_and_as_its_workflow_do() -> None:
    missing = []
    for node, texts in read("zh").items():
        page = (ROOT / "web" / "docs" / node / "zh.md").read_text(encoding="utf-8")
        english = read("en")[node]
        for kind in ("inputs", "outputs"):
            for key, entry in texts[kind].items():
                name = english[kind][key]["name"]
                if entry["name"] != name and f"**{entry['name']}**（`{name}`" not in page:
                    missing.append(f"{node}: **{entry['name']}**（`{name}`）")
    assert missing == []


def test_every_input_and_output_has_a_tooltip(schemas: dict[str, dict[str, Any]]) -> None:
    assert [path for path, text in leaves(schemas).items() if not text] == []


def test_chinese_covers_everything(schemas: dict[str, dict[str, Any]]) -> None:
    shown, wanted = leaves(read_for(schemas, "zh")), leaves(schemas)
    assert [path for path in wanted if not shown.get(path)] == []
    ours = {path: text for path, text in shown.items() if path.split("/")[1] in schemas}
    assert [path for path in ours if path not in wanted] == [], "texts for what no longer exists"
    long = {path: text for path, text in ours.items() if path.endswith(("tooltip", "description"))}
    assert [path for path, text in long.items() if text.isascii()] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_that_the_frontend_takes_for_markup(language: str) -> None:
    # vue-i18n reads these as placeholders, linked messages and plurals.
    assert [path for path, text in leaves(read(language)).items() if set(text) & set("{}@|")] == []


def test_help_pages_in_both_languages(schemas: dict[str, dict[str, Any]]) -> None:
    docs, shown = ROOT / "web" / "docs", read("zh")
    for node, schema in schemas.items():
        english = (docs / f"{node}.md").read_text(encoding="utf-8")
        chinese = (docs / node / "zh.md").read_text(encoding="utf-8")
        assert english.startswith(f"# {schema['display_name']}\n")
        assert chinese.startswith(f"# {shown[node]['display_name']}\n")
        for name in schema["inputs"]:
            assert f"**{name}**" in english, f"{node}.md does not explain {name}"
            assert f"（`{name}`" in chinese, f"{node}/zh.md does not explain {name}"
