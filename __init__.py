"""Torch Rasterizer: a ComfyUI node pack around a triangle rasterizer written in PyTorch.

ComfyUI calls :func:`comfy_entrypoint`; nothing of ComfyUI is imported before that, so the folder imports anywhere.
"""

from .prestartup_script import load_finder

WEB_DIRECTORY = "./web"

# Again, should ComfyUI not have run the prestartup script, and for what other packs imported in that case.
load_finder().install(f"{__name__}.rasterizer").repair()


async def comfy_entrypoint():
    """The pack's extension object (ComfyUI V3)."""
    from .nodes import TorchRasterExtension

    return TorchRasterExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
