"""When the card is used, what stays on it, and what happens where it fails."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import rasterizer
from rasterizer.backends import registry
from rasterizer.backends.interface import BackendStatus
from rasterizer.backends.vulkan import api, session
from rasterizer.backends.vulkan.frame import Rasterizer
from rasterizer.backends.vulkan.gpu import Commands, Gpu
from rasterizer.backends.vulkan.memory import Memory
from rasterizer.contract import scenes
from rasterizer.contract.types import RasterOptions
from rasterizer.runtime.memory import forget

CPU = torch.device("cpu")
POS, TRI = scenes.soup(50, 0.5, seed=7)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier calls have found out about this machine."""
    for known in ("_selected", "_heard"):
        monkeypatch.setattr(registry, known, {})
    monkeypatch.setattr(registry, "_announced", set())
    monkeypatch.setattr(session, "default_device", lambda: CPU)


def _row() -> BackendStatus:
    return next(row for row in registry.backend_statuses(CPU) if row.name == "vulkan")


def _draw(backend: str = "vulkan") -> rasterizer.Fragments:
    return rasterizer.rasterize(POS, TRI, (40, 50), backend=backend)


def _no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_found", None)
    monkeypatch.setattr(api, "LIBRARIES", dict.fromkeys(("linux", "win32", "darwin"), ("no-such-vulkan.so",)))


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_driver(monkeypatch)
    assert _draw("auto").info.backend == "torch"
    row = _row()
    assert not row.available and row.reason == "no Vulkan driver: no-such-vulkan.so was not found"
    with pytest.raises(ValueError, match="'vulkan' cannot be used on cpu: no Vulkan driver.*what works here: torch"):
        _draw()


def test_a_library_that_is_not_vulkan(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_driver(monkeypatch)
    monkeypatch.setattr(api, "LIBRARIES", dict.fromkeys(("linux", "win32", "darwin"), (None,)))  # this program itself
    assert "no Vulkan driver" in session.reason_against(CPU)


def test_no_driver_is_started_where_pytorch_reaches_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "card", lambda: pytest.fail("started"))  # which a driver would be
    assert "no kernels of ours for, not cuda" in session.reason_against(torch.device("cuda", 0))
    assert "not cuda" in session.reason_to_pass_over("rasterize", torch.device("cuda", 0))
    monkeypatch.setattr(session, "default_device", lambda: torch.device("cuda", 0))
    assert "a GPU of its own" in session.reason_to_pass_over("rasterize", CPU)
    assert _draw("auto").info.backend == "torch"


def test_a_log_line_starts_no_driver(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(session, "card", lambda: pytest.fail("started"))
    with caplog.at_level(logging.INFO, logger="torch_rasterizer"):
        _draw("torch")
    assert "vulkan: not asked" in caplog.text
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "-vulkan")
    assert _draw("auto").info.backend == "torch"
    assert _row().reason == "forbidden by TORCH_RASTERIZER_BACKEND=-vulkan"


def test_auto_wants_a_graphics_card(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card.gpu, "kind", api.CPU)
    assert _draw("auto").info.backend == "torch"
    assert _row().available and "is no graphics card" in _row().reason and not _row().active
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "vulkan")
    assert _row().active and _draw("auto").info.backend == "vulkan"


@pytest.mark.parametrize("ours", [1.0, 9.0])
def test_auto_wants_it_to_be_faster(card: session.Card, monkeypatch: pytest.MonkeyPatch, ours: float) -> None:
    asked = []
    monkeypatch.setattr(card.gpu, "kind", api.INTEGRATED)
    monkeypatch.setattr(session, "cached", lambda parts, make: asked.append(parts) or make())
    monkeypatch.setitem(session.check.TIMES, "rasterize", lambda *_: (ours, 2.0))
    assert [_draw("auto").info.backend for _ in range(2)] == ["vulkan" if ours < 2 else "torch"] * 2
    assert len(asked) == 1 and "times" in asked[0]
    if ours > 2:
        assert _row().reason.startswith("measured: 9.0 ms on ") and _row().reason.endswith(
            "2.0 ms by PyTorch operators"
        )


@pytest.mark.parametrize("operation", ["rasterize", "interpolate"])
def test_times_are_those_of_both(card: session.Card, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.check, "_TIMED", (100, (64, 64)))
    assert all(0 < each < 10_000 for each in session.check.TIMES[operation](card.rasterizer, card.interpolator, CPU))


def test_tensors_stay_on_the_card(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    real = Memory.send
    monkeypatch.setattr(Memory, "send", lambda self, data, to: sent.append(data.shape) or real(self, data, to))
    pos, tri = POS.clone(), TRI.clone()

    def draw() -> list[torch.Size]:
        sent.clear()
        got = rasterizer.rasterize(pos, tri, (40, 50), backend="vulkan")
        assert torch.equal(got.findices, rasterizer.rasterize(pos, tri, (40, 50), backend="torch").findices)
        return list(sent)

    assert draw() == [pos.shape, tri.shape] and draw() == []
    pos *= 0.5
    assert draw() == [pos.shape] and draw() == []
    pos = pos.clone()
    assert draw() == [pos.shape]
    pos.data = POS * 0.25
    assert draw() == [pos.shape]
    tri = torch.from_numpy(tri.numpy().copy())  # may change behind PyTorch's back
    assert draw() == draw() == [tri.shape]
    with torch.inference_mode():
        pos = pos.clone()
        assert draw() == draw() == [pos.shape, tri.shape]


def test_memory_of_tensors_that_are_gone_is_given_back(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card.memory.release()
    for _ in range(3):
        rasterizer.rasterize(POS.clone(), TRI, (8, 8), backend="vulkan")
    assert len(card.memory._kept) <= 3
    many = [POS.clone() for _ in range(6)]
    with monkeypatch.context() as patch:
        patch.setattr("rasterizer.backends.vulkan.memory._MOST_TENSORS", 4)
        for pos in many:
            rasterizer.rasterize(pos, TRI, (8, 8), backend="vulkan")
    assert len(card.memory._kept) <= 5
    monkeypatch.setattr("rasterizer.backends.vulkan.memory._MOST_KEPT", 1)
    assert torch.equal(_draw().findices, _draw("torch").findices)
    rasterizer.rasterize(POS + 0, TRI + 0, (8, 8), backend="vulkan")
    assert len(card.memory._kept) == 2
    card.release()
    assert not card.memory._kept and torch.equal(_draw().findices, _draw("torch").findices)


def test_too_little_memory_is_no_end(
    card: session.Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Gpu, *_: object) -> None:
        raise api.VulkanError("vkAllocateMemory: out of device memory", -2)

    card.memory.release()
    with monkeypatch.context() as patch:
        patch.setattr(Gpu, "allocate", full)
        got = _draw()
    assert got.info.backend == "torch" and "out of device memory on Vulkan" in caplog.text
    assert torch.equal(got.findices, _draw("torch").findices)
    assert _draw().info.backend == "vulkan"


def test_a_lost_device_is_given_up(
    card: session.Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(*_: object) -> None:
        raise api.VulkanError("vkQueueSubmit: device lost", -4)

    monkeypatch.setattr(card.gpu.vk, "QueueSubmit", lost)
    got = _draw()
    assert got.info.backend == "torch" and torch.equal(got.findices, _draw("torch").findices)
    assert "Vulkan failed" in caplog.text and _row().reason == "vkQueueSubmit: device lost"
    with pytest.raises(ValueError, match="device lost"):
        _draw()


def test_what_the_driver_cannot_bind(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card.gpu, "most_bound", 100)
    got = _draw()
    assert got.info.backend == "torch" and torch.equal(got.findices, _draw("torch").findices)
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "vulkan")
    image = rasterizer.interpolate(POS, got.findices, got.barycentric, TRI)
    assert torch.equal(image[got.findices == 0], torch.zeros_like(image[got.findices == 0]))
    assert not card.reason


def test_a_card_that_draws_wrongly_is_not_used(
    card: session.Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(rasterizer: Rasterizer, _: object) -> None:
        rasterizer.draw(POS, TRI, RasterOptions((40, 50)))
        raise RuntimeError("self-test 'small': 3 of 11115 pixels show another face")

    own = session.Card()
    monkeypatch.setattr(session, "_found", own)
    monkeypatch.setattr(session, "once", lambda parts, work: work())
    monkeypatch.setattr(session.check, "self_test", wrong)
    assert _row().reason.endswith("RuntimeError: self-test 'small': 3 of 11115 pixels show another face")
    assert "Vulkan is not used" in caplog.text and _draw("auto").info.backend == "torch"
    assert not own.memory._named and not own.memory._kept


def test_a_stop_leaves_the_card_in_order(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card.rasterizer, "band", 5 * 50)
    shares = []

    def stop(share: float) -> None:
        shares.append(share)
        if len(shares) == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        rasterizer.rasterize(POS, TRI, (40, 50), backend="vulkan", on_progress=stop)
    assert shares == sorted(shares) and shares[0] == 0
    assert torch.equal(_draw().findices, _draw("torch").findices)


def test_the_caller_may_work_in_any_mode(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    want = _draw("torch")
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "vulkan")
    for mode in (torch.inference_mode(), torch.device("meta"), torch.no_grad()):
        card.memory.release()
        with mode:
            got = _draw()
            image = rasterizer.interpolate(POS, got.findices, got.barycentric, TRI)
        assert got.info.backend == "vulkan" and torch.equal(got.findices, want.findices)
        assert torch.equal(image, rasterizer.interpolate(POS, want.findices, want.barycentric, TRI))


def test_a_callback_may_draw_and_free_memory(card: session.Card) -> None:
    want, inner = _draw("torch"), []

    def back(share: float) -> None:
        forget()
        inner.append(_draw())

    got = rasterizer.rasterize(POS, TRI, (40, 50), backend="vulkan", on_progress=back)
    assert got.info.backend == "vulkan" and {each.info.backend for each in inner} == {"torch"}
    assert all(torch.equal(each.findices, want.findices) for each in (got, *inner))
    assert _draw().info.backend == "vulkan"


def test_a_callback_may_ask_what_is_faster(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card.gpu, "kind", api.INTEGRATED)
    monkeypatch.setattr(session, "cached", lambda *_: pytest.fail("timed while the card is at work"))
    asked = []
    rasterizer.rasterize(
        POS,
        TRI,
        (40, 50),
        backend="vulkan",
        on_progress=lambda share: asked.append(session.reason_to_pass_over("interpolate", CPU)),
    )
    assert set(asked) == {"at work for this thread already"} and not card.slower


def test_a_measurement_that_fails_is_a_reason(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(card.gpu, "kind", api.INTEGRATED)
    monkeypatch.setattr(session, "cached", lambda parts, make: make())
    monkeypatch.setitem(session.check.TIMES, "rasterize", fails)
    assert _draw("auto").info.backend == "torch"
    assert _row().reason == "while it was timed: RuntimeError: not enough memory"


@pytest.mark.parametrize("place", ["wait", "submit"])
def test_an_interruption_leaves_the_card_in_order(
    card: session.Card, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """At any command, before it is waited for or just after; Python raises such where it likes."""
    real = getattr(Commands, place)
    pos, tri = POS.clone(), TRI.clone()
    want = _draw("torch").findices
    for number in range(4):
        left = [number]

        def interrupted(self: Commands, left: list[int] = left) -> None:
            left[0] -= 1
            if place == "submit":
                real(self)
            if left[0] == -1:
                raise KeyboardInterrupt
            if place == "wait":
                real(self)

        card.memory.release()
        with monkeypatch.context() as patch:
            patch.setattr(Commands, place, interrupted)
            try:
                rasterizer.rasterize(pos, tri, (40, 50), backend="vulkan")
            except KeyboardInterrupt:
                assert left[0] < 0
        assert (left[0] < 0) == (number < 3)  # vertices, faces, a band
        got = rasterizer.rasterize(pos, tri, (40, 50), backend="vulkan")
        assert got.info.backend == "vulkan" and torch.equal(got.findices, want)


def test_nothing_is_sent_beyond_a_buffer(card: session.Card) -> None:
    with pytest.raises(ValueError, match="data: has 20 bytes, expected at most 16"):
        card.memory.send(torch.zeros(5), card.memory.working("small", 16))


def test_threads_take_turns(card: session.Card) -> None:
    views = [POS * torch.tensor([1.0, scale, 1.0, 1.0]) for scale in (1.0, 0.7, -0.4)]
    want = [rasterizer.rasterize(view, TRI, (60, 70), backend="torch") for view in views]

    def work(number: int) -> bool:
        got = [rasterizer.rasterize(views[number], TRI, (60, 70), backend="vulkan") for _ in range(5)]
        return all(torch.equal(each.findices, want[number].findices) for each in got)

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(work, range(3)))


def test_what_a_fork_left_is_left_alone(card: session.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_found", card)
    assert session.card() is card
    monkeypatch.setattr(card, "process", -1)
    assert "forked from one that has the driver open" in session.reason_against(CPU)
    assert session.card() is not card and session.card() is session.card()
    assert _draw("auto").info.backend == "torch"
    with pytest.raises(ValueError, match="start processes by 'spawn'"):
        _draw()
