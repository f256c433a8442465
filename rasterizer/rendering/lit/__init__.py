"""A mesh as a person wants to see it: lit, in colour, with soft edges."""

from .environment import ENCODINGS, Environment, prefilter, radiance
from .render import BACKGROUNDS, LIGHTS, MOST_SAMPLES, Rendered, render_bytes, render_mesh
from .tone import TONE_MAPPINGS

__all__ = [
    "BACKGROUNDS",
    "ENCODINGS",
    "LIGHTS",
    "MOST_SAMPLES",
    "TONE_MAPPINGS",
    "Environment",
    "Rendered",
    "prefilter",
    "radiance",
    "render_bytes",
    "render_mesh",
]
