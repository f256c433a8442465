"""The painters do what they say, the metrics tell good textures from bad ones, and the benchmark repeats."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.views import PRESETS
from rasterizer.cli.main import main
from rasterizer.diagnostics import painted, painters
from rasterizer.diagnostics.examiner import Examiner, Made
from rasterizer.diagnostics.peers.lagrange import composite
from rasterizer.diagnostics.peers.splat import splat
from rasterizer.diagnostics.subjects import Subject, subjects
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import Texels, spread
from rasterizer.texturing.bake.bleed import outline_distance
from rasterizer.texturing.bake.flow import blur

VIEWS = PRESETS["hunyuan3d-2"]
SIDE, SIZE = 128, 256


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A torus with photographs, or clouds, around it."""
    mesh = replace(sample_mesh("torus"), texture=None)
    return subjects([(mesh, mesh)])[0]


@pytest.fixture(scope="module")
def pictures(subject: Subject) -> tuple[Tensor, Tensor]:
    """Exact ones, and where they show the mesh."""
    return painted.photograph(subject, [view.camera() for view in VIEWS], SIDE)


@pytest.fixture(scope="module")
def examiner(subject: Subject) -> Examiner:
    """Of the torus."""
    return Examiner(subject, VIEWS, SIDE)


@pytest.fixture(scope="module")
def exact(subject: Subject) -> Made:
    """The true colour at texel centres, all of it painted."""
    raster = rasterize_mesh(subject.mesh, resolution=(SIZE, SIZE), space="uv")
    texels = Texels.of(subject.mesh, (SIZE, SIZE))
    covered = texels.image(torch.ones(len(texels), dtype=torch.bool))
    return Made(spread(subject.surface(raster)[0], covered), covered, subject.mesh)


def _of(made: Made, texture: Tensor) -> Made:
    return replace(made, texture=texture)


@pytest.mark.parametrize("name", painters.PAINTERS)
def test_painters_repeat_themselves_and_differ_by_seed(name: str, pictures: tuple[Tensor, Tensor]) -> None:
    once, again, other = (painters.PAINTERS[name](*pictures, seed) for seed in (1, 1, 2))
    assert torch.equal(once, again) and once.shape == pictures[0].shape
    assert once.amin() >= 0 and once.amax() <= 1
    assert torch.equal(once, other) == (name in ("none", "halo", "jpeg"))
    assert torch.equal(once, pictures[0]) == (name == "none")


def test_gains_are_one_a_view_and_channel_and_small() -> None:
    grey, shown = torch.full((6, 8, 8, 3), 0.5), torch.ones(6, 8, 8, dtype=torch.bool)
    shown[:, 0] = False
    factors = painters.gain(grey, shown, 1) / 0.5
    assert torch.equal(factors[:, 0], torch.ones(6, 8, 3))  # the background stays
    per_view = factors[:, 1:].flatten(1, 2)
    assert torch.equal(per_view, per_view[:, :1].expand_as(per_view))
    assert (per_view - 1).abs().amax() <= 1.08 * 1.04 - 1 and per_view[:, 0].std(0).amin() > 0.01


def test_shade_stays_within_what_it_says() -> None:
    grey, shown = torch.full((6, 64, 64, 3), 0.5), torch.ones(6, 64, 64, dtype=torch.bool)
    light = painters.shade(grey, shown, 1) / 0.5
    assert 0.03 < (light - 1).abs().amax() <= 0.1 + 1e-6
    assert (light[:, 1:] - light[:, :-1]).abs().amax() < 0.02


@pytest.mark.parametrize("most", [2.0, 5.0])
def test_shifts_are_at_most_so_many_pixels_and_none_at_silhouettes(most: float) -> None:
    ramp = torch.arange(96.0).expand(96, 96) / 200
    pictures = torch.stack((ramp, ramp.T, torch.zeros(96, 96)), dim=-1)[None]
    shown = torch.zeros(1, 96, 96, dtype=torch.bool)
    shown[:, 8:88, 8:88] = True
    moved = (painters.shift(pictures, shown, 1, most) - pictures)[0, ..., :2] * 200
    assert 0.5 * most < moved.abs().amax() <= most + 1e-3
    rim = shown[0] & (outline_distance(shown, 1)[0] <= 1)
    assert rim.sum() > 300 and moved[rim].abs().amax() < 1e-3 and moved[~shown[0]].abs().amax() == 0


def test_a_halo_is_white_at_silhouettes_and_nothing_three_pixels_on() -> None:
    black, shown = torch.zeros(1, 32, 32, 3), torch.zeros(1, 32, 32, dtype=torch.bool)
    shown[:, 4:28, 4:28] = True
    line = painters.halo(black, shown, 1)[0, 16, 4:12, 0]
    assert line[0] > 0.7 and (line.diff() <= 0).all() and (line[3:] == 0).all()


def test_detail_has_its_deviation_and_its_size() -> None:
    grey, shown = torch.full((2, 128, 128, 3), 0.5), torch.ones(2, 128, 128, dtype=torch.bool)
    made = painters.detail(grey, shown, 1)[..., :1].permute(0, 3, 1, 2) - 0.5
    assert made.std() == pytest.approx(0.06, rel=0.02)
    assert (made[0] - made[1]).abs().mean() > 0.03
    assert blur(made, 12.0)[..., 36:-36, 36:-36].std() < 0.1 * made.std()  # none larger than that
    assert (made[..., 1:] - made[..., :-1]).std() < made.std()  # nor single pixels


def test_the_exact_texture_has_the_best_of_all_figures(examiner: Examiner, exact: Made) -> None:
    row = examiner.row(exact)
    assert row["share"] > 0.97 and row["psnr_g"] > 28 and row["gcorr"] > 0.9
    assert 0.75 < row["sharp"] < 1.1 and abs(row["jump"]) < 2


def test_a_gain_is_taken_out(examiner: Examiner, exact: Made) -> None:
    dark = exact.texture * exact.texture.new_tensor([0.9, 0.8, 0.95])
    assert examiner.row(_of(exact, dark))["psnr_g"] == pytest.approx(examiner.row(exact)["psnr_g"], abs=0.01)


def test_a_blurred_texture_is_less_sharp(examiner: Examiner, exact: Made) -> None:
    soft = blur(exact.texture.permute(2, 0, 1)[None], 2.0)[0].permute(1, 2, 0)
    best, row = examiner.row(exact), examiner.row(_of(exact, soft))
    assert row["sharp"] < 0.8 * best["sharp"] and row["psnr_g"] < best["psnr_g"] - 2


def test_a_shift_is_undone_before_registered_figures(examiner: Examiner, exact: Made) -> None:
    moved = exact.texture.roll(3, 1)
    best, row = examiner.row(exact), examiner.row(_of(exact, moved))
    assert row["psnr_g"] < best["psnr_g"] - 6
    assert row["psnr_reg"] > row["psnr_g"] + 4 and row["psnr_reg"] > best["psnr_reg"] - 4


def test_ghosts_are_not_undone(examiner: Examiner, exact: Made) -> None:
    moved, twice = exact.texture.roll(4, 1), (exact.texture.roll(4, 1) + exact.texture.roll(-4, 1)) / 2
    one, ghost = examiner.row(_of(exact, moved)), examiner.row(_of(exact, twice))
    assert ghost["gcorr"] < one["gcorr"] - 0.05 and ghost["psnr_reg"] < one["psnr_reg"] - 1


def test_a_jump_is_found_where_views_differ_in_brightness(
    subject: Subject, examiner: Examiner, exact: Made, pictures: tuple[Tensor, Tensor]
) -> None:
    uneven = pictures[0] * torch.linspace(0.8, 1.0, 6)[[0, 3, 1, 4, 2, 5], None, None, None]
    methods = painted.find_methods(torch.device("cpu"))
    same, mean, sharp = (
        examiner.row(methods[name](subject.mesh, views, VIEWS, SIZE))
        for name, views in (("sharp", pictures[0]), ("plain", uneven), ("sharp", uneven))
    )
    assert sharp["jump"] > mean["jump"] + 0.5 and sharp["jump"] > same["jump"] + 1


def test_seams_of_an_uneven_texture_are_seen(examiner: Examiner, exact: Made) -> None:
    ramp = torch.linspace(0.8, 1.0, SIZE)[:, None]
    assert examiner.row(_of(exact, exact.texture * ramp))["uvseam"] > examiner.row(exact)["uvseam"] + 1


def test_splats_carry_colours_to_their_texels(subject: Subject) -> None:
    flat = torch.tensor([0.2, 0.5, 0.8]).expand(6, SIDE, SIDE, 3).contiguous()
    found = splat(subject.mesh, flat, VIEWS, SIZE)
    torch.testing.assert_close(found.filled, flat[0, :1, :1].expand(SIZE, SIZE, 3), rtol=0, atol=1e-5)
    assert 0.7 < found.painted.float().mean() < 1


def test_lagrange_composites_the_right_way_up(
    examiner: Examiner, subject: Subject, pictures: tuple[Tensor, Tensor]
) -> None:
    pytest.importorskip("lagrange.texproc", reason="adobe-lagrange is not installed")
    found = composite(subject.mesh, pictures[0], VIEWS, SIZE)
    row = examiner.row(Made(found.filled, found.painted, subject.mesh))
    assert row["psnr_g"] > 25 and row["gcorr"] > 0.85


@pytest.mark.slow
def test_the_command_gives_the_same_table_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painted, "find_peers", dict)  # they take their time
    command = ["bench", "--quality", "--painted", "--mesh", "torus", "--size", "64", "--painters", "both"]

    def rows() -> list[dict[str, object]]:
        main([*command, "--device", "cpu", "--json"])
        found = json.loads(capsys.readouterr().out)["rows"]
        return [{name: value for name, value in row.items() if name != "seconds"} for row in found]

    once = rows()
    assert once == rows() and {"plain", "match_colors", "splat"} <= {row["method"] for row in once}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--painted"], "--painted: goes with --quality"),
        (["--quality", "--painters", "none"], "--painters: goes with --painted"),
        (
            ["--quality", "--painted", "--painters", "none,rembrandt"],
            "'rembrandt' is none, expected some of none, gain",
        ),
        (["--quality", "--painted", "--size", "8"], "--size: is 8, expected 64 to 8192"),
    ],
)
def test_options_that_do_not_fit_are_named(options: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *options, "--device", "cpu"]) != 0
    assert text in capsys.readouterr().err
