"""What does not fit into memory is refused before it starts, and what is said to be needed is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rasterizer.backends import registry
from rasterizer.backends.interface import Implementation
from rasterizer.backends.kernels import rasterize as kernel_rasterize
from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.mesh import Mesh
from rasterizer.runtime.memory import TooLargeError, is_out_of_memory
from rasterizer.texturing import (
    METHODS,
    bake_views,
    carry_textures,
    fill_texture,
    mesh_images,
    refine_texture,
    uv_layout_image,
)
from rasterizer.texturing.bake import choice, kernels
from rasterizer.texturing.bake.views import bake_need
from rasterizer.texturing.carry import carry_need
from rasterizer.texturing.need import fill_bytes, images_bytes, refine_bytes
from rasterizer.texturing.refine.refine import refine_need
from tests.support.emulator import emulated
from tests.support.measures import peak_memory
from tests.support.paths import ROOT

CPU = torch.device("cpu")
FIXED = fill_bytes(0, 1, "dilate")  # of a texture that has no texel


def sheet(share: float = 1.0, cells: int = 16) -> Mesh:
    """A wavy sheet whose layout covers a share of the texture."""
    line = torch.linspace(0, 1, cells + 1)
    uvs = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2)
    points = torch.cat((uvs * 2 - 1, 0.2 * torch.sin(uvs[:, :1] * 6)), dim=1)
    first = torch.arange(cells * cells) // cells * (cells + 1) + torch.arange(cells * cells) % cells
    corners = [first + offset for offset in (0, 1, cells + 1, 1, cells + 2, cells + 1)]
    return Mesh(points, torch.stack(corners, dim=1).view(-1, 3).int(), uvs=uvs * share**0.5)


def pictures(views: int, side: int, channels: int = 3):
    return torch.rand(views, side, side, channels), [orbit_camera(360 * number / views, 10) for number in range(views)]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch):
    """Sets how many MiB are free."""
    return lambda mib: monkeypatch.setattr("rasterizer.texturing.need.free_memory", lambda device: mib << 20)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first piece of work fails the test."""

    def started(*_: object, **__: object) -> None:
        pytest.fail("the work was begun")

    monkeypatch.setattr("rasterizer.rendering.face_ids.rasterize", started)


class TestRefusal:
    """Before any work."""

    def test_a_bake_that_cannot_fit(self, free, idle) -> None:
        free(5 << 10)
        images, cameras = pictures(6, 64)
        text = r"^texture_size: 16384 x 16384 texels need \d+\.\d GiB of memory on cpu, of which 5\.0 GiB are free; "
        with pytest.raises(ValueError, match=text + r"(\d+) x \1 would fit\.$") as caught:
            bake_views(sheet(), images, cameras, 16384)
        side = int(re.search(r"(\d+) x \d+ would", str(caught.value))[1])
        need = bake_need(images, CPU).bytes
        with_reserve = [need(one**2) * 17 // 16 for one in (side, side + 16)]
        assert with_reserve[0] <= 5 << 30 < with_reserve[1] and side % 16 == 0 and 8192 < side < 16384

    def test_what_is_proposed_is_taken(self, free) -> None:
        free(100)
        images, cameras = pictures(1, 16)
        with pytest.raises(TooLargeError) as caught:
            bake_views(sheet(0.5), images, cameras, (512, 2048))
        assert str(caught.value).startswith("texture_size: 2048 x 512 texels")
        side = int(re.search(r"(\d+) x \d+ would", str(caught.value))[1])
        assert bake_views(sheet(0.5), images, cameras, side).texture.shape == (side, side, 3)

    def test_pictures_that_cannot_fit(self, free) -> None:
        free(70)
        images = torch.zeros(1, 1, 1, 3).expand(6, 4096, 4096, 3)
        with pytest.raises(ValueError, match="^texture_size: .* no size fits: use fewer or smaller images"):
            bake_views(sheet(), images, pictures(6, 1)[1], 64)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_texture_that_cannot_be_filled(self, free, idle, method: str) -> None:
        free(7 << 10)
        texture, painted = torch.zeros(1, 1, 3).expand(16384, 16384, 3), torch.ones(1, 1, dtype=torch.bool)
        with pytest.raises(ValueError, match="^texture: 16384 x 16384 texels need .* 7.0 GiB are free; .* would fit"):
            fill_texture(texture, painted.expand(16384, 16384), sheet(), method)

    def test_textures_that_cannot_be_carried(self, free, idle) -> None:
        free(7 << 10)
        mesh = replace(sheet(), texture=torch.rand(64, 64, 3))
        with pytest.raises(
            ValueError, match="^texture_size: 16384 x 16384 texels need .* 7.0 GiB are free; .* would fit"
        ):
            carry_textures(mesh, sheet(), 16384)

    def test_a_layout_that_covers_little_needs_less(self, free) -> None:
        mesh = replace(sheet(), texture=torch.rand(16, 16, 3))
        free((carry_need(mesh, CPU)(1024**2, 0.2) * 17 // 16 >> 20) + 1)
        assert carry_textures(mesh, sheet(0.19), 1024).texture is not None
        with pytest.raises(TooLargeError):
            carry_textures(mesh, sheet(), 1024)

    def test_faces_are_checked_before_it_is_known_what_they_cover(self, free) -> None:
        free(70)
        images, cameras = pictures(1, 16)
        broken = replace(sheet(), faces=torch.tensor([[0, 1, 10**6]], dtype=torch.int32))
        with pytest.raises(ValueError, match="faces: face 0 is"):
            bake_views(broken, images, cameras, 2048)

    def test_a_graphics_card_gives_way_to_the_cpu(self) -> None:
        assert is_out_of_memory(TooLargeError("")) and issubclass(TooLargeError, ValueError)

    @pytest.mark.slow
    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is of Linux")
    def test_under_a_limit_of_the_process(self) -> None:
        code = """
import resource, torch
from rasterizer.texturing import bake_views
from tests.texturing.test_need import pictures, sheet
resource.setrlimit(resource.RLIMIT_AS, (7 << 30, 7 << 30))
images, cameras = pictures(6, 512)
try:
    bake_views(sheet(), images, cameras, 16384)
except ValueError as error:
    print(error)
"""
        found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert found.stdout.startswith("texture_size: 16384 x 16384 texels need")


@pytest.mark.slow
class TestHonesty:
    """The bytes that are said to be needed, against those that were."""

    @pytest.mark.parametrize(
        ("size", "views", "side", "channels", "share"),
        [
            (1536, 1, 16, 3, 1.0),
            (1536, 1, 16, 6, 1.0),
            (1536, 1, 16, 3, 0.5),
            (1536, 1, 16, 3, 0.1),
            (16, 1, 1536, 3, 1.0),
            (16, 8, 768, 3, 1.0),
            (16, 4, 1024, 6, 1.0),
            (1024, 2, 1024, 3, 1.0),
        ],
    )
    def test_bake(self, size: int, views: int, side: int, channels: int, share: float) -> None:
        images, cameras = pictures(views, side, channels)
        mesh = sheet(share)
        peak = peak_memory(lambda: bake_views(mesh, images, cameras, size))
        need = bake_need(images, CPU).bytes(size**2, share)
        assert 0.4 * (need - FIXED) < peak < need  # threads need not be at their peaks at once

    @pytest.mark.parametrize(
        ("size", "views", "side", "channels", "share"),
        [
            (1536, 1, 16, 3, 1.0),
            (1536, 1, 16, 6, 1.0),
            (1536, 1, 16, 3, 0.1),
            (16, 6, 512, 3, 1.0),
            (16, 2, 1024, 1, 1.0),
            (16, 2, 1024, 7, 1.0),
            (768, 2, 1024, 3, 1.0),
        ],
    )
    def test_bake_by_kernels(
        self, size: int, views: int, side: int, channels: int, share: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images, cameras = pictures(views, side, channels)
        mesh = sheet(share)
        drawing = registry.IMPLEMENTATIONS["rasterize"]
        monkeypatch.setattr(choice, "kernels_work", lambda device: True)
        monkeypatch.setattr(kernel_rasterize, "_kept", {})
        monkeypatch.setattr(registry, "_selected", {})
        monkeypatch.setitem(drawing, "torch", Implementation(kernel_rasterize._run, registry.nothing_against))
        with emulated(kernels.PROGRAM, kernel_rasterize.PROGRAM):
            peak = peak_memory(lambda: bake_views(mesh, images, cameras, size))
            need = bake_need(images, CPU).bytes(size**2, share)
        assert 0.5 * (need - FIXED) < peak < need

    @pytest.mark.parametrize(("views", "side", "size"), [(6, 512, 512), (2, 1024, 512), (24, 256, 256)])
    def test_agree(self, views: int, side: int, size: int) -> None:
        images, cameras = pictures(views, side, 3)
        mesh = sheet()
        peak = peak_memory(lambda: bake_views(mesh, images, cameras, size, match_colors=True, align_views=1))
        need = bake_need(images, CPU, agreeing=True).bytes(size**2)
        assert 0.3 * (need - FIXED) < peak < need

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(("channels", "known"), [(3, 0.05), (3, 0.5), (6, 0.05), (1, 0.5)])
    def test_fill(self, method: str, channels: int, known: float) -> None:
        some = torch.Generator().manual_seed(0)
        texture, painted = (
            torch.rand(1024, 1024, channels, generator=some),
            torch.rand(1024, 1024, generator=some) < known,
        )
        mesh = sheet()
        peak = peak_memory(lambda: fill_texture(texture, painted, mesh, method))
        need = fill_bytes(1024**2, channels, method)
        assert 0.5 * (need - FIXED) < peak < need

    @pytest.mark.parametrize(
        ("old", "new", "share", "names"),
        [
            (64, 1536, 1.0, ["texture"]),
            (64, 1536, 0.3, ["texture"]),
            (1536, 64, 1.0, ["texture"]),
            (1024, 1024, 0.6, ["texture", "metallic_roughness", "normal_map"]),
        ],
    )
    def test_carry(self, old: int, new: int, share: float, names: list[str]) -> None:
        mesh = replace(sheet(), **{name: torch.rand(old, old, 3) for name in names})
        layout = sheet(share)
        peak = peak_memory(lambda: carry_textures(mesh, layout, new))
        need = carry_need(mesh, CPU)(new**2, share)
        assert 0.4 * (need - FIXED) < peak < need

    @pytest.mark.parametrize(("texels", "pixels"), [(1536, 64), (64, 1536), (1024, 1024)])
    def test_images(self, texels: int, pixels: int) -> None:
        mesh = replace(sheet(), texture=torch.rand(texels, texels, 3))
        mesh = replace(mesh, vertex_colors=torch.rand(len(mesh.vertices), 3))

        def take() -> None:
            mesh_images(mesh, pixels)
            uv_layout_image(mesh, pixels)

        need = images_bytes(texels**2, pixels**2)
        assert 0.4 * (need - FIXED) < peak_memory(take) < need

    @pytest.mark.parametrize(
        ("size", "views", "side", "channels"),
        [(1024, 2, 64, 3), (1536, 1, 256, 3), (1024, 2, 512, 6), (64, 6, 384, 3), (512, 3, 512, 3)],
    )
    def test_refine(self, size: int, views: int, side: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
        said = []

        def remember(*numbers: float) -> int:
            said.append(refine_bytes(*numbers))
            return said[-1]

        images, cameras = pictures(views, side, channels)
        mesh = sheet()
        baked = bake_views(mesh, images, cameras, size)
        monkeypatch.setattr("rasterizer.texturing.refine.refine.refine_bytes", remember)
        peak = peak_memory(lambda: refine_texture(mesh, baked.texture, baked.painted, images, cameras, steps=2))
        assert 0.25 * (said[0] - FIXED) < peak < said[0]  # before the first view is drawn, what pixels show is a guess
        asked = refine_need(images, int(baked.painted.sum()))
        assert 0.25 * (asked - FIXED) < peak < asked
