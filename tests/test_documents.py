"""What the documents point to is there: files, headings, paths that they name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePosixPath
from posixpath import normpath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Files in git, and the folders that they lie in."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git repository")
    files = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    return files | {str(parent) for name in files for parent in PurePosixPath(name).parents}


def documents(tracked: set[str]) -> dict[str, str]:
    """The texts by their names."""
    names = [*PAGES, *sorted(name for name in tracked if re.fullmatch(r"docs/.*\.md", name))]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a text."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.M):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(" ", "-")
        number = next(n for n in range(len(found) + 1) if (f"{words}-{n}" if n else words) not in found)
        found.add(f"{words}-{number}" if number else words)
    return found


def broken_links(name: str, texts: dict[str, str], tracked: set[str]) -> list[str]:
    """Links and pictures of a document that lead nowhere within the repository."""
    code = r"^```.*?^```|`[^`\n]*`"
    prose = re.sub(code, "", texts[name], flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"!\[[^\]]*\]", "[]", prose)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = normpath(str(PurePosixPath(name).parent / path)) if path else name
        if target not in tracked or (anchor and anchor not in anchors(texts.get(target, ""))):
            broken.append(link)
    return broken


def missing_paths(text: str, tracked: set[str]) -> list[str]:
    """Paths into the repository's folders that code in a text names, and that are not there."""
    folders = sorted({name.split("/")[0] for name in tracked if "/" in name})
    code = "\n".join(re.findall(r"^```.*?^```|`[^`\n]*`", text, flags=re.MULTILINE | re.DOTALL))
    start = "|".join(map(re.escape, folders))
    named = re.findall(rf"(?<![\w./\\-])(?:{start})/[\w./-]*", code)
    return [path for path in named if path.rstrip("/.") not in tracked]


def test_links_lead_somewhere(tracked: set[str]) -> None:
    texts = documents(tracked)
    assert len(texts) > len(PAGES)
    assert not {name: broken for name in texts if (broken := broken_links(name, texts, tracked))}


def test_paths_are_there(tracked: set[str]) -> None:
    assert not {name: gone for name, text in documents(tracked).items() if (gone := missing_paths(text, tracked))}


def test_what_is_wrong_is_found() -> None:
    text = """# One `two`
## Three
## Three
[a](#one-two) [b](#three-1) [c](#three-2) ![d](p.jpg) ![](q.jpg) [e](../a.md) [f](https://x.y/z) [`g`](../a.md#four)
`[h](none.md)` `m/x.py`, `m/`, `m/gone/x.py`, m/prose
```
# no heading
python m/x.py m/y.py --out other/m/z
```
"""
    tracked = {".", "docs", "docs/page.md", "docs/p.jpg", "a.md", "m", "m/x.py"}
    texts = {"docs/page.md": text, "a.md": "# Five"}
    assert broken_links("docs/page.md", texts, tracked) == ["#three-2", "q.jpg", "../a.md#four"]
    assert missing_paths(text, tracked) == ["m/gone/x.py", "m/y.py"]


def test_the_readme_is_short_and_says_how_to_begin() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    begin = lines.index("pip install -r tests/requirements.txt && python -m rasterizer demo")
    assert lines[begin + 1] == "pytest"


def test_one_version_of_the_linter() -> None:
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    hooks = re.search(r"rev: v(.+)$", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned.group(1) == hooks.group(1)
