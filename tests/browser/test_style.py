"""The stylesheet of the panels, which the browser fetches by itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

STYLE = "**/extensions/torch_rasterizer/torch_raster.css"
NODE = "TorchRasterCameras"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def late(route: Any) -> None:
    time.sleep(3)
    route.continue_()


def missing(route: Any) -> None:
    route.abort()


@pytest.mark.parametrize("answer", [late, missing])
def test_nodes_wait_for_the_style_but_do_not_need_it(chromium: Any, server: Any, answer: Any) -> None:
    """From the first node on it is there; where it cannot be had, there are nodes all the same."""
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.route(STYLE, answer)
        page.goto(server.url, wait_until="domcontentloaded")
        script = """(kind) => {
            if (!window.LiteGraph?.registered_node_types?.[kind]) return false;
            const panel = document.createElement("div");
            panel.className = "torch-raster";
            document.body.append(panel);
            const { display } = getComputedStyle(panel);
            panel.remove();
            return { display };
        }"""
        found = page.wait_for_function(script, arg=NODE).json_value()
        assert found["display"] == ("flex" if answer is late else "block")
    finally:
        context.close()
