"""Where a real ComfyUI lies on this machine, for the tests that need one."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

ABSENT = (
    "no ComfyUI found: set COMFYUI_PATH to its folder (several are separated as in PATH), "
    "put this pack into its custom_nodes, or install it with comfy-cli"
)


@dataclass(frozen=True)
class Installation:
    """A ComfyUI folder and how to run it.

    Attributes:
        root: the folder with ``main.py``.
        python: the interpreter that has its requirements.
        import_path: folders to import from before all others.
    """

    root: Path
    python: str
    import_path: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its version where it says so, else the folder's name."""
        try:
            text = (self.root / "comfyui_version.py").read_text(encoding="utf-8")
        except OSError:
            return self.root.name
        return text.partition('"')[2].partition('"')[0] or self.root.name


def find_installations() -> list[Installation]:
    """Every ComfyUI of COMFYUI_PATH, else the one this pack lies in, else comfy-cli's; each folder once.

    COMFYUI_PYTHON names the interpreter (else a venv inside the folder, else the running one). COMFYUI_PYTHONPATH is
    put before PYTHONPATH; ``{version}`` in it stands for the folder's name.

    Raises:
        FileNotFoundError: COMFYUI_PATH names a folder without a ``main.py``: tests that vanish would hide the typo.
    """
    asked = [Path(part).expanduser().resolve() for part in _parts(os.environ.get("COMFYUI_PATH", ""))]
    for root in asked:
        if not (root / "main.py").is_file():
            raise FileNotFoundError(f"COMFYUI_PATH: {root} has no main.py, expected a ComfyUI folder")
    roots = asked or [root for root in (ROOT.parents[1], Path.home() / "comfy" / "ComfyUI") if _is_comfyui(root)][:1]
    extra = os.environ.get("COMFYUI_PYTHONPATH", "")
    return [
        Installation(
            root,
            _python(root),
            tuple(str(Path(part).expanduser()) for part in _parts(extra.replace("{version}", root.name))),
        )
        for root in dict.fromkeys(roots)
    ]


def find_packs() -> list[Path]:
    """Folders of other packs, named in COMFYUI_PACKS: some example workflows are about their nodes.

    Raises:
        FileNotFoundError: a folder that is no pack.
    """
    packs = [Path(part).expanduser().resolve() for part in _parts(os.environ.get("COMFYUI_PACKS", ""))]
    for pack in packs:
        if not (pack / "__init__.py").is_file():
            raise FileNotFoundError(f"COMFYUI_PACKS: {pack} has no __init__.py, expected the folder of a pack")
    return packs


def _parts(text: str) -> list[str]:
    return [part for part in text.split(os.pathsep) if part]


def _is_comfyui(root: Path) -> bool:
    return (root / "main.py").is_file() and (root / "comfy").is_dir() and (root / "folder_paths.py").is_file()


def _python(root: Path) -> str:
    asked = os.environ.get("COMFYUI_PYTHON")
    if asked:
        return str(Path(asked).expanduser())
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    found = (root / venv / inside for venv in (".venv", "venv"))
    return next((str(python) for python in found if python.is_file()), sys.executable)
