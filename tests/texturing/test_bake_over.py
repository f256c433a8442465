"""Painting onto a texture that is there: what is painted is as baked, all else keeps its bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.texturing import Baked, bake_over, bake_views
from tests.texturing.test_bake import photograph

SIDE = 256


@pytest.fixture(scope="module")
def torus() -> Mesh:
    return sample_mesh("torus")


@pytest.fixture(scope="module")
def front(torus: Mesh) -> dict[str, object]:
    """A picture from the front."""
    cameras = [orbit_camera(0, 0)]
    return {"mesh": torus, "images": photograph(torus, cameras, (256, 256)), "cameras": cameras}


@pytest.fixture(scope="module")
def baked(front: dict[str, object]) -> Baked:
    return bake_views(**front, texture_size=SIDE)


@pytest.fixture(scope="module")
def base() -> Tensor:
    return torch.rand(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))


def near(mask: Tensor) -> Tensor:
    """Texels within 8 of some."""
    return max_pool2d(mask.float()[None], 17, 1, 8)[0] > 0


def test_what_no_view_shows_keeps_its_bits(front: dict[str, object], baked: Baked, base: Tensor) -> None:
    found = bake_over(**front, base=base)
    assert torch.equal(found.painted, baked.painted) and 0.2 < found.painted.float().mean() < 0.8
    assert torch.equal(found.texture[baked.painted], baked.texture[baked.painted])
    kept = found.covered & ~found.painted | ~near(found.painted)
    assert torch.equal(found.texture[kept], base[kept])
    assert torch.equal(found.heaviest, baked.heaviest) and torch.equal(found.confidence, baked.confidence)


def test_gutters_continue_what_was_painted(torus: Mesh, front: dict[str, object]) -> None:
    red, blue = (torch.tensor(color).expand(SIDE, SIDE, 3) for color in ((1.0, 0, 0), (0, 0, 1.0)))
    images = red[:1, :1].expand(1, 256, 256, 3)
    found = bake_over(torus, images, front["cameras"], blue)
    edge = ~found.covered & (max_pool2d(found.painted.float()[None], 3, 1, 1)[0] > 0)
    edge &= max_pool2d((found.covered & ~found.painted).float()[None], 17, 1, 8)[0] == 0
    assert edge.sum() > 50 and torch.equal(found.texture[edge], red[edge])


def test_a_mask_on_the_texture(front: dict[str, object], baked: Baked, base: Tensor) -> None:
    paint = torch.zeros(SIDE, SIDE)
    paint[:, 64:128] = 1
    paint[:, 128:160] = 0.25
    found = bake_over(**front, base=base, paint=paint)
    there = baked.painted & (paint > 0)
    assert torch.equal(found.painted, there) and there.any()
    whole, part = there & (paint == 1), there & (paint == 0.25)
    assert torch.equal(found.texture[whole], baked.texture[whole])
    mixed = 0.75 * base + 0.25 * baked.texture
    torch.testing.assert_close(found.texture[part], mixed[part])
    kept = found.covered & ~there | ~near(there)
    assert torch.equal(found.texture[kept], base[kept]) and (found.confidence[~there] == 0).all()
    assert (found.heaviest[~there] == -1).all() and (found.heaviest[there] == 0).all()


def test_masks_of_the_views_blend_too(front: dict[str, object], baked: Baked, base: Tensor) -> None:
    masks = torch.zeros(1, 256, 256)
    masks[:, :, :128] = 0.5
    found = bake_over(**front, base=base, masks=masks)
    assert found.texture.shape == base.shape and 0.3 < found.painted.sum() / baked.painted.sum() < 0.7
    apart = (found.texture - 0.5 * (base + baked.texture)).abs().amax(dim=2)[found.painted]
    assert apart.quantile(0.98) < 2e-3  # but at the mask's edge, which is between two pixels
    kept = found.covered & ~found.painted
    assert torch.equal(found.texture[kept], base[kept])


def test_agreed_pictures_have_no_mask_among_their_channels(torus: Mesh, base: Tensor) -> None:
    cameras = [orbit_camera(0, 0), orbit_camera(40, 0)]
    images = photograph(torus, cameras, (64, 64)) * torch.tensor([1.0, 0.8])[:, None, None, None]
    small = base[:64, :64]
    found = bake_over(torus, images, cameras, small, masks=torch.ones(2, 64, 64), match_colors=True)
    want = bake_views(torus, images, cameras, 64, match_colors=True)
    assert (want.agreement.gains - 1).abs().max() > 0.02
    assert torch.equal(want.images, want.agreement.apply(images))
    torch.testing.assert_close(found.images, want.images)
    assert want.images.shape == images.shape and bake_views(torus, images, cameras, 64).images is None


def test_complaints(front: dict[str, object], base: Tensor) -> None:
    for changes, words in (
        ({"base": base[..., :2]}, r"^base: found \[256, 256, 2\] .* expected a floating-point texture \[H, W, 3\]"),
        ({"base": base.int()}, r"^base: found \[256, 256, 3\] torch.int32"),
        ({"base": base, "paint": torch.ones(8, 8)}, r"^paint: found \[8, 8\], expected \[256, 256\], as the texture"),
    ):
        with pytest.raises(ValueError, match=words):
            bake_over(**front, **changes)


def test_progress_goes_on_while_gutters_are_filled(front: dict[str, object], base: Tensor) -> None:
    told: list[float] = []
    bake_over(**front, base=base, on_progress=told.append)
    assert told == sorted(told) and told[-1] <= 1 and sum(share >= 0.9 for share in told) >= 8
