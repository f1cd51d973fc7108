"""A plugin of tiny parts, one for each shape that a GAN family takes; tests load it as a plain file."""

import os
import random
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge import Callback, Context, Dataset, Run, Samples, hookimpl, traits
from ganforge.core.nested import tensors


def fields(shapes: dict[str, tuple[int, ...]], integers: list[str] | None = None) -> Dataset:
    """A dataset of nothing but shapes; some of the fields may be whole numbers."""

    class Shapeless(Dataset):
        def shapes(self) -> dict[str, tuple[int, ...]]:
            return shapes

        def dtypes(self) -> dict[str, torch.dtype]:
            return dict.fromkeys(integers or (), torch.int64)

        def train(self) -> Samples:
            raise NotImplementedError

    return Shapeless()


class Translator(nn.Module):
    """`[N, C, H, W]` to `[N, 3, H, W]`."""

    def __init__(self, channels: int = 3, batch_norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(F.relu(self.norm(self.first(x)))))


class Translation(NamedTuple):
    image: Tensor
    features: list[Tensor]


class Encoder(nn.Module):
    """A translator whose encoder can be called alone, as CUT's."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((3, 4, 4)))
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def encode(self, x: Tensor) -> list[Tensor]:
        features = []
        for layer in self.layers:
            x = F.relu(layer(x))
            features.append(x)
        return features

    def forward(self, x: Tensor) -> Translation:
        features = self.encode(x)
        return Translation(torch.tanh(self.last(features[-1])), features)


class Labelled(nn.Module):
    """Adds a learnt colour of the label."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Embedding(4, 3)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return x + self.colours(label)[:, :, None, None]


class PatchSampler(nn.Module):
    """Projects patches of feature maps; its sizes are known at the first forward."""

    def __init__(self) -> None:
        super().__init__()
        self.projections = nn.ModuleList([nn.LazyLinear(6), nn.LazyLinear(6)])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        patches = [feature.flatten(2).transpose(1, 2)[:, ::7] for feature in features]
        return [F.normalize(p(x), dim=-1) for p, x in zip(self.projections, patches, strict=True)]


class Critic(nn.Module):
    """Patch logits."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 4, 2, 1)
        self.last = nn.Conv2d(4, 1, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.leaky_relu(self.first(x), 0.2))


class Uneven(Critic):
    """Built late on one rank; begins with other weights on rank 1, or is broken there."""

    def __init__(self, late_s: float = 0.0, late: int = 0, broken: bool = False) -> None:
        super().__init__()
        rank = os.environ.get("RANK")
        if rank == str(late):
            time.sleep(late_s)
        if rank == "1":
            self.first.weight.data.add_(0.1)
            if broken:
                self.last = nn.Conv2d(5, 1, 4, 2, 1)


class Spectral(Critic):
    """Its first convolution has a norm of 1, which each forward approaches by a step."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.spectral_norm(self.first)


class Dropping(Translator):
    """Leaves activations out at random."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x))


class Scaled(Translator):
    def forward(self, x: Tensor, alpha: float = 1.0) -> Tensor:
        return alpha * super().forward(x)


class Fickle(Translator):
    """Decides on the host."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if random.random() < 0.5 else -x


class Drifting(Translator):
    """Keeps a mean by putting a new one in place of the old."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = self.mean.lerp(x.mean().detach(), 0.1)
        return super().forward(x - self.mean)


class Keeping:
    """Shows what it was given three calls ago, and keeps it as it is."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.kept.append(x.detach())
        return self.kept[max(0, len(self.kept) - 4)]


class Total(NamedTuple):
    image: Tensor
    total: Tensor


class Summing(Translator):
    """Also gives one number for the whole batch."""

    def forward(self, x: Tensor) -> Total:  # type: ignore[override]
        image = super().forward(x)
        return Total(image, image.square().mean())


class Verdict(NamedTuple):
    logits: Tensor
    features: list[Tensor]


class PairCritic(nn.Module):
    """Judges an image together with its condition, and shows its features."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 4, 4, 2, 1)
        self.last = nn.Conv2d(4, 1, 4, 2, 1)

    def forward(self, x: Tensor, y: Tensor) -> Verdict:
        feature = F.leaky_relu(self.first(torch.cat((x, y), 1)), 0.2)
        return Verdict(self.last(feature), [feature])


class Synthesis(nn.Module):
    """Latent `[N, size]` to an image; `alpha` blends."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, 8)
        self.last = nn.Linear(8, 3 * 16 * 16)

    def forward(self, z: Tensor, alpha: float = 1.0) -> Tensor:
        return torch.tanh(alpha * self.last(torch.tanh(self.hidden(z)))).view(-1, 3, 16, 16)


class Mapping(nn.Module):
    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.layer(z))


class SelfFrozen(nn.Module):
    """Freezes a part of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.learns = nn.Conv2d(3, 3, 1)
        self.fixed = nn.Conv2d(3, 3, 1).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fixed(self.learns(x))


class Tally:
    """Passes a value on and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.watched: list[int] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.count += 1
        return x.detach()

    def watch(self, x: Tensor, *, context: Context) -> Tensor:
        self.watched.append(context.batch_size)
        return x

    def statistics(self) -> dict[str, float]:
        return {"watched": float(len(self.watched))}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def grain(image: Tensor) -> Tensor:
    return image + torch.randn_like(image)


def left(pair: Tensor) -> Tensor:
    """The first of two images that were put together."""
    return pair[:, :3]


def wobble(image: Tensor) -> Tensor:
    """Draws where no GPU sees it."""
    return image * random.random()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1, dtype=real.dtype)
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return (gradient.flatten(1).norm(2, 1) - 1).square().mean()


@traits(wrt=("images",))
def r1(logits: Tensor, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


@traits(wrt=("images",))
def steepness(verdict: Tensor, images: Tensor) -> Tensor:
    """As r1, of whatever a network returns."""
    total = sum(value.double().sum() for value in tensors(verdict) if value.requires_grad)
    (g,) = torch.autograd.grad(total, images, create_graph=True)
    return g.square().mean()


def middle(first: Tensor, second: Tensor) -> Tensor:
    """Halfway: where a penalty looks without drawing anything."""
    return (first + second) / 2


def slope(judge: nn.Module, images: Tensor) -> Tensor:
    """Differentiates twice within."""
    leaf = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(leaf).sum(), leaf, create_graph=True)
    return (gradient.flatten(1).norm(2, 1) - 1).square().mean()


def beside(input: Sequence[Tensor]) -> Tensor:
    """A loss of whatever networks return."""
    return sum(value.double().square().mean() for value in tensors(input) if value.is_floating_point())  # type: ignore[return-value]


def undeclared(images: Tensor, latents: Tensor) -> Tensor:
    """Differentiates twice, and does not say so."""
    (gradient,) = torch.autograd.grad(images.sum(), latents, create_graph=True)
    return gradient.square().mean()


@traits(wrt=("latents",))
def path_length(images: Tensor, latents: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad((images * images.detach().cos()).sum(), latents, create_graph=True)
    return (gradient.norm(2, 1) - 0.3).square().mean()


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    return F.softplus(worse - better).mean()


def patch_nce(query: Sequence[Tensor], key: Sequence[Tensor]) -> Tensor:
    total = torch.zeros(())
    for q, k in zip(query, key, strict=True):
        logits = q @ k.detach().transpose(1, 2) / 0.07
        labels = torch.arange(logits.shape[1]).repeat(len(logits))
        total = total + F.cross_entropy(logits.flatten(0, 1), labels)
    return total / len(query)


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a - b.detach()).abs().mean() for a, b in zip(fake, real, strict=True)]).sum()


def mean_of(input: Tensor) -> Tensor:
    return input.mean()


def detached(input: Tensor) -> Tensor:
    return input.detach().mean()


def no_scalar(input: Tensor) -> Tensor:
    return input


def number(input: Tensor) -> float:
    return 1.0


def trouble(input: Tensor, kind: str, ranks: Sequence[int] = (1,)) -> Tensor:
    """On these ranks not a number, or an error."""
    if int(os.environ.get("RANK", -1)) in ranks:
        input.sum().item()  # nothing that a dry run could see
        if kind == "error":
            raise ZeroDivisionError("by design")
        return input.mean() * torch.nan
    return input.mean()


def refusing(input: Tensor) -> Tensor:
    raise ZeroDivisionError("by design")


def bad_at(input: Tensor, calls: Tensor, value: float, call: int = 2) -> Tensor:
    """Not finite at one call, which the op `calls` counts."""
    return input.mean() * torch.where(calls.eq(call), value, 1.0)


class Count:
    """How often it was called, as a tensor."""

    def __init__(self) -> None:
        self.calls = torch.zeros(())

    def __call__(self) -> Tensor:
        self.calls = self.calls + 1
        return self.calls

    def state_dict(self) -> dict[str, Tensor]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.calls = state["calls"]


class StopAt(Callback):
    """Asks the run to end as Ctrl-C does."""

    def __init__(self, step: int, number: int = 2, times: int = 1) -> None:
        self.step, self.number, self.times = step, number, times

    def step_ended(self, run: Run) -> None:
        if run.step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


class Diary(Callback):
    """Keeps what was logged, by step."""

    def __init__(self) -> None:
        self.scalars: dict[int, dict[str, float]] = {}
        self.ended = ""

    def statistics_read(self, run: Run, scalars: Any) -> None:
        timed = ("speed/", "memory/")
        self.scalars[run.step] = {name: value for name, value in scalars.items() if not name.startswith(timed)}

    def run_ended(self, run: Run, status: str) -> None:
        self.ended = status


@hookimpl
def register_networks(register: Callable[..., None]) -> None:
    for name, network in {
        "translator": Translator,
        "encoder": Encoder,
        "patch_sampler": PatchSampler,
        "critic": Critic,
        "pair_critic": PairCritic,
        "synthesis": Synthesis,
        "mapping": Mapping,
        "self_frozen": SelfFrozen,
        "labelled": Labelled,
        "spectral": Spectral,
        "uneven": Uneven,
        "scaled": Scaled,
        "fickle": Fickle,
        "drifting": Drifting,
        "dropping": Dropping,
        "summing": Summing,
    }.items():
        register(name, network)


@hookimpl
def register_ops(register: Callable[..., None]) -> None:
    register("tally", Tally)
    register("count", Count)
    register("grain", grain)
    register("middle", middle)
    register("left", left)
    register("keeping", Keeping)
    register("wobble", wobble)


@hookimpl
def register_losses(register: Callable[..., None]) -> None:
    for loss in (
        slope,
        undeclared,
        gradient_penalty,
        r1,
        path_length,
        relativistic,
        patch_nce,
        feature_matching,
        mean_of,
        detached,
        steepness,
        beside,
    ):
        register(loss.__name__, loss)
    for loss in (no_scalar, number, refusing, bad_at, trouble):
        register(loss.__name__, loss)


class Erring(torch.optim.SGD):
    """Moves weights on rank 1 as on no other."""

    def step(self, closure: None = None) -> None:
        super().step(closure)
        if os.environ.get("RANK") == "1":
            torch._foreach_mul_([p.detach() for group in self.param_groups for p in group["params"]], 1 + 1e-4)


@hookimpl
def register_optimizers(register: Callable[..., None]) -> None:
    register("erring", Erring)


@hookimpl
def register_datasets(register: Callable[..., None]) -> None:
    register("fields", fields)


@hookimpl
def register_callbacks(register: Callable[..., None]) -> None:
    register("stop_at", StopAt)
    register("diary", Diary)
