"""The recipes against loops written by hand from the papers, in float64."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import Parity

EXACT = 1e-12
STEPS = 6
SMALL = (
    "data.crop_px=16",
    "data.batch_size=2",
    "networks.M.size_px=16",
    "networks.M.latent_size=6",
    "networks.M.style_size=8",
    "networks.M.layers=2",
    "networks.S.size_px=16",
    "networks.S.channels=4",
    "networks.S.style_size=8",
    "networks.D.size_px=16",
    "networks.D.channels=4",
    "ops.z.size=6",
    "ops.other_z.size=6",
    # Soon enough to be seen in a few steps.
    "phases.3.every=2",
    "players.discriminator.optimizer.every=2",
    "players.generator.ema.decay.ramp_up=2",
    "players.generator.ema.decay.steps=5",
)
FORWARDS = {"M": 2 * (STEPS + 2 + STEPS), "S": STEPS + 2 + STEPS, "D": STEPS + 2 * STEPS + 3}


def train_by_hand(
    parity: Parity,
    batches: list[dict[str, Tensor]],
    augment: Callable[[Tensor], Tensor] = lambda images: images,
    watch: Callable[[Tensor], None] = lambda logits: None,
) -> tuple[dict[str, nn.Module], Tensor]:
    """Train the copies of the networks; return the generator's moving average, and that of the path lengths."""
    M, S, D = parity["M"], parity["S"], parity["D"]
    opt_g = torch.optim.Adam([*M.parameters(), *S.parameters()], lr=0.0025 * 4 / 5, betas=(0.0, 0.99 ** (4 / 5)))
    opt_d = torch.optim.Adam(D.parameters(), lr=0.0025 * 2 / 3, betas=(0.0, 0.99 ** (2 / 3)))
    average: dict[str, nn.Module] = {}
    mean_length = torch.zeros((), dtype=torch.float64)
    torch.manual_seed(1)

    def styles() -> Tensor:
        w = M(torch.randn(2, 6, dtype=torch.float64)).clone()
        other = M(torch.randn(2, 6, dtype=torch.float64))
        crossover, mixed = torch.randint(1, 6, (2, 1)), torch.rand(2, 1) < 0.9
        for sample in range(2):
            if mixed[sample]:
                w[sample, crossover[sample] :] = other[sample, crossover[sample] :]
        return w

    def learn(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def follow(step: int) -> None:
        life = min(5, 2 * step)
        decay = 0.5 ** (1 / life) if life else 0
        for name, network in {"M": M, "S": S}.items():
            if name not in average:
                average[name] = copy.deepcopy(network)
            else:
                for ours, theirs in zip(average[name].parameters(), network.parameters(), strict=True):
                    ours.data = decay * ours.data + (1 - decay) * theirs.data

    for step, batch in enumerate(batches):
        learn(opt_g, F.softplus(-D(augment(S(styles())))).mean())
        if step % 4 == 0:
            w = styles()
            images = S(w)
            y = torch.randn_like(images) / 16
            (slope,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            mean = 0.99 * mean_length + 0.01 * lengths.mean()
            mean_length = mean.detach()
            learn(opt_g, 2 * 4 * (lengths - mean).square().mean())
        follow(step)
        real = batch["real"]
        verdict = D(augment(real))
        watch(verdict)
        learn(opt_d, F.softplus(-verdict).mean() + F.softplus(D(augment(S(styles()).detach()))).mean())
        if step % 2 == 0:
            real = real.clone().requires_grad_()
            (slope,) = torch.autograd.grad(D(augment(real)).sum(), real, create_graph=True)
            # gamma of the reference's `auto`: 0.0002 * 256^2 / 32; the recipe's weight is for every 16th step.
            gamma = 0.0002 * 256**2 / 32
            learn(opt_d, 16 * gamma / 2 * slope.square().sum((1, 2, 3)).mean())
    return average, mean_length


def distance(ours: nn.Module, theirs: nn.Module) -> float:
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_stylegan2_regularises_in_steps_of_its_own() -> None:
    parity = Parity("stylegan2_folder", *SMALL)
    batches = parity.batches(STEPS)
    parity.train(batches)
    average, mean_length = train_by_hand(parity, batches)
    assert parity.difference() < EXACT
    assert parity.forwards == FORWARDS
    saved = parity.trainer.state_dict()["losses"]["generator_2/path_length"]
    assert float(saved["mean_length"]) == pytest.approx(float(mean_length), rel=EXACT)
    assert mean_length > 0
    for name in ("M", "S"):
        assert distance(parity.average(name), average[name]) < EXACT
        assert distance(parity.average(name), parity[name]) > 1e-4  # an average that only copies would pass else


# DiffAugment, image by image


def diff_augment_by_hand(images: Tensor) -> Tensor:
    count, _, side, _ = images.shape
    bright, saturate, contrast = (torch.rand(count, 1, 1, 1, dtype=torch.float64) for _ in range(3))
    reach, window = side // 8, side // 2
    moves = [torch.randint(-reach, reach + 1, (count, 1, 1, 1)) for _ in range(2)]
    middles = [torch.randint(0, side + 1, (count, 1, 1, 1)) for _ in range(2)]
    results = []
    for n, picture in enumerate(images):
        x = picture + bright[n, 0, 0, 0] - 0.5
        grey = x.mean(0)
        x = (x - grey) * 2 * saturate[n, 0, 0, 0] + grey
        x = (x - x.mean()) * (contrast[n, 0, 0, 0] + 0.5) + x.mean()
        down, right = int(moves[0][n]), int(moves[1][n])
        x = F.pad(x, (reach, reach, reach, reach))[:, reach - down :, reach - right :][:, :side, :side]
        top, left = int(middles[0][n]) - window // 2, int(middles[1][n]) - window // 2
        kept = torch.ones(side, side, dtype=torch.float64)
        kept[max(top, 0) : top + window, max(left, 0) : left + window] = 0
        results.append(x * kept)
    return torch.stack(results)


def test_diff_augment_is_what_the_discriminator_sees_everywhere() -> None:
    parity = Parity("stylegan2_diffaugment_folder", *SMALL)
    batches = parity.batches(STEPS)
    parity.train(batches)
    train_by_hand(parity, batches, diff_augment_by_hand)
    assert parity.difference() < EXACT
    assert parity.forwards == FORWARDS


# ADA, image by image


class AdaByHand:
    """p = 0.5 at first; every second look it moves by the images seen, of 50."""

    def __init__(self) -> None:
        self.p, self.signs = 0.5, []

    def watch(self, logits: Tensor) -> None:
        self.signs += logits.flatten().tolist()
        if len(self.signs) == 4:
            mean = sum((logit > 0) - (logit < 0) for logit in self.signs) / 4
            self.p = max(0, self.p + math.copysign(4 / 50, mean - 0.6))
            self.signs = []

    def drawn(self, value: Tensor, otherwise: float, p: float | None = None) -> Tensor:
        happens = torch.rand(len(value), dtype=torch.float64) < (self.p if p is None else p)
        return torch.stack([v if h else torch.full_like(v, otherwise) for v, h in zip(value, happens, strict=True)])

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float64)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64)

    def __call__(self, images: Tensor) -> Tensor:
        n, _, side, _ = images.shape
        rotations = 1 - math.sqrt(1 - min(self.p, 1))
        flips = self.drawn((self.uniform(n) * 2).floor(), 0)
        turns = self.drawn((self.uniform(n) * 4).floor(), 0)
        steps = (self.drawn((self.uniform(n, 2) * 2 - 1) * 0.125, 0) * side).round()
        zooms = self.drawn(2 ** (0.2 * self.normal(n)), 1)
        before = self.drawn((self.uniform(n) * 2 - 1) * math.pi, 0, rotations)
        stretches = self.drawn(2 ** (0.2 * self.normal(n)), 1)
        after = self.drawn((self.uniform(n) * 2 - 1) * math.pi, 0, rotations)
        moves = self.drawn(self.normal(n, 2) * 0.125, 0) * side
        saturations = self.drawn(2 ** self.normal(n), 1)
        hues = self.drawn((self.uniform(n) * 2 - 1) * math.pi, 0)
        inversions = self.drawn((self.uniform(n) * 2).floor(), 0)
        contrasts = self.drawn(2 ** (0.5 * self.normal(n)), 1)
        lights = self.drawn(0.2 * self.normal(n), 0)
        results = []
        for i, image in enumerate(images):
            matrix = torch.eye(3, dtype=torch.float64)
            for step in (
                scale(1 - 2 * flips[i], 1),
                turn(turns[i] * math.pi / 2),
                shift(-steps[i]),
                scale(1 / zooms[i], 1 / zooms[i]),
                turn(before[i]),
                scale(1 / stretches[i], stretches[i]),
                turn(after[i]),
                shift(-moves[i]),
            ):
                matrix = matrix @ step
            picture = sampled(image, matrix) + lights[i]
            picture = picture * contrasts[i]
            grey = picture.mean(0)
            picture = picture - 2 * grey * inversions[i]
            grey, axis = picture.mean(0), torch.full_like(picture, 3**-0.5)
            colour = picture - grey
            colour = colour * hues[i].cos() + torch.linalg.cross(axis, colour, dim=0) * hues[i].sin()
            results.append(grey + colour * saturations[i])
        return torch.stack(results)


def scale(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.diag(torch.tensor([float(x), float(y), 1.0], dtype=torch.float64))


def turn(angle: Tensor) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)


def shift(by: Tensor) -> Tensor:
    return torch.tensor([[1, 0, float(by[0])], [0, 1, float(by[1])], [0, 0, 1]], dtype=torch.float64)


def sampled(image: Tensor, matrix: Tensor) -> Tensor:
    """A picture as a product with an explicit matrix, a row for each pixel of the result."""
    side = image.shape[1]
    middle, rows = (side - 1) / 2, torch.zeros(side * side, side * side, dtype=torch.float64)
    mirrored = [*range(side), *range(side - 2, 0, -1)]
    for y in range(side):
        for x in range(side):
            at_x, at_y, _ = (matrix @ torch.tensor([x - middle, y - middle, 1], dtype=torch.float64)).tolist()
            at_x, at_y = at_x + middle, at_y + middle
            left, top = math.floor(at_x), math.floor(at_y)
            for column, across in ((left, left + 1 - at_x), (left + 1, at_x - left)):
                for row, down in ((top, top + 1 - at_y), (top + 1, at_y - top)):
                    source = mirrored[row % len(mirrored)] * side + mirrored[column % len(mirrored)]
                    rows[y * side + x, source] += across * down
    return (image.flatten(1) @ rows.T).view_as(image)


def test_ada_augments_and_adapts() -> None:
    tuned = ("ops.ada.start=0.5", "ops.ada.kimg=0.05", "ops.ada.interval=2")
    parity = Parity("stylegan2_ada_folder", *SMALL, *tuned)
    batches = parity.batches(STEPS)
    parity.train(batches)
    ada = AdaByHand()
    train_by_hand(parity, batches, ada, ada.watch)
    assert parity.difference() < EXACT
    assert parity.forwards == FORWARDS
    assert abs(float(parity.trainer.cast.ops["ada"].p) - ada.p) < EXACT  # type: ignore[attr-defined]
    assert ada.p == pytest.approx(0.5 - 3 * 0.08)  # the verdicts of a young discriminator are mixed
