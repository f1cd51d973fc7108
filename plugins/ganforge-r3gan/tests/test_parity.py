"""The shipped recipes against a plain loop, in float64: losses, penalties, Adam, average and every schedule by hand."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

import ganforge_r3gan
from ganforge.testing import Parity

EXACT = 1e-11
BURN_IN = 4
STEPS = 6  # two of them after the burn-in
RECIPES = Path(ganforge_r3gan.__file__).parent / "recipes"


@dataclass(frozen=True)
class Setting:
    """A recipe: what burns in, from and to, and how it is made small."""

    size: str
    lr: tuple[float, float]
    gamma: tuple[float, float]
    half_life_steps: float
    real: str = "real"
    classes: int | None = None

    def overrides(self) -> Iterator[str]:
        channels, more = ("[8, 8, 4]", "blocks=2") if self.classes is None else ("[8, 4, 4]", f"classes={self.classes}")
        yield from (self.size, "data.batch_size=3")
        yield from ("data.workers=0",) if self.real == "real" else ("data.count=8",)
        yield from (f"data.classes={self.classes}",) if self.classes else ()
        for network in "GD":
            yield from (f"networks.{network}.{option}" for option in (f"channels={channels}", "group_channels=4", more))
        for player in ("generator", "discriminator"):
            for moving in ("lr", "betas.1"):
                yield f"players.{player}.optimizer.{moving}.steps={BURN_IN}"
        yield f"players.generator.ema.decay.over_steps={BURN_IN}"
        yield from (f"phases.0.losses.{name}.weight.steps={BURN_IN}" for name in ("r1", "r2"))


SETTINGS = {
    "r3gan_ffhq64": Setting("data.crop_px=16", (2e-4, 5e-5), (2, 0.2), 500e3 / 256),
    "r3gan_cifar10": Setting("data.crop_px=16", (2e-4, 5e-5), (0.05, 0.005), 5e6 / 512, classes=3),
    "r3gan_shapes": Setting("data.size_px=16", (1e-3, 2e-4), (1, 0.1), 100, real="real_b"),
}


def glided(start: float, end: float, step: int) -> float:
    """The reference's cosine from start to end over the burn-in."""
    done = min(step / BURN_IN, 1)
    return start + (1 - (1 + math.cos(math.pi * done)) / 2) * (end - start)


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def squared_slope(logits: Tensor, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return (gradient**2).sum((1, 2, 3)).mean()


class Adam:
    """Without momentum, and with a second beta that moves."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        self.squares = [torch.zeros_like(p) for p in self.parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, loss: Tensor, lr: float, beta2: float) -> None:
        self.steps += 1
        gradients = torch.autograd.grad(loss, self.parameters)
        for p, gradient, square in zip(self.parameters, gradients, self.squares, strict=True):
            square.copy_(beta2 * square + (1 - beta2) * gradient**2)
            p -= lr * gradient / ((square / (1 - beta2**self.steps)).sqrt() + 1e-8)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_recipe_trains_as_the_papers_loop(name: str) -> None:
    setting = SETTINGS[name]
    parity = Parity(name, *setting.overrides())
    batches = parity.batches(STEPS, classes=setting.classes or 1)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    adam_g, adam_d, average = Adam(G), Adam(D), copy.deepcopy(G)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        images = batch[setting.real]
        label = (batch["label"],) if setting.classes else ()
        lr, beta2 = glided(*setting.lr, step), glided(0.9, 0.99, step)
        # The discriminator first, each player with noise of its own.
        real = images.clone().requires_grad_()
        fake = G(torch.randn(3, 64, dtype=torch.float64), *label).detach().requires_grad_()
        of_real, of_fake = D(real, *label), D(fake, *label)
        penalty = glided(*setting.gamma, step) / 2 * (squared_slope(of_real, real) + squared_slope(of_fake, fake))
        adam_d.step(softplus(of_fake - of_real).mean() + penalty, lr, beta2)
        fake = G(torch.randn(3, 64, dtype=torch.float64), *label)
        adam_g.step(softplus(D(images, *label) - D(fake, *label)).mean(), lr, beta2)
        half_life = glided(0, setting.half_life_steps, step)
        keep = 0.5 ** (1 / max(half_life, 1e-8))
        with torch.no_grad():
            for a, p in zip(average.parameters(), G.parameters(), strict=True):
                a.copy_(p + keep * (a - p))
    assert parity.difference() < EXACT
    averaged = zip(parity.average("G").parameters(), average.parameters(), strict=True)
    assert max(float((ours - theirs).detach().abs().max()) for ours, theirs in averaged) < EXACT
    assert parity.forwards == {"G": 2 * STEPS, "D": 4 * STEPS}


@pytest.mark.parametrize(
    ("name", "batch", "gamma", "average_images"),
    [("r3gan_ffhq64", 256, (2, 0.2), 500e3), ("r3gan_cifar10", 512, (0.05, 0.005), 5e6)],
)
def test_the_recipes_steps_are_the_papers_images(
    name: str, batch: int, gamma: tuple[float, float], average_images: float
) -> None:
    recipe: dict[str, Any] = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    d, g = recipe["players"]["discriminator"]["optimizer"], recipe["players"]["generator"]["optimizer"]
    decay, losses = recipe["players"]["generator"]["ema"]["decay"], recipe["phases"][0]["losses"]
    weights = [losses[penalty]["weight"] for penalty in ("r1", "r2")]
    assert recipe["data"]["batch_size"] == batch
    burn_ins = [d["lr"]["steps"], d["betas"][1]["steps"], decay["over_steps"], *(w["steps"] for w in weights)]
    assert all(abs(steps * batch - 20e6) < batch for steps in burn_ins)
    assert [(2 * w["start"], 2 * w["end"]) for w in weights] == [pytest.approx(gamma)] * 2
    assert (decay["start_steps"], decay["steps"] * batch) == (0, average_images)
    assert d == g
