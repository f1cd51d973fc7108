"""Data larger than a disk: pictures in tar files, packed once and read in place or over the network."""

from ganforge.builtin.datasets.shards.paired import PairedShards
from ganforge.builtin.datasets.shards.unpaired import UnpairedShards

__all__ = ["PairedShards", "UnpairedShards"]
