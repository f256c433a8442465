"""The texturing nodes, called as ComfyUI calls them."""

from __future__ import annotations

import copy
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

SIZE = 48
CAMERAS = {
    "preset": "hunyuan3d-2",
    "azimuths": "",
    "elevations": "",
    "weights": "",
    "views": 6,
    "projection": "orthographic",
    "ortho_scale": 1.2,
    "distance": 1.45,
    "fov": 49.13,
}


def run(pack: SimpleNamespace, node: str, **inputs: Any) -> tuple[Any, ...]:
    """Outputs of a node."""
    return pack.nodes[node].execute(**inputs).args


def cameras(pack: SimpleNamespace, **inputs: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Outputs of Camera Views."""
    return run(pack, "Cameras", **{**CAMERAS, **inputs})


@pytest.fixture
def torus(pack: SimpleNamespace, folders: SimpleNamespace) -> Any:
    """The torus sample as MESH."""
    return run(pack, "LoadMesh", mesh_file="sample: torus")[0]


@pytest.fixture
def stopped(pack: SimpleNamespace) -> Any:
    """The user has pressed stop."""
    pack.management.interrupt_current_processing(True)
    yield pack.management.InterruptProcessingException
    pack.management.interrupt_current_processing(False)


class TestCameras:
    """The list, and what becomes of it."""

    @pytest.mark.parametrize("preset", ["hunyuan3d-2", "hunyuan3d-2.1"])
    def test_presets_come_back_bit_for_bit(self, pack: SimpleNamespace, preset: str) -> None:
        listed, hunyuan = cameras(pack, preset=preset)
        orbit = pack.cameras.orbit_camera
        places = zip([0, 90, 180, 270, 0, 180], [0, 0, 0, 0, 90, -90], [1, 0.1, 0.5, 0.1, 0.05, 0.05], strict=True)
        want = [orbit(a, e, 1.45, ortho_scale=1.2, weight=w) for a, e, w in places]
        assert pack.border.read_cameras(listed) == want
        assert pack.border.read_cameras(json.loads(json.dumps(listed))) == want
        assert pack.border.read_cameras(hunyuan) == want

    def test_hunyuan3d_dict(self, pack: SimpleNamespace) -> None:
        hunyuan = cameras(pack)[1]
        assert hunyuan == {
            "selected_camera_azims": [0, 90, 180, 270, 0, 180],
            "selected_camera_elevs": [0, 0, 0, 0, 90, -90],
            "selected_view_weights": [1.0, 0.1, 0.5, 0.1, 0.05, 0.05],
            "camera_distance": 1.45,
            "ortho_scale": 1.2,
        }
        # The packs look angles up in tables, and floats are not in them.
        for key in ("selected_camera_azims", "selected_camera_elevs"):
            assert all(type(angle) is int for angle in hunyuan[key])
        assert cameras(pack, preset="turntable", views=7)[1]["selected_camera_azims"][1] == pytest.approx(360 / 7)
        assert cameras(pack, projection="perspective")[1]["ortho_scale"] == 1.2

    @pytest.mark.parametrize("projection", ["orthographic", "perspective"])
    def test_turntable_and_custom(self, pack: SimpleNamespace, projection: str) -> None:
        lens = {"projection": projection, "distance": 2.0, "ortho_scale": 1.4, "fov": 35.0}
        scale = 1.4 if projection == "orthographic" else None
        orbit = pack.cameras.orbit_camera
        listed = cameras(pack, preset="turntable", views=5, **lens)[0]
        want = [orbit(72 * number, 0, 2.0, ortho_scale=scale, fov=35.0) for number in range(5)]
        assert pack.border.read_cameras(listed) == want
        listed = cameras(pack, preset="custom", azimuths="10, 33.3", elevations="-20, 90", weights="0.25", **lens)[0]
        want = [orbit(a, e, 2.0, ortho_scale=scale, fov=35.0, weight=0.25) for a, e in ((10, -20), (33.3, 90))]
        assert pack.border.read_cameras(listed) == want

    @pytest.mark.parametrize("projection", ["orthographic", "perspective"])
    def test_who_does_not_know_our_key_sees_the_same_cameras(self, pack: SimpleNamespace, projection: str) -> None:
        listed, _ = cameras(
            pack,
            preset="custom",
            azimuths="0,90,200,0,180",
            elevations="0,0,33,90,-90",
            weights="1",
            projection=projection,
        )
        ours = pack.border.read_cameras(listed)
        plain = [{key: part for key, part in item.items() if not key.startswith("torch")} for item in listed]
        for seen, camera in zip(pack.border.read_cameras(plain), ours, strict=True):
            assert not seen.normalized
            for name in ("position", "right", "up", "forward"):
                assert getattr(seen, name) == pytest.approx(getattr(camera, name), abs=1e-12)
            assert seen.half_height == (None if projection == "perspective" else pytest.approx(0.6))
            if projection == "perspective":
                assert seen.fov == pytest.approx(49.13)

    def test_rendering_with_a_mesh_around_which_they_stand(self, pack: SimpleNamespace, torus: Any) -> None:
        moved = copy.copy(torus)
        moved.vertices = torus.vertices * 40 + torch.tensor([3.0, -70.0, 8.0])
        listed, _ = cameras(pack, mesh=moved)
        assert pack.border.read_cameras(listed) == pack.border.read_cameras(cameras(pack)[0])
        for item in listed:
            del item["torch_raster_view"]
        ours = run(pack, "RenderMaps", mesh=moved, cameras=cameras(pack)[0], size=SIZE, style="hunyuan3d-2")
        comfy = run(pack, "RenderMaps", mesh=moved, cameras=listed, size=SIZE, style="hunyuan3d-2")
        assert 0.05 < ours[3].mean() < 0.9
        assert (ours[3] != comfy[3]).float().mean() < 2e-3

    def test_what_another_node_has_changed_counts(self, pack: SimpleNamespace) -> None:
        listed, _ = cameras(pack)
        listed[1] = {**listed[1], "zoom": 2.0}
        listed[2] = {**listed[2], "position": {"x": 0.0, "y": 0.0, "z": -9.0}}
        seen = pack.border.read_cameras(listed)
        assert seen[0] == pack.cameras.orbit_camera(0, 0)
        assert seen[1].half_height == pytest.approx(0.3)
        assert seen[2].position == (0, 0, -9)
        assert [camera.weight for camera in seen] == [1, 0.1, 0.5, 0.1, 0.05, 0.05]
        assert all(camera.normalized for camera in seen)

    @pytest.mark.parametrize("mark", [None, 5, {}, {"azimuth": "north"}, {"centre": [0, 0, 0], "scale": 0}])
    def test_damaged_key_is_named(self, pack: SimpleNamespace, mark: Any) -> None:
        listed, _ = cameras(pack)
        listed[3] = {**listed[3], "torch_raster_view": mark}
        with pytest.raises(ValueError, match="^cameras 3: torch_raster_view is .*expected what Camera Views makes"):
            pack.border.read_cameras(listed)

    def test_a_mixed_list(self, pack: SimpleNamespace) -> None:
        comfy = {"position": {"x": 0, "y": 0, "z": 4}, "target": {"x": 0, "y": 0, "z": 0}}
        seen = pack.border.read_cameras([comfy, *cameras(pack)[0]])
        assert [camera.normalized for camera in seen] == [False] + 6 * [True]

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            (
                {"preset": "hunyuan3d-9"},
                "preset: is 'hunyuan3d-9', expected one of hunyuan3d-2, hunyuan3d-2.1",
            ),
            ({"projection": "isometric"}, "projection: is 'isometric', expected one of orthographic, perspective"),
            ({"preset": "turntable", "views": 0}, "views: is 0, expected a whole number from 1 to 360"),
            (
                {"preset": "custom", "azimuths": "front", "elevations": "0", "weights": "1"},
                "azimuths: has 'front' in 'front', expected numbers with commas between",
            ),
            ({"distance": -1.0}, "distance: is -1.0, expected a number above 0"),
        ],
    )
    def test_complaints(self, pack: SimpleNamespace, inputs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            cameras(pack, **inputs)


class TestRenderMaps:
    """Maps: how many, in which order."""

    def test_shapes_and_order(self, pack: SimpleNamespace, torus: Any) -> None:
        knot = run(pack, "LoadMesh", mesh_file="sample: trefoil knot")[0]
        batch = SimpleNamespace(vertices=[torus.vertices[0], knot.vertices[0]], faces=[torus.faces[0], knot.faces[0]])
        views = cameras(pack)[0]
        outputs = run(pack, "RenderMaps", mesh=batch, cameras=views, size=SIZE, style="hunyuan3d-2.1")
        assert [tuple(output.shape) for output in outputs] == 3 * [(12, SIZE, SIZE, 3)] + [(12, SIZE, SIZE)]
        assert all(output.dtype == torch.float32 and output.is_contiguous() for output in outputs)
        for number, single in enumerate((torus, knot)):
            alone = run(pack, "RenderMaps", mesh=single, cameras=views, size=SIZE, style="hunyuan3d-2.1")
            for output, part in zip(outputs, alone, strict=True):
                assert torch.equal(output[6 * number : 6 * number + 6], part)

    def test_every_camera_socket(self, pack: SimpleNamespace, torus: Any) -> None:
        listed, hunyuan = cameras(pack)
        first = run(pack, "RenderMaps", mesh=torus, cameras=listed, size=SIZE, style="hunyuan3d-2")
        second = run(pack, "RenderMaps", mesh=torus, cameras=hunyuan, size=SIZE, style="hunyuan3d-2")
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    def test_stop_is_passed_on(self, pack: SimpleNamespace, torus: Any, stopped: type[Exception]) -> None:
        with pytest.raises(stopped):
            run(pack, "RenderMaps", mesh=torus, cameras=None, size=SIZE, style="hunyuan3d-2")
