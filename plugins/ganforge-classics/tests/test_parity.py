"""Each recipe, made small, against a plain loop written from its paper, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import Parity

EXACT = 1e-12
BATCH, CLASSES = 4, 8
LR_WGAN, CLIP, GAMMA = 5e-5, 0.01, 0.1
SMALL_RING = (f"data.batch_size={BATCH}", *(f"networks.{net}.hidden=8" for net in "GD"))
SMALL_DCGAN = (
    *(f"data.{option}" for option in (f"batch_size={BATCH}", "size_px=16")),
    *(f"networks.{net}.{option}" for net in "GD" for option in ("channels=4", "size_px=16")),
)
SMALL_SNGAN = (f"data.batch_size={BATCH}", "data.size_px=16", *(f"networks.{net}.channels=[4,4,4]" for net in "GD"))

Formula = Callable[..., Tensor]


def noise(size: int) -> Tensor:
    return torch.randn(BATCH, size, dtype=torch.float64)


def learn(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
    """One update of this network; what else the loss reached is left as it was."""
    parameters = list(network.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def adam(network: nn.Module, lr: float, *betas: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas)  # type: ignore[arg-type]


def decay(step: int, total: int, rates: dict[torch.optim.Optimizer, float]) -> None:
    """Straight down to 0 at the last step."""
    for optimizer, rate in rates.items():
        optimizer.param_groups[0]["lr"] = rate * (1 - step / total)


class Average:
    """A moving average of weights that starts as they are after the first update."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.weights = network, list[Tensor]()

    def follow(self) -> None:
        now = [weight.detach().clone() for weight in self.network.parameters()]
        pairs = zip(self.weights or now, now, strict=True)
        self.weights = [0.99 * before + 0.01 * weight for before, weight in pairs]

    def assert_equals(self, module: nn.Module) -> None:
        for ours, theirs in zip(module.parameters(), self.weights, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=EXACT)


# Formulas


def cross_entropy_d(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def cross_entropy_g(fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def squares_d(real: Tensor, fake: Tensor) -> Tensor:
    return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2


def squares_g(fake: Tensor) -> Tensor:
    return ((fake - 1) ** 2).mean() / 2


def slopes(D: nn.Module, at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    return torch.autograd.grad(D(at).sum(), at, create_graph=True)[0]


# Points


def test_wgan_gp_penalises_between_pairs_and_updates_the_generator_every_fifth_step() -> None:
    parity = Parity("wgan_gp_ring", *SMALL_RING)
    batches = parity.batches(12)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 2e-3, 0.5, 0.9), adam(D, 2e-3, 0.5, 0.9)
    average = Average(G)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        decay(step, 10_000, {opt_g: 2e-3, opt_d: 2e-3})
        real, fake = batch["real"], G(noise(2)).detach()
        loss = D(fake).mean() - D(real).mean()
        share = torch.rand(BATCH, 1, dtype=torch.float64)
        norms = slopes(D, share * fake + (1 - share) * real).norm(dim=1)
        learn(opt_d, D, loss + 0.1 * ((norms - 1) ** 2).mean())
        if step % 5 == 0:
            learn(opt_g, G, -D(G(noise(2))).mean())
            average.follow()
    assert parity.difference() < EXACT
    average.assert_equals(parity.average("G"))
    assert parity.forwards == {"G": 12 + 3, "D": 3 * 12 + 3}


def test_wgan_clips_every_weight_of_the_critic() -> None:
    parity = Parity("wgan_ring", *SMALL_RING)
    batches = parity.batches(12)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = (torch.optim.RMSprop(net.parameters(), lr=LR_WGAN) for net in (G, D))
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        learn(opt_d, D, D(G(noise(2)).detach()).mean() - D(batch["real"]).mean())
        for weight in D.parameters():
            weight.data.clamp_(-CLIP, CLIP)
        if step % 5 == 0:
            learn(opt_g, G, -D(G(noise(2))).mean())
    assert parity.difference() < EXACT
    assert parity.forwards == {"G": 12 + 3, "D": 2 * 12 + 3}
    assert max(float(p.detach().abs().max()) for p in D.parameters()) == CLIP


def test_dragan_penalises_beside_real_points() -> None:
    parity = Parity("dragan_ring", *SMALL_RING)
    batches = parity.batches(6)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 2e-3, 0.5, 0.9), adam(D, 2e-3, 0.5, 0.9)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        decay(step, 10_000, {opt_g: 2e-3, opt_d: 2e-3})
        real = batch["real"]
        loss = cross_entropy_d(D(real), D(G(noise(2)).detach()))
        std = (real - real.mean()).square().mean().sqrt()
        perturbed = real + 0.5 * std * torch.rand(BATCH, 2, dtype=torch.float64)
        share = torch.rand(BATCH, 1, dtype=torch.float64)
        norms = slopes(D, (1 - share) * real + share * perturbed).norm(dim=1)
        learn(opt_d, D, loss + ((norms - 1) ** 2).mean())
        learn(opt_g, G, cross_entropy_g(D(G(noise(2)))))
    assert parity.difference() < EXACT
    assert parity.forwards == {"G": 2 * 6, "D": 3 * 6 + 6}


@pytest.mark.parametrize("lazy", [True, False])
def test_r1_shares_the_forward_and_weighs_as_much_as_it_is_seldom(lazy: bool) -> None:
    plain = () if lazy else ("phases.0.losses.r1.every=1",)
    parity = Parity("r1_ring", *SMALL_RING, *plain)
    batches = parity.batches(18)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 2e-3, 0.5, 0.9), adam(D, 2e-3, 0.5, 0.9)
    torch.manual_seed(1)
    every = 16 if lazy else 1
    for step, batch in enumerate(batches):
        decay(step, 10_000, {opt_g: 2e-3, opt_d: 2e-3})
        loss = cross_entropy_d(D(batch["real"]), D(G(noise(2)).detach()))
        if step % every == 0:
            penalty = (slopes(D, batch["real"]) ** 2).sum(1).mean()
            loss = loss + every * GAMMA / 2 * penalty
        learn(opt_d, D, loss)
        learn(opt_g, G, cross_entropy_g(D(G(noise(2)))))
    assert parity.difference() < EXACT
    assert parity.forwards == {"G": 2 * 18, "D": 2 * 18 + 18}


# Pictures


@pytest.mark.parametrize(
    ("recipe", "of_d", "of_g"),
    [("dcgan_spots", cross_entropy_d, cross_entropy_g), ("lsgan_spots", squares_d, squares_g)],
)
def test_dcgans_make_their_fakes_once_for_both_players(recipe: str, of_d: Formula, of_g: Formula) -> None:
    parity = Parity(recipe, *SMALL_DCGAN)
    batches = parity.batches(5)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 1e-3, 0.5, 0.999), adam(D, 5e-4, 0.5, 0.999)
    average = Average(G)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        decay(step, 3_000, {opt_g: 1e-3, opt_d: 5e-4})
        real = D(batch["real"])  # before the fakes: the order matters to the running statistics of D's batch norms
        fake = G(noise(2))
        learn(opt_d, D, of_d(real, D(fake.detach())))
        learn(opt_g, G, of_g(D(fake)))
        average.follow()
    assert parity.difference() < EXACT
    average.assert_equals(parity.average("G"))
    assert parity.forwards == {"G": 5, "D": 3 * 5}


def test_dcgan_of_a_folder_has_the_papers_optimizer() -> None:
    in_folder = (text.replace("data.size_px", "data.crop_px") for text in SMALL_DCGAN)
    parity = Parity("dcgan_folder", *in_folder, "data.root=pictures")
    batches = parity.batches(5)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 2e-4, 0.5, 0.999), adam(D, 2e-4, 0.5, 0.999)
    torch.manual_seed(1)
    for batch in batches:
        real, fake = D(batch["real"]), G(noise(100))
        learn(opt_d, D, cross_entropy_d(real, D(fake.detach())))
        learn(opt_g, G, cross_entropy_g(D(fake)))
    assert parity.difference() < EXACT
    assert parity.forwards == {"G": 5, "D": 3 * 5}


@pytest.mark.parametrize("recipe", ["sngan_spots", "projection_spots"])
def test_sngans_learn_by_hinges_and_average_their_generator(recipe: str) -> None:
    conditional = recipe == "projection_spots"
    parity = Parity(recipe, *SMALL_SNGAN)
    batches = parity.batches(6, classes=CLASSES)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 1e-3, 0.0, 0.9), adam(D, 1e-3, 0.0, 0.9)
    average = Average(G)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        decay(step, 2_000, {opt_g: 1e-3, opt_d: 1e-3})
        of_real = D(batch["real"], *([batch["label"]] if conditional else []))
        latents = noise(2)
        wanted = [torch.randint(CLASSES, (BATCH,))] if conditional else []
        fake = G(latents, *wanted)
        learn(opt_d, D, F.relu(1 - of_real).mean() + F.relu(1 + D(fake.detach(), *wanted)).mean())
        learn(opt_g, G, -D(fake, *wanted).mean())
        average.follow()
    assert parity.difference() < EXACT
    average.assert_equals(parity.average("G"))
    assert parity.forwards == {"G": 6, "D": 3 * 6}


def test_acgan_tells_the_classes_of_real_and_of_generated_pictures() -> None:
    parity = Parity("acgan_spots", *SMALL_DCGAN, "networks.D.dropout=0.5")
    batches = parity.batches(5, classes=CLASSES)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_g, opt_d = adam(G, 1e-3, 0.5, 0.999), adam(D, 5e-4, 0.5, 0.999)
    rows = torch.arange(BATCH)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        decay(step, 3_000, {opt_g: 1e-3, opt_d: 5e-4})
        real = D(batch["real"])
        latents, wanted = noise(2), torch.randint(CLASSES, (BATCH,))
        fake = G(torch.cat((latents, torch.eye(CLASSES, dtype=torch.float64)[wanted]), 1))
        of_fake = D(fake.detach())
        told = [
            -verdict.classes.log_softmax(1)[rows, labels].mean()
            for verdict, labels in ((real, batch["label"]), (of_fake, wanted))
        ]
        learn(opt_d, D, cross_entropy_d(real.logits, of_fake.logits) + sum(told))
        of_fake = D(fake)
        told_g = -of_fake.classes.log_softmax(1)[rows, wanted].mean()
        learn(opt_g, G, cross_entropy_g(of_fake.logits) + told_g)
    assert parity.difference() < EXACT
    assert parity.forwards == {"G": 5, "D": 3 * 5}
