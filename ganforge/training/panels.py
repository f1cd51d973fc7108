"""How many samples share one panel: side by side as far as its width allows, not in one long column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganforge import images

MOST_PX = 4096
"""The longer side of a panel, at most: TensorBoard keeps each of them, and a browser draws it whole."""
LANDSCAPE = 1.5
"""How much wider than high a panel may become: so are the screens on which it is looked at."""
SMALLEST_PX = 128
"""Smaller cells are enlarged by `images.label_grid`, so that labels fit: to shrink further is no use."""
SQUARE_PX = 1024
"""Small pictures are enlarged until a square of them is as large as this."""
GAP_PX = 8

Row = Sequence[Tensor]


def lay_out(samples: Sequence[Row], labels: Sequence[str], one_by_one: bool = True) -> Tensor:
    """A labelled panel of samples: uint8 `[3, H, W]`, of at most `MOST_PX` a side.

    Args:
        samples: the cells of each, uint8 `[3, h, w]` or `[1, h, w]`, one for each label.
        labels: of a sample's cells.
        one_by_one: keep the cells of a sample together, as a picture and its translation are looked at. Otherwise the
            cells of each label make a square: samples of noise have nothing in common with those beside them.
    """
    if one_by_one and len(labels) > 1:
        grid = _side_by_side(samples, labels)
    elif len(samples) > 1:
        grid = images.label_grid([[_square(column) for column in zip(*samples, strict=True)]], labels)
    else:
        grid = images.label_grid(samples, labels)
    longest = max(grid.shape[1:])
    return grid if longest <= MOST_PX else _scaled(grid, MOST_PX / longest)


def _side_by_side(samples: Sequence[Row], labels: Sequence[str]) -> Tensor:
    """Put as many samples beside each other as make the panel most compact; they go on from row to row."""
    width = sum(max(cell.shape[2] for cell in column) for column in zip(*samples, strict=True))
    height = max(cell.shape[1] for sample in samples for cell in sample)

    def longer_side(across: int) -> float:
        return max(across * width / LANDSCAPE, math.ceil(len(samples) / across) * height)

    across = min(range(1, len(samples) + 1), key=longer_side)
    blank = torch.full((3, 1, max(1, height // 8)), 255, dtype=torch.uint8)
    rows: list[list[Tensor]] = []
    for start in range(0, len(samples), across):
        there = samples[start : start + across]
        missing = [[blank] * len(labels)] * (across - len(there))
        rows.append([cell for sample in (*there, *missing) for cell in (blank, *sample)][1:])
    return images.label_grid(_shrunk(rows), [label for _ in range(across) for label in ("", *labels)][1:])


def _shrunk(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows of cells that fit into a panel, as far as there is room for their labels."""
    width = sum(max(cell.shape[2] for cell in column) for column in zip(*rows, strict=True))
    height = sum(max(cell.shape[1] for cell in row) for row in rows)
    largest = max(side for row in rows for cell in row for side in cell.shape[1:])
    room = min((MOST_PX - GAP_PX * len(rows[0])) / width, (MOST_PX - GAP_PX * len(rows)) / height)
    factor = max(room, SMALLEST_PX / largest)
    return rows if factor >= 1 else [[_scaled(cell, factor) for cell in row] for row in rows]


def _square(cells: Row) -> Tensor:
    """The cells as one picture, nearly a square; where they are few or small, enlarged without blurring."""
    least = math.ceil(math.sqrt(len(cells)))
    across = next((side for side in range(least, 2 * least) if len(cells) % side == 0), least)  # leave no gap
    height, width = (max(cell.shape[dim] for cell in cells) for dim in (1, 2))
    scale = max(1, min(-(-SMALLEST_PX // max(height, width)), SQUARE_PX // (across * max(height, width))))
    step_y, step_x = height * scale + GAP_PX, width * scale + GAP_PX
    square = torch.full((3, -(-len(cells) // across) * step_y - GAP_PX, across * step_x - GAP_PX), 255).byte()
    for number, cell in enumerate(cells):
        top, left = number // across * step_y, number % across * step_x
        large = cell.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        square[:, top : top + large.shape[1], left : left + large.shape[2]] = large
    return pad(square, (step_x // 16, step_x // 16), value=255)


def _scaled(picture: Tensor, factor: float) -> Tensor:
    height, width = (max(1, int(side * factor)) for side in picture.shape[1:])
    return images.resize(picture, height, width)
