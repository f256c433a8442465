"""Colours as people write them."""

from __future__ import annotations


def parse_color(text: str, name: str = "background") -> tuple[float, float, float]:
    """``#rrggbb``, ``#rgb`` or a CSS colour name to RGB in 0..1.

    Raises:
        ValueError: anything else; ``name`` is what the message calls it.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        raise ValueError(f"{name}: is {text!r}, expected a colour such as #ffffff or white") from None
    return red / 255, green / 255, blue / 255
