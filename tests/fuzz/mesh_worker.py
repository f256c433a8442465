"""A process that loads mesh files one after another, bounded in memory, and tells what each has led to.

Reads a path per line, answers with a line of JSON. A process of its own, so that a bomb kills nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_watched: Path | None = None
_forbidden: list[str] = []
_texels = 0


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo"):
        _forbidden.append(event)
    elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        name = os.fsdecode(arguments[0])
        place = Path(os.path.realpath(name))
        writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(arguments[2], int) else 0
        outside = not place.is_relative_to(_watched) and not place.is_relative_to(_PROGRAMS) and not _is_code(place)
        if outside or (writes and name != os.devnull):
            _forbidden.append("writes a file" if writes else "opens a file outside the folder")


_PROGRAMS = Path(os.path.realpath(sys.prefix))


def _is_code(place: Path) -> bool:
    """What an import reads."""
    folders = [Path(os.path.realpath(folder)) for folder in sys.path if folder]
    return place.suffix in (".py", ".pyc", ".so", ".json", ".zip") and any(place.is_relative_to(f) for f in folders)


def _memory(field: str) -> int:
    """Of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _import_all() -> None:
    """Whatever is imported when a file is read, which opens other files."""
    from tests.fuzz.mesh_seeds import seeds

    for files in seeds().values():
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).parent.mkdir(exist_ok=True)
                (Path(folder) / name).write_bytes(content)
            _load(Path(folder) / next(iter(files)))


def _count_texels() -> None:
    """Of every picture that is decoded."""
    from rasterizer.pictures.untrusted import TextureFile

    decode = TextureFile.image

    def image(file: TextureFile) -> Any:
        global _texels
        _texels += file.size[0] * file.size[1]
        return decode(file)

    TextureFile.image = image


def _allowed(folder: Path, mesh: Any) -> int:
    """Bytes that :func:`rasterizer.meshes.files.load_mesh` promises to do with for the files of a folder."""
    from rasterizer.runtime.limits import allowed_memory

    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    textures = (getattr(mesh, name, None) for name in ("texture", "metallic_roughness", "normal_map"))
    made = sum(texture[..., 0].numel() for texture in textures if texture is not None)
    return allowed_memory(size) + 16 * max(_texels, made)


def _load(path: Path) -> Any:
    """The mesh, or what is wrong with how a file is refused; empty if nothing."""
    from rasterizer.meshes.files import load_mesh
    from tests.fuzz.driver import key_of

    try:
        return load_mesh(path)
    except ValueError as error:
        return "" if path.name in str(error) else f"the message does not name the file: {key_of(error)}"
    except BaseException as error:
        return key_of(error)


def _load_alone(path: Path) -> str:
    """What is wrong with how the bytes of a file are read, which must open nothing; empty if nothing."""
    global _watched
    from rasterizer.meshes.files import load_mesh_data
    from tests.fuzz.driver import key_of

    data, _watched = path.read_bytes(), path / "nothing"
    try:
        load_mesh_data(data, path.suffix, path.name)
    except ValueError as error:
        return "" if path.name in str(error) else f"the message does not name the data: {key_of(error)}"
    except BaseException as error:
        return key_of(error)
    return ""


def _judge(mesh: Any) -> str:
    """What is wrong with a mesh; empty if nothing."""
    import torch

    for name in ("vertices", "uvs", "normals", "vertex_colors", "texture", "metallic_roughness", "normal_map"):
        values = getattr(mesh, name)
        if values is not None and not bool(torch.isfinite(torch.stack(torch.aminmax(values))).all()):
            return f"{name} are not finite"
    if int(mesh.faces.min()) < 0 or int(mesh.faces.max()) >= len(mesh.vertices):
        return "faces are out of range"
    return ""


def main(memory: int, seconds: int) -> None:
    """Answer until standard input ends.

    Args:
        memory: bytes allowed beyond what the imports take.
        seconds: of computing for one file, after which the process is ended by SIGXCPU.
    """
    global _texels, _watched
    import resource

    import torch

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    _import_all()
    _count_texels()
    most = _memory("VmSize") + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.addaudithook(_audit)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        path = Path(json.loads(line))
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before, used = _memory("VmRSS"), int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + 1 + seconds, resource.RLIM_INFINITY))
        _texels = 0
        _watched = path.parent.resolve()
        found = _load(path)
        alone = _load_alone(path)
        _watched = None
        memory = _memory("VmHWM") - before
        wrong = (found if isinstance(found, str) else _judge(found)) or alone
        answer = {"wrong": wrong, "forbidden": sorted(set(_forbidden)), "memory": memory}
        answer["allowed"] = _allowed(path.parent, found)
        del found
        _forbidden.clear()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
