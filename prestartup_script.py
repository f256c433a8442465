"""ComfyUI runs this before PyTorch and every pack: from here on, imports of certain compiled modules are answered.

It must stay light: standard library only. :mod:`rasterizer.dropin.finder` says what is answered, and how.
"""

import importlib.util
import os
import sys

_NAME = "torch_rasterizer_dropin_finder"  # importing it as part of the library would import PyTorch
_FOLDER = os.path.dirname(os.path.abspath(__file__))


def load_finder():
    """The module :mod:`rasterizer.dropin.finder`, alone."""
    if _NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(_NAME, os.path.join(_FOLDER, "rasterizer", "dropin", "finder.py"))
        module = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[_NAME]


# ComfyUI will import the pack under its path with the dots replaced; so that the library is never imported twice,
# whoever needs it before that imports it under the same name.
load_finder().install(os.path.dirname(__file__).replace(".", "_x_") + ".rasterizer")
