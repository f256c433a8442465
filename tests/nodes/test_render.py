"""Render Mesh: its outputs, what it shows, batches, panoramas, stops and bad input."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from tests.support.pack import CAMERAS, run

RENDER = {
    "width": 40,
    "height": 32,
    "light": "studio",
    "exposure": 0.0,
    "tone_mapping": "neutral",
    "background": "color",
    "background_color": "#ffffff",
    "shading": "smooth",
    "metallic": 0.0,
    "roughness": 0.5,
    "samples": 4,
}


def render(pack: SimpleNamespace, mesh: Any, **inputs: Any) -> tuple[Any, ...]:
    return run(pack, "Render", mesh=mesh, **{**RENDER, **inputs})


def test_frames_of_a_turntable(pack: SimpleNamespace, torus: Any) -> None:
    cameras, hy3d = run(pack, "Cameras", **CAMERAS | {"preset": "turntable", "views": 5})
    images, masks = render(pack, torus, cameras=cameras)
    assert images.shape == (5, 32, 40, 3) and masks.shape == (5, 32, 40)
    assert images.dtype == masks.dtype == torch.float32 and images.is_contiguous()
    assert float(images.min()) >= 0 and float(images.max()) <= 1 and len(masks.unique()) > 3
    assert torch.equal(render(pack, torus, cameras=hy3d)[0], images)
    front, mask = render(pack, torus)
    assert torch.equal(front[0], images[0]) and torch.equal(mask[0], masks[0]), "the turntable starts in front"


def test_transparent_pictures_have_alpha(pack: SimpleNamespace, torus: Any) -> None:
    images, masks = render(pack, torus, background="transparent")
    assert images.shape == (1, 32, 40, 4) and torch.equal(images[..., 3], masks)
    assert float(images[0, 0, 0].abs().max()) == 0


def test_a_batch_of_meshes_mesh_by_mesh(pack: SimpleNamespace, torus: Any) -> None:
    knot = run(pack, "LoadMesh", mesh_file="sample: trefoil knot")[0]
    meshes = [pack.border.read_meshes(mesh)[0] for mesh in (torus, knot)]
    cameras = run(pack, "Cameras", **CAMERAS | {"preset": "turntable", "views": 2})[0]
    images, _ = render(pack, pack.border.write_mesh(*meshes), cameras=cameras)
    for number, mesh in enumerate((torus, knot)):
        assert torch.equal(images[2 * number : 2 * number + 2], render(pack, mesh, cameras=cameras)[0])


def test_a_panorama_lights_and_lies_behind(pack: SimpleNamespace, torus: Any) -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).expand(1, 16, 32, 3)
    images, masks = render(pack, torus, environment=red, background="environment")
    assert float(images[..., 1:].max()) < float(images[..., 0].min()), "all there is to see is red"
    bright, _ = render(pack, torus, environment=red, environment_strength=2.0, tone_mapping="none")
    dark, _ = render(pack, torus, environment=red, environment_strength=0.1, tone_mapping="none")
    assert float(bright[masks == 1][:, 0].mean()) > 2 * float(dark[masks == 1][:, 0].mean())
    half = torch.full((1, 8, 16, 4), 0.5)
    coded, linear = (render(pack, torus, environment=half, environment_encoding=kind)[0] for kind in ("auto", "linear"))
    assert float(linear[masks == 1].mean()) > float(coded[masks == 1].mean())


def test_a_plain_mesh_is_white(pack: SimpleNamespace, torus: Any) -> None:
    vertices, faces = torus.vertices, torus.faces
    plain = pack.border.write_mesh(pack.mesh.Mesh(vertices[0], faces[0].to(torch.int32)))
    images, masks = render(pack, plain)
    shown = images[masks == 1]
    assert float(shown.mean()) > 0.6 and float((shown.amax(-1) - shown.amin(-1)).max()) < 0.01
    metal, _ = render(pack, plain, metallic=1.0, roughness=0.1)
    assert float(metal[masks == 1].std()) > float(shown.std())


def test_pictures_are_shown_where_somebody_looks(
    pack: SimpleNamespace, folders: SimpleNamespace, torus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pack.nodes["Render"].execute(mesh=torus, **RENDER).ui is None
    monkeypatch.setattr(pack.compat, "somebody_watches", lambda: True)
    found = pack.nodes["Render"].execute(mesh=torus, **RENDER | {"background": "transparent"}).ui["images"]
    (entry,) = found
    picture = Image.open(Path(folders.temp, entry["subfolder"], entry["filename"]))
    assert picture.size == (40, 32) and picture.mode == "RGBA"


def test_results_are_where_comfyui_wants_them(
    pack: SimpleNamespace, torus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.management, "intermediate_device", lambda: torch.device("meta"))
    assert {tensor.device.type for tensor in render(pack, torus)} == {"meta"}


def test_comfyui_is_asked_for_memory(pack: SimpleNamespace, torus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class EnoughError(Exception):
        pass

    def free(need: int, device: torch.device) -> None:
        asked.append(need)
        raise EnoughError

    monkeypatch.setattr(pack.management, "get_torch_device", lambda: torch.device("meta"))
    monkeypatch.setattr(pack.management, "free_memory", free)
    for side in (1024, 2048):
        with pytest.raises(EnoughError):
            render(pack, torus, width=side, height=side)
    assert 1 << 28 < asked[0] < asked[1] < 1 << 33


def test_a_stop_is_answered_between_samples(pack: SimpleNamespace, torus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def interrupted() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(pack.management, "throw_exception_if_processing_interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render(pack, torus)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"light": "sun"}, "^light: "),
        ({"tone_mapping": "filmic"}, "^tone_mapping: "),
        ({"background": "environment"}, "^background: is 'environment' but nothing is connected to environment"),
        ({"background_color": "grassy"}, "^background_color: is 'grassy'"),
        ({"environment": torch.zeros(2, 8, 16, 3)}, r"^environment: found \[2, 8, 16, 3\], expected one picture"),
        ({"environment": torch.zeros(8, 16, 3)}, r"^environment: found \[8, 16, 3\]"),
        ({"environment": torch.zeros(1, 8, 16, 3), "environment_encoding": "log"}, "^environment_encoding: "),
        ({"samples": 0}, "^samples: "),
        ({"cameras": []}, "^cameras: is list"),
    ],
)
def test_bad_input_is_named(pack: SimpleNamespace, torus: Any, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(pack, torus, **inputs)
