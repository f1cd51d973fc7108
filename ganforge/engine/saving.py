"""A trainer as a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganforge.engine.checkpoints import Checkpoint
from ganforge.engine.state import random_state, restore_random_state
from ganforge.engine.training import Trainer
from ganforge.errors import TrainingFailed


def capture(trainer: Trainer) -> Checkpoint:
    """All that training depends on, now.

    Raises:
        TrainingFailed: weights are NaN or infinite.
    """
    _refuse_ruined_weights(trainer)
    averages = trainer.averages()
    ema = {f"{name}.{key}": tensor for name, net in averages.items() for key, tensor in net.state_dict().items()}
    training = {"trainer": trainer.state_dict(), "random": random_state()}
    return Checkpoint(trainer.cast.networks.state_dict(), ema, training)


def put_back(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Let training be where it was captured.

    Raises:
        RuntimeError: the networks are others.
    """
    trainer.cast.networks.load_state_dict(checkpoint.networks)
    for name, average in trainer.averages().items():
        average.load_state_dict(_below(checkpoint.ema, name))
    trainer.load_state_dict(checkpoint.training["trainer"])
    restore_random_state(checkpoint.training["random"])


def _below(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def _refuse_ruined_weights(trainer: Trainer) -> None:
    """A loss may be finite and its gradient not: what it leaves must not push good checkpoints out."""
    for name, network in trainer.cast.networks.items():
        weights = [p.detach() for p in network.parameters()]
        if weights and not bool(torch.isfinite(nn.utils.get_total_norm(weights))):
            raise TrainingFailed(
                f"step {trainer.progress.step}: weights of the network '{name}' are NaN or infinite: "
                "nothing was saved\n"
                "  a gradient was not finite though its loss was: look at gradients/* in TensorBoard, and for\n"
                "  sqrt, norm or log at 0 in the losses; then go on from the last checkpoint with --resume"
            )
