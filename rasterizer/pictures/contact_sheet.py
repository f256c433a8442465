"""Labelled pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .files import to_pil


def contact_sheet(rows: Sequence[tuple[str, Tensor]], columns: Sequence[str]) -> Any:
    """A Pillow image with one labelled row of pictures each; ``rows`` hold ``[B, H, W, 3]`` images in 0..1."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=15)
    cell_height, cell_width = rows[0][1].shape[1:3]
    gap, head, side = 6, 26, 92
    width = side + len(columns) * (cell_width + gap) + gap
    height = head + len(rows) * (cell_height + gap) + gap
    sheet = Image.new("RGB", (width, height), (32, 33, 36))
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(columns):
        draw.text((side + number * (cell_width + gap) + gap, 4), label, fill=(220, 220, 220), font=font)
    for line, (label, images) in enumerate(rows):
        top = head + line * (cell_height + gap)
        draw.text((8, top + cell_height // 2 - 8), label, fill=(220, 220, 220), font=font)
        for number, image in enumerate(images):
            sheet.paste(to_pil(image), (side + number * (cell_width + gap) + gap, top))
    return sheet
