"""The datasets that come with ganforge."""

from ganforge.builtin.datasets.folders import ClassFolders, ImageFolder
from ganforge.builtin.datasets.multi import MultiFolders
from ganforge.builtin.datasets.paired import PairedFolders
from ganforge.builtin.datasets.shapes import Shapes
from ganforge.builtin.datasets.shards.datasets import PairedShards, UnpairedShards
from ganforge.builtin.datasets.shards.singles import ClassShards, ImageShards
from ganforge.builtin.datasets.unpaired import UnpairedFolders

__all__ = [
    "ClassFolders",
    "ClassShards",
    "ImageFolder",
    "ImageShards",
    "MultiFolders",
    "PairedFolders",
    "PairedShards",
    "Shapes",
    "UnpairedFolders",
    "UnpairedShards",
]
