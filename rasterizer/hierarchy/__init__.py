"""Grid hierarchy: a sparse pyramid of surface cells with neighbourhoods, for filters that follow the surface."""

from .fill import fill_surface
from .grid import GridHierarchy
from .native_lists import build_hierarchy, build_hierarchy_with_feat
from .voxels import COLORINGS, voxel_mesh

__all__ = ["COLORINGS", "GridHierarchy", "build_hierarchy", "build_hierarchy_with_feat", "fill_surface", "voxel_mesh"]
