"""A trainer as a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganforge.engine.checkpoints import Checkpoint
from ganforge.engine.training import Trainer
from ganforge.errors import TrainingFailed


def capture(trainer: Trainer) -> Checkpoint | None:
    """All that training depends on, now; None on every rank but the first.

    Raises:
        TrainingFailed: weights are NaN or infinite.
    """
    _refuse_ruined_weights(trainer)
    statistics = trainer.statistics.gathered(trainer.world)
    shares = trainer.shares.captured()
    if shares is None:
        return None
    averages = trainer.averages()
    ema = {f"{name}.{key}": tensor for name, net in averages.items() for key, tensor in net.state_dict().items()}
    # The first share's state lies where it lay when there was no other.
    first, *others = shares
    state = trainer.state_dict() | {name: first[name] for name in ("ops", "op_rngs")} | {"statistics": statistics}
    training = {"trainer": state, "random": first["random"], "shares": others}
    return Checkpoint(trainer.cast.networks.state_dict(), ema, training)


def put_back(checkpoint: Checkpoint | None, trainer: Trainer) -> None:
    """Let training be where it was captured: on all ranks, of which the first has the checkpoint.

    Raises:
        RuntimeError: the networks are others.
    """
    world = trainer.world
    common, shares = None, None
    if checkpoint is not None:
        first = checkpoint.training["trainer"]
        shares = [{**first, "random": checkpoint.training["random"]}, *checkpoint.training.get("shares", [])]
        state = {name: value for name, value in first.items() if name not in ("ops", "op_rngs")}
        common = {"networks": checkpoint.networks, "ema": checkpoint.ema, "trainer": state}
    common = world.state_from_first(common)
    trainer.cast.networks.load_state_dict(common["networks"])
    for name, average in trainer.averages().items():
        average.load_state_dict(_below(common["ema"], name))
    trainer.load_state_dict(common["trainer"])
    if not world.leads:
        trainer.statistics.read()  # the first rank has all that was not read yet
    trainer.shares.put_back(shares)


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
