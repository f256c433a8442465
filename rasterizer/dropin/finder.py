"""The import finder behind the drop-in modules: who gets ours, and why.

This file is loaded by its path before PyTorch is (``prestartup_script.py``), so the standard library is all it imports;
what needs PyTorch lives beside it and is imported when somebody asks for one of these names:

- ``custom_rasterizer_kernel``, ``custom_rasterizer``, ``nvdiffrast``, ``mesh_inpaint_processor``,
  ``*.mesh_inpaint_processor``: an installed one that works, else ours. The parts of a package, such as
  ``nvdiffrast.torch``, are of the same one as the package.
- ``*.differentiable_renderer.mesh_processor``: a compiled one that works, else ours; the .py there takes minutes.
- ``mesh_processor``: whatever has that name, else ours.

``TORCH_RASTERIZER_DROPIN=force`` takes ours even where another works (except for the last one, which may be anybody's);
``off`` leaves every import alone. After its import, the packs' ``MeshRender`` is made to run without CUDA
(``patches.py``); ``TORCH_RASTERIZER_PATCHES=off`` leaves it as it is.

A process that is forked has the finder; one that ``multiprocessing`` spawns does not: it starts with a fresh Python,
which nothing but files in site-packages reaches. A spawned one must run ``prestartup_script.py`` (``runpy.run_path``),
or ``rasterizer.dropin.install()``, before one of these names is imported, or what was pickled under it is read.
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader as _Loader
    from typing import TypeGuard
else:
    _Loader = object  # a real base would hide those methods of the loaders behind ours that it has itself

log = logging.getLogger("torch_rasterizer")

ENVIRONMENT = "TORCH_RASTERIZER_DROPIN"
"""``auto``, ``force`` or ``off``; goes before the setting."""

SETTING = "TorchRasterizer.DropIn"
"""The same as a setting of ComfyUI."""

PATCHES = "TORCH_RASTERIZER_PATCHES"
"""``on`` or ``off``."""

TOP_LEVEL = ("custom_rasterizer_kernel", "custom_rasterizer", "mesh_inpaint_processor", "mesh_processor", "nvdiffrast")

_SUBMODULES = frozenset(("custom_rasterizer.render", "nvdiffrast.torch", "nvdiffrast.torch.ops"))
"""Modules within these packages that are imported by name."""

_LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SLOW = ".differentiable_renderer.mesh_processor"
_RENDERERS = (".differentiable_renderer.mesh_render", ".DifferentiableRenderer.MeshRender")
# Every import of the process passes here: a look-up tells most of those that are none of our business.
_LAST_NAMES = frozenset((*TOP_LEVEL, "render", "torch", "ops", "mesh_render", "MeshRender", "nodes"))


class DropInFinder:
    """A ``sys.meta_path`` entry that serves the names above and remembers what it decided.

    Attributes:
        library: name to import our library under, should nobody have done so yet.
        decisions: name -> (whether ours is used, why).
        patched: name -> what was changed in that module after its import.
    """

    is_torch_rasterizer = True

    def __init__(self, library: str) -> None:
        self.library = library
        self.decisions: dict[str, tuple[bool, str]] = {}
        self.patched: dict[str, str] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Part of the import protocol; None leaves the import to the other finders."""
        if name.rpartition(".")[2] not in _LAST_NAMES:
            return None
        if name in _SUBMODULES:
            ours = getattr(sys.modules.get(name.partition(".")[0]), "__dropin__", "")
            return self._ours(name, ours) if ours else None
        if name in TOP_LEVEL or _is_inpaint(name):
            return self._choose(name, path, target)
        if _is_renderer(name) or _is_nodes_with_hard_coded_device(name, path):
            return self._adapt(name, path, target)
        return None

    def find_distributions(self, context: object) -> Iterator[object]:
        """Part of the protocol of ``importlib.metadata``: ours looks installed to those who ask for its version."""
        name = getattr(context, "name", None)  # None asks for everything that is installed
        if list(getattr(context, "path", sys.path)) != sys.path:  # asks for what lies in certain folders
            return
        module = re.sub("[-_.]+", "_", name or "").lower()
        if module in ("custom_rasterizer", "nvdiffrast") and self._is_ours(module):
            yield self.part("distribution").StandIn(module)

    def _is_ours(self, name: str) -> bool:
        """Whether a top-level name is ours for those who import it; what is installed is not tried for that."""
        if name in sys.modules:
            return hasattr(sys.modules[name], "__dropin__")
        spec = self.find_spec(name)
        return spec is not None and isinstance(spec.loader, _Ours)

    def _choose(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        choice = mode()
        if choice == "off":
            return None
        other = _elsewhere(name, path, target)
        if other is None:
            return self._ours(name, "not installed")
        if name == "mesh_processor":
            return None
        if choice == "force":
            return self._ours(name, f"forced by {mode_source()}")
        if name.endswith(_SLOW) and not isinstance(other.loader, ExtensionFileLoader):
            return self._ours(name, "the one there is not compiled")
        return _respec(other, _Checked(self, other))

    def _ours(self, name: str, reason: str) -> ModuleSpec:
        return ModuleSpec(name, _Ours(self, name, reason))

    def _adapt(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        if not patching():
            return None
        other = _elsewhere(name, path, target)
        return other and _respec(other, _Patched(self, other))

    def decide(self, name: str, ours: bool, reason: str) -> None:
        """Remember who provides a name, and say so, once."""
        if self.decisions.get(name) == (ours, reason):
            return
        self.decisions[name] = ours, reason
        if not ours:
            log.info("Torch Rasterizer: %s is the installed one, which %s", name, reason)
        elif reason.startswith("installed but"):
            log.warning("Torch Rasterizer: %s is provided by this pack: %s", name, reason)
        else:
            log.info("Torch Rasterizer: %s is provided by this pack: %s", name, reason)

    def patch(self, module: ModuleType) -> None:
        """Make an imported module of another pack run on this machine, and say what was changed."""
        name = getattr(module, "__name__", "a module")
        try:
            changes = self.part("patches").patch(module)
        except Exception as error:  # another version of that pack: it must still load
            changes, what = "", f"{type(error).__name__}: {error}"
            log.warning("Torch Rasterizer: %s could not be adapted: %s", name, what)
        if changes:
            self.patched[name] = changes
            log.info("Torch Rasterizer: in %s, %s (%s=off prevents this)", name, changes, PATCHES)

    def repair(self) -> None:
        """Make good what was imported before this finder was there."""
        if mode() == "off":
            return
        kernel = sys.modules.get("custom_rasterizer_kernel")
        if kernel is not None and not hasattr(kernel, "rasterize_image"):
            _forget("custom_rasterizer_kernel")
            _forget("custom_rasterizer")
        # After an import of nvdiffrast.torch that failed, or was never asked for, the package around it is still there.
        if "nvdiffrast" in sys.modules and "nvdiffrast.torch" not in sys.modules:
            _forget("nvdiffrast")
        modules: list[tuple[str, Any]] = list(sys.modules.items())  # None, too, and whatever modules left there
        for name, module in modules:
            if module is None or name.rpartition(".")[2] not in _LAST_NAMES:
                continue
            if (_is_renderer(name) or name.endswith(_SLOW)) and _without_compiled_inpaint(module):
                module.meshVerticeInpaint = self.part("modules.mesh_inpaint_processor").meshVerticeInpaint
                self.decide(f"{name}.meshVerticeInpaint", True, "that module was imported before this pack")
            folder = os.path.dirname(getattr(module, "__file__", None) or "")
            if patching() and (_is_renderer(name) or _is_nodes_with_hard_coded_device(name, [folder])):
                self.patch(module)

    def part(self, name: str) -> ModuleType:
        """A module of ``rasterizer.dropin``, of the library as it is already imported, else imported now."""
        return importlib.import_module(f"{self._library()}.dropin.{name}")

    def _library(self) -> str:
        names = [name for name in list(sys.modules) if name == "rasterizer" or name.endswith(".rasterizer")]
        for name in (self.library, *names):
            if _is_file(sys.modules.get(name), _LIBRARY):
                return name
        pack = self.library.rpartition(".")[0]
        if pack and pack not in sys.modules:  # relative imports want their outermost package; ComfyUI will replace it
            sys.modules[pack] = ModuleType(pack)
            sys.modules[pack].__path__ = [os.path.dirname(_LIBRARY)]
        return importlib.import_module(self.library).__name__


class _Ours(_Loader):
    """Gives a name to one of our modules: the module itself, which keeps its own name and loader."""

    def __init__(self, finder: DropInFinder, name: str, reason: str) -> None:
        self._finder, self._name, self._reason = finder, name, reason
        self.__dropin__ = reason  # as on the module, for those who look before they import

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module = _stand_in(self._finder, self._name, self._reason)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put its own there
        if self._name not in _SUBMODULES:
            self._finder.decide(self._name, True, self._reason)


class _Wrapped(_Loader):
    """Stands between the import system and another loader, of which the module keeps no trace."""

    def __init__(self, finder: DropInFinder, spec: ModuleSpec) -> None:
        self._finder = finder
        self._spec: Any = spec  # has a loader, see _elsewhere

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):  # of a half-made copy of this object
            raise AttributeError(name)
        return getattr(self._spec.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._spec.loader.create_module(self._spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__, module.__loader__ = self._spec, self._spec.loader
        self._spec.loader.exec_module(module)


class _Checked(_Wrapped):
    """Imports an installed module, tries it, and puts ours in its place if it does not work."""

    _problem = ""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        checks = self._finder.part("checks")  # brings PyTorch, whose libraries compiled modules need
        try:
            return super().create_module(spec)
        except Exception as error:  # a wheel for another Python, PyTorch or CUDA fails in many ways
            self._problem = checks.broken(error)
            return None

    def exec_module(self, module: ModuleType) -> None:
        name, checks = self._spec.name, self._finder.part("checks")
        if not self._problem:
            try:
                super().exec_module(module)
                self._problem = checks.problem(name, _imported(name, module))
            except Exception as error:
                self._problem = checks.broken(error)
        if not self._problem and name == "custom_rasterizer":
            ours, _ = self._finder.decisions.get("custom_rasterizer_kernel", (False, ""))
            self._problem = "installed but its custom_rasterizer_kernel is not in use" if ours else ""
        if self._problem:
            _forget(name)
            sys.modules[name] = _stand_in(self._finder, name, self._problem)
        self._finder.decide(name, bool(self._problem), self._problem or "works")


class _Patched(_Wrapped):
    """Imports a module of another pack, then lets :mod:`.patches` look at it."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self._finder.patch(_imported(self._spec.name, module))


def active() -> DropInFinder | None:
    """The finder of this process, whichever copy of this file it comes from."""
    return next((finder for finder in sys.meta_path if _is_finder(finder)), None)


def install(library: str) -> DropInFinder:
    """Put the finder before all others, if it is not there yet.

    Args:
        library: name to import our library under, should nobody have done so by the time it is needed.
    """
    finder = active()
    if finder is None:
        finder = DropInFinder(library)
        sys.meta_path.insert(0, finder)
    finder.library = library
    return finder


def mode() -> str:
    """``auto``, ``force`` or ``off``: from the environment, else from ComfyUI's settings."""
    value = str(os.environ.get(ENVIRONMENT) or _setting() or "auto").strip().lower()
    if value in ("auto", "force", "off"):
        return value
    _say_once(f"Torch Rasterizer: {mode_source()} is {value!r}, expected auto, force or off; taken as auto")
    return "auto"


def mode_source() -> str:
    """Where :func:`mode` comes from, for people."""
    return ENVIRONMENT if os.environ.get(ENVIRONMENT) else f"ComfyUI's setting {SETTING}"


def patching() -> bool:
    """Whether modules of other packs may be adapted."""
    return mode() != "off" and os.environ.get(PATCHES, "on").strip().lower() != "off"


def elsewhere(name: str) -> bool:
    """Whether somebody else provides a top-level module of that name; imports nothing."""
    return _elsewhere(name, None, None) is not None


def _setting() -> object:
    paths: Any = sys.modules.get("folder_paths")  # there where ComfyUI is
    if not hasattr(paths, "get_user_directory"):
        return None
    try:
        import json

        with open(os.path.join(paths.get_user_directory(), "default", "comfy.settings.json"), encoding="utf-8") as file:
            return json.load(file).get(SETTING)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):  # no folder, no JSON, no end of brackets
        return None


def _elsewhere(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = None if _is_finder(finder) else getattr(finder, "find_spec", None)
        spec = find and find(name, path, target)
        if spec is not None:
            # A folder that merely has that name, such as the sources of the module in question, is no module.
            return spec if hasattr(spec.loader, "exec_module") else None
    return None


def _respec(spec: ModuleSpec, loader: _Wrapped) -> ModuleSpec:
    spec = copy.copy(spec)
    spec.loader = loader
    return spec


def _stand_in(finder: DropInFinder, name: str, reason: str) -> ModuleType:
    part = name if name in _SUBMODULES else name.rpartition(".")[2]
    module: Any = finder.part(f"modules.{part}")
    module.__dropin__ = reason  # how others tell it from the real one
    if part == name:
        _name_contents(module, name)
    return module


def _name_contents(module: ModuleType, name: str) -> None:
    """Have functions and classes pickled under the name they are imported by, which other processes and machines know.

    Only under a top-level name: what a pack has inside is known by its path.
    """
    for value in vars(module).values():
        if not isinstance(value, (FunctionType, type)):
            continue
        home = value.__module__ or ""
        if f"{home}.".startswith(f"{module.__name__}."):  # or from a part of it
            value.__module__ = name + home.removeprefix(module.__name__)


def _imported(name: str, module: ModuleType) -> ModuleType:
    """What the import of a module gives: some put another object in their place while they run."""
    return sys.modules.get(name) or module


def _forget(package: str) -> None:
    for name in list(sys.modules):
        if name == package or name.startswith(package + "."):
            del sys.modules[name]


def _is_finder(finder: object) -> TypeGuard[DropInFinder]:
    return getattr(finder, "is_torch_rasterizer", False)  # this file may be loaded twice: alone, and in the library


def _is_file(module: object, folder: str) -> bool:
    file = getattr(module, "__file__", None) or ""
    return bool(file) and os.path.realpath(file) == os.path.realpath(os.path.join(folder, "__init__.py"))


def _is_inpaint(name: str) -> bool:
    """Whether it is an inpaint module inside a pack, other than that of this one."""
    ours = name.endswith(".dropin.modules.mesh_inpaint_processor")
    return name.endswith((".mesh_inpaint_processor", _SLOW)) and not ours


def _is_renderer(name: str) -> bool:
    return f".{name}".endswith(_RENDERERS)


def _is_nodes_with_hard_coded_device(name: str, path: Sequence[str] | None) -> bool:
    """Whether it is ``nodes.py`` of a pack built like visualbruno's."""
    if not name.endswith(".nodes"):
        return False
    renderer = os.path.join("hy3dpaint", "DifferentiableRenderer", "MeshRender.py")
    return any(os.path.isfile(os.path.join(folder, renderer)) for folder in path or ())


def _without_compiled_inpaint(module: object) -> bool:
    """Whether ``meshVerticeInpaint`` is missing or written in Python, and not ours."""
    function = getattr(module, "meshVerticeInpaint", None)
    if function is None:
        return True
    return hasattr(function, "__code__") and not function.__code__.co_filename.startswith(_LIBRARY)


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        log.warning(text)
