"""Who may import whom: the table of docs/architecture.md, held against every import of the code."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

OPEN = {"contract", "runtime"}  # to every room
MAY_IMPORT = {
    "contract": set(),
    "runtime": set(),
    "gpu": set(),
    "cameras": set(),
    "pictures": set(),
    "backends": {"gpu"},
    "ops": {"backends", "pictures"},
    "diff": {"ops"},
    "meshes": {"pictures"},
    "rendering": {"ops", "meshes", "cameras", "pictures", "gpu"},
    "hierarchy": {"ops", "meshes", "gpu", "cameras"},
    "texturing": {"rendering", "hierarchy", "meshes", "cameras", "pictures", "gpu"},
    "dropin": {"ops", "diff", "hierarchy", "texturing"},
    "batch": {"rendering", "texturing", "meshes", "cameras", "pictures"},
}
"""Rooms of the library, and which others each imports beside the open ones. The lowest come first."""

LIBRARY = set(MAY_IMPORT)
ABOVE = {
    "diagnostics": LIBRARY,
    "cli": LIBRARY | {"diagnostics"},
    "nodes": (LIBRARY | {"diagnostics"}) - {"backends", "gpu"},
}
"""What stands on the library."""

STANDARD_LIBRARY_ONLY = ("prestartup_script.py", "rasterizer/dropin/finder.py")
"""What ComfyUI runs before PyTorch, alone."""


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(file): file for folder in ("rasterizer", "nodes") for file in sorted((ROOT / folder).rglob("*.py"))}


def _imports(module: str, tree: ast.AST) -> Iterator[str]:
    """What ``module`` imports anywhere in it, also within functions, by full names."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{source}.{alias.name}".strip(".")
                yield submodule if submodule in FILES else source


IMPORTS = {module: set(_imports(module, ast.parse(file.read_text("utf-8")))) for module, file in FILES.items()}


def _room(module: str) -> str:
    """The room of a module of ours; empty for the package's face, and for what is not ours."""
    first, _, rest = module.partition(".")
    if first == "nodes":
        return "nodes"
    # Beside the rooms stand the package's face, its version and __main__.
    room = rest.partition(".")[0] if first == "rasterizer" else ""
    return "" if room in ("version", "__main__") else room


def test_every_module_lies_in_a_room() -> None:
    strays = {module for module in FILES if _room(module) not in {*MAY_IMPORT, *ABOVE, ""}}
    assert not strays


@pytest.mark.parametrize("room", [*MAY_IMPORT, *ABOVE])
def test_a_room_imports_what_it_may(room: str) -> None:
    allowed = OPEN if room not in OPEN else set()
    allowed = allowed | {room, ""} | (MAY_IMPORT | ABOVE)[room]
    found = {
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if _room(module) == room and _room(other) not in allowed
    }
    assert not found


def test_only_those_above_import_the_face_of_the_package() -> None:
    face = {module for module, others in IMPORTS.items() if "rasterizer" in others}
    assert {_room(module) for module in face} <= {"", "diagnostics", "cli", "nodes"}


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    for room, others in MAY_IMPORT.items():
        assert others <= done
        done.add(room)


def test_no_modules_import_each_other_in_a_circle() -> None:
    ours = {module: {other for other in others if other in FILES} - {module} for module, others in IMPORTS.items()}
    while leaves := [module for module, others in ours.items() if not others]:
        for module in leaves:
            del ours[module]
        for others in ours.values():
            others.difference_update(leaves)
    assert not ours, "these, or what they lead to, import each other"


@pytest.mark.parametrize("file", STANDARD_LIBRARY_ONLY)
def test_what_runs_before_pytorch_imports_the_standard_library_only(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not relative
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_documented_table_is_this_one() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert set(rows) == {*MAY_IMPORT, *ABOVE} - OPEN
    for room, others in MAY_IMPORT.items():
        if room not in OPEN:
            assert set(re.findall(r"`(\w+)`", rows[room])) == others, room
