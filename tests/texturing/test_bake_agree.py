"""Views that do not agree: what was done to them is found and undone, and where nothing was done nothing is."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor

from rasterizer.cameras.camera import Camera, orbit_camera
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime.policy import PORTABLE, force_policy
from rasterizer.texturing import Baked, Texels, bake_views
from rasterizer.texturing.bake import level
from rasterizer.texturing.bake.agree import Agreement
from rasterizer.texturing.bake.flow import bend, find_flow, warp
from rasterizer.texturing.bake.level import find_gains, weighted_median

SIZE = 256
SIX = [(0, 0, 1.0), (90, 0, 0.1), (180, 0, 0.5), (270, 0, 0.1), (0, 90, 0.05), (180, -90, 0.05)]
GAINS = torch.tensor(
    [[1.03, 0.98, 1.0], [0.92, 0.95, 1.04], [1.05, 1.0, 0.97], [0.94, 1.02, 1.0], [1.0, 1.06, 0.95], [1.04, 0.96, 1.02]]
)


def cameras() -> list[Camera]:
    return [orbit_camera(azimuth, elevation, weight=weight) for azimuth, elevation, weight in SIX]


def field(points: Tensor) -> Tensor:
    """A colour with features of some pixels for every point of space."""
    phases = torch.arange(3.0)
    coarse, fine = torch.sin(5 * points + phases), torch.sin(31 * points.roll(1, -1) + 2 * phases)
    return 0.5 + 0.2 * coarse + 0.15 * fine


def photographs(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """Pictures on white, and where they show the mesh."""
    raster = rasterize_mesh(mesh, cameras(), (SIZE, SIZE))
    shown = (raster.findices[:, 0] > 0)[..., None]
    return torch.where(shown, field(raster.interpolate(mesh.vertices)[:, 0]), 1.0), shown


def bake(mesh: Mesh, images: Tensor, **options: object) -> Baked:
    return bake_views(mesh, images, cameras(), SIZE, **options)  # type: ignore[arg-type]


def psnr(mesh: Mesh, baked: Baked) -> float:
    texels = Texels.of(mesh, (SIZE, SIZE))
    wanted = texels.image(field(texels.interpolate(mesh.vertices)))
    return -10 * math.log10(float((baked.texture - wanted)[baked.painted].square().mean()))


def waves(most: float, seed: int = 0) -> Tensor:
    """``[6, 2, SIZE, SIZE]`` smooth shifts of up to ``most`` pixels."""
    values = torch.rand(6, 2, 3, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(values, (SIZE, SIZE), mode="bicubic", align_corners=True) * most


def agreed(baked: Baked) -> Agreement:
    assert baked.agreement is not None
    return baked.agreement


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return sample_mesh("torus")


@pytest.fixture(scope="module")
def exact(mesh: Mesh) -> tuple[Tensor, Tensor]:
    return photographs(mesh)


class TestColors:
    def test_gains_are_found(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        images, shown = exact
        baked = bake(mesh, torch.where(shown, images * GAINS[:, None, None], 1.0), match_colors=True)
        left = agreed(baked).gains * GAINS
        assert ((left / left.mean(0) - 1).abs() < 0.005).all()

    def test_exact_views_stay(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        plain, baked = bake(mesh, exact[0]), bake(mesh, exact[0], match_colors=True, align_views=3)
        assert ((agreed(baked).gains - 1).abs() < 0.003).all() and (agreed(baked).shifts < 0.3).all()
        assert psnr(mesh, baked) > psnr(mesh, plain) - 0.1

    def test_data_moves_with_the_colors_and_takes_no_gain(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        images, shown = exact
        images = torch.where(shown, images * GAINS[:, None, None], 1.0)
        moved = warp(images.permute(0, 3, 1, 2), waves(3.0)).permute(0, 2, 3, 1)
        data = moved[..., :1]
        baked = bake(mesh, torch.cat((moved, data), dim=-1), match_colors=True, align_views=2)
        after = agreed(baked).apply(torch.cat((moved, data), dim=-1))
        assert (agreed(baked).gains[:, 0] - 1).abs().max() > 0.02 and agreed(baked).shifts.max() > 0.5
        plain = Agreement(torch.ones(6, 3), agreed(baked).flow, (SIZE, SIZE), torch.zeros(6)).apply(moved)
        assert torch.equal(after[..., 3], plain[..., 0])
        assert not torch.equal(after[..., 0], after[..., 3])

    def test_white_stays_white(self) -> None:
        agreement = Agreement(torch.full((1, 3), 1.2), None, (2, 2), torch.zeros(1))
        images = torch.tensor([0.5, 0.9, 1.0, 2.0]).view(1, 2, 2, 1).expand(1, 2, 2, 3)
        assert torch.allclose(agreement.apply(images)[0, ..., 0].flatten(), torch.tensor([0.6, 1.0, 1.0, 2.0]))

    @given(some.lists(some.tuples(some.integers(-50, 50), some.integers(0, 100)), min_size=1, max_size=40))
    def test_weighted_median(self, pairs: list[tuple[int, int]]) -> None:
        values, weights = (torch.tensor([row], dtype=torch.float32) for row in zip(*pairs, strict=True))
        repeated = sorted(value for value, weight in pairs for _ in range(weight))
        found = float(weighted_median(values, weights)[0])
        half = len(repeated) // 2
        # Weights are rounded to a millionth, so at an exact half either neighbour may be taken.
        assert found in ({repeated[max(half - 1, 0)], repeated[half]} if repeated else {0.0})


class TestPlaces:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_smooth_flow_is_found(self, seed: int) -> None:
        noise = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
        picture = torch.nn.functional.interpolate(noise, (SIZE, SIZE), mode="bicubic", align_corners=True)
        true = waves(3.0, seed)[:1]
        found = find_flow(picture, warp(picture, true), torch.ones_like(picture))
        inside = slice(24, -24)
        assert (found - true)[..., inside, inside].norm(dim=1).mean() < 0.05

    def test_aligning_brings_features_together(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        images, shown = exact
        moved = warp(images.permute(0, 3, 1, 2), waves(2.0)).permute(0, 2, 3, 1)
        moved = torch.where(shown, moved, 1.0)
        plain, baked = bake(mesh, moved), bake(mesh, moved, align_views=3)

        def disagreement(images: Tensor) -> float:
            few = [bake_views(mesh, images[[view]], [cameras()[view]], SIZE) for view in (0, 1)]
            both = few[0].painted & few[1].painted
            return float((few[0].texture - few[1].texture)[both].abs().mean())

        assert disagreement(agreed(baked).apply(moved)) < 0.7 * disagreement(moved)
        assert agreed(plain.__class__(**{**vars(plain), "agreement": baked.agreement})).shifts.max() > 0.5

    def test_bending_by_nothing_changes_nothing(self) -> None:
        picture = torch.rand(37, 53, 4)
        assert torch.equal(bend(picture, torch.zeros(2, 37, 53)), picture)

    def test_bending_by_whole_pixels_is_exact(self) -> None:
        picture = torch.rand(20, 30, 3)
        flow = torch.tensor([2.0, -1.0]).view(2, 1, 1).expand(2, 20, 30)
        assert torch.equal(bend(picture, flow)[1:, :-2], picture[:-1, 2:])

    def test_pictures_of_another_size_move_likewise(self) -> None:
        agreement = Agreement(torch.ones(1, 3), torch.full((1, 2, 5, 5), 2.0), (33, 33), torch.zeros(1))
        column = torch.arange(65.0).expand(65, 65)[None, ..., None]
        assert torch.allclose(
            agreement.apply(column)[0, 10:-10, 10:-10, 0], column[0, 10:-10, 10:-10, 0] + 4, atol=1e-4
        )

    def test_twice_is_the_same(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        moved = warp(exact[0].permute(0, 3, 1, 2), waves(2.0)).permute(0, 2, 3, 1)
        one, other = (bake(mesh, moved, match_colors=True, align_views=2) for _ in range(2))
        assert torch.equal(one.texture, other.texture)
        assert torch.equal(agreed(one).apply(moved), agreed(other).apply(moved))

    def test_with_the_least_a_device_offers(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        moved = warp(exact[0].permute(0, 3, 1, 2), waves(2.0)).permute(0, 2, 3, 1)
        wanted = bake(mesh, moved, match_colors=True, align_views=1)
        with force_policy(PORTABLE):
            found = bake(mesh, moved, match_colors=True, align_views=1)
        assert torch.allclose(agreed(found).gains, agreed(wanted).gains, atol=1e-4)
        assert torch.allclose(agreed(found).shifts, agreed(wanted).shifts, atol=0.05)


class TestReport:
    def test_text(self) -> None:
        gains = torch.ones(4, 3)
        gains[2, 0] = 1.06
        flow = torch.zeros(4, 2, 3, 3)
        flow[2, 0, 1, 1] = 4.1
        text = str(Agreement(gains, flow, (9, 9), torch.tensor([0.0, 0.0, 0.0, 7.0])))
        assert text.splitlines() == [
            "view 1: unchanged",
            "view 2: unchanged",
            "view 3: +6 % red, up to 4.1 px",
            "view 4: could not be aligned, features left where they are",
        ]

    def test_nothing_was_asked(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        assert bake(mesh, exact[0]).agreement is None

    def test_progress_rises_and_stops(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        told: list[float] = []
        bake(mesh, exact[0], match_colors=True, align_views=1, on_progress=told.append)
        assert told == sorted(told) and told[-1] == 1.0 and len(told) > 20

        def stop(share: float) -> None:
            if share > 0.7:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            bake(mesh, exact[0], match_colors=True, align_views=1, on_progress=stop)


class TestBadInput:
    ON = {"match_colors": True, "align_views": 2}

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_what_is_no_number_is_refused(self, mesh: Mesh, exact: tuple[Tensor, Tensor], value: float) -> None:
        images = exact[0].clone()
        images[1, 3, 5, 0] = value
        with pytest.raises(ValueError, match="images: view 2 holds NaN or infinite pixels"):
            bake(mesh, images)

    @pytest.mark.parametrize("gray", [0.0, 0.5, 1.0])
    def test_one_color(self, mesh: Mesh, gray: float) -> None:
        images = torch.full((6, SIZE, SIZE, 3), gray)
        plain, baked = bake(mesh, images), bake(mesh, images, **self.ON)
        assert torch.allclose(plain.texture, baked.texture, atol=1e-5)
        assert str(agreed(baked)) == "\n".join(f"view {number}: unchanged" for number in range(1, 7))

    def test_one_view(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        plain, baked = (
            bake_views(mesh, exact[0][:1], cameras()[:1], SIZE, **options)  # type: ignore[arg-type]
            for options in ({}, self.ON)
        )
        assert torch.equal(plain.texture, baked.texture) and str(agreed(baked)) == "view 1: unchanged"

    def test_views_that_share_nothing(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        some = [cameras()[0], cameras()[2]]
        images = exact[0][[0, 2]] * torch.tensor([1.0, 0.8]).view(2, 1, 1, 1)
        plain, baked = (
            bake_views(mesh, images, some, SIZE, max_angle=60, **options)  # type: ignore[arg-type]
            for options in ({}, self.ON)
        )
        assert torch.equal(plain.texture, baked.texture)

    def test_masks_that_leave_nothing(self, mesh: Mesh, exact: tuple[Tensor, Tensor]) -> None:
        baked = bake(mesh, exact[0], masks=torch.zeros(6, SIZE, SIZE), **self.ON)
        assert not baked.painted.any() and (agreed(baked).shifts == 0).all() and (agreed(baked).gains == 1).all()

    @pytest.mark.parametrize("channels", [1, 2, 4])
    @pytest.mark.parametrize("size", [(1, 1), (2, 7), (16, 9)])
    def test_tiny(self, mesh: Mesh, size: tuple[int, int], channels: int) -> None:
        images = torch.rand(6, *size, channels, generator=torch.Generator().manual_seed(1))
        baked = bake(mesh, images, **self.ON)
        assert baked.texture.isfinite().all() and agreed(baked).apply(images).shape == images.shape
        assert channels > 3 or (agreed(baked).gains == 1).all()

    def test_images_of_other_views(self) -> None:
        agreement = Agreement(torch.ones(2, 3), None, (4, 4), torch.zeros(2))
        with pytest.raises(ValueError, match="images: found .* the 2 views"):
            agreement.apply(torch.zeros(3, 4, 4, 3))


def test_gains_are_the_same_by_pairs_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    colors, trust = torch.rand(5, 400, 3, generator=random), torch.rand(5, 400, generator=random)
    gains = [find_gains(colors, trust, [1.0, 0.1, 0.5, 0.1, 0.05])]
    monkeypatch.setattr(level, "selects", lambda device: False)
    for together in (1 << 23, 4000):
        monkeypatch.setattr(level, "_TOGETHER", together)
        gains.append(find_gains(colors, trust, [1.0, 0.1, 0.5, 0.1, 0.05]))
    assert torch.equal(gains[0], gains[1]) and torch.equal(gains[0], gains[2])
    assert (gains[0] != 1).any()


def test_a_handful_of_texels_is_no_overlap() -> None:
    colors, trust = torch.full((2, 10_000, 3), 0.4), torch.zeros(2, 10_000)
    colors[1] *= 0.7
    trust[:, :7] = 1e-2  # they agree to the bit about how far views differ, as neighbours of one colour do
    assert (find_gains(colors, trust, [1.0, 1.0]) - 1).abs().max() < 0.001
    trust[:, :700] = 1.0
    gains = find_gains(colors, trust, [1.0, 1.0])
    assert float((gains[0] / gains[1]).sub(0.7).abs().max()) < 0.01
