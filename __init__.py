"""Torch Rasterizer: a ComfyUI node pack around a triangle rasterizer written in PyTorch.

ComfyUI calls :func:`comfy_entrypoint`; nothing of ComfyUI is imported before that, so the folder imports anywhere.
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The pack's extension object (ComfyUI V3)."""
    from .nodes import TorchRasterExtension

    return TorchRasterExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
