"""glTF and GLB files: their header as trimesh should have it, what it costs, and arrays that trimesh does not read."""
