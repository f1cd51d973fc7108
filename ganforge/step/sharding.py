"""Networks too large for one device: each rank keeps a part of every weight, and borrows the others' to compute.

The parts are those of torch's FSDP2 (`fully_shard`): of each weight a slice along its first axis, the same number of
rows on every rank but the last ones. Gradients arrive summed and in parts, and whatever treats each weight alone (the
optimizer, the moving average) works on the parts as on any other tensors.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganforge.core.torch_internals.modules import buffers_in
from ganforge.ranks import ALONE, World
from ganforge.recipe.expressions import Call
from ganforge.recipe.model import Recipe, written
from ganforge.step.cast import Cast

ENTRY = "called_in_parts_{}"


def span(rows: int, rank: int, ranks: int) -> slice:
    """The rows of a weight that a rank keeps."""
    each = -(-rows // ranks)
    return slice(min(rank * each, rows), min((rank + 1) * each, rows))


def is_sharded(tensor: Tensor) -> bool:
    """Whether a parameter is kept in parts."""
    return hasattr(tensor, "to_local")


def own_shard(tensor: Tensor) -> Tensor:
    """What this rank keeps of a parameter: the same memory."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


class Sharding:
    """The networks that are kept in parts.

    Args:
        cast: where they are; their parameters become others.
    """

    def __init__(
        self, names: Iterable[str], recipe: Recipe, cast: Cast, device: torch.device, world: World = ALONE
    ) -> None:
        self.world = world
        self.networks: dict[str, nn.Module] = {name: cast.networks[name] for name in sorted(names)}
        self.skeletons = {name: _skeleton(network) for name, network in self.networks.items()}
        """The networks without weights: what is filled by an average, or by whole weights."""
        self.units: dict[str, list[Any]] = {}
        """The modules of each network whose weights are brought together at once."""
        self.averages: dict[str, nn.Module] = {}
        """Whole moving averages of networks, by name, while rank 0 draws or measures."""
        self.twins: dict[str, nn.Module] = {}
        """Whole networks, by name, while rank 0 draws or measures."""
        self.lent = False
        """Whether the first rank has whole networks."""
        self.held = False
        self.recorded: dict[str, bool] = {}
        """Whether the weights of a network held whole got gradients when they were brought together."""
        methods = _methods(recipe)
        for name, network in self.networks.items():
            self.units[name] = _shard(network, device, world.size)
            self._prepare(name, network, methods.get(name, set()))

    def __bool__(self) -> bool:
        return bool(self.networks)

    def _prepare(self, name: str, network: nn.Module, methods: Iterable[str]) -> None:
        from torch.distributed.fsdp import register_fsdp_forward_method

        first = next((p for p in network.parameters() if is_sharded(p) and p.requires_grad), None)

        def refresh(*_: Any) -> None:
            """Weights that stay whole would not notice that gradients are switched on or off."""
            if (
                self.held
                and first is not None
                and self.recorded.setdefault(name, first.requires_grad) != first.requires_grad
            ):
                self.recorded[name] = first.requires_grad
                for unit in self.units[name]:
                    unit.reshard()

        network.register_forward_pre_hook(refresh, prepend=True)
        for method in methods:  # under a name of its own: the network's forward may call it too
            entry = ENTRY.format(method)
            setattr(network, entry, getattr(network, method))
            register_fsdp_forward_method(network, entry)
            setattr(network, entry, _after(refresh, getattr(network, entry)))

    # Passes

    def hold(self, on: bool) -> None:
        """Keep weights whole once they are, where gradients are differentiated again: that happens unseen by FSDP."""
        if on == self.held:
            return
        self.held = on
        self.recorded.clear()
        for units in self.units.values():
            for unit in units:
                unit.set_reshard_after_forward(not on, recurse=False)
                unit.set_reshard_after_backward(not on, recurse=False)
                if not on:
                    unit.reshard()

    # Whole weights

    def average(self, name: str) -> nn.Module:
        """A copy of a network, whose parameters are what this rank keeps of them. It cannot be called."""
        network = self.networks[name]
        return _filled(self.skeletons[name], {key: own_shard(p).detach().clone() for key, p in _parameters(network)})

    @contextmanager
    def whole(self, averages: Mapping[str, nn.Module]) -> Iterator[None]:
        """Let the first rank have the networks, and these averages of them, whole for a while: to call them alone."""
        if not self:
            yield
            return
        twins = {name: self._whole(name, network) for name, network in self.networks.items()}
        gathered = {name: self._whole(name, averages[name]) for name in self.networks if name in averages}
        if self.world.leads:
            self.averages, self.twins = gathered, twins
        self.lent = True
        try:
            yield
        finally:
            self.lent, self.averages, self.twins = False, {}, {}

    @torch.no_grad()
    def _whole(self, name: str, module: nn.Module) -> nn.Module:
        """At rank 0 a network, or its average, with whole weights, and the buffers of that module itself."""
        shapes = {key: p.shape for key, p in _parameters(self.networks[name]) if is_sharded(p)}
        values: dict[str, Tensor] = {}
        for key, parameter in _parameters(module):
            mine = own_shard(parameter).detach()
            values[key] = self._gathered(mine, shapes[key]) if key in shapes else mine
        return _filled(self.skeletons[name], values, module) if self.world.leads else self.skeletons[name]

    def _gathered(self, mine: Tensor, shape: torch.Size) -> Tensor:
        """The whole of a weight, at rank 0; elsewhere nothing of use."""
        padded = mine.new_zeros(-(-shape[0] // self.world.size), *shape[1:])
        padded[: len(mine)] = mine
        pieces = [torch.empty_like(padded) for _ in range(self.world.size)] if self.world.leads else None
        with self.world.noticing():
            dist.gather(padded, pieces)
        return torch.cat(pieces)[: shape[0]] if pieces else mine

    # Checkpoints

    def keys(self, name: str) -> list[str]:
        """The keys of a network's `state_dict` that are kept in parts."""
        return [key for key, tensor in self.networks[name].state_dict().items() if is_sharded(tensor)]

    @torch.no_grad()
    def put(self, target: Tensor, whole: Tensor, sharded: bool) -> None:
        """Copy a whole weight, or what this rank keeps of it."""
        own_shard(target).copy_(self.cut(whole) if sharded else whole)

    def cut(self, whole: Tensor) -> Tensor:
        """What this rank keeps of a weight, or of what an optimizer remembers of it."""
        return whole[span(len(whole), self.world.rank, self.world.size)]


def entry(network: nn.Module, method: str) -> Callable[..., Any]:
    """What to call for a network's method: of a network in parts, what brings its weights together first."""
    return getattr(network, ENTRY.format(method), None) or getattr(network, method)


def _shard(network: nn.Module, device: torch.device, ranks: int) -> list[Any]:
    """Keep a network in parts. Each layer or block of a sequence is brought together alone, the rest at once."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (ranks,))
    scalars = {p for p in network.parameters() if p.ndim == 0}
    units = [*blocks(network), network]
    for unit in units:
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=scalars or None)
    for unit in units:
        # Losses are scaled so that the sum over the ranks is the mean.
        unit.set_gradient_divide_factor(1.0)  # type: ignore[operator]
        unit.set_force_sum_reduction_for_comms(True)  # type: ignore[operator]
        unit.unshard()  # type: ignore[operator]  # once now: what is first allocated in inference mode stays so
        unit.reshard()  # type: ignore[operator]
    return units


def blocks(network: nn.Module) -> list[nn.Module]:
    """The children of sequences, inner ones first; norms and biases alone are not worth an exchange."""
    uses = Counter(id(p) for _, p in network.named_parameters(remove_duplicate=False))
    if any(count > 1 for count in uses.values()):  # weights in two places are brought together for both
        return []
    found: list[nn.Module] = []
    taken: set[int] = set()
    for module in reversed(list(network.modules())):
        if isinstance(module, nn.Sequential):
            for child in module:
                own = [p for p in child.parameters() if id(p) not in taken and p.ndim > 1]
                if own and child not in found:
                    found.append(child)
                    taken.update(id(p) for p in child.parameters())
    return found


def _methods(recipe: Recipe) -> dict[str, set[str]]:
    """The methods of networks that expressions call, by network."""
    losses = (loss for phase in recipe.phases for loss in phase.losses)
    texts = [item.expression for loss in losses for item in written(loss.inputs)]
    texts += [signal.expression for signal in recipe.signals.values()]
    found: dict[str, set[str]] = {}
    for piece in (piece for expression in texts for piece in expression.walk()):
        if isinstance(piece, Call) and piece.method:
            found.setdefault(piece.name, set()).add(piece.method)
    return found


def _after(first: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **keywords: Any) -> Any:
        first()
        return function(*arguments, **keywords)

    return called


def _parameters(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return module.named_parameters(remove_duplicate=False)


def _skeleton(network: nn.Module) -> nn.Module:
    """A copy whose parameters have shapes, and no memory."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(p.detach().to("meta"), requires_grad=False) for p in network.parameters()
    }
    return copy.deepcopy(network, memo)


def _filled(skeleton: nn.Module, values: Mapping[str, Tensor], buffers: nn.Module | None = None) -> nn.Module:
    """A copy of a skeleton with these parameters; and the buffers of another module, if not its own."""
    module = copy.deepcopy(skeleton)
    made: dict[int, nn.Parameter] = {}
    tied = {key: id(p) for key, p in _parameters(module)}
    for key, value in values.items():
        owner, _, name = key.rpartition(".")
        parameter = made.setdefault(tied[key], nn.Parameter(value, requires_grad=False))
        setattr(module.get_submodule(owner), name, parameter)
    for (_, own), (_, other) in zip(module.named_modules(), (buffers or module).named_modules(), strict=True):
        buffers_in(own).update(buffers_in(other))
    return module
