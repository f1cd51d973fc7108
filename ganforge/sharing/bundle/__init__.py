"""A run in one file: a zip of data only, packed to the same bytes each time, and trusted in nothing when unpacked.

It holds what reproduces the run and what it reached: the recipe, versions, hashes of the plugins' code and of the data,
figures, panels, weights. It holds no code, no pickle, and no picture of the dataset.
"""

from ganforge.sharing.bundle.contents import Contents
from ganforge.sharing.bundle.packing import pack
from ganforge.sharing.bundle.unpacking import Unpacked, is_bundle, unpack

__all__ = ["Contents", "Unpacked", "is_bundle", "pack", "unpack"]
