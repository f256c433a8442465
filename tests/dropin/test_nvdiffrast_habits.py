"""What programs do with nvdiffrast without its documentation saying that they may."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rasterizer.dropin.modules.nvdiffrast import torch as dr
from tests.support.nvdiffrast_golden import load, normal

_CASE = load("rast_sphere")
POS, TRI, SIZE = _CASE["in_pos"], _CASE["in_tri"], (40, 48)
TEX = normal(3, 1, 16, 16, 3)
CTX = dr.RasterizeCudaContext()  # made at import


def _layout(columns: int, rows: int) -> tuple[Tensor, Tensor]:
    """A UV layout as something to draw: a grid of squares that tile it, two triangles each."""
    v, u = torch.meshgrid(torch.linspace(0, 1, rows + 1), torch.linspace(0, 1, columns + 1), indexing="ij")
    uv = torch.stack((u, v), -1).reshape(-1, 2)
    corner = (torch.arange(rows)[:, None] * (columns + 1) + torch.arange(columns)).reshape(-1, 1)
    square = torch.tensor([[0, 1, columns + 1], [1, columns + 2, columns + 1]])
    return uv, (corner[:, None] + square).reshape(-1, 3).int()


def test_a_layout_is_drawn_in_pieces_whose_ids_are_moved_in_place() -> None:
    uv, tri = _layout(12, 9)
    clip = torch.cat([uv * 2 - 1, torch.zeros(len(uv), 1), torch.ones(len(uv), 1)], -1)[None]
    whole, _ = dr.rasterize(CTX, clip, tri, resolution=[64, 64])
    assert bool((whole[..., 3] > 0).all()), "squares that tile the layout leave a gap"
    pieces = torch.zeros_like(whole)
    for start in range(0, len(tri), 50):
        piece, _ = dr.rasterize(CTX, clip, tri[start : start + 50], resolution=[64, 64])
        drawn = piece[..., 3:4] > 0
        piece[..., 3:4] += start
        pieces = torch.where(drawn, piece, pieces)
    assert torch.equal(pieces, whole)
    places, _ = dr.interpolate(uv[None], pieces, tri)
    centres = (torch.arange(64) + 0.5) / 64
    torch.testing.assert_close(places[0, :, :, 0], centres.expand(64, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(places[0, :, :, 1], centres[:, None].expand(64, 64), atol=1e-5, rtol=0)


def test_barycentrics_are_clamped_in_place() -> None:
    rast, _ = dr.rasterize(CTX, POS, TRI, SIZE)
    before = rast.clone()
    rast[..., :2] = torch.clamp(rast[..., :2], 0, 1)
    rast[..., :2] /= rast[..., :2].sum(-1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(rast, before, atol=1e-6, rtol=0)


def test_attributes_of_faces_come_by_indices_of_another_list() -> None:
    rast, _ = dr.rasterize(CTX, POS, TRI, SIZE)
    numbers = torch.arange(1, len(TRI) + 1, dtype=torch.float32).repeat_interleave(3)[None, :, None]
    found, _ = dr.interpolate(numbers, rast, torch.arange(3 * len(TRI), dtype=torch.int).reshape(-1, 3))
    torch.testing.assert_close(found[..., 0], rast[..., 3], atol=1e-3, rtol=0)


def test_pictures_are_turned_over_and_handed_on() -> None:
    rast, _ = dr.rasterize(CTX, POS, TRI, SIZE)
    mask = (rast[..., 3:] > 0).float()
    upright = dr.antialias(mask.flip(1).flip(1), rast, POS, TRI).flip(1).permute(0, 3, 1, 2)
    assert torch.equal(upright[0, 0].flip(0), dr.antialias(mask, rast, POS, TRI)[0, ..., 0])


def test_a_generator_of_layers_that_is_left_early_gives_its_context_back() -> None:
    context = dr.RasterizeCudaContext()

    def layers() -> Iterator[Tensor]:
        with dr.DepthPeeler(context, POS, TRI, SIZE) as peeler:
            while True:
                yield peeler.rasterize_next_layer()[0]

    source = layers()
    next(source)
    source.close()
    dr.rasterize(context, POS, TRI, SIZE)


def test_every_thread_has_a_context_of_its_own() -> None:
    want, _ = dr.rasterize(CTX, POS, TRI, SIZE)
    found: list[Tensor] = []
    work = [
        threading.Thread(target=lambda: found.append(dr.rasterize(dr.RasterizeCudaContext(), POS, TRI, SIZE)[0]))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 4 and all(torch.equal(one, want) for one in found)


def test_autocast_changes_nothing() -> None:
    want, _ = dr.rasterize(CTX, POS, TRI, SIZE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rast, _ = dr.rasterize(CTX, POS @ torch.eye(4), TRI, SIZE)
        color, _ = dr.interpolate(POS @ torch.eye(4), rast, TRI)
    assert rast.dtype == color.dtype == torch.float32
    assert ((rast[..., 3] > 0) == (want[..., 3] > 0)).float().mean() > 0.97  # positions are bfloat16's


@pytest.mark.slow
def test_a_compiled_program_may_call_it() -> None:
    def render(pos: Tensor, attr: Tensor) -> Tensor:
        rast, derivatives = dr.rasterize(CTX, pos, TRI, SIZE)
        uv, uv_da = dr.interpolate(attr, rast, TRI, derivatives, "all")
        color = dr.texture(TEX, uv, uv_da)
        return dr.antialias(torch.where(rast[..., 3:] > 0, color, 0.0), rast, pos, TRI)

    attr = normal(1, 1, POS.shape[1], 2)
    compiled = torch.compile(render, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(POS, attr), render(POS, attr))


def test_a_texture_is_found_from_pictures() -> None:
    uv, tri = _layout(4, 4)
    clip = torch.cat([uv * 1.8 - 0.9, torch.zeros(len(uv), 1), torch.ones(len(uv), 1)], -1)[None]
    rast, derivatives = dr.rasterize(CTX, clip, tri, resolution=(64, 64))
    texc, texd = dr.interpolate(uv[None], rast, tri, rast_db=derivatives, diff_attrs="all")
    mask = rast[..., 3] > 0
    want = dr.texture(TEX, texc, texd)
    tex = torch.zeros_like(TEX, requires_grad=True)
    optimizer = torch.optim.Adam([tex], lr=0.1)
    losses = []
    for _ in range(60):
        loss = (dr.texture(tex, texc, texd)[mask] - want[mask]).abs().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_a_shape_is_found_from_its_silhouette() -> None:
    def mask(pos: Tensor) -> Tensor:
        rast, _ = dr.rasterize(CTX, pos, TRI, SIZE, grad_db=False)
        return dr.antialias((rast[..., 3:] > 0).float(), rast, pos, TRI)

    want = mask(POS)
    shift = torch.tensor([0.12, -0.08], requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.02)
    for step in range(40):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 40)
        moved = POS + torch.cat([shift, torch.zeros(2)]) * POS[..., 3:]
        (mask(moved) - want).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(shift.detach().abs().max()) < 0.01
