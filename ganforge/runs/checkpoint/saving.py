"""A trainer as a checkpoint, and back; what it keeps in shards travels rank by rank, or weight by weight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core.sections import expect
from ganforge.core.serialise import dtype_named, take_apart
from ganforge.core.torch_internals.modules import versioned, versions_of
from ganforge.errors import TrainingFailed
from ganforge.runs.checkpoint.files import Checkpoint, Shards, stage_shards
from ganforge.step.sharding import own_shard
from ganforge.training.lanes import Lane
from ganforge.training.trainer import Trainer


def capture(trainer: Trainer) -> Checkpoint | None:
    """All that training depends on, now, but other ranks' parts; None on every rank but the first.

    Raises:
        TrainingFailed: weights are NaN or infinite.
    """
    _refuse_ruined_weights(trainer)
    statistics = trainer.statistics.gathered(trainer.world)
    lanes = trainer.lanes.captured()
    if lanes is None:
        return None
    averages = trainer.averages()
    ema = {f"{name}.{key}": tensor for name, net in averages.items() for key, tensor in net.state_dict().items()}
    # The first lane's state lies where it lay when there was no other.
    first, *others = lanes
    state = trainer.state_dict() | {"statistics": statistics}
    state |= {name: section for name, section in first.items() if name != "random"}
    training = {"trainer": state, "random": first["random"], "lanes": others}
    networks = {key: own_shard(tensor) for key, tensor in trainer.cast.networks.state_dict().items()}
    versions = {
        "networks": versions_of(trainer.cast.networks),
        "ema": {f"{n}.{key}": v for n, net in averages.items() for key, v in versions_of(net).items()},
    }
    return Checkpoint(networks, ema, training, trainer.world.size if trainer.sharding else 1, versions)


def write_shards(trainer: Trainer, folder: Path) -> None:
    """Let the first rank write what the others keep in shards, one rank's at a time, before it saves the rest.

    Raises:
        EnvironmentFault: the disk is full or refuses.
    """
    world, step = trainer.world, trainer.progress.step
    for rank in range(1, world.size) if trainer.sharding else ():
        if world.rank == rank:
            world.send(_shards(trainer), 0)
        shards = world.receive(rank) if world.leads else {}
        world.first_alone(lambda rank=rank, shards=shards: stage_shards(folder, step, rank, world.size, shards))  # type: ignore[misc]


def _shards(trainer: Trainer) -> Shards:
    """What this rank keeps, under the names that whole tensors have."""
    networks: dict[str, Tensor] = {}
    ema: dict[str, Tensor] = {}
    averages = trainer.averages()
    for name, network in trainer.sharding.networks.items():
        weights, average = network.state_dict(), averages[name].state_dict() if name in averages else {}
        for key in trainer.sharding.keys(name):
            networks[f"{name}.{key}"] = own_shard(weights[key])
            if average:
                ema[f"{name}.{key}"] = average[key]
    players = {name: {"optimizer": {"state": player.shards()}} for name, player in trainer.players.items()}
    optimizers: dict[str, Tensor] = {}
    take_apart({"trainer": {"players": players}}, "training", optimizers)
    return {"networks": networks, "ema": ema, "training": optimizers}


def put_back(checkpoint: Checkpoint | None, trainer: Trainer) -> None:
    """Let training be where it was captured: on all ranks, of which the first has the checkpoint.

    Raises:
        RuntimeError: the networks are others.
    """
    world = trainer.world
    common, lanes, optimizers = None, None, None
    if checkpoint is not None:
        training = checkpoint.training
        expect(training, "training", ("trainer", "random"), known=("lanes", "best"))
        state = {**training["trainer"], "random": training["random"]}  # the first lane's lies in the trainer's
        first = {name: state.pop(name) for name in Lane.SECTIONS if name in state}
        lanes = [first, *training.get("lanes", [])]
        common = {"networks": checkpoint.networks, "ema": checkpoint.ema, "trainer": state}
        common["versions"] = checkpoint.versions
        if trainer.sharding:
            optimizers = _apart(state, trainer)
            common = {"trainer": state}
    common = world.state_from_first(common)
    weights = world.from_first(_type_of(checkpoint.networks) if checkpoint else None)
    if trainer.sharding:
        _spread(checkpoint, trainer)
        _spread_optimizers(optimizers, common["trainer"]["players"], trainer)
    else:
        versions = common["versions"]
        trainer.cast.networks.load_state_dict(versioned(common["networks"], versions.get("networks", {})))
        for name, average in trainer.averages().items():
            own = _below(versions.get("ema", {}), name)
            average.load_state_dict(versioned(_below(common["ema"], name), own))
    trainer.load_state_dict(common["trainer"])
    if not world.leads:
        trainer.statistics.read()  # the first rank has all that was not read yet
    trainer.lanes.put_back(lanes, dtype_named(weights) if weights else None)


def _type_of(networks: Mapping[str, Tensor]) -> str | None:
    """The name of the type of weights: `float32`."""
    dtypes = (tensor.dtype for tensor in networks.values() if tensor.is_floating_point())
    return next((str(dtype).removeprefix("torch.") for dtype in dtypes), None)


def _spread(checkpoint: Checkpoint | None, trainer: Trainer) -> None:
    """Give each rank its part of the first one's networks and averages: one tensor after the other, none held long."""
    world, sharding = trainer.world, trainer.sharding
    cut = {f"{name}.{key}" for name in sharding.networks for key in sharding.keys(name)}
    networks = trainer.cast.networks.state_dict()
    averages = {f"{name}.{key}": t for name, net in trainer.averages().items() for key, t in net.state_dict().items()}
    shapes = {name: tensor.shape for name, tensor in networks.items() if isinstance(tensor, Tensor)}
    wholes = (checkpoint.networks, checkpoint.ema) if checkpoint else (None, None)
    held = (trainer.cast.networks, trainer.averages())
    for targets, whole, modules in zip((networks, averages), wholes, held, strict=True):
        names = world.from_first(None if whole is None else sorted(whole))
        if differing := sorted(set(names) ^ set(targets)):
            raise RuntimeError(f"{differing[0]} is in one of them only")
        for name in names:
            tensor = world.state_from_first(None if whole is None else whole[name])
            if name not in shapes:
                put_extra(modules, name, tensor)
                continue
            if tensor.shape != shapes[name]:
                raise RuntimeError(f"{name} has shape {list(tensor.shape)}, not {list(shapes[name])}")
            sharding.put(targets[name], tensor, name in cut)


def put_extra(modules: Any, name: str, value: Any) -> None:
    """Give a module what its `get_extra_state` gave: `G.blocks.0._extra_state` of these modules by name."""
    network, _, path = name.removesuffix("_extra_state").removesuffix(".").partition(".")
    modules[network].get_submodule(path).set_extra_state(value)


def _apart(state: dict[str, Any], trainer: Trainer) -> dict[str, Tensor]:
    """What optimizers remember of weights in shards, taken out of a trainer's state: by player, weight and name."""
    taken: dict[str, Tensor] = {}
    state["players"] = dict(state["players"])
    for name, player in trainer.players.items():
        saved = state["players"][name]
        held: dict[int, dict[str, Any]] = {n: dict(entries) for n, entries in saved["optimizer"]["state"].items()}
        state["players"][name] = saved | {"optimizer": saved["optimizer"] | {"state": held}}
        for number, parameter in enumerate(player.parameters):
            for key, value in list(held.get(number, {}).items()):
                if parameter is not player.mine[number] and getattr(value, "shape", None) == parameter.shape:
                    taken[f"{name}/{number}/{key}"] = held[number].pop(key)
    return taken


def _spread_optimizers(whole: dict[str, Tensor] | None, players: dict[str, Any], trainer: Trainer) -> None:
    """Put each rank's part of what `_apart` took into its state."""
    for path in trainer.world.from_first(None if whole is None else list(whole)):
        tensor = trainer.world.state_from_first(None if whole is None else whole[path])
        name, number, key = path.split("/", 2)
        players[name]["optimizer"]["state"][int(number)][key] = trainer.sharding.cut(tensor).clone()


def _below(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def _refuse_ruined_weights(trainer: Trainer) -> None:
    """A loss may be finite and its gradient not: what it leaves must not push good checkpoints out."""
    for name, network in trainer.cast.networks.items():
        weights = [own_shard(p.detach()) for p in network.parameters()]
        ruined = bool(weights) and not bool(torch.isfinite(nn.utils.get_total_norm(weights)))
        if trainer.world.largest(ruined) if name in trainer.sharding.networks else ruined:
            raise TrainingFailed(
                f"step {trainer.progress.step}: weights of the network '{name}' are NaN or infinite: nothing was saved",
                "a gradient was not finite though its loss was: look at gradients/* in TensorBoard, and for\n"
                "sqrt, norm or log at 0 in the losses; then go on from the last checkpoint with --resume",
            )
