"""Many meshes: a manifest of jobs, worked off by processes that may die, into a folder that tells what is done."""
