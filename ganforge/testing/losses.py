"""Does a loss keep what the engine relies on?"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core.nested import map_tensors, tensors
from ganforge.core.serialise import copied
from ganforge.plugins.signature import is_sequence
from ganforge.recipe.name_checks import takes_module
from ganforge.testing.checking import (
    CheckFailed,
    checked_options,
    elsewhere,
    name_of,
    never_waiting,
    refuse_weights,
    run_checks,
    signature_of,
)

BATCH = 4
IMAGES = (BATCH, 3, 8, 8)
LARGE = 100.0


def check_loss(loss: Callable[..., Any], *, skip: tuple[str, ...] = (), **given: Any) -> None:
    """Check a loss as the engine uses it.

    | check | what must hold |
    |---|---|
    | `scalar` | it returns one finite number |
    | `differentiable` | gradients reach an input, all of them finite |
    | `gradcheck` | they are those of finite differences, in float64 |
    | `zero` | value and gradient stay finite where all inputs are 0: no sqrt, log or norm at 0 |
    | `large` | and at values of 100: no overflowing exponential |
    | `bf16` | and the value stays what it is when the inputs were rounded to bfloat16, as mixed precision does |
    | `samples` | it is a mean over samples, so that accumulation and order change nothing, or declared to couple them |
    | `waiting` | it never makes the host wait for a GPU |
    | `device` | it makes no tensor on the CPU while it computes elsewhere |
    | `weights` | a module has none that learn, or has frozen them: what learns is a network of a player |
    | `state` | a module's state goes through a checkpoint |
    | `compiled` | it gives the same under `torch.compile` (not where it differentiates: such phases run eagerly) |

    Args:
        loss: a function, or an `nn.Module` class, as it would be registered.
        skip: names of checks that do not apply, such as `gradcheck` where a gradient is stopped on purpose.
        given: inputs and options by name. A tensor input that is not given is a batch of random images
            `[4, 3, 8, 8]`, a sequence two of them. An input may be a function of other inputs by their names, as
            `logits=lambda images: critic(images)`: losses that differentiate need it.

    Raises:
        CheckFailed: with the check, what is wrong, and what to do.
        ValueError: `skip` names no check.
    """
    run_checks(loss, _case(loss, given), skip)


def _case(loss: Callable[..., Any], given: Mapping[str, Any]) -> _Case:
    signature = signature_of("losses", loss)
    names = {parameter.name for parameter in signature.inputs}
    options = checked_options(loss, signature, {k: v for k, v in given.items() if k not in names})
    torch.manual_seed(0)
    inputs: dict[str, Any] = {}
    for parameter in signature.inputs:
        if parameter.name in given:
            inputs[parameter.name] = given[parameter.name]
        elif not parameter.required:
            continue
        elif takes_module(parameter.annotation):
            raise CheckFailed(f"{name_of(loss)}: give the network '{parameter.name}' that it takes")
        elif is_sequence(parameter.annotation):
            inputs[parameter.name] = [torch.randn(IMAGES), torch.randn(IMAGES)]
        else:
            inputs[parameter.name] = torch.randn(IMAGES)
    return _Case(loss, options, inputs)


@dataclass(frozen=True)
class _Case:
    """A loss with inputs to try it on."""

    loss: Callable[..., Any]
    options: Mapping[str, Any]
    inputs: Mapping[str, Any]
    dtype: torch.dtype = torch.float64
    device: str = "cpu"

    # Evaluation

    def made(self) -> Callable[..., Any]:
        """The loss with its options, ready to be called."""
        if inspect.isclass(self.loss):
            make: Any = self.loss
            return make(**self.options).to(self.device, self.dtype).requires_grad_(False)
        return lambda **inputs: self.loss(**inputs, **self.options)

    def leaves(self, change: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> list[Tensor]:
        """The tensors of the inputs that are given, those of floats changed and as leaves."""
        given = tensors(dict(self.inputs))
        moved = [t.detach().to(self.device, self.dtype if t.is_floating_point() else None) for t in given]
        return [change(t).requires_grad_() if t.is_floating_point() else t for t in moved]

    def value(self, leaves: Sequence[Tensor], made: Callable[..., Any] | None = None, seed: int = 1) -> Any:
        """The loss of these leaves; its own randomness is the same each time."""
        rest: Iterator[Tensor] = iter(leaves)
        inputs = {
            name: self._network(value) if isinstance(value, nn.Module) else map_tensors(lambda _: next(rest), value)
            for name, value in self.inputs.items()
            if not _is_function(value)
        }
        for name, value in self.inputs.items():
            if _is_function(value):
                wanted = inspect.signature(value).parameters
                with torch.enable_grad():
                    inputs[name] = value(**{other: inputs[other] for other in wanted})
        torch.manual_seed(seed)
        return (made or self.made())(**inputs)

    def _network(self, network: nn.Module) -> nn.Module:
        return copy.deepcopy(network).to(self.device, self.dtype)

    def gradients(self, leaves: Sequence[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
        value = self.value(leaves)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        return value, list(torch.autograd.grad(value, wanted, allow_unused=True))

    @property
    def differentiates(self) -> bool:
        return bool(getattr(self.loss, "wrt", ()))

    # Checks

    def check_scalar(self) -> None:
        value = self.value(self.leaves())
        if self._seeds():
            raise CheckFailed("it seeds torch's generator: every step would draw the same")
        if not isinstance(value, Tensor):
            raise CheckFailed(f"it returns a {type(value).__name__}, not a tensor: drop .item() or float()")
        if value.numel() != 1:
            raise CheckFailed(f"it returns a tensor {list(value.shape)}: end it with .mean() or .sum()")
        if not math.isfinite(value.item()):
            raise CheckFailed(f"it returns {value.item()} for ordinary inputs")

    def check_differentiable(self) -> None:
        if not self.value(self.leaves()).requires_grad:
            raise CheckFailed("its value has no graph: look for .detach(), .item() and torch.no_grad()")
        _, gradients = self.gradients(self.leaves())
        if not any(gradient is not None for gradient in gradients) and not self.differentiates:
            raise CheckFailed("no input gets a gradient")
        self._refuse_not_finite(gradients, "for ordinary inputs")

    def check_gradcheck(self) -> None:
        leaves = self.leaves()
        _, gradients = self.gradients(leaves)
        reached = [leaf for leaf in leaves if leaf.requires_grad]
        reached = [leaf for leaf, gradient in zip(reached, gradients, strict=True) if gradient is not None]
        if not reached:
            return  # the penalty of a linear judge: only the judge learns from it

        def function(*moved: Tensor) -> Any:
            rest = iter(moved)
            return self.value([next(rest) if any(leaf is r for r in reached) else leaf for leaf in leaves])

        torch.autograd.gradcheck(function, reached, fast_mode=True, atol=1e-4, rtol=1e-3)

    def check_zero(self) -> None:
        cure = "add an epsilon inside sqrt, log or norm"
        self._refuse_hostile(torch.zeros_like, "where all inputs are 0, or equal", cure)

    def check_large(self) -> None:
        cure = "use F.softplus, F.logsigmoid or log_softmax"
        self._refuse_hostile(lambda t: t.sign() * LARGE, f"at values of {LARGE:g}", cure)

    def _refuse_hostile(self, change: Callable[[Tensor], Tensor], where: str, cure: str) -> None:
        value, gradients = self._float().gradients(self._float().leaves(change))
        if not torch.isfinite(value).all():
            raise CheckFailed(f"it is {value.item()} {where}: {cure}")
        self._refuse_not_finite(gradients, f"{where}: {cure}")

    def _refuse_not_finite(self, gradients: Sequence[Tensor | None], where: str) -> None:
        if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None):
            raise CheckFailed(f"its gradient is NaN or infinite {where}")

    def check_bf16(self) -> None:
        case = self._float()
        exact = case.value(case.leaves())
        rounded = case.value(case.leaves(lambda t: t.bfloat16().float()))
        if not torch.allclose(exact, rounded, rtol=0.1, atol=0.05):
            raise CheckFailed(
                f"it is {rounded.item():.4g} for inputs rounded to bfloat16, {exact.item():.4g} for the exact ones: "
                "it takes small differences of large numbers"
            )

    def check_samples(self) -> None:
        if self._is_random():
            return  # two draws cannot be compared
        coupled, how = self._couples()
        declared = bool(getattr(self.loss, "couples_samples", False))
        if coupled and not declared:
            raise CheckFailed(
                f"{how}: it is no mean over samples, and accumulation would change it\n"
                "  end it with .mean() over the batch, or declare it: @traits(couples_samples=True)"
            )
        if declared and not coupled:
            raise CheckFailed("it is declared to couple samples, but is a mean over them: drop couples_samples")

    def _seeds(self) -> bool:
        """Whether the generator is, after it, where it is after any other draw."""
        made, after = self.made(), []
        for seed in (5, 6):
            leaves = self.leaves()
            self.value(leaves, made, seed)
            after.append(torch.get_rng_state())
        return torch.equal(*after)

    def _is_random(self) -> bool:
        self.value(self.leaves(), self.made())
        after = torch.get_rng_state()
        torch.manual_seed(1)  # as `value` did
        return not torch.equal(after, torch.get_rng_state())

    def _couples(self) -> tuple[bool, str]:
        leaves = [leaf.detach() for leaf in self.leaves()]
        size = len(leaves[0]) if leaves and leaves[0].ndim else 0
        if size < 2:
            return bool(getattr(self.loss, "couples_samples", False)), ""

        def of(index: Tensor) -> Tensor:
            picked = [t[index] if t.ndim and len(t) == size else t for t in leaves]
            return self.value([t.requires_grad_(t.is_floating_point()) for t in picked]).detach()

        whole = of(torch.arange(size))
        mean = torch.stack([of(torch.tensor([index])) for index in range(size)]).mean()
        if not torch.allclose(whole, mean, rtol=1e-7, atol=1e-9):
            return True, f"a batch gives {whole.item():.6g}, its samples one by one {mean.item():.6g} on average"
        turned = of(torch.arange(size).flip(0))
        if not torch.allclose(whole, turned, rtol=1e-7, atol=1e-9):
            return True, f"a batch gives {whole.item():.6g}, in another order {turned.item():.6g}"
        return False, ""

    def check_waiting(self) -> None:
        case = self._float()
        leaves, made = case.leaves(), case.made()
        with never_waiting():
            case.value(leaves, made).backward()

    def check_device(self) -> None:
        if any(_is_function(value) for value in self.inputs.values()):
            return  # what the function holds lies on the CPU
        case = replace(self._float(), device="meta")
        with elsewhere():
            case.value(case.leaves())

    def check_weights(self) -> None:
        if inspect.isclass(self.loss):
            make: Any = self.loss
            refuse_weights(make(**self.options))

    def check_state(self) -> None:
        made = self.made()
        if not isinstance(made, nn.Module):
            return
        self.value(self.leaves(), made)
        again = self.made()
        assert isinstance(again, nn.Module)
        again.load_state_dict(copied(made.state_dict()))
        ours, theirs = self.value(self.leaves(), made), self.value(self.leaves(), again)
        if not torch.equal(ours, theirs):
            raise CheckFailed(
                f"after a checkpoint it gives {theirs.item():.6g}, not {ours.item():.6g}: "
                "keep what it remembers in buffers (register_buffer)"
            )

    def check_compiled(self) -> None:
        if self.differentiates:
            return
        case = self._float()
        expected, expected_gradients = case.gradients(case.leaves())
        torch.compiler.reset()
        # Without a compiler of machine code: what can be traced, can be compiled.
        compiled = replace(case, loss=torch.compile(case.made(), backend="aot_eager"), options={})
        value, gradients = compiled.gradients(case.leaves())
        torch.compiler.reset()
        pairs = [(expected, value), *zip(expected_gradients, gradients, strict=True)]
        for ours, theirs in pairs:
            if (ours is None) != (theirs is None) or (
                ours is not None and theirs is not None and not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
            ):
                raise CheckFailed("torch.compile gives another value or gradient")

    def _float(self) -> _Case:
        """The case as the engine calls it: in float32."""
        return replace(self, dtype=torch.float32)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, nn.Module)
