"""The stores through which ranks meet; torch names them in public, but its types do not."""

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

__all__ = ["PrefixStore", "Store", "TCPStore"]
