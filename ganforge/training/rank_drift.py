"""Whether ranks still hold the same weights: each goes on with its own, and nothing else would tell."""

from __future__ import annotations

import torch
from torch import nn

from ganforge.api.callbacks import Diagnosis
from ganforge.training.trainer import Trainer

LIMIT = 1e-6
"""The relative difference of norms that rounding may make: devices of several kinds sum in different orders."""


def drifted(trainer: Trainer) -> Diagnosis | None:
    """What differs most between rank 0 and another one, by the norms of networks that each holds whole.

    All ranks ask at once.
    """
    networks = {name: net for name, net in trainer.cast.networks.items() if name not in trainer.sharding.networks}
    if trainer.world.size == 1 or not networks:
        return None
    norms = [float(nn.utils.get_total_norm([p.detach() for p in net.parameters()])) for net in networks.values()]
    told = torch.tensor(trainer.world.gather(norms), dtype=torch.float64)  # [ranks, networks]
    apart = (told - told[0]).abs() / told.abs().clamp_min(torch.finfo(torch.float64).tiny)
    if not bool((apart > LIMIT).any()):
        return None
    rank, place = divmod(int(apart.argmax()), len(networks))
    return Diagnosis(
        "ranks_drift_apart",
        f"rank {rank} no longer has the weights of rank 0: the norm of network '{list(networks)[place]}' "
        f"differs by {100 * float(apart.max()):.2g}%",
        "Something changes weights on each rank by itself: an optimizer that draws random numbers, a network that "
        "writes into its own weights. Checkpoints hold the weights of rank 0.",
        "docs/scale.md#when-something-dies",
    )
