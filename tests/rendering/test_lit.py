"""Lit pictures: energy, directions, materials, edges, and that nothing depends on how the work is cut."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.camera import look_at, orbit_camera
from rasterizer.cameras.views import turntable
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.pictures.colors import srgb_to_linear
from rasterizer.rendering.lit import Environment, Rendered, brdf, frame, prefilter, radiance, render_mesh
from rasterizer.rendering.lit.environment import directions
from rasterizer.rendering.lit.samples import sample_places
from rasterizer.rendering.lit.surface import Surface
from rasterizer.rendering.lit.tone import tone_map
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime.policy import GPU, PORTABLE, DevicePolicy, force_policy

PLAIN = {"tone_mapping": "none", "background_color": (0.0, 0.0, 0.0)}


def ball(rings: int = 32) -> Mesh:
    """A sphere of radius 1 with exact normals, and UVs that run around it as those of a globe do."""
    v, u = torch.meshgrid(torch.linspace(0, 1, rings + 1), torch.linspace(0, 1, 2 * rings + 1), indexing="ij")
    polar, turn = v * math.pi, u * 2 * math.pi
    points = torch.stack((polar.sin() * turn.sin(), polar.cos(), polar.sin() * turn.cos()), -1).view(-1, 3)
    index = torch.arange(len(points), dtype=torch.int32).view(rings + 1, -1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = torch.stack((torch.stack((a, b, c), -1), torch.stack((a, c, d), -1))).view(-1, 3)
    return Mesh(points, faces, uvs=torch.stack((u, v), -1).view(-1, 2), normals=points)


def square() -> Mesh:
    """Two faces that look to +Z, with the whole texture upright on them."""
    x, y = torch.tensor([-1.0, 1.0, 1.0, -1.0]), torch.tensor([-1.0, -1.0, 1.0, 1.0])
    uvs = torch.stack(((x + 1) / 2, (1 - y) / 2), -1)
    return Mesh(torch.stack((x, y, 0 * x), -1), torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32), uvs=uvs)


@pytest.fixture(scope="module")
def white() -> Environment:
    return prefilter(torch.ones(4, 8, 3))


def spot(azimuth: float, elevation: float, height: int = 64) -> Tensor:
    """A panorama that is dark but for 20 degrees around a direction, in azimuths of cameras."""
    a, e = math.radians(azimuth), math.radians(elevation)
    ahead = torch.tensor([math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)])
    near = (directions(height) * ahead[:, None]).sum(0) > math.cos(math.radians(20))
    return near.float().view(height, -1, 1).expand(-1, -1, 3)


def inside(picture: Rendered) -> Tensor:
    """``[P, 3]`` linear light of pixels that the mesh covers wholly."""
    return srgb_to_linear(picture.color[picture.alpha > 0.999])


@pytest.mark.parametrize("roughness", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
def test_white_in_a_white_world_is_white(white: Environment, metallic: float, roughness: float) -> None:
    drawn = render_mesh(ball(), None, (64, 64), environment=white, metallic=metallic, roughness=roughness, **PLAIN)
    light = inside(drawn)
    assert len(light) > 2000
    assert float((light - 1).abs().max()) < 5e-3, "no energy is lost or made, whatever the material"


def test_a_matt_colour_is_itself_in_a_white_world(white: Environment) -> None:
    mesh = replace(ball(), vertex_colors=torch.tensor([0.5, 0.2, 0.05]).expand(len(ball().vertices), 3))
    centre = render_mesh(mesh, None, (65, 65), environment=white, roughness=1.0, **PLAIN).color[0, 32, 32]
    light = srgb_to_linear(centre)
    # f0 of 0.04 is mirrored beside it, and what it takes is scattered less.
    assert torch.allclose(light, torch.tensor([0.5, 0.2, 0.05]), atol=0.03) and bool((light[1:] > 0.05).all())


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (90, 0), (180, 0), (270, 0), (0, 80), (0, -80), (30, 20)])
def test_a_mirror_shows_the_environment_in_its_place(azimuth: int, elevation: int) -> None:
    sun = prefilter(spot(azimuth, elevation))
    # Seen from its own direction, the spot is in the middle of the ball.
    camera = orbit_camera(azimuth, elevation)
    drawn = render_mesh(ball(), [camera], (65, 65), environment=sun, metallic=1.0, roughness=0.0, **PLAIN)
    light = drawn.color[0, ..., 0]
    rows, columns = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    middle = [float((light * axis).sum() / light.sum()) for axis in (rows, columns)]
    assert float(light[32, 32]) > 0.95 and max(map(abs, middle)) < 0.7, middle


def test_a_light_at_the_right_lights_the_right_side() -> None:
    lit = render_mesh(ball(), None, (65, 65), environment=prefilter(spot(90, 0)), roughness=1.0, **PLAIN).color[0]
    assert lit[32, 55, 0] > 0.2 > 0.02 > lit[32, 10, 0], "azimuth 90 is +X, which a front camera sees to its right"
    above = render_mesh(ball(), None, (65, 65), environment=prefilter(spot(0, 89)), roughness=1.0, **PLAIN).color[0]
    assert above[10, 32, 0] > 0.2 > 0.02 > above[55, 32, 0]


def test_the_middle_of_a_panorama_is_at_x_and_rotation_grows_with_azimuths() -> None:
    picture = torch.zeros(64, 128, 3)
    picture[28:36, 60:68] = 1.0
    sun = prefilter(picture)
    for rotation in (0, 90, -120):
        camera = orbit_camera(90 + rotation, 0)
        settings = {"metallic": 1.0, "roughness": 0.0, "environment_rotation": rotation}
        drawn = render_mesh(ball(), [camera], (33, 33), environment=sun, **settings, **PLAIN)
        assert drawn.color[0, 16, 16, 0] > 0.9, rotation
    back = orbit_camera(270, 0, ortho_scale=None, fov=60.0)
    seen = render_mesh(ball(), [replace(back, fov=120.0)], (33, 33), environment=sun, background="environment", **PLAIN)
    assert seen.alpha[0, 0, 0] == 0 and seen.color[0, 0, 0, 0] == 0
    hidden = replace(back, position=(-3.0, 0.0, 0.0))
    small = replace(ball(), vertices=ball().vertices * 0.01 + torch.tensor([0.0, -0.9, 0.0]))
    own = look_at((-3.0, 0.0, 0.0), (0.0, 0.0, 0.0), fov=60.0)
    seen = render_mesh(small, [own], (33, 33), environment=sun, background="environment", **PLAIN)
    assert seen.color[0, 16, 16, 0] > 0.9 and hidden.fov == 60.0, "the background is what lies behind"


def test_right_in_the_picture_is_right_behind_the_mesh() -> None:
    picture = torch.zeros(64, 128, 3)
    picture[:, 68:76] = 1.0  # a little to the right of the middle
    own = look_at((-3.0, 0.0, 0.0), (0.0, 0.0, 0.0), fov=90.0)
    small = replace(ball(), vertices=ball().vertices * 0.01)
    seen = render_mesh(small, [own], (33, 33), environment=prefilter(picture), background="environment", **PLAIN)
    bright = seen.color[0, 8, :, 0]
    assert bright[17:].max() > 0.9 and bright[:16].max() < 0.1, "panoramas are not mirrored"


def test_strength_and_exposure_multiply(white: Environment) -> None:
    def middle(**how: float) -> float:
        drawn = render_mesh(ball(), None, (33, 33), environment=white, **how, **PLAIN)
        return float(srgb_to_linear(drawn.color[0, 16, 16, 0]))

    assert middle(environment_strength=0.25) == pytest.approx(0.25, abs=0.01)
    assert middle(environment_strength=0.25, exposure=1.0) == pytest.approx(0.5, abs=0.01)


def mirrored_by_white_metal(roughness: float, n_v: float) -> float:
    """Of a light from everywhere, by GGX in one bounce: the integral over equal parts of the hemisphere, in float64."""
    side = 1500
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    # Dense where a smooth surface mirrors.
    up, turn = torch.meshgrid(
        middles**3, (middles - 0.5).sign() * (2 * middles - 1).abs() ** 2 * math.pi, indexing="ij"
    )
    weight = torch.outer(3 * middles**2, 4 * math.pi * (2 * middles - 1).abs()) / side**2
    flat = (1 - up * up).sqrt()
    light = torch.stack((flat * turn.cos(), flat * turn.sin(), up))
    v = torch.tensor([-math.sqrt(1 - n_v**2), 0.0, n_v], dtype=torch.float64)[:, None, None]
    h = torch.nn.functional.normalize(v + light, dim=0)
    alpha2 = roughness**4
    spread = h[2] ** 2 * (alpha2 - 1) + 1

    def masking(cosine: Tensor | float) -> Tensor:
        tangent2 = (1 - cosine**2) / cosine**2
        return ((1 + alpha2 * tangent2) ** 0.5 - 1) / 2

    shadowed = 1 / (1 + masking(up) + masking(n_v))
    brdf_value = alpha2 / (math.pi * spread**2) * shadowed / (4 * up * n_v)
    return float((brdf_value * up * weight).sum())


@pytest.mark.parametrize("roughness", [0.3, 0.6, 0.95])
def test_both_kinds_of_light_mirror_what_the_formulas_say(roughness: float) -> None:
    for n_v in (0.2, 0.5, 0.9):
        wanted = mirrored_by_white_metal(roughness, n_v)
        scale, offset = brdf.split_sum(torch.tensor([n_v]), torch.tensor([roughness]))
        assert float(scale + offset) == pytest.approx(wanted, abs=0.02), n_v
        # Over all directions of a light; equal areas of the hemisphere have 2 pi / count each.
        middles = (torch.arange(600) + 0.5) / 600
        up, turn = torch.meshgrid(middles, middles * 2 * math.pi, indexing="ij")
        flat = (1 - up * up).sqrt()
        light = torch.stack((flat * turn.cos(), flat * turn.sin(), up)).flatten(1)
        n = torch.tensor([0.0, 0.0, 1.0])[:, None].expand_as(light)
        v = torch.tensor([math.sqrt(1 - n_v**2), 0.0, n_v])[:, None].expand_as(light)
        ones = torch.ones_like(light)
        metal = brdf.Material(ones, ones[0], torch.full_like(ones[0], roughness))
        returned = float(brdf.reflect_light(metal, n, v, light)[0].mean() * 2)
        assert returned == pytest.approx(wanted, abs=0.02), n_v


def test_the_headlight_shines_on_what_faces_it() -> None:
    drawn = render_mesh(ball(), None, (65, 65), light="headlight", roughness=1.0, **PLAIN)
    light = srgb_to_linear(drawn.color[0, ..., 0])
    assert 0.9 < light[32, 32] < 1.1 and light[32, 32] > 1.5 * light[32, 4]
    whole = drawn.alpha[0] == 1
    inner = light * (whole & whole.flip(0) & whole.flip(1))
    assert torch.allclose(inner, inner.flip(0), atol=0.01) and torch.allclose(inner, inner.flip(1), atol=0.01)


@pytest.mark.parametrize("light", ["studio", "headlight"])
def test_lights_follow_the_camera(light: str) -> None:
    drawn = render_mesh(ball(64), [view.camera() for view in turntable(3)], (48, 48), light=light)
    inside = (drawn.alpha == 1).all(0)
    assert int(inside.sum()) > 500
    assert torch.allclose(drawn.color[0][inside], drawn.color[1][inside], atol=0.02)
    assert torch.allclose(drawn.color[0][inside], drawn.color[2][inside], atol=0.02)


@pytest.mark.parametrize("light", ["studio", "headlight"])
def test_winding_and_missing_attributes_do_not_matter(light: str) -> None:
    mesh = ball(64)
    turned = replace(mesh, faces=mesh.faces.flip(1))
    bare = Mesh(mesh.vertices, mesh.faces.flip(1))
    inward = replace(mesh, normals=-mesh.vertices)
    wanted = render_mesh(mesh, None, (48, 48), light=light)
    for other in (turned, bare, inward):
        drawn = render_mesh(other, None, (48, 48), light=light)
        assert torch.equal(drawn.alpha, wanted.alpha)
        assert torch.allclose(drawn.color, wanted.color, atol=0.03)


def test_flat_shading_has_one_normal_a_face(white: Environment) -> None:
    sun = prefilter(spot(30, 30))
    flat = render_mesh(ball(6), None, (64, 64), environment=sun, shading="flat", roughness=1.0, samples=1, **PLAIN)
    smooth = render_mesh(ball(6), None, (64, 64), environment=sun, roughness=1.0, samples=1, **PLAIN)
    assert len(flat.color.view(-1, 3).unique(dim=0)) < 60 < len(smooth.color.view(-1, 3).unique(dim=0))


def test_base_colour_is_texture_times_vertex_colours(white: Environment) -> None:
    texture = torch.zeros(4, 4, 3)
    texture[:2, :2] = torch.tensor([0.8, 0.4, 0.2])
    mesh = replace(square(), texture=texture, vertex_colors=torch.tensor([0.5, 1.0, 1.0]).expand(4, 3))
    camera = look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=1.0)
    drawn = render_mesh(mesh, [camera], (64, 64), environment=white, roughness=1.0, **PLAIN)
    light = srgb_to_linear(drawn.color[0])
    wanted = srgb_to_linear(torch.tensor([0.8, 0.4, 0.2])) * torch.tensor([0.5, 1.0, 1.0])
    assert torch.allclose(light[16, 16], wanted, atol=0.03)
    assert float(light[48, 48].max()) < 0.06, "the texture's first row is above"


@pytest.mark.parametrize("shading", ["smooth", "flat"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_a_normal_map_tilts_to_where_it_says(mirrored: bool, behind: bool, shading: str) -> None:
    """Red leans along u, green up in the picture, also where the texture is mirrored, seen from behind, or both."""
    mesh = square()
    if mirrored:
        mesh = replace(mesh, uvs=mesh.uvs * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0]))
    half = math.sqrt(0.5)
    camera = look_at((0.0, 0.0, -3.0 if behind else 3.0), (0.0, 0.0, 0.0), half_height=2.0)
    for tilt, azimuth, elevation in (((half, 0.0), 90.0, 0.0), ((0.0, half), 0.0, 89.0)):
        bump = torch.tensor([*tilt, half]) / 2 + 0.5
        bumpy = replace(mesh, normal_map=bump.expand(2, 2, 3))
        # Along u is to the right from the front, to the left where it is mirrored; from behind, normals turn over.
        side = -1.0 if mirrored and azimuth == 90 else 1.0
        side = -side if behind else side
        found = []
        for sign in (1.0, -1.0):
            sun = prefilter(spot(sign * azimuth, sign * elevation))
            drawn = render_mesh(bumpy, [camera], (33, 33), environment=sun, roughness=1.0, shading=shading, **PLAIN)
            found.append(float(srgb_to_linear(drawn.color[0, 16, 16, 0])))
        bright, dark = found if side > 0 else found[::-1]
        assert bright > 5 * dark, (tilt, found)


def test_a_flat_normal_map_changes_nothing() -> None:
    mesh = ball()
    plain = render_mesh(mesh, None, (48, 48))
    mapped = render_mesh(replace(mesh, normal_map=torch.tensor([0.5, 0.5, 1.0]).expand(8, 8, 3)), None, (48, 48))
    assert torch.allclose(plain.color, mapped.color, atol=2e-3)


def test_occlusion_dims_what_comes_from_around(white: Environment) -> None:
    mesh = replace(square(), metallic_roughness=torch.tensor([0.25, 1.0, 0.0]).expand(2, 2, 3))

    def middle(mesh: Mesh) -> float:
        drawn = render_mesh(mesh, None, (17, 17), environment=white, **PLAIN)
        return float(srgb_to_linear(drawn.color[0, 8, 8, 0]))

    assert middle(mesh) == pytest.approx(1.0, abs=0.01), "red means nothing unless it is said to"
    assert middle(replace(mesh, occlusion_in_mr=True)) == pytest.approx(0.25, abs=0.01)


def test_metallic_and_roughness_come_from_the_texture_where_there_is_one() -> None:
    sun = prefilter(spot(0, 0))
    metal = replace(ball(), metallic_roughness=torch.tensor([0.0, 0.0, 1.0]).expand(2, 2, 3))
    by_texture = render_mesh(metal, None, (48, 48), environment=sun, metallic=0.0, roughness=1.0, **PLAIN)
    by_number = render_mesh(ball(), None, (48, 48), environment=sun, metallic=1.0, roughness=0.0, **PLAIN)
    assert torch.allclose(by_texture.color, by_number.color, atol=1e-3)


def test_edges_are_soft_and_lie_where_rasterize_has_them() -> None:
    mesh = sample_mesh("trefoil knot")
    cameras = [orbit_camera(20, 10), orbit_camera(200, -10, ortho_scale=None)]
    hard = rasterize_mesh(mesh, cameras, (96, 80)).mask[:, 0]
    soft = render_mesh(mesh, cameras, (96, 80)).alpha
    assert len(soft.unique()) > 6
    assert float((soft - hard).mean().abs()) < 2e-3, "no shift, no growth"
    assert float(((soft > 0.5) != (hard > 0.5)).float().mean()) < 0.02
    assert torch.equal(render_mesh(mesh, cameras, (96, 80), samples=1).alpha, hard)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13, 64])
def test_samples_lie_evenly_around_the_centre(count: int) -> None:
    places = torch.tensor(sample_places(count))
    assert places.shape == (count, 2) and float(places.abs().max()) < 1.3
    assert torch.allclose(places.mean(0), torch.zeros(2), atol=1e-6)
    if count >= 8:
        assert torch.allclose(places.var(0, unbiased=False), torch.full((2,), 1 / 6), rtol=0.2), "a tent's"


def test_a_transparent_background_keeps_the_colour_of_edges() -> None:
    mesh = replace(ball(), vertex_colors=torch.tensor([1.0, 0.0, 0.0]).expand(len(ball().vertices), 3))
    drawn = render_mesh(mesh, None, (48, 48), background="transparent", roughness=1.0)
    edge = (drawn.alpha > 0.01) & (drawn.alpha < 0.5)
    assert int(edge.sum()) > 50 and float(drawn.color[edge][:, 0].min()) > 0.3, "not mixed with a background"
    assert float(drawn.color[drawn.alpha == 0].abs().max()) == 0
    on_white = render_mesh(mesh, None, (48, 48), background_color=(1.0, 1.0, 1.0), roughness=1.0)
    alpha = drawn.alpha[..., None]
    mixed = srgb_to_linear(drawn.color) * alpha + (1 - alpha)
    assert torch.allclose(mixed, srgb_to_linear(on_white.color), atol=1e-4)


def test_the_background_colour_is_not_tone_mapped() -> None:
    drawn = render_mesh(ball(), None, (32, 32), background_color=(1.0, 0.5, 0.25), exposure=2.0, tone_mapping="aces")
    assert torch.allclose(drawn.color[0, 0, 0], torch.tensor([1.0, 0.5, 0.25]), atol=1e-5)


def test_pictures_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch, white: Environment) -> None:
    mesh = replace(sample_mesh("torus"), normal_map=torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1)))
    whole = render_mesh(mesh, [orbit_camera(30, 20)], (64, 64))
    monkeypatch.setattr(frame, "_CHUNK", 100)
    monkeypatch.setattr(frame, "INTERPOLATED", 777)
    parts = render_mesh(mesh, [orbit_camera(30, 20)], (64, 64))
    assert torch.allclose(whole.color, parts.color, atol=1e-6) and torch.equal(whole.alpha, parts.alpha)


def test_two_samples_in_smooth_places_are_as_good_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = sample_mesh("torus")
    quick = render_mesh(mesh, [orbit_camera(30, 20)], (96, 96))
    monkeypatch.setattr(frame, "_ALIKE", -1.0)
    full = render_mesh(mesh, [orbit_camera(30, 20)], (96, 96))
    assert torch.allclose(quick.alpha, full.alpha, atol=1e-6)
    assert float((quick.color - full.color).abs().max()) < 0.02


def test_fine_textures_do_not_shimmer() -> None:
    """A checker of single texels, far finer than pixels, is an even grey, also when it moves by parts of a pixel."""
    checker = torch.zeros(512, 512, 3)
    checker[::2, ::2] = checker[1::2, 1::2] = 1.0
    camera = look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=1.0)
    moved = look_at((0.007, 0.004, 3.0), (0.007, 0.004, 0.0), half_height=1.0)
    drawn = render_mesh(replace(square(), texture=checker), [camera, moved], (64, 64), light="headlight", roughness=1.0)
    middle = drawn.color[:, 4:-4, 4:-4, 0]
    assert float(middle.amax() - middle.amin()) < 0.03


@pytest.mark.parametrize("policy", [GPU, PORTABLE], ids=["gpu", "portable"])
def test_every_kind_of_device_shows_the_same(policy: DevicePolicy) -> None:
    mesh = replace(sample_mesh("torus"), normal_map=torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1)))
    cameras = [orbit_camera(30, 20, ortho_scale=None)]
    around = {"environment": prefilter(spot(0, 40)), "background": "environment"}
    for how in ({}, around):
        wanted = render_mesh(mesh, cameras, (64, 48), **how)
        with force_policy(policy):
            drawn = render_mesh(mesh, cameras, (64, 48), **how)
        assert torch.allclose(drawn.color, wanted.color, atol=1e-5) and torch.equal(drawn.alpha, wanted.alpha)


def test_odd_textures_are_looked_up_too(white: Environment) -> None:
    texture = torch.full((37, 101, 3), 0.5)
    drawn = render_mesh(replace(square(), texture=texture), None, (16, 16), environment=white, roughness=1.0, **PLAIN)
    assert torch.allclose(inside(drawn), srgb_to_linear(torch.tensor(0.5)).expand(1, 3), atol=0.03)


def test_what_is_not_finite_leaves_no_holes() -> None:
    mesh = sample_mesh("torus")
    uvs, normals = mesh.uvs.clone(), mesh.normals.clone()
    uvs[::50], normals[::70], normals[::110] = math.nan, 0.0, math.nan
    bumps = torch.zeros(16, 16, 3)
    drawn = render_mesh(replace(mesh, uvs=uvs, normals=normals, normal_map=bumps), None, (64, 64))
    assert bool(torch.isfinite(drawn.color).all()) and float(drawn.color.min()) >= 0 and float(drawn.color.max()) <= 1
    wild = torch.rand(16, 32, 3)
    wild[0, 0], wild[3, 3], wild[5, 5] = math.inf, math.nan, -1.0
    lit = render_mesh(mesh, None, (64, 64), environment=prefilter(wild), background="environment")
    assert bool(torch.isfinite(lit.color).all())


def test_neutral_keeps_colours_and_compresses_what_is_bright() -> None:
    grey = torch.linspace(0.1, 0.79, 20).expand(3, -1)
    assert torch.allclose(tone_map(grey, "neutral"), grey - 0.04, atol=1e-6), "of light with no more than 0.8"
    bright = tone_map(torch.linspace(0.0, 1000.0, 5000).expand(3, -1), "neutral")[0]
    assert bool((bright.diff() > -1e-6).all()) and 0.99 < bright[-1] <= 1.0
    # The sample of the specification's own text: saturated light above the range turns white slowly.
    red = tone_map(torch.tensor([[4.0], [0.0], [0.0]]), "neutral")[:, 0]
    assert red[0] > 0.95 and 0.05 < red[1] < 0.5


@pytest.mark.parametrize("how", ["neutral", "aces", "none"])
def test_the_brightest_light_is_white(how: str) -> None:
    assert torch.allclose(tone_map(torch.full((3, 1), 1e30), how).clamp(0, 1), torch.ones(3, 1), atol=1e-3)


@pytest.mark.parametrize("how", ["neutral", "aces", "none"])
def test_black_stays_black(how: str) -> None:
    assert float(tone_map(torch.zeros(3, 1), how).abs().max()) < 1e-6


def test_codes_and_light_are_told_apart() -> None:
    picture = torch.full((2, 4, 3), 0.5)
    assert torch.allclose(radiance(picture), srgb_to_linear(picture))
    assert torch.equal(radiance(picture, "linear"), picture)
    picture[0, 0] = 8.0
    assert torch.equal(radiance(picture), picture)


def test_a_small_sun_leaves_no_speckles() -> None:
    picture = torch.full((512, 1024, 3), 0.1)
    picture[200:203, 500:503] = 20000.0
    sun = prefilter(picture)
    for number, level in ((number, sun.mirrored.level(number)) for number in range(2, 5)):
        across = level[..., 0].log()
        step = max(float(across.diff(dim=0).abs().max()), float(across.diff(dim=1).abs().max()))
        assert step < 4.0, f"level {number} falls off evenly"


def test_views_of_a_turntable(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    views = [view.camera() for view in turntable(5)]
    drawn = render_mesh(sample_mesh("torus"), views, (24, 40), on_progress=seen.append)
    assert drawn.color.shape == (5, 24, 40, 3) and drawn.alpha.shape == (5, 24, 40)
    assert seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1
    alone = render_mesh(sample_mesh("torus"), views[3:4], (24, 40))
    assert torch.equal(alone.color[0], drawn.color[3])


def test_a_stop_is_answered() -> None:
    calls: list[float] = []

    def stop(share: float) -> None:
        calls.append(share)
        if len(calls) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_mesh(sample_mesh("torus"), None, (32, 32), on_progress=stop)
    with pytest.raises(KeyboardInterrupt):
        prefilter(torch.ones(2, 4, 3), on_progress=stop_at_once)


def stop_at_once(share: float) -> None:
    raise KeyboardInterrupt


def test_a_mesh_that_wants_gradients_is_drawn_without() -> None:
    mesh = sample_mesh("torus")
    wanting = replace(mesh, vertices=mesh.vertices.clone().requires_grad_())
    drawn = render_mesh(wanting, None, (32, 32))
    assert not drawn.color.requires_grad and torch.equal(drawn.color, render_mesh(mesh, None, (32, 32)).color)


def test_inputs_are_not_changed() -> None:
    mesh = sample_mesh("torus")
    mesh = replace(mesh, normal_map=torch.rand(8, 8, 3), metallic_roughness=torch.rand(8, 8, 3))
    before = [value.clone() for value in vars(mesh).values() if isinstance(value, Tensor)]
    render_mesh(mesh, None, (32, 32))
    after = [value for value in vars(mesh).values() if isinstance(value, Tensor)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_tangents_stay_apart_where_a_texture_is_mirrored() -> None:
    """Both halves share the vertices of the line about which the texture is mirrored."""
    points = torch.tensor([[-1.0, -1, 0], [0, -1, 0], [1, -1, 0], [1, 1, 0], [0, 1, 0], [-1, 1, 0]])
    uvs = torch.tensor([[1.0, 1], [0, 1], [1, 1], [1, 0], [0, 0], [1, 0]])
    faces = torch.tensor([[0, 1, 4], [0, 4, 5], [1, 2, 3], [1, 3, 4]], dtype=torch.int32)
    mesh = Mesh(points, faces, uvs=uvs, normal_map=torch.zeros(1, 1, 3))
    surface = Surface.of(mesh, False, 0.0, 0.5)
    assert surface.mirrored.tolist() == [True, True, False, False]
    assert torch.allclose(surface.tangents[[1, 4]], torch.tensor([1.0, 0, 0]).expand(2, 3), atol=1e-6)
    assert torch.allclose(surface.tangents[[7, 10]], torch.tensor([-1.0, 0, 0]).expand(2, 3), atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"light": "sun"}, "^light: "),
        ({"tone_mapping": "agx"}, "^tone_mapping: "),
        ({"background": "sky"}, "^background: "),
        ({"background": "environment"}, "^background: is 'environment' but there is none"),
        ({"shading": "toon"}, "^shading: "),
        ({"samples": 0}, "^samples: "),
        ({"samples": 65}, "^samples: "),
        ({"metallic": 1.5}, "^metallic: is 1.5, expected at least 0 and at most 1"),
        ({"roughness": math.nan}, "^roughness: is nan"),
        ({"exposure": math.inf}, "^exposure: is inf"),
        ({"environment_strength": -1.0}, "^environment_strength: is -1.0"),
    ],
)
def test_bad_arguments_are_named(inputs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_mesh(sample_mesh("torus"), None, (8, 8), **inputs)
    with pytest.raises(ValueError, match="^mesh: has no vertices and no faces"):
        render_mesh(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32)))
    with pytest.raises(ValueError, match=r"^environment: found \[4, 8\]"):
        radiance(torch.zeros(4, 8))


def test_it_reports_while_textures_are_prepared_and_backgrounds_drawn(
    monkeypatch: pytest.MonkeyPatch, white: Environment
) -> None:
    monkeypatch.setattr(frame, "_CHUNK", 64)

    def told(rows: int, background: str) -> list[float]:
        shares: list[float] = []
        mesh = replace(square(), texture=torch.ones(rows, 2, 3))
        how = {"environment": white, "background": background, "samples": 1, "on_progress": shares.append}
        render_mesh(mesh, None, (64, 64), **how)
        assert shares == sorted(shares) and shares[-1] <= 1
        return shares

    few = told(2, "color")
    assert told(1024, "color").count(0.0) >= few.count(0.0) + 3
    assert len(told(2, "environment")) >= len(few) + 64
