"""Files of meshes, which may come from strangers: what they may open, what they may cost, and what they hold."""
