"""ComfyUI nodes: thin, one file per family. What they compute lives in :mod:`rasterizer`."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyTextureNode
from .bake import BakeViewsNode, FillTextureNode
from .grid import GridToViewsNode, PicturesToViewsNode, ViewsToGridNode
from .hierarchy import GridHierarchyNode, ShowHierarchyNode
from .info import BackendInfoNode
from .load import LoadMeshNode
from .maps import RenderMapsNode
from .mesh_images import MeshToImagesNode
from .raster import InterpolateNode, RasterizeNode
from .refine import RefineTextureNode
from .render import RenderMeshNode
from .save import SaveMeshNode
from .simplify import SimplifyMeshNode
from .unwrap import UnwrapUVNode
from .views import CamerasNode

NODES = [
    LoadMeshNode,
    CamerasNode,
    RasterizeNode,
    InterpolateNode,
    RenderMapsNode,
    RenderMeshNode,
    ViewsToGridNode,
    GridToViewsNode,
    PicturesToViewsNode,
    SimplifyMeshNode,
    UnwrapUVNode,
    BakeViewsNode,
    RefineTextureNode,
    FillTextureNode,
    ApplyTextureNode,
    MeshToImagesNode,
    SaveMeshNode,
    GridHierarchyNode,
    ShowHierarchyNode,
    BackendInfoNode,
]


class TorchRasterExtension(ComfyExtension):
    """What ComfyUI asks for the list of nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All node classes of the pack."""
        return NODES
