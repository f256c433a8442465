"""Finding the run-time compiler and the driver that PyTorch itself brings or uses. Nothing is installed or spawned."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

WINDOWS = sys.platform == "win32"


def load_nvrtc() -> ctypes.CDLL:
    """NVRTC of the CUDA version that PyTorch was built for.

    Raises:
        OSError: not found; the text lists where.
    """
    major = (torch.version.cuda or "13").split(".")[0]
    name = f"nvrtc64_{major}0_0.dll" if WINDOWS else f"libnvrtc.so.{major}"
    folders = [_torch_library_folder(), *_package_folders("nvidia", f"cu{major}/lib", "cuda_nvrtc/lib", "*/bin/x86_64")]
    # NVRTC opens its builtins by name alone, which finds them only where they are loaded already.
    for builtins in [path for folder in folders for path in sorted(folder.glob("*nvrtc-builtins*"))]:
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(builtins))
    return _first([*_files(folders, name), name], "NVRTC")


def load_cuda_driver() -> ctypes.CDLL:
    """NVIDIA's driver."""
    return _first(["nvcuda.dll" if WINDOWS else "libcuda.so.1"], "the CUDA driver")


def load_hiprtc() -> ctypes.CDLL:
    """hipRTC: what ``import torch`` has loaded, AMD's Python packages, PyTorch's own folder, then the system."""
    own = [*_rocm_files("hiprtc", r"hiprtc(?!.*builtins).*"), *_system("hiprtc")]
    runtime = [*_rocm_files("amdhip64", r"amdhip64.*"), *_system("amdhip64")]  # ROCm 5 has hipRTC inside its runtime
    return _first([*own, *runtime], "hipRTC")


def load_hip_runtime() -> ctypes.CDLL:
    """AMD's HIP runtime."""
    return _first([*_rocm_files("amdhip64", r"amdhip64.*"), *_system("amdhip64")], "the HIP runtime")


def _rocm_files(short: str, pattern: str) -> Iterator[str]:
    """Paths of a ROCm library in the order of trust: already loaded, AMD's packages, PyTorch's folder."""
    if importlib.util.find_spec("rocm_sdk") is not None:
        sdk = importlib.import_module("rocm_sdk")
        loaded = getattr(sdk, "_ALL_CDLLS", {}).get(short)
        if loaded is not None:
            yield loaded._name
        # It raises FileNotFoundError for names newer than itself; the folders below still hold them.
        with contextlib.suppress(Exception):
            yield from [str(path) for path in sdk.find_libraries(short)]
    ending = r"\.dll$" if WINDOWS else r"\.so(\.\d+)*$"
    prefix = "" if WINDOWS else "lib"
    folders = [*_package_folders("_rocm_sdk_core", "bin", "lib"), _torch_library_folder(), Path("/opt/rocm/lib")]
    for folder in folders:
        if folder.is_dir():
            found = [path for path in folder.iterdir() if re.match(prefix + pattern + ending, path.name)]
            yield from (str(path) for path in sorted(found, reverse=True))


def _system(short: str) -> list[str]:
    if WINDOWS:
        return [f"{short}.dll", f"{short}_7.dll", f"{short}_6.dll"]
    return [f"lib{short}.so", *(f"lib{short}.so.{major}" for major in (7, 6, 5))]


def _torch_library_folder() -> Path:
    return Path(torch.__file__).parent / "lib"


def _package_folders(package: str, *patterns: str) -> Iterator[Path]:
    """Folders matching ``patterns`` inside an installed package, namespace packages included; nothing is imported."""
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        for pattern in patterns:
            yield from sorted(Path(location).glob(pattern))


def _files(folders: list[Path], name: str) -> list[str]:
    return [str(folder / name) for folder in folders if (folder / name).is_file()]


def _first(candidates: list[str], what: str) -> ctypes.CDLL:
    errors = []
    for candidate in dict.fromkeys(candidates):
        try:
            return ctypes.CDLL(candidate)
        except OSError as error:
            errors.append(f"{candidate}: {error}")
    raise OSError(f"{what} was not found ({'; '.join(errors) or 'no candidate'})")
