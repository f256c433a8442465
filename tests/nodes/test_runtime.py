"""The one loop in which nodes work through the meshes of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

CPU, CARD = torch.device("cpu"), torch.device("meta")  # a device of PyTorch's that every machine has


@pytest.fixture
def events(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What ComfyUI, working and keeping results on :data:`CARD`, is asked for and told."""
    told: list[Any] = []

    class Bar:
        def __init__(self, total: int) -> None:
            told.append(("stages", total // 100))

        def update_absolute(self, value: int) -> None:
            told.append(value)

    monkeypatch.setattr(pack.runtime.comfy.utils, "ProgressBar", Bar)
    monkeypatch.setattr(pack.management, "get_torch_device", lambda: CARD)
    monkeypatch.setattr(pack.management, "intermediate_device", lambda: CARD)
    monkeypatch.setattr(pack.management, "soft_empty_cache", lambda: told.append("emptied"))
    monkeypatch.setattr(pack.management, "free_memory", lambda need, device: told.append(("freed", need, device)))
    yield told
    pack.management.interrupt_current_processing(False)


def test_rows_go_to_the_device_and_results_come_home(pack: SimpleNamespace, events: list[Any]) -> None:
    def work(number: torch.Tensor, text: str, nothing: None, progress: Any) -> tuple[Any, ...]:
        progress(0.5)
        return number.device, text, nothing, (number + 1, torch.zeros(1))

    numbers = torch.arange(2), torch.arange(3)
    made = pack.runtime.for_each(work, numbers, ["a", "b"], [None, None])
    assert [row[:3] for row in made] == [(CARD, "a", None), (CARD, "b", None)]
    assert [[part.device for part in row[3]] for row in made] == [[CARD, CARD], [CARD, CARD]]
    assert events == [("stages", 2), 50, 100, 150, 200]
    (row,) = pack.runtime.for_each(work, numbers[:1], ["c"], [None], need=7, device=CPU)
    assert row[0] == CPU and row[3][0].device == CARD
    with pytest.raises(ValueError):
        pack.runtime.for_each(work, numbers, ["a"], [None, None])


def test_only_the_row_that_does_not_fit_is_worked_at_on_the_cpu(pack: SimpleNamespace, events: list[Any]) -> None:
    tried = []

    def work(number: torch.Tensor, name: str, progress: Any) -> torch.Tensor:
        tried.append((name, number.device))
        if name == "large" and number.device == CARD:
            raise torch.OutOfMemoryError("too large")
        return number * 2

    numbers, names = torch.ones(3, 2), ["small", "large", "small"]
    made = pack.runtime.for_each(work, numbers, names, need=[1, 2, 3])
    assert tried == [("small", CARD), ("large", CARD), ("large", CPU), ("small", CARD)]
    assert torch.stack(made).device == CARD, "results of both devices lie side by side"
    freed = [("freed", need, CARD) for need in (1, 2, 3)]
    assert events == [("stages", 3), freed[0], 100, freed[1], "emptied", 200, freed[2], 300]


def test_a_stop_is_answered_between_rows(pack: SimpleNamespace, events: list[Any]) -> None:
    seen = []

    def work(name: str, progress: Any) -> None:
        seen.append(name)
        pack.management.interrupt_current_processing(True)

    with pytest.raises(pack.management.InterruptProcessingException):
        pack.runtime.for_each(work, ["first", "second"])
    assert seen == ["first"]


def test_what_is_large_is_moved_in_pieces_between_which_a_stop_is_answered(
    pack: SimpleNamespace, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.runtime, "_PIECE", 400)
    asked: list[None] = []
    monkeypatch.setattr(pack.management, "throw_exception_if_processing_interrupted", lambda: asked.append(None))
    value, other = torch.arange(350.0).view(7, 50), torch.device("cpu", 0)  # the same place by another name
    assert value.device != other
    whole, (part, odd) = pack.runtime._moved(value, other), pack.runtime._moved((value[:2], value.t()), other)
    assert len(asked) == 4
    assert torch.equal(whole, value) and whole is not value
    assert torch.equal(part, value[:2]) and torch.equal(odd, value.t())
    assert pack.runtime._moved(value, CARD).device == CARD and len(asked) == 8
