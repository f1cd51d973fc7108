"""Pictures to look at: rows of them under labels, and numbers as colours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganforge.images.late_torchvision import transforms

_FONT_PX, _GAP_PX, _READABLE_PX = 16, 8, 128
# From dark to bright as errors grow, and in order of brightness in print and to the colour-blind.
_HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))


def heat_map(values: Tensor) -> Tensor:
    """Values `[H, W]` from 0 (black) to 1 (pale yellow) as colours: uint8 `[3, H, W]`; larger ones are as 1."""
    colours = torch.tensor(_HEAT, dtype=torch.float32)
    place = values.float().clamp(0, 1) * (len(colours) - 1)
    below = place.long().clamp(max=len(colours) - 2)
    mixed = torch.lerp(colours[below], colours[below + 1], (place - below)[..., None])
    return mixed.round().to(torch.uint8).permute(2, 0, 1)


def label_grid(rows: Sequence[Sequence[Tensor]], labels: Sequence[str]) -> Tensor:
    """Pictures in rows and labelled columns on white: uint8 `[3, H, W]`.

    Cells are uint8 `[3, H, W]` or `[1, H, W]`, of any sizes. Where the largest is smaller than 128 px, all are
    enlarged by one whole number, without blurring. A column is as wide as its label needs.
    """
    largest_px = max(side for row in rows for cell in row for side in cell.shape[1:])
    scale = -(-_READABLE_PX // largest_px)
    cells = [[cell.repeat_interleave(scale, 1).repeat_interleave(scale, 2) for cell in row] for row in rows]
    # Large pictures are looked at from afar: their labels grow with them.
    font_px = max(_FONT_PX, largest_px * scale // 9)
    font = ImageFont.load_default(font_px)
    header = [_text(label, font, font_px) for label in labels]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(cell.shape[2] for cell in column) for column in columns]
    heights = [max(cell.shape[1] for cell in row) for row in (header, *cells)]
    size_px = [sum(sides) + _GAP_PX * (len(sides) + 1) for sides in (heights, widths)]
    grid = torch.full((3, *size_px), 255, dtype=torch.uint8)
    left = _GAP_PX
    for width, column in zip(widths, columns, strict=True):
        top = _GAP_PX
        for height, cell in zip(heights, column, strict=True):
            inset = left + (width - cell.shape[2]) // 2
            grid[:, top : top + cell.shape[1], inset : inset + cell.shape[2]] = cell
            top += height + _GAP_PX
        left += width + _GAP_PX
    return grid


def _text(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, font_px: int) -> Tensor:
    """Black on white: uint8 `[1, H, W]`, as large as the text."""
    _, _, width, height = (int(side + 0.999) for side in font.getbbox(text or " ", anchor="la"))
    # Descenders or none, the labels of one row stand on one line.
    label = Image.new("L", (max(1, width), max(height, font_px + 4)), 255)
    ImageDraw.Draw(label).text((0, 0), text, font=font, fill=0, anchor="la")
    return transforms().pil_to_tensor(label)
