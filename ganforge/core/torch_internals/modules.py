"""What modules keep in attributes that torch has no public names for: their own tensors, children and versions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm


def parameters_in(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The dict in which a module keeps its own parameters, not those of its children."""
    return module._parameters


def buffers_in(module: nn.Module) -> dict[str, Tensor | None]:
    """The dict in which a module keeps its own buffers."""
    return module._buffers


def children_in(module: nn.Module) -> dict[str, nn.Module | None]:
    """The dict in which a module keeps its children."""
    return module._modules


def is_batch_norm(module: nn.Module) -> bool:
    """Whether statistics are taken over a batch: torch derives instance norms from the same class."""
    return isinstance(module, _BatchNorm) and not isinstance(module, _InstanceNorm)


def versions_of(module: nn.Module) -> dict[str, Any]:
    """What the state of a module says of its layers' versions; empty where only torch's own layers have one."""
    own = any(m._version != 1 and not type(m).__module__.startswith("torch.") for m in module.modules())
    return dict(module.state_dict()._metadata) if own else {}  # type: ignore[attr-defined]


def metadata_of(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The versions of layers that a module's `state_dict` carries."""
    return state._metadata  # type: ignore[attr-defined]


def versioned(state: Mapping[str, Any], versions: Mapping[str, Any]) -> Mapping[str, Any]:
    """A module's state as `load_state_dict` wants it, which reads old versions by what `versions_of` gave."""
    if not versions:
        return state
    with_versions: OrderedDict[str, Any] = OrderedDict(state)
    with_versions._metadata = versions  # type: ignore[attr-defined]
    return with_versions
