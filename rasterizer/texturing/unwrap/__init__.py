"""UVs by xatlas, in a process of its own."""
