"""What a hierarchy holds, in words."""

from __future__ import annotations

from .grid import GridHierarchy
from .voxels import original_cells


def describe(hierarchy: GridHierarchy, name: str, seconds: float, device: str) -> str:
    """Cells and neighbours of each level, memory, and the time it took to build.

    Args:
        hierarchy: what to describe.
        name: of the mesh.
        seconds: it took to build.
        device: it was built on.
    """
    lines = [f"Grid hierarchy of {name or 'the mesh'}: {hierarchy.levels} levels, built in {seconds:.2f} s on {device}"]
    for level in range(hierarchy.levels):
        resolution, count = hierarchy.resolution >> level, hierarchy.count(level)
        seen = int(original_cells(hierarchy, level).sum())
        around = hierarchy.neighbors[level]
        found = (int((around >= 0).sum()) - count) / max(count, 1)
        lines.append(
            f"Level {level}, {resolution}³: {seen} cells on the surface, {count - seen} padded, "
            f"{found:.1f} of 8 neighbours found"
        )
    lines.append(f"Cell size at level 0: {hierarchy.cell_size:.4g}; memory: {hierarchy.memory() / 2**20:.1f} MiB")
    if not hierarchy.complete:
        lines.append("More surfaces lie behind one another than max_layers took in; raise it to take in all.")
    return "\n".join(lines)
