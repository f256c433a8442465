"""What nodes say of themselves while they run and after: what they found, what they are at, and for how long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Watch:
    """A clock that is set by hand, and what was shown by it."""

    def __init__(self) -> None:
        self.now, self.shown = 100.0, []

    def send(self, text: str, node: str) -> None:
        self.shown.append((text, node))

    def texts(self) -> list[str]:
        texts = [text for text, *_ in self.shown]
        self.shown.clear()
        return texts


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def board(pack: SimpleNamespace, watch: Watch) -> Any:
    return pack.compat.Board(watch.send, lambda: watch.now)


def work(board: Any, watch: Watch, seconds: int, run: object = 1) -> None:
    """Ten steps of work in that time."""
    board.start(run)
    for step in range(11):
        board.progress("5", "view 3 of 6", step / 10)
        watch.now += seconds / 10 * (step < 10)


def test_a_short_run_says_nothing(board: Any, watch: Watch) -> None:
    work(board, watch, 0.9)
    board.end("5", "Took")
    assert watch.shown == []


def test_a_long_one_says_what_it_is_at_and_how_long_it_took(board: Any, watch: Watch) -> None:
    work(board, watch, 20)
    assert watch.shown[0] == ("View 3 of 6, 10 %, 2 s, about 18 s left", "5")
    texts = watch.texts()
    assert texts[4] == "View 3 of 6, 50 %, 10 s, about 10 s left" and texts[9] == "View 3 of 6, 100 %, 20 s"
    board.end("5", "Took")
    assert watch.texts() == ["Took 20 s."]


def test_texts_come_at_most_twice_a_second(board: Any, watch: Watch) -> None:
    board.start(1)
    for step in range(301):
        board.progress("5", "", step / 300)
        watch.now += 0.01
    assert len(watch.texts()) in (4, 5)


def test_what_a_node_found_stays_above(board: Any, watch: Watch) -> None:
    board.say(1, "5", "The mesh has no UVs.")
    work(board, watch, 30)
    assert watch.texts()[-1] == "The mesh has no UVs.\nView 3 of 6, 100 %, 30 s"
    board.end("5", "Took")
    board.say(1, "5", "6 views.\nOf 2.")
    assert watch.texts() == ["The mesh has no UVs.\nTook 30 s.", "6 views.\nOf 2.\nTook 30 s."]


def test_the_next_run_begins_anew(board: Any, watch: Watch) -> None:
    board.say(1, "5", "Old.")
    work(board, watch, 30)
    board.end("5", "Took")
    watch.texts()
    work(board, watch, 0.5, run=2)
    board.end("5", "Took")
    assert watch.texts() == ["Took less than 1 s."], "else the time of the run before would stay"
    work(board, watch, 0.5, run=3)
    board.end("5", "Took")
    assert watch.texts() == []


def test_work_in_two_parts_is_one(board: Any, watch: Watch) -> None:
    for _ in range(2):
        work(board, watch, 4)
        board.end("5", "Took")
    assert watch.texts()[-1] == "Took 8 s."


def test_work_of_unknown_extent(board: Any, watch: Watch) -> None:
    board.start(1)
    watch.now += 125
    board.progress("5", "unwrapping", 0.0)
    board.end("5", "Stopped after")
    assert watch.texts() == ["Unwrapping, 2 min 5 s", "Stopped after 2 min 5 s."]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """ComfyUI's server, which keeps what it is to send."""
    sent: list[tuple[str, str, str | None]] = []
    instance = SimpleNamespace(client_id="me", send_progress_text=lambda *message: sent.append(message))
    module = ModuleType("server")
    module.PromptServer = SimpleNamespace(instance=instance)
    monkeypatch.setitem(sys.modules, "server", module)
    return SimpleNamespace(sent=sent, instance=instance)


def test_only_who_asked_for_the_run_is_told(pack: SimpleNamespace, server: SimpleNamespace) -> None:
    pack.compat._send_text("a\nb", "5")
    server.instance.client_id = None
    pack.compat._send_text("found", "5")
    assert server.sent == [("a  \nb", "5", "me")]


def test_what_a_file_says_is_no_html(pack: SimpleNamespace, server: SimpleNamespace) -> None:
    said = "has a texture, image '<img src=x onerror=alert(1)>', </b><!-- that is left out; 3 < 4"
    pack.compat._send_text(said, "5")
    ((text, *_),) = server.sent
    parser = HTMLParser()
    parser.handle_starttag = parser.handle_endtag = parser.handle_comment = pytest.fail
    parser.feed(text)
    assert text.replace("\N{WORD JOINER}", "") == said


def test_nodes_say_which_mesh_they_are_at(
    pack: SimpleNamespace, watch: Watch, board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.compat, "BOARD", board)
    monkeypatch.setattr(pack.compat, "running", lambda: ("prompt", "5", None))

    def draw(mesh: str, progress: Any) -> str:
        watch.now += 3
        progress(0.5)
        return mesh

    assert pack.runtime.for_each(draw, ["a", "b"]) == ["a", "b"]
    assert watch.texts() == [
        "Mesh 1 of 2, 25 %, 3 s, about 9 s left",
        "Mesh 2 of 2, 75 %, 6 s, about 2 s left",
        "Took 6 s.",
    ]

    def fail(mesh: str, progress: Any) -> None:
        watch.now += 3
        raise ValueError

    with pytest.raises(ValueError):
        pack.runtime.for_each(fail, ["a"])
    assert watch.texts() == ["Stopped after 9 s."]
