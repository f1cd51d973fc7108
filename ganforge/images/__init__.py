"""Pictures as tensors: reading, writing, finding, cutting and showing them.

A picture is uint8 `[C, H, W]` in 0..255 on the CPU, or uint16 in 0..65535; networks see it as float in `[-1, 1]`.
Which channels, depth and range its files have, a `Storage` says.
"""

from ganforge.images.channels import with_channels
from ganforge.images.listing import SUFFIXES, list_images, natural_order
from ganforge.images.looks import as_colours, shown
from ganforge.images.reading import FORMATS, MAX_PIXELS, decode_image, from_pillow, read_exact, read_image
from ganforge.images.sheets import heat_map, label_grid
from ganforge.images.storage import Depth, Percentiles, Range, Storage
from ganforge.images.values import (
    RESIZER,
    centre_crop,
    centre_square,
    resize,
    to_float,
    to_grey,
    to_uint8,
    to_uint16,
    upload,
)
from ganforge.images.writing import to_pillow, write_image

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "RESIZER",
    "SUFFIXES",
    "Depth",
    "Percentiles",
    "Range",
    "Storage",
    "as_colours",
    "centre_crop",
    "centre_square",
    "decode_image",
    "from_pillow",
    "heat_map",
    "label_grid",
    "list_images",
    "natural_order",
    "read_exact",
    "read_image",
    "resize",
    "shown",
    "to_float",
    "to_grey",
    "to_pillow",
    "to_uint8",
    "to_uint16",
    "upload",
    "with_channels",
    "write_image",
]
