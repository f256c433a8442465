"""The panels of the nodes under the pointer, and what Camera Views shows, in the real frontend."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import EXAMPLES

EXAMPLE = EXAMPLES / "01_rasterize_and_inspect.json"
LISTS = ["azimuths", "elevations", "weights"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class TestCameraViews:
    """The picture of the cameras, and the settings that do nothing."""

    @pytest.fixture
    def node(self, frontend: Any) -> int:
        """Camera Views as it comes."""
        frontend.clear()
        number = frontend.add("TorchRasterCameras", 100, 100)
        # Some frontends give a new node what a node of this id had in the graph before.
        defaults = {"azimuths": "0, 90", "elevations": "0", "weights": "1", "views": 6, "extra_views": 0}
        frontend.set(number, preset="hunyuan3d-2", projection="orthographic", **defaults)
        frontend.center(number)
        return number

    def grey(self, frontend: Any, node: int) -> list[str]:
        """Widgets that cannot be changed, as the page shows them with Nodes 2.0."""
        frontend.page.wait_for_timeout(500)
        script = "(id) => app.graph.getNodeById(id).widgets.filter((w) => w.disabled).map((w) => w.name)"
        names = frontend.page.evaluate(script, node)
        if frontend.nodes_2:
            box = frontend.page.locator(f'[data-node-id="{node}"]')
            script = "(all) => all.filter((e) => e.disabled).map((e) => e.value)"
            values = box.locator("input").evaluate_all(script)
            script = """([id, names]) => names.map((name) =>
                app.graph.getNodeById(id).widgets.find((w) => w.name === name).value)"""
            wanted = frontend.page.evaluate(script, [node, names])
            assert [number_or_text(value) for value in values] == [number_or_text(value) for value in wanted]
        return names

    def test_follows_the_widgets(self, frontend: Any, node: int) -> None:
        found = frontend.panel(node, "camera-views").locator("svg")

        def cameras(**values: Any) -> int:
            frontend.set(node, **values)
            frontend.shot(f"cameras_{values.get('preset', 'default')}")
            return int(found.get_attribute("data-cameras"))

        assert cameras() == 6
        assert cameras(preset="turntable", views=9) == 9
        assert cameras(preset="custom", azimuths="0, 45, 200", elevations="10", weights="1") == 3
        assert cameras(preset="custom", elevations="10, 20") == 0
        assert cameras(preset="custom", elevations="10, x, 3") == 0

    def test_what_does_nothing_is_grey(self, frontend: Any, node: int) -> None:
        assert self.grey(frontend, node) == [*LISTS, "views", "fov", "extra_views"]
        frontend.shot("cameras_grey")
        frontend.set(node, preset="custom", projection="perspective")
        assert self.grey(frontend, node) == ["views", "ortho_scale", "extra_views"]
        frontend.set(node, preset="turntable")
        assert self.grey(frontend, node) == [*LISTS, "ortho_scale", "extra_views"]
        mesh = frontend.add("TorchRasterLoadMesh", 600, 100)
        frontend.connect(mesh, 0, node, "mesh")
        assert self.grey(frontend, node) == [*LISTS, "ortho_scale"]

    def test_what_comes_by_a_link_is_not_taken_for_the_widget(self, frontend: Any, node: int) -> None:
        other = frontend.add("PrimitiveNode", 600, 100)
        frontend.connect(other, 0, node, "preset")
        assert not {*LISTS, "views"} & set(self.grey(frontend, node))

    def test_saved_and_sent_as_ever(self, frontend: Any, node: int) -> None:
        frontend.set(node, preset="custom", azimuths="0, 45", projection="perspective", fov=30)
        frontend.set(node, preset="turntable", views=3, projection="orthographic")
        values = ["turntable", "0, 45", "0", "1", 3, "orthographic", 1.2, 1.45, 30, 0]
        saved = frontend.page.evaluate("app.graph.serialize()")
        assert saved["nodes"][0]["widgets_values"][:10] == values
        frontend.load(saved, "grey")
        assert self.grey(frontend, node) == [*LISTS, "fov", "extra_views"]
        views = frontend.add("TorchRasterPicturesToViews", 600, 0)
        frontend.connect(node, 0, views, "cameras")
        prompt = frontend.page.evaluate("app.graphToPrompt().then(({ output }) => output)")
        sent = prompt[str(node)]["inputs"]
        assert [sent[name] for name in ("preset", *LISTS, "views", "projection")] == values[:6]

    def test_shows_what_they_see_and_those_added(self, frontend: Any, node: int) -> None:
        mesh, maps = frontend.add("TorchRasterLoadMesh", 600, 100), frontend.add("TorchRasterRenderMaps", 600, 400)
        shown = frontend.add("PreviewImage", 1000, 400)
        frontend.set(mesh, mesh_file="sample: torus")
        frontend.set(maps, size=32)
        frontend.set(node, preset="custom", azimuths="0", elevations="0", weights="1", extra_views=2)
        for source, output, target, name in (
            (mesh, 0, node, "mesh"),
            (mesh, 0, maps, "mesh"),
            (node, 0, maps, "cameras"),
            (maps, 0, shown, "images"),
        ):
            frontend.connect(source, output, target, name)
        frontend.page.wait_for_timeout(300)
        found = frontend.panel(node, "camera-views")
        assert "up to 2 more" in found.inner_text() and found.locator("img").count() == 0
        assert frontend.run() == "success"
        frontend.center(node)
        frontend.shot("cameras_seen")
        added = int(found.locator("svg").get_attribute("data-added"))
        assert added in (1, 2) and f"{added} of them added" in found.inner_text()
        assert found.locator("img").count() == 1 + added
        assert found.locator("img").evaluate_all("(all) => all.map((i) => i.naturalWidth)") == [128] * (1 + added)
        assert found.locator("figure.added").count() == added
        # To the end of the last one, within the panel.
        inside = found.evaluate("(e) => e.lastChild.getBoundingClientRect().bottom <= e.getBoundingClientRect().bottom")
        assert inside
        frontend.set(node, azimuths="90")  # no longer those of the run
        assert found.locator("img").count() == 0
        frontend.set(node, azimuths="0")
        assert found.locator("img").count() == 1 + added


def number_or_text(value: Any) -> Any:
    """What stands in a field as the widget has it."""
    try:
        return float(value)
    except ValueError:
        return value


class TestPointer:
    """Over a panel the pointer does what it does beside it."""

    @pytest.fixture
    def inspector(self, frontend: Any) -> int:
        """Rasterize after a run."""
        workflow = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        frontend.load(workflow, "pointer")
        assert frontend.run() == "success"
        return next(node["id"] for node in workflow["nodes"] if node["type"] == "TorchRasterRasterize")

    def over(self, frontend: Any, node: int) -> tuple[float, float]:
        """Put the pointer over the picture."""
        frontend.center(node)
        box = frontend.panel(node, "inspector").locator("canvas").bounding_box()
        at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        frontend.page.mouse.move(*at)
        return at

    def place(self, frontend: Any) -> list[float]:
        frontend.page.wait_for_timeout(400)
        return frontend.page.evaluate("[app.canvas.ds.scale, ...app.canvas.ds.offset]")

    def test_the_wheel_zooms(self, frontend: Any, inspector: int) -> None:
        self.over(frontend, inspector)
        before = self.place(frontend)
        frontend.page.mouse.wheel(0, -120)
        assert self.place(frontend)[0] > before[0]

    def test_the_wheel_scrolls_what_is_longer(self, frontend: Any, inspector: int) -> None:
        nodes = json.loads(EXAMPLE.read_text(encoding="utf-8"))["nodes"]
        node = next(node["id"] for node in nodes if node["type"] == "TorchRasterBackendInfo")
        found = frontend.panel(node, "backend-info")
        found.locator(".scroll").evaluate("(e) => { e.style.flex = 'none'; e.style.height = '60px'; }")
        frontend.center(node)
        box = found.locator(".scroll").bounding_box()
        frontend.page.mouse.click(box["x"] + 30, box["y"] + 30)
        before = self.place(frontend)
        frontend.page.mouse.wheel(0, 40)
        assert self.place(frontend) == before
        assert found.locator(".scroll").evaluate("(e) => e.scrollTop") > 0

    def test_the_middle_button_moves_the_canvas(self, frontend: Any, inspector: int) -> None:
        x, y = self.over(frontend, inspector)
        _, left, top = self.place(frontend)
        frontend.page.mouse.down(button="middle")
        frontend.page.mouse.move(x + 40, y + 30, steps=5)
        frontend.page.mouse.up(button="middle")
        assert self.place(frontend)[1:] == pytest.approx([left + 40, top + 30], abs=1)
        frontend.page.mouse.move(x, y)
        assert self.place(frontend)[1:] == pytest.approx([left + 40, top + 30], abs=1), "it was not let go"

    def test_the_right_button_opens_the_nodes_menu(self, frontend: Any, inspector: int) -> None:
        frontend.page.mouse.click(*self.over(frontend, inspector), button="right")
        bypass = frontend.page.get_by_text("Bypass", exact=True).locator("visible=true")
        bypass.first.wait_for()
        frontend.shot("menu")
        bypass.first.click()
        script = "(id) => app.graph.getNodeById(id).mode"
        assert frontend.page.evaluate(script, inspector) == 4, "it was another node's"
        frontend.page.evaluate("(id) => { app.graph.getNodeById(id).mode = 0; }", inspector)

    def test_over_the_whole_window_and_back(self, frontend: Any, inspector: int) -> None:
        self.over(frontend, inspector)
        found = frontend.panel(inspector, "inspector")
        small = found.locator("canvas").bounding_box()["width"]
        for end in ("Escape", "beside", "close"):
            found.get_by_text("full size", exact=True).click()
            dialog = frontend.page.locator("dialog.torch-raster")
            box = dialog.locator("canvas").bounding_box()
            assert box["width"] > 2 * small
            frontend.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
            assert "of 9600" in dialog.locator(".readout").inner_text()
            frontend.shot("full_size")
            if end == "Escape":
                frontend.page.keyboard.press("Delete")  # meant for no node
                frontend.page.keyboard.press("Escape")
            elif end == "beside":
                frontend.page.mouse.click(4, 4)
            else:
                dialog.get_by_text("close", exact=True).click()
            dialog.wait_for(state="detached")
            assert found.locator("canvas").bounding_box()["width"] == pytest.approx(small, abs=1)

    def test_saves_the_picture_without_the_mark(self, frontend: Any, inspector: int) -> None:
        at = self.over(frontend, inspector)
        found = frontend.panel(inspector, "inspector")
        shown = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join()"
        pixels = found.locator("canvas").evaluate(shown)
        frontend.page.mouse.click(*at)
        assert found.locator("canvas").evaluate(shown) != pixels
        with frontend.page.expect_download() as download:
            found.get_by_text("save", exact=True).click()
        assert download.value.suggested_filename == "2  Nearest faces face ids.png"
        with open(download.value.path(), "rb") as file:
            saved = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGBA"))
        assert ",".join(map(str, saved.reshape(-1).tolist())) == pixels
        frontend.page.mouse.click(*at)
