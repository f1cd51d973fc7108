"""Data larger than a disk: pictures in tar files, packed once and read in place or over the network."""
