"""Work shared between threads gives the same bits, in the caller's mode, and stops where it should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

import rasterizer
from rasterizer.cameras.views import PRESETS
from rasterizer.contract import scenes
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.attributes import attribute_image
from rasterizer.rendering.maps import render_maps
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime import threads as module
from rasterizer.runtime.threads import share, share_rows
from rasterizer.texturing import bake_views, fill_texture

POS, TRI = scenes.soup(400, 0.6, seed=11)


@pytest.fixture(autouse=True)
def share_small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the images here were worth it."""
    monkeypatch.setattr(module, "_PIXELS", 1000)


def _draw(threads: int) -> rasterizer.ops.rasterize.Fragments:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return rasterizer.rasterize(POS, TRI, (300, 400), backend="torch")
    finally:
        torch.set_num_threads(before)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    one = _draw(1)
    for threads in (2, 3, 7):
        many = _draw(threads)
        assert torch.equal(many.findices, one.findices) and torch.equal(many.barycentric, one.barycentric)


def test_under_inference_mode() -> None:
    one = _draw(1)
    with torch.inference_mode():
        many = _draw(3)
        image = rasterizer.interpolate(POS, *many, TRI)
    assert torch.equal(many.findices, one.findices) and torch.equal(many.barycentric, one.barycentric)
    assert torch.equal(image, rasterizer.interpolate(POS, *one, TRI))


def test_the_default_device_does_not_matter() -> None:
    one = _draw(1)
    with torch.device("meta"):
        many = _draw(2)
        image = rasterizer.interpolate(POS, *many, TRI)
    assert torch.equal(many.findices, one.findices) and torch.equal(many.barycentric, one.barycentric)
    assert torch.equal(image, rasterizer.interpolate(POS, *one, TRI))


def test_threads_take_every_task_once() -> None:
    done: list[int] = []
    share(iter([lambda number=number: done.append(number) for number in range(100)]), 3)
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_error_on_any_thread_stops_all_and_is_raised(elsewhere: bool) -> None:
    main, started = threading.current_thread(), threading.Event()
    done = []

    def task() -> None:
        if (threading.current_thread() is main) != elsewhere:
            raise RuntimeError("broken")
        started.wait(0.01)
        done.append(1)

    with pytest.raises(RuntimeError, match="broken"):
        share((task for _ in range(10_000)), 2)
    assert len(done) < 10_000 and threading.active_count() < 20


def test_progress_comes_on_the_caller_s_thread() -> None:
    threads = set()
    rasterizer.rasterize(
        POS, TRI, (300, 400), backend="torch", on_progress=lambda share: threads.add(threading.current_thread())
    )
    assert threads == {threading.current_thread()}


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        assert torch.get_num_threads() == number
        torch.set_num_threads(before)


def _texture(on_progress: Callable[[float], None] = lambda share: None) -> tuple[torch.Tensor, ...]:
    """Maps, a bake and its fill: whatever the texturing chain shares between threads."""
    mesh = replace(sample_mesh("torus"), texture=None)
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]][:2]
    maps = render_maps(mesh, cameras, (96, 128), on_progress=on_progress)
    baked = bake_views(mesh, maps.normal, cameras, 160, on_progress=on_progress)
    texture, filled = fill_texture(baked.texture, baked.painted, mesh, on_progress=on_progress)
    return maps.normal, maps.depth, baked.texture, baked.confidence, texture, filled


@pytest.mark.slow
def test_texturing_gives_the_same_bits_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLICE", 1 << 12)
    with _threads(1):
        one = _texture()
    with _threads(4):
        many = _texture()
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_pytorch_splits_no_operator_while_work_is_shared_and_may_again_afterwards() -> None:
    seen = set()
    with _threads(3):
        _texture(lambda share: seen.add(torch.get_num_threads()))
        assert seen == {1}
        for stop in (KeyboardInterrupt, ValueError):

            def refuse(share: float, stop: type[BaseException] = stop) -> None:
                raise stop

            with pytest.raises(stop):
                _texture(refuse)
            assert torch.get_num_threads() == 3


def test_other_threads_split_no_operator_either() -> None:
    seen = []
    with _threads(3):
        share((lambda: seen.append((time.sleep(0.01), torch.get_num_threads())) for _ in range(9)), 3)
    assert {number for _, number in seen} == {1}


def test_what_wants_a_gradient_stays_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIXELS", 1)
    mesh = replace(sample_mesh("torus"), texture=None, vertex_colors=None)
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]][:2]
    images = torch.rand(2, 64, 64, 3, requires_grad=True)
    colors = torch.rand(len(mesh.vertices), 3, requires_grad=True)
    raster = rasterize_mesh(mesh, cameras, (64, 64))
    colored = replace(raster, mesh=replace(mesh, vertex_colors=colors))

    def refuse(thread: threading.Thread) -> None:
        if thread.daemon:  # autograd's own are not
            pytest.fail("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with _threads(4):
        bake_views(mesh, images, cameras, 64).texture.sum().backward()
        attribute_image(colored, "vertex color", encoding="raw").sum().backward()
    assert images.grad.abs().sum() > 0 and colors.grad.abs().sum() > 0


def test_rows_are_done_once_each_and_reported() -> None:
    done, shown = torch.zeros(1000, dtype=torch.int64), []

    def work(part: slice) -> None:
        time.sleep(0.002)  # on a busy machine, the other threads would do all before this one takes anything
        done[part].add_(1)

    share_rows(work, 1000, done.device, weight=2000, chunk=30, report=shown.append)
    assert (done == 1).all()
    assert shown == sorted(shown) and all(0 <= share <= 1 for share in shown)  # none where others were faster
    with _threads(1):
        share_rows(lambda part: None, 1000, done.device, chunk=250, report=shown.append)
    assert shown[-4:] == [0, 0.25, 0.5, 0.75]
    share_rows(lambda part: pytest.fail("there is nothing to do"), 0, done.device)


def test_threads_that_the_system_refuses_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        original(thread)

    original = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[int] = []
    share(iter([lambda number=number: done.append(number) for number in range(100)]), 4)
    assert sorted(done) == list(range(100)) and len(started) == 2
