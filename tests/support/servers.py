"""Servers that hold this pack: a real ComfyUI, and a stand-in that serves a frontend from PyPI."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support import locations
from tests.support.paths import ROOT

PACK_NAME = "torch_rasterizer"

_START_SECONDS = 240
_RUN_SECONDS = 300
_STATIC = Path("comfyui_frontend_package") / "static"

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not know this machine's loopback


class CannotStartError(Exception):
    """The server ended before it answered, for lack of something that is not ours."""


class Server:
    """ComfyUI on a free loopback port, on the CPU, with a base folder of its own.

    Attributes:
        url: where it listens.
        base: its base folder, with ``input``, ``output``, ``custom_nodes`` and so on.
        object_info: what it says of all nodes.
        start_log: what it had printed when it first answered.
    """

    def __init__(self, installation: locations.Installation) -> None:
        self.installation = installation
        self.base = Path(tempfile.mkdtemp(prefix="comfyui-test-"))
        self.url = ""
        self.object_info: dict[str, Any] = {}
        self.start_log = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait for the list of nodes.

        Raises:
            CannotStartError: Python packages that ComfyUI requires are missing.
            RuntimeError: any other end, or no answer in time; with the end of the log.
        """
        for folder in ("custom_nodes", "input/3d", "output", "temp", "user", "models"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        # What every ComfyUI has in its input folder, and example workflows name until a picture is chosen.
        Image.new("RGB", (512, 512), (190, 120, 80)).save(self.base / "input" / "example.png")
        self._link(ROOT, PACK_NAME)
        for pack in locations.find_packs():
            self._link(pack, pack.name)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        path = [*self.installation.import_path, os.environ.get("PYTHONPATH", "")]
        settings = {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONDONTWRITEBYTECODE": "1",  # the pack is linked, and the installation may be read-only
            "HF_HUB_OFFLINE": "1",
            "DO_NOT_TRACK": "1",
        }
        with open(self._log_file, "wb") as log:
            self._process = subprocess.Popen(
                self.command(port),
                cwd=self.installation.root,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_it_answers()
        self.start_log = self.log()

    def command(self, port: int) -> list[str]:
        """What starts it."""
        database = (self.base / "user" / "comfyui.db").as_posix()
        return [
            *(self.installation.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)),
            *("--base-directory", str(self.base), "--disable-auto-launch", "--database-url", f"sqlite:///{database}"),
        ]

    def stop(self) -> None:
        """End the server and remove its base folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(15)
        shutil.rmtree(self.base, ignore_errors=True)

    def log(self) -> str:
        """Everything printed so far, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self._log_file.read_text(encoding="utf-8", errors="replace"))

    def get(self, path: str) -> Any:
        """JSON of a GET request."""
        return json.loads(self.download(path))

    def download(self, path: str) -> bytes:
        """Body of a GET request."""
        with _OPENER.open(self.url + path, timeout=60) as response:
            return response.read()

    def submit(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to an API-format workflow, be it accepted or refused."""
        request = urllib.request.Request(
            f"{self.url}/prompt",
            data=json.dumps({"prompt": prompt, "client_id": "tests"}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            return json.loads(error.read())

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Submit, wait, and return the history entry."""
        answer = self.submit(prompt)
        assert "prompt_id" in answer and not answer.get("node_errors"), f"refused: {json.dumps(answer, indent=1)}"
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            history = self.get(f"/history/{answer['prompt_id']}")
            if answer["prompt_id"] in history:
                return history[answer["prompt_id"]]
            time.sleep(0.2)
        raise TimeoutError(f"no result in {_RUN_SECONDS} s; end of the log:\n{self.log()[-3000:]}")

    def image(self, entry: dict[str, Any], node: str, number: int = 0) -> bytes:
        """File of an image that a node of a history entry shows."""
        return self.download("/view?" + urllib.parse.urlencode(entry["outputs"][node]["images"][number]))

    @property
    def _log_file(self) -> Path:
        return self.base / "server.log"

    def _link(self, pack: Path, name: str) -> None:
        target = self.base / "custom_nodes" / name
        try:
            target.symlink_to(pack, target_is_directory=True)
        except OSError:  # Windows allows links to few users
            ignored = shutil.ignore_patterns(".*", "__pycache__", "tests")
            shutil.copytree(pack, target, ignore=ignored)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                text = self.log()
                missing = re.search(r"^(?:ModuleNotFoundError|ImportError): .*", text, re.MULTILINE)
                if missing:
                    raise CannotStartError(missing.group())
                raise RuntimeError(f"the server ended with {self._process.returncode}; end of its log:\n{text[-3000:]}")
            try:
                self.object_info = self.get("/object_info")
                return
            except OSError:  # not listening yet
                time.sleep(0.3)
        raise RuntimeError(f"no answer in {_START_SECONDS} s; end of the server's log:\n{self.log()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class ServedFrontend(locations.Installation):
    """A frontend to serve without a ComfyUI.

    Attributes:
        version: of comfyui-frontend-package.
        static: the folder with its ``index.html``.
    """

    version: str
    static: Path

    @property
    def name(self) -> str:
        """What tests are called by."""
        return f"frontend-{self.version}"


class StandIn(Server):
    """A frontend without ComfyUI; see tests/support/standin.py."""

    def command(self, port: int) -> list[str]:
        """What starts it."""
        module = "tests.support.standin"
        return [self.installation.python, "-m", module, str(self.installation.static), str(port), str(self.base)]


def find_frontends() -> list[ServedFrontend]:
    """Frontends to serve without a ComfyUI.

    Raises:
        FileNotFoundError: COMFYUI_FRONTENDS names a folder without the package.
    """
    asked = [Path(part).expanduser() for part in os.environ.get("COMFYUI_FRONTENDS", "").split(os.pathsep) if part]
    for folder in asked:
        if not (folder / _STATIC / "index.html").is_file():
            raise FileNotFoundError(f"COMFYUI_FRONTENDS: {folder} has no comfyui_frontend_package")
    if not asked and not locations.find_installations():
        found = importlib.util.find_spec("comfyui_frontend_package")
        asked = [Path(found.origin).parents[1]] if found and found.origin else []
    frontends = []
    for folder in asked:
        (version,) = [
            found.version
            for found in importlib.metadata.distributions(name="comfyui-frontend-package", path=[str(folder)])
        ]
        frontends.append(
            ServedFrontend(
                root=ROOT,
                python=sys.executable,
                import_path=(),
                version=version,
                static=folder / _STATIC,
            )
        )
    return frontends
