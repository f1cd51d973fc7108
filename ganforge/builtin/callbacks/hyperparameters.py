"""A run's hyperparameters for TensorBoard's HParams tab: what it was given, how it ended, what it reached.

`SummaryWriter.add_hparams` calls every run a success, and does so at its start; here the end is told at the end.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # type: ignore[import-untyped]
from torch.utils.tensorboard.summary import hparams

from ganforge import Run

Scalar = str | int | float | bool

# An interrupted run neither succeeded nor failed, and TensorBoard has no word for it.
_STATUS = {
    "finished": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "interrupted": api_pb2.STATUS_UNKNOWN,
}


def hyperparameters(run: Run) -> dict[str, Scalar]:
    """The scalar options that people compare between runs, by the dotted names of the command line's overrides."""
    recipe = run.recipe
    plain = recipe.node.plain()
    found = dict(_flat({section: plain[section] for section in ("networks", "players")}))
    for index, phase in enumerate(recipe.phases):
        weights = {loss.name: loss.weight for loss in phase.losses if isinstance(loss.weight, int | float)}
        found |= {f"phases.{index}.losses.{name}.weight": weight for name, weight in weights.items()}
    found["data.batch_size"] = recipe.loader.batch_size
    return found | {f"run.{name}": getattr(recipe.run, name) for name in ("accumulate", "precision", "seed")}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float):
            yield f"{prefix}{name}", value


def session_start(values: Mapping[str, Scalar]) -> Summary:
    """The record that a run with these hyperparameters has begun."""
    return hparams(dict(values), {})[1]


def session_end(status: str) -> Summary:
    """The record of how a run ended: `finished`, `failed` or `interrupted`."""
    end = plugin_data_pb2.SessionEndInfo(status=_STATUS[status], end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    return Summary(
        value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(data))]
    )


def columns(values: Mapping[str, Scalar], figures: Collection[str]) -> Summary:
    """The record of what the table's columns are: hyperparameters, learning rates first, and the tags of figures."""
    experiment = hparams(dict(values), dict.fromkeys(figures, 0.0))[0]
    content = experiment.value[0].metadata.plugin_data
    data = plugin_data_pb2.HParamsPluginData.FromString(content.content)
    for info in data.experiment.hparam_infos:
        # TensorBoard shows five columns at first: those that are said to differ between runs, then by name.
        info.differs = info.name.endswith(".lr")
    content.content = data.SerializeToString()
    return experiment
