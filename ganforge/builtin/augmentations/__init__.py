"""The augmentations that come with ganforge."""

from ganforge.builtin.augmentations.colours import colour, gamma, grey, invert, posterize
from ganforge.builtin.augmentations.damage import blur, cutout, jpeg, noise
from ganforge.builtin.augmentations.geometry import (
    affine,
    elastic,
    flip_horizontal,
    flip_vertical,
    rotate,
    rotate_90,
    zoom,
)

ALL = (
    *(affine, elastic, flip_horizontal, flip_vertical, rotate, rotate_90, zoom),
    *(colour, gamma, grey, invert, posterize),
    *(blur, cutout, jpeg, noise),
)
