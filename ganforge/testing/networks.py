"""Does a network keep what the engine relies on?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganforge.core.nested import map_tensors, tensors
from ganforge.core.serialise import copied
from ganforge.core.torch_internals.fake import FakeTensorMode
from ganforge.step.cast import couples_samples
from ganforge.testing.checking import (
    CheckFailed,
    checked_options,
    elsewhere,
    equal,
    never_waiting,
    run_checks,
    signature_of,
)

Shape = tuple[int, ...]


def check_network(
    network: Callable[..., nn.Module],
    *inputs: Shape | Tensor | Sequence[Any],
    method: str | None = None,
    skip: tuple[str, ...] = (),
    **options: Any,
) -> None:
    """Check a network as the engine uses it.

    | check | what must hold |
    |---|---|
    | `output` | it returns finite tensors, alone or in lists, dicts and NamedTuples, one entry a sample, and changes
      neither its inputs nor its mode |
    | `seed` | the same seed builds the same weights |
    | `fake` | it can be built and run on fake tensors, as `ganforge check` does, with the same shapes |
    | `gradients` | every parameter that learns gets a finite gradient, and so does an input |
    | `samples` | the samples of a batch are independent, or it has a batch norm or declares that it couples them |
    | `state` | it is the same after a checkpoint |
    | `copy` | it can be copied, as a moving average of it is |
    | `channels_last` | it computes the same in that memory format |
    | `float64` | it runs in float64 when it and its inputs are: no dtype is hard-wired |
    | `bf16` | it runs under mixed precision, and stays finite |
    | `waiting` | it never makes the host wait for a GPU |
    | `device` | it makes no tensor on the CPU while it computes elsewhere |

    Args:
        network: an `nn.Module` class, or a function that returns one, as it would be registered.
        inputs: of a call: a shape is a batch of random numbers in `[-1, 1]`, `(2, 3, 64, 64)`; a tensor is itself.
            Batches have two samples or more.
        method: call this method rather than the network itself.
        skip: names of checks that do not apply.
        options: of the constructor.

    Raises:
        CheckFailed: with the check, what is wrong, and what to do.
        ValueError: `skip` names no check.
    """
    signature = signature_of("networks", network)
    torch.manual_seed(0)
    given = tuple(_random(value) for value in inputs)
    case = _Case(network, checked_options(network, signature, options), given, method)
    run_checks(network, case, skip)


def _random(value: Any) -> Any:
    if isinstance(value, tuple) and all(isinstance(size, int) for size in value):
        return torch.rand(value) * 2 - 1
    if isinstance(value, list | tuple):
        return [_random(item) for item in value]
    return value


@dataclass(frozen=True)
class _Case:
    """A network with inputs to try it on."""

    network: Callable[..., nn.Module]
    options: dict[str, Any]
    inputs: tuple[Any, ...]
    method: str | None

    @property
    def size(self) -> int:
        """The samples of a batch."""
        return len(next(tensors(self.inputs)))

    def built(self) -> nn.Module:
        """The same network each time, its lazily created parameters included."""
        torch.manual_seed(0)
        network = self.network(**self.options)
        if any(map(is_lazy, network.parameters())):
            with torch.no_grad():
                self.call(network.eval(), self.inputs)
        return network.train()

    def _called(self, network: nn.Module) -> Callable[..., Any]:
        return getattr(network, self.method) if self.method else network

    def call(self, network: nn.Module, inputs: Sequence[Any]) -> Any:
        """The output, its randomness the same each time."""
        torch.manual_seed(1)
        return self._called(network)(*inputs)

    def outputs(self, network: nn.Module, inputs: Sequence[Any] | None = None) -> list[Tensor]:
        """The tensors of the output."""
        return list(tensors(self.call(network, self.inputs if inputs is None else inputs)))

    def evaluated(self, network: nn.Module) -> list[Tensor]:
        """The tensors of the output in evaluation mode, where running statistics stand still."""
        with torch.no_grad():
            return self.outputs(network.eval())

    def check_output(self) -> None:
        size = self.size
        network = self.built()
        before = [tensor.clone() for tensor in tensors(self.inputs)]
        outputs = self.outputs(network)
        if not equal(before, list(tensors(self.inputs))):
            raise CheckFailed("it changes its inputs, which others read too: no x += 1, no in-place ReLU on them")
        if not all(layer.training for layer in network.modules()):
            raise CheckFailed("it calls eval() on itself or a part: the engine decides the mode")
        if not outputs:
            raise CheckFailed("it returns no tensor")
        for output in outputs:
            if not torch.isfinite(output).all():
                raise CheckFailed("its first weights give NaN or infinity")
            if not output.ndim or len(output) != size:
                found = f"it returns {list(output.shape)} for a batch of {size}"
                raise CheckFailed(f"{found}: the first size should be the batch's")

    def check_seed(self) -> None:
        ours, theirs = self.built().state_dict(), self.built().state_dict()
        if not all(torch.equal(ours[name], theirs[name]) for name in ours):
            raise CheckFailed("one seed builds two sets of weights: draw them from torch's global generator")

    def check_fake(self) -> None:
        expected = [output.shape for output in self.outputs(self.built())]
        lazy = any(map(is_lazy, self.network(**self.options).parameters()))  # torch cannot fake what has no shape yet
        real = self.built() if lazy else None
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            network = real or self.network(**self.options)
            fakes = map_tensors(mode.from_tensor, list(self.inputs))
            shapes = [output.shape for output in self.outputs(network, fakes)]
        if shapes != expected:
            raise CheckFailed(f"on fake tensors it returns {shapes}, not {expected}: does it look at values?")

    def check_gradients(self) -> None:
        network = self.built()
        inputs = self._leaves()
        leaves = [tensor for tensor in tensors(inputs) if tensor.requires_grad]
        outputs = self.outputs(network, inputs)
        if not any(output.requires_grad for output in outputs):
            raise CheckFailed("its output has no graph: look for .detach() and torch.no_grad()")
        _total(outputs).backward()
        if leaves and not any(leaf.grad is not None and bool(leaf.grad.any()) for leaf in leaves):
            raise CheckFailed("no input gets a gradient: what comes before it could not learn")
        learning = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
        if idle := [name for name, gradient in learning.items() if gradient is None]:
            raise CheckFailed(
                f"'{idle[0]}' gets no gradient; so it is with {len(idle)} of {len(learning)} parameters\n"
                "  drop what the output does not depend on, or freeze it: requires_grad_(False)"
            )
        for name, gradient in learning.items():
            if gradient is not None and not torch.isfinite(gradient).all():
                raise CheckFailed(f"the gradient of '{name}' is NaN or infinite")

    def check_samples(self) -> None:
        network = self.built()
        torch.manual_seed(2)
        with torch.no_grad():
            for parameter in network.parameters():  # what starts at 0 must not hide what comes before it
                parameter.add_(0.1 * torch.randn_like(parameter))
        coupled = self._depends_on_others(network) or self._differs_alone(network)
        declared = couples_samples(network)
        if coupled and not declared:
            raise CheckFailed(
                "a sample's output depends on the other samples: declare it with\n"
                "  @traits(couples_samples=True) on the layer that does it"
            )
        if declared and not coupled:
            raise CheckFailed("it is declared to couple the samples of a batch, but does not: drop couples_samples")

    def _leaves(self) -> list[Any]:
        """The inputs, of which gradients are asked."""
        return map_tensors(lambda t: t.clone().requires_grad_() if t.is_floating_point() else t, list(self.inputs))

    def _depends_on_others(self, network: nn.Module) -> bool:
        """Whether the first sample's output has a gradient at another sample, in training."""
        inputs = self._leaves()
        leaves = [tensor for tensor in tensors(inputs) if tensor.requires_grad]
        first = _total([output[:1] for output in self.outputs(network, inputs)])
        gradients = torch.autograd.grad(first, leaves, allow_unused=True) if leaves and first.requires_grad else ()
        return any(gradient is not None and bool(gradient[1:].any()) for gradient in gradients)

    def _differs_alone(self, network: nn.Module) -> bool:
        """Whether a sample's output is another one without the rest of its batch, in evaluation mode."""
        together = self.evaluated(network)
        torch.manual_seed(3)
        with torch.no_grad():
            drawn = list(tensors(self._called(network)(*self.inputs)))
            if not equal(together, drawn):
                return False  # it draws noise: two draws cannot be compared
            last = self.size - 1
            alone = self.outputs(network, map_tensors(lambda t: t[last:], list(self.inputs)))
        pairs = zip(together, alone, strict=True)
        return not all(torch.allclose(a[last:].double(), b.double(), rtol=1e-3, atol=1e-4) for a, b in pairs)

    def check_state(self) -> None:
        network, again = self.built(), self.built()
        self.outputs(network)  # running statistics move
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.01)
        again.load_state_dict(copied(network.state_dict()))
        trained = self.outputs(network), self.outputs(again)
        if not equal(*trained) or not equal(self.evaluated(network), self.evaluated(again)):
            raise CheckFailed("a checkpoint does not hold all of it: use parameters and buffers (register_buffer)")

    def check_copy(self) -> None:
        network = self.built()
        self.outputs(network)
        copied = copy.deepcopy(network)
        if not equal(self.evaluated(network), self.evaluated(copied)):
            raise CheckFailed("a copy computes something else")

    def check_channels_last(self) -> None:
        network = self.built()
        expected = self.evaluated(network)
        torch_format = torch.channels_last

        def turned(tensor: Tensor) -> Tensor:
            return tensor.contiguous(memory_format=torch_format) if tensor.ndim == 4 else tensor

        network.to(memory_format=torch_format)
        with torch.no_grad():
            found = self.outputs(network, map_tensors(turned, list(self.inputs)))
        if not all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(expected, found, strict=True)):
            raise CheckFailed("in channels_last it computes something else: .reshape() where .view() stands?")

    def check_float64(self) -> None:
        inputs = map_tensors(lambda t: t.double() if t.is_floating_point() else t, list(self.inputs))
        outputs = self.outputs(self.built().double(), inputs)
        if any(output.is_floating_point() and output.dtype != torch.float64 for output in outputs):
            raise CheckFailed("its output is not float64 though its weights and inputs are: take x.dtype, name none")

    def check_bf16(self) -> None:
        network = self.built()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.outputs(network)
        _total(outputs).backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (*outputs, *gradients)):
            raise CheckFailed("under bfloat16 mixed precision it gives NaN or infinity")

    def check_waiting(self) -> None:
        network = self.built()
        with never_waiting():
            _total(self.outputs(network)).backward()

    def check_device(self) -> None:
        network = self.built().to("meta")
        with elsewhere():
            self.outputs(network, map_tensors(lambda t: t.to("meta"), list(self.inputs)))


def _total(outputs: Sequence[Tensor]) -> Tensor:
    """A number that every value has its own share in: a plain sum is blind behind a norm."""
    shares = [
        (output.double() * torch.linspace(0.5, 1.5, output.numel(), dtype=torch.float64).view(output.shape)).sum()
        for output in outputs
        if output.is_floating_point()
    ]
    return torch.stack(shares).sum()
