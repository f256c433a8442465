"""What users download: the pack without what .comfyignore names."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.support.paths import ROOT

LIMIT = 5_000_000


@pytest.fixture(scope="module")
def files() -> list[str]:
    """Files in git that are published; .comfyignore is read as .gitignore is."""

    def listed(*options: str) -> list[str]:
        try:
            found = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("not a git repository")
        return [name for name in found.stdout.decode().split("\0") if name]

    left_out = set(listed("--cached", "--ignored", "--exclude-from=.comfyignore"))
    return [name for name in listed() if name not in left_out]


def test_small_enough(files: list[str]) -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in files if (ROOT / name).is_file()}
    largest = sorted(sizes, key=sizes.get, reverse=True)[:5]
    assert sum(sizes.values()) < LIMIT, f"{sum(sizes.values())} bytes, the largest files: {largest}"


def test_everything_that_runs_is_in_it(files: list[str]) -> None:
    for folder in ("nodes", "rasterizer", "web", "locales/en", "locales/zh", "example_workflows"):
        assert any(name.startswith(f"{folder}/") for name in files), folder
    for name in ("__init__.py", "prestartup_script.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md"):
        assert name in files
    assert not [name for name in files if name.startswith(("tests/", "docs/", ".ci/", ".github/"))]


def test_every_help_page_has_a_picture(files: list[str]) -> None:
    pages = [name for name in files if re.fullmatch(r"web/docs/.*\.md", name)]
    assert len(pages) == 2 * len(json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8")))
    for page in pages:
        pictures = re.findall(r"!\[.+\]\((.+)\)", (ROOT / page).read_text(encoding="utf-8"))
        assert pictures, page
        for picture in pictures:  # ComfyUI looks for them in web/docs, whatever the language
            assert f"web/docs/{picture}" in files, page
            assert (ROOT / "web" / "docs" / picture).stat().st_size < 60_000, picture


def test_pyproject_follows_the_registry(files: list[str]) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    name = re.search(r'^name = "([^"]+)"', text, re.MULTILINE).group(1)
    assert len(name) < 100 and "comfyui" not in name.lower() and re.fullmatch(r"[a-z][a-z0-9._-]*", name)
    version = re.search(r'^version = "([^"]+)"', text, re.MULTILINE).group(1)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert f'__version__ = "{version}"' in (ROOT / "rasterizer" / "version.py").read_text(encoding="utf-8")
    assert "torch" not in [
        re.split(r"[<>=!~ ]", part)[0] for part in re.findall(r'"([^"]+)"', text.split("dependencies")[1].split("]")[0])
    ]
    # The registry takes bounds of the frontend only with three numbers.
    assert re.search(r'"comfyui-frontend-package>=\d+\.\d+\.\d+"', text)
    assert 'PublisherId = "' in text and 'requires-comfyui = ">=0.3.64"' in text


def test_the_floor_that_is_tested_is_the_one_that_is_promised() -> None:
    promised, tested = (
        dict(re.findall(rf"^(\w+){sign}(.+)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for sign, name in ((">=", "requirements.txt"), ("==", "tests/requirements-floor.txt"))
    )
    assert promised and promised.items() <= tested.items()
