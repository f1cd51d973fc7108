"""`check_loss` refuses each defect by name, and lets sound losses pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganforge import traits
from ganforge.builtin import losses
from ganforge.testing import CheckFailed, check_loss


def critic() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.Softplus(), nn.Conv2d(4, 1, 4))


@traits(wrt=("images",))
def slope(logits: Tensor, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def calls_a_network(judge: nn.Module, images: Tensor) -> Tensor:
    return F.softplus(judge(images)).mean()


def matching(fake: Sequence[Tensor], real: Sequence[Tensor], power: Annotated[float, Field(ge=1)] = 2.0) -> Tensor:
    return torch.stack([((a - b.detach()).abs() ** power).mean() for a, b in zip(fake, real, strict=True)]).mean()


def noisy(fake: Tensor) -> Tensor:
    return (fake + torch.randn_like(fake)).square().mean()


@traits(couples_samples=True)
def relative_to_the_mean(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake - real.mean()).mean()


class Running(nn.Module):
    """Remembers the mean of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, input: Tensor) -> Tensor:
        self.mean = self.mean.lerp(input.detach().mean(), 0.1)
        return (input - self.mean).square().mean()


def classes(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels)


SOUND: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "slope": (slope, {"logits": lambda images: critic().to(images.dtype)(images)}),
    "calls_a_network": (calls_a_network, {"judge": critic()}),
    "matching": (matching, {"power": 3.0}),
    "noisy": (noisy, {}),
    "couples": (relative_to_the_mean, {}),
    "classes": (classes, {"logits": torch.randn(4, 5), "labels": torch.tensor([0, 4, 2, 1])}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_loss_passes(name: str) -> None:
    loss, given = SOUND[name]
    check_loss(loss, **given)


def test_a_loss_with_a_running_mean_passes_once_it_says_that_it_couples_samples() -> None:
    with pytest.raises(CheckFailed, match=r"Running \[samples\]: .*no mean over samples"):
        check_loss(Running, skip=("gradcheck",))
    check_loss(traits(couples_samples=True)(Running), skip=("gradcheck",))


# Defects: the loss, and what the message must say.


def vector(fake: Tensor) -> Tensor:
    return fake.square()


def number(fake: Tensor) -> float:
    return fake.mean().item()


def infinite(fake: Tensor) -> Tensor:
    return (fake.square() / 0).mean()


def detached(fake: Tensor) -> Tensor:
    return fake.detach().mean()


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient


def wrong_gradient(fake: Tensor) -> Tensor:
    return Wrong.apply(fake).mean()


def root_of_nothing(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).square().flatten(1).sum(1).sqrt().mean()


def overflowing(fake: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(fake)).mean()


def cancelling(fake: Tensor) -> Tensor:
    return 100 * torch.sin(1e4 * fake).mean()


def summed(fake: Tensor) -> Tensor:
    return fake.square().sum()


def ordered(fake: Tensor) -> Tensor:
    weights = torch.arange(len(fake), dtype=fake.dtype).view(-1, 1, 1, 1)
    return (fake * weights).mean() / max(1, weights.numel() - 1)


def looking(fake: Tensor) -> Tensor:
    return fake.mean() if fake.mean() > 0 else -fake.mean()


def listing(fake: Tensor) -> Tensor:
    return fake.mean() * (1 + 0 * sum(fake.detach().flatten(1).mean(1).tolist()))


def untyped(fake, margin: float = 1.0) -> Tensor:  # type: ignore[no-untyped-def]
    return fake.mean() * margin


@traits(couples_samples=True)
def falsely_declared(fake: Tensor) -> Tensor:
    return fake.square().mean()


class Forgetful(nn.Module):
    """Keeps its state where no checkpoint finds it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, fake: Tensor) -> Tensor:
        self.calls += 1
        return fake.square().mean() * self.calls


def on_the_cpu(fake: Tensor) -> Tensor:
    return (fake - torch.ones(fake.shape, dtype=fake.dtype)).square().mean()


def to_the_cpu(fake: Tensor) -> Tensor:
    return fake.cpu().square().mean()


def by_numpy(fake: Tensor) -> Tensor:
    return fake.square().mean() + 0 * float(fake.detach().numpy().max())


def seeding(fake: Tensor) -> Tensor:
    torch.manual_seed(0)
    return (fake + torch.randn_like(fake)).square().mean()


DEFECTS: dict[str, tuple[Callable[..., Any], str]] = {
    "vector": (vector, r"vector \[scalar\]: it returns a tensor \[4, 3, 8, 8\]: end it with .mean\(\)"),
    "number": (number, r"\[scalar\]: it returns a float, not a tensor: drop .item\(\)"),
    "infinite": (infinite, r"\[scalar\]: it returns inf for ordinary inputs"),
    "detached": (detached, r"\[differentiable\]: its value has no graph"),
    "wrong_gradient": (wrong_gradient, r"\[gradcheck\]: GradcheckError: Jacobian mismatch"),
    "root_of_nothing": (root_of_nothing, r"\[zero\]: its gradient is NaN or infinite where all inputs are 0"),
    "overflowing": (overflowing, r"\[large\]: it is inf at values of 100: use F.softplus"),
    "cancelling": (cancelling, r"\[bf16\]: it is .* for inputs rounded to bfloat16"),
    "summed": (summed, r"\[samples\]: a batch gives .* one by one .*no mean over samples"),
    "ordered": (ordered, r"\[samples\]: a batch gives .*declare it: @traits\(couples_samples=True\)"),
    "looking": (looking, r"\[waiting\]: it asks for a tensor's value \(_local_scalar_dense\)"),
    "listing": (listing, r"\[waiting\]: it calls .tolist\(\)"),
    "on_the_cpu": (on_the_cpu, r"\[device\]: it mixes devices: make tensors with device=x.device"),
    "to_the_cpu": (to_the_cpu, r"\[device\]: it copies a tensor to the CPU"),
    "by_numpy": (by_numpy, r"\[device\]: it copies a tensor to the CPU, or makes it NumPy's"),
    "seeding": (seeding, r"\[scalar\]: it seeds torch's generator"),
    "untyped": (untyped, r"parameter 'fake' of 'untyped' \(.*\) has no type annotation"),
    "falsely_declared": (falsely_declared, r"\[samples\]: it is declared to couple samples, but is a mean"),
    "forgetful": (Forgetful, r"\[state\]: after a checkpoint it gives"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_named(name: str) -> None:
    loss, message = DEFECTS[name]
    with pytest.raises(CheckFailed, match=f"(?s){message}"):
        check_loss(loss)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(CheckFailed, match="matching: 'powr' is no parameter of it; it takes: fake: list"):
        check_loss(matching, powr=3.0)
    with pytest.raises(CheckFailed, match="matching: 'power' should be 1 or more, not 0"):
        check_loss(matching, power=0.0)
    with pytest.raises(CheckFailed, match="give the network 'judge' that it takes"):
        check_loss(calls_a_network)
    with pytest.raises(ValueError, match="there is no check 'gradchek'; there are: scalar, differentiable"):
        check_loss(losses.l1, skip=("gradchek",))


def test_skipping_leaves_out_one_check_alone() -> None:
    check_loss(summed, skip=("samples",))
    with pytest.raises(CheckFailed, match="samples"):
        check_loss(summed, skip=("gradcheck",))


def test_fixtures_give_the_same(check_loss: Callable[..., None], check_network: Any, check_op: Any) -> None:
    import ganforge.testing

    assert check_loss is ganforge.testing.check_loss
    assert check_network is ganforge.testing.check_network
    assert check_op is ganforge.testing.check_op
