"""Refining: a texture gives back the pictures that it was baked from, better than before, and never at any price."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.camera import Camera, look_at, orbit_camera
from rasterizer.diagnostics.fields import averaged
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.pictures.sampling import sample_texture
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime.memory import TooLargeError
from rasterizer.texturing import Baked, Refined, bake_views, refine_texture, spread

SIX = [
    orbit_camera(azimuth, elevation) for azimuth, elevation in ((0, 0), (90, 0), (180, 0), (270, 0), (0, 89), (0, -89))
]
PICTURE, TEXTURE = 96, 192


def photograph(mesh: Mesh, texture: Tensor, cameras: list[Camera], size: int = PICTURE) -> Tensor:
    """Pictures of a texture, each pixel the mean of 3 x 3 points."""
    fine = 3 * (size - 1) + 1
    raster = rasterize_mesh(mesh, cameras, (fine, fine))
    seen = sample_texture(texture, raster.interpolate(mesh.require_uvs())[:, 0])
    return averaged(torch.where(raster.findices[:, 0, ..., None] > 0, seen, 1.0), 3)


def waves(size: int, length: float) -> Tensor:
    """A texture of waves so many texels long."""
    line = torch.arange(size) * (2 * math.pi / length)
    return 0.5 + 0.2 * (torch.sin(line)[:, None, None] + torch.sin(line + 1)[None, :, None]) * torch.tensor(
        [1, 0.5, -1]
    )


def psnr(found: Tensor, wanted: Tensor) -> float:
    return -10 * math.log10(float((found - wanted).square().mean()))


def square() -> Mesh:
    """A square of side 2 that faces the front."""
    uvs = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]])
    corners = torch.cat((uvs * torch.tensor([2.0, -2]) + torch.tensor([-1.0, 1]), torch.zeros(4, 1)), dim=1)
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32), uvs=uvs)


FRONT = look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.9)


@pytest.fixture(scope="module")
def torus() -> tuple[Mesh, Tensor, Baked]:
    """A textured torus, six pictures of it that are coarser than the texture, and their bake."""
    mesh = replace(sample_mesh("torus"), texture=None)
    images = photograph(mesh, waves(TEXTURE, 16.0), SIX)
    return mesh, images, bake_views(mesh, images, SIX, TEXTURE)


def refine(case: tuple[Mesh, Tensor, Baked], **changes: object) -> Refined:
    mesh, images, baked = case
    arguments: dict = {"texture": baked.texture, "painted": baked.painted, "images": images, "cameras": SIX} | changes
    return refine_texture(mesh, **arguments)


class TestQuality:
    """What comes out."""

    def test_an_exact_texture_is_found_again(self) -> None:
        mesh, truth = square(), waves(64, 12.0)
        images = photograph(mesh, truth, [FRONT], 192)
        baked = bake_views(mesh, images, [FRONT], 64)
        found = refine_texture(mesh, baked.texture, baked.painted, images, [FRONT], steps=60)
        inner = slice(8, -8)  # the camera does not see the border
        before, after = (psnr(made.texture[inner, inner], truth[inner, inner]) for made in (baked, found))
        assert after > 60 > before + 8

    @pytest.mark.parametrize("fov", [None, 40.0])
    def test_other_sides_look_better(self, torus: tuple[Mesh, Tensor, Baked], fov: float | None) -> None:
        mesh = torus[0]
        cameras = [replace(camera, half_height=camera.half_height if fov is None else None, fov=60.0) for camera in SIX]
        images = photograph(mesh, waves(TEXTURE, 16.0), cameras)
        baked = bake_views(mesh, images, cameras, TEXTURE)
        found = refine_texture(mesh, baked.texture, baked.painted, images, cameras)
        novel = [orbit_camera(35, 20), orbit_camera(215, -30)]
        wanted = photograph(mesh, waves(TEXTURE, 16.0), novel, 160)
        shown = photograph(mesh, baked.painted.float()[..., None].expand(-1, -1, 3) * 0.5, novel, 160)
        painted = (shown - 0.5).abs().amax(-1) < 1e-3  # neither background nor gap
        before, after = (
            psnr(photograph(mesh, spread(texture, baked.painted), novel, 160)[painted], wanted[painted])
            for texture in (baked.texture, found.texture)
        )
        assert after > before + 1.5
        assert (found.after < 0.5 * found.before).all()

    def test_one_colour_stays(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        mesh, images, baked = torus
        color = torch.tensor([0.2, 0.5, 0.7])
        texture = torch.where(baked.painted[..., None], color, 0.0)
        found = refine(torus, texture=texture, images=color.expand_as(images).clone())
        assert (found.texture - texture).abs().max() < 1e-6

    def test_views_that_differ_are_not_sharpened(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        mesh, _, _ = torus
        cameras = [orbit_camera(azimuth, 10) for azimuth in (-20, 0, 20)]
        images = photograph(mesh, waves(TEXTURE, 16.0), cameras)
        noisy = images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
        changes, trusts = [], []
        for pictures, strength in ((images, 1.0), (noisy, 1.0), (noisy, 2.0)):
            baked = bake_views(mesh, pictures, cameras, TEXTURE)
            found = refine_texture(mesh, baked.texture, baked.painted, pictures, cameras, strength=strength)
            changes.append(float((found.texture - baked.texture).square().mean().sqrt()))
            trusts.append(found.trust)
        assert trusts[0] > 0.9 and trusts[1] < 0.1 and "views differ" in str(found)
        assert changes[1] < 0.1 * changes[0] and changes[2] > changes[0]

    def test_colours_stay_within_those_of_the_pictures(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        mesh, images, _ = torus
        hard = (images > 0.5).float()
        baked = bake_views(mesh, hard, SIX, TEXTURE)
        found = refine(torus, texture=baked.texture, images=hard, strength=2.0)
        assert found.texture.min() >= 0 and found.texture.max() <= 1

    def test_a_mask_leaves_a_view_out(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        masks = torch.ones(torus[1].shape[:3])
        masks[1:] = 0
        found = refine(torus, masks=masks)
        assert found.after[0] > 0 and (found.after[1:] == 0).all()
        assert not torch.equal(found.texture, torus[2].texture)


class TestLimits:
    """What must not change, and what stops."""

    def test_what_is_not_painted_stays(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        painted = torus[2].painted.clone()
        painted[: TEXTURE // 2] = False
        found = refine(torus, painted=painted)
        changed = (found.texture != torus[2].texture).any(-1)
        assert not changed[~painted].any() and changed[painted].any()
        assert torch.equal(found.painted, painted)

    def test_no_strength_is_no_change(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        assert torch.equal(refine(torus, strength=0.0).texture, torus[2].texture)

    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_any_channels_and_the_same_bits_every_time(self, torus: tuple[Mesh, Tensor, Baked], channels: int) -> None:
        parts = torch.arange(channels) % 3
        texture, images = torus[2].texture[..., parts], torus[1][..., parts]
        one, other = (refine(torus, texture=texture, images=images, steps=4).texture for _ in range(2))
        assert torch.equal(one, other) and one.shape[2] == channels

    def test_nothing_to_do(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        mesh, images, baked = torus
        away = [replace(camera, forward=camera.axes[2], right=tuple(-x for x in camera.right)) for camera in SIX]
        for changes in ({"painted": torch.zeros_like(baked.painted)}, {"masks": torch.zeros(images.shape[:3])}):
            found = refine(torus, **changes)
            assert torch.equal(found.texture, baked.texture) and (found.before == 0).all()
        assert torch.equal(refine(torus, cameras=away).texture, baked.texture)

    def test_one_view_of_one_pixel(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        found = refine(torus, images=torch.rand(1, 1, 1, 3), cameras=SIX[:1])
        assert torch.isfinite(found.texture).all()

    def test_it_reports_and_stops(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        seen: list[float] = []
        refine(torus, on_progress=seen.append)
        assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 12

        def stop(share: float) -> None:
            if share > 0.6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            refine(torus, on_progress=stop)

    def test_people_can_read_what_was_done(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        lines = str(refine(torus, steps=4)).splitlines()
        assert len(lines) == 6 and lines[0].startswith("view 1: ") and lines[0].endswith(" of 255")

    def test_what_does_not_fit_is_refused(
        self, torus: tuple[Mesh, Tensor, Baked], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rasterizer.texturing.refine.refine.free_memory", lambda device: 1 << 20)
        with pytest.raises(TooLargeError, match="images: refining 6 of 96 x 96 pixels needs .* use fewer or smaller"):
            refine(torus)

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"texture": torch.zeros(TEXTURE, TEXTURE)}, "texture: found"),
            ({"texture": torch.full((TEXTURE, TEXTURE, 3), torch.nan)}, "texture: .* not finite"),
            ({"painted": torch.zeros(4, 4, dtype=torch.bool)}, "painted: found"),
            ({"painted": torch.zeros(TEXTURE, TEXTURE)}, "painted: found"),
            ({"images": torch.zeros(5, 8, 8, 3)}, "images: found .* for 6 cameras"),
            ({"images": torch.zeros(6, 8, 8, 4)}, "images: have 4 channels, expected 3"),
            ({"images": torch.full((6, 8, 8, 3), torch.inf)}, "images: .* not finite"),
            ({"masks": torch.zeros(6, 8, 8)}, "masks: found"),
            ({"masks": torch.full((6, PICTURE, PICTURE), torch.nan)}, "masks: .* not finite"),
            ({"steps": 0}, "steps: is 0"),
            ({"strength": -1.0}, "strength: is -1"),
            ({"max_angle": 0.0}, "max_angle: is 0"),
            ({"border": -1}, "border: is -1"),
        ],
    )
    def test_what_cannot_be_used_is_named(
        self, torus: tuple[Mesh, Tensor, Baked], changes: dict[str, object], text: str
    ) -> None:
        with pytest.raises(ValueError, match=f"^{text}"):
            refine(torus, **changes)

    def test_no_uvs(self, torus: tuple[Mesh, Tensor, Baked]) -> None:
        mesh, images, baked = torus
        with pytest.raises(ValueError, match="UV"):
            refine((replace(mesh, uvs=None), images, baked))
