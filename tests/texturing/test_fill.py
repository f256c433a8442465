"""Filling textures: what is painted stays, gaps get colours along the surface, gutters follow."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.texturing import METHODS, Texels, fill_texture, spread
from rasterizer.texturing.fill.surface import _spots

SIZE = 192


@pytest.fixture(scope="module")
def torus() -> Mesh:
    return sample_mesh("torus")


@pytest.fixture(scope="module")
def texels(torus: Mesh) -> Texels:
    return Texels.of(torus, (SIZE, SIZE))


def smooth_field(texels: Texels) -> Tensor:
    return texels.image(0.5 + 0.4 * torch.sin(3 * texels.interpolate(texels.mesh.vertices) + torch.arange(3.0)))


def unseen_patch(texels: Texels) -> Tensor:
    """``[H, W]`` bool: the covered texels but for a patch that crosses both UV seams."""
    points = texels.interpolate(texels.mesh.vertices)
    corner = texels.mesh.vertices[0]  # where u and v begin and end
    return texels.image((points - corner).norm(dim=1) > 0.25)


@pytest.mark.parametrize("method", METHODS)
def test_painted_texels_stay_and_all_others_get_a_color(torus: Mesh, texels: Texels, method: str) -> None:
    wanted, painted = smooth_field(texels), unseen_patch(texels)
    texture, filled = fill_texture(wanted, painted, torus, method)
    covered = texels.image(torch.ones(len(texels), dtype=torch.bool))
    assert torch.equal(filled, covered & ~painted) and filled.any()
    assert torch.equal(texture[painted], wanted[painted])
    assert (texture.amin(dim=2) > 0.05).all()  # gutters, too
    error = (texture - wanted)[filled].abs().mean()
    assert error < {"surface": 0.03, "vertex smooth": 0.05, "vertex forward": 0.05, "dilate": 0.2}[method]


def test_the_surface_method_crosses_seams_that_the_plane_does_not(torus: Mesh, texels: Texels) -> None:
    wanted, painted = smooth_field(texels), unseen_patch(texels)
    errors = {}
    for method in ("surface", "dilate"):
        texture, filled = fill_texture(wanted, painted, torus, method)
        errors[method] = (texture - wanted)[filled].square().mean()
    assert errors["surface"] < 0.5 * errors["dilate"]


@pytest.mark.parametrize("method", METHODS)
def test_one_color_stays_that_color(torus: Mesh, texels: Texels, method: str) -> None:
    one = torch.full((SIZE, SIZE, 5), 0.3)
    texture, _ = fill_texture(one, unseen_patch(texels), torus, method)
    torch.testing.assert_close(texture, one, rtol=0, atol=2e-5)


def test_a_part_on_which_nothing_is_painted_is_said(torus: Mesh, caplog: pytest.LogCaptureFixture) -> None:
    small = replace(torus, vertices=torus.vertices * 0.1 + 1.5, uvs=torus.uvs * 0.3 + 0.68)
    parts = Mesh(
        torch.cat((torus.vertices, small.vertices)),
        torch.cat((torus.faces, small.faces + len(torus.vertices))).to(torch.int32),
        uvs=torch.cat((torus.uvs * 0.65, small.uvs)),
    )
    texels = Texels.of(parts, (SIZE, SIZE))
    painted = texels.image(texels.face < len(torus.faces))
    with caplog.at_level(logging.WARNING):
        texture, filled = fill_texture(torch.full((SIZE, SIZE, 3), 0.4), painted, parts, "surface")
    assert "where nothing is painted" in caplog.text
    torch.testing.assert_close(texture, torch.full_like(texture, 0.4), rtol=0, atol=1e-5)
    assert filled.sum() == len(texels) - painted.sum()


@pytest.mark.parametrize("side", [0, 1, 4, 16])
def test_spots_stand_for_all_known_texels(side: int) -> None:
    known = torch.zeros(50, 70, dtype=torch.bool)
    known[3:40, 5:66] = True
    known[45, 68] = known[47, 1] = True  # alone, and where no whole square fits
    spots = _spots(known, side)
    taken = torch.zeros_like(known)
    taken.view(-1)[spots] = True
    assert (taken <= known).all() and taken[45, 68] and taken[47, 1]
    assert len(spots) == known.sum() if side < 2 else len(spots) < known.sum() / 3
    near = torch.nn.functional.max_pool2d(taken[None].float(), 2 * max(side, 1) - 1, 1, max(side, 1) - 1)[0] > 0
    assert near[known].all()


def test_gutters_continue_colors_across_the_border() -> None:
    ramp = torch.linspace(0, 1, 64)[None, :, None].expand(64, -1, 1)
    known = torch.zeros(64, 64, dtype=torch.bool)
    known[16:48, 16:48] = True
    texture = spread(ramp.contiguous(), known)
    assert torch.equal(texture[known], ramp[known])
    assert (texture[32, 8:16, 0] - ramp[32, 16, 0]).abs().max() < 0.02
    for level in range(1, 7):  # no level of a mipmap sees black
        small = torch.nn.functional.avg_pool2d(texture.permute(2, 0, 1)[None], 2**level)
        assert small.min() > 0.2 and small.max() < 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (37, 50), (64, 3)])
def test_spreading_works_at_any_size(size: tuple[int, int]) -> None:
    known = torch.zeros(size, dtype=torch.bool)
    known[-1, -1] = True
    assert torch.allclose(spread(torch.full((*size, 2), 0.7), known), torch.tensor(0.7))
    assert (spread(torch.ones(*size, 2), torch.zeros(size, dtype=torch.bool)) == 0).all()


def test_spreading_reports_and_stops() -> None:
    known = torch.eye(64, dtype=torch.bool)
    told: list[float] = []
    spread(torch.ones(64, 64, 1), known, told.append)
    assert told == sorted(told) and len(told) >= 8 and told[0] >= 0 and told[-1] <= 1

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        spread(torch.ones(64, 64, 1), known, stop)


def test_bad_input_is_named(torus: Mesh) -> None:
    texture, none = torch.zeros(8, 8, 3), torch.zeros(8, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="no texel is painted"):
        fill_texture(texture, none, torus)
    with pytest.raises(ValueError, match=r"texture: found \[8, 8, 0\], expected .* at least one channel"):
        fill_texture(torch.zeros(8, 8, 0), torch.ones(8, 8, dtype=torch.bool), torus)
    with pytest.raises(ValueError, match=r"painted: found \[8, 9\]"):
        fill_texture(texture, torch.ones(8, 9, dtype=torch.bool), torus)
    with pytest.raises(ValueError, match="method: is 'magic'"):
        fill_texture(texture, ~none, torus, "magic")
    with pytest.raises(ValueError, match="has no UV coordinates"):
        fill_texture(texture, ~none, replace(torus, uvs=None))


def test_the_same_on_every_device(torus: Mesh, texels: Texels, device: torch.device) -> None:
    wanted, painted = smooth_field(texels), unseen_patch(texels)
    here, _ = fill_texture(wanted, painted, torus)
    there, _ = fill_texture(wanted.to(device), painted.to(device), torus.to(device))
    assert -10 * math.log10(float((here - there.cpu()).square().mean()) + 1e-12) > 45


@pytest.fixture(scope="module", params=METHODS)
def method_and_result(request: pytest.FixtureRequest, torus: Mesh, texels: Texels) -> tuple[str, tuple[Tensor, Tensor]]:
    """What a method makes of a mask of booleans."""
    return request.param, fill_texture(smooth_field(texels), unseen_patch(texels), torus, request.param)


@pytest.mark.parametrize("yes", [1, 255])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int64])
def test_masks_of_whole_numbers(torus: Mesh, texels: Texels, method_and_result, dtype: torch.dtype, yes: int) -> None:
    method, want = method_and_result
    got = fill_texture(smooth_field(texels), (unseen_patch(texels).int() * yes).to(dtype), torus, method)
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


def test_a_mask_that_may_mean_anything_is_refused(torus: Mesh) -> None:
    with pytest.raises(ValueError, match="painted: dtype is torch.float32, expected bool"):
        fill_texture(torch.zeros(8, 8, 3), torch.ones(8, 8), torus)


@pytest.mark.parametrize("method", METHODS)
def test_any_order_of_memory(torus: Mesh, texels: Texels, method: str) -> None:
    wanted, painted = smooth_field(texels), unseen_patch(texels)
    want = fill_texture(wanted, painted, torus, method)
    turned = wanted.transpose(0, 1).contiguous().transpose(0, 1), painted.t().contiguous().t()
    assert not turned[0].is_contiguous() and not turned[1].is_contiguous()
    arrays = wanted.numpy(), painted.numpy()
    for got in (fill_texture(*turned, torus, method), fill_texture(*arrays, torus, method)):
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


@pytest.mark.parametrize("method", METHODS)
def test_a_mask_beside_the_layout(torus: Mesh, texels: Texels, method: str, caplog: pytest.LogCaptureFixture) -> None:
    painted = texels.image(torch.ones(len(texels), dtype=torch.bool))
    painted = ~painted
    assert painted.any()
    with caplog.at_level(logging.WARNING):
        texture, filled = fill_texture(torch.full((SIZE, SIZE, 3), 0.4), painted, torus, method)
    assert ("where nothing is painted" in caplog.text) == (method != "dilate")
    torch.testing.assert_close(texture, torch.full_like(texture, 0.4), rtol=0, atol=1e-5)
    assert torch.equal(filled, ~painted)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [2.0**-80, 2.0**70])
def test_meshes_of_any_size(torus: Mesh, texels: Texels, method: str, size: float) -> None:
    wanted, painted = smooth_field(texels), unseen_patch(texels)
    want, _ = fill_texture(wanted, painted, torus, method)
    found, _ = fill_texture(wanted, painted, replace(torus, vertices=torus.vertices * size), method)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-5)


def test_a_vertex_that_is_nan_leaves_the_texture_finite() -> None:
    mesh = sample_mesh("torus")
    vertices, colors = mesh.vertices.clone(), torch.rand(64, 64, 3)
    vertices[len(vertices) // 2] = torch.nan
    painted = torch.zeros(64, 64, dtype=torch.bool)
    painted[:20] = True
    for method in METHODS[1:]:
        texture, _ = fill_texture(colors, painted, replace(mesh, vertices=vertices), method)
        assert torch.isfinite(texture).all(), method
    with pytest.raises(ValueError, match="expected finite positions"):  # it has no place in a grid
        fill_texture(colors, painted, replace(mesh, vertices=vertices), METHODS[0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_texel_that_is_no_number_costs_only_itself(torus: Mesh, texels: Texels, value: float) -> None:
    wanted, painted = smooth_field(texels), unseen_patch(texels)
    painted &= torch.rand(painted.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    place = tuple(painted.nonzero()[len(painted)].tolist())
    want, filled = fill_texture(wanted, painted, torus)
    wanted[place] = value
    got, _ = fill_texture(wanted, painted, torus)
    apart = (got - want)[filled].abs().amax(dim=1)
    assert (apart < 0.2).all() and (apart > 0).float().mean() < 0.01


def test_progress_is_told_of_every_chunk_of_texels(torus: Mesh, texels: Texels, monkeypatch) -> None:
    painted, chunk = unseen_patch(texels), 1000

    def told() -> tuple[list[float], int]:
        shares: list[float] = []
        _, filled = fill_texture(smooth_field(texels), painted, torus, on_progress=shares.append)
        assert shares == sorted(shares) and shares[-1] == 1
        return shares, int(filled.sum())

    few, texels_in_gaps = told()
    monkeypatch.setattr("rasterizer.texturing.fill.surface._CHUNK", chunk)
    more = len(told()[0]) - len(few)
    assert texels_in_gaps > chunk and more >= 2 * (texels_in_gaps // chunk)  # looked up, and painted
