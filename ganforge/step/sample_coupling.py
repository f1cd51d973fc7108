"""Whether the samples of a batch change each other's results in a network."""

from __future__ import annotations

from torch import nn

from ganforge.core.torch_internals.modules import is_batch_norm


def couples_samples(network: nn.Module) -> bool:
    """Whether a training forward of two samples together may differ from two forwards.

    Known of batch norms (not of instance norms, which torch derives from the same class); any other layer declares it
    with `@traits(couples_samples=True)`.
    """
    return any(getattr(layer, "couples_samples", False) or is_batch_norm(layer) for layer in network.modules())
