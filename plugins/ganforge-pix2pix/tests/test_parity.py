"""The shipped recipes against plain loops in float64, written from the papers and their public references."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import Parity

EXACT = 1e-12
STEPS = 5
SMALL = ("data.load_px=66", "data.crop_px=64", "networks.G.channels=2", "networks.D.channels=2")
LR = 2e-4


def decay(hold_epochs: int, decay_epochs: int) -> tuple[str, ...]:
    """A decay that five epochs see the end of."""
    options = (f"hold_epochs={hold_epochs}", f"decay_epochs={decay_epochs}")
    return tuple(f"players.{player}.schedule.{o}" for player in ("generator", "discriminator") for o in options)


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=LR, betas=(0.5, 0.999))


def set_rate(lr: float, *optimizers: torch.optim.Optimizer) -> None:
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = lr


def pixel_mean(value: Tensor) -> Tensor:
    return value.sum() / value.numel()


def test_pix2pix() -> None:
    parity = Parity("pix2pix_facades", *SMALL, "networks.G.downs=6", *decay(2, 3), steps_per_epoch=1)
    batches = parity.batches(STEPS)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_G, opt_D = adam(G), adam(D)
    torch.manual_seed(1)  # of the dropout
    for epoch, batch in enumerate(batches, start=1):
        set_rate(LR * (1 - max(0, epoch + 1 - 2) / (3 + 1)), opt_G, opt_D)
        a, b = batch["real_a"], batch["real_b"]
        fake_b = G(a)
        D.requires_grad_(True)
        real, fake = D(torch.cat([a, b], 1)), D(torch.cat([a, fake_b.detach()], 1))
        opt_D.zero_grad()
        ((-F.logsigmoid(real)).mean() / 2 + (-F.logsigmoid(-fake)).mean() / 2).backward()
        opt_D.step()
        D.requires_grad_(False)
        opt_G.zero_grad()
        adversarial = (-F.logsigmoid(D(torch.cat([a, fake_b], 1)))).mean()
        (adversarial + 100 * pixel_mean((b - fake_b).abs())).backward()
        opt_G.step()
    assert parity.difference() < EXACT
    assert parity.forwards == {"G": STEPS, "D": 3 * STEPS}


def test_pix2pixhd() -> None:
    """As the reference, which computes both players' losses first and then lets the generator step before the judge."""
    parity = Parity("pix2pixhd_facades", *SMALL, "networks.G.blocks=1", *decay(2 + 2, 3 - 1), steps_per_epoch=1)
    batches = parity.batches(STEPS)
    parity.train(batches)
    G, D = parity["G"], parity["D"]
    opt_G, opt_D = adam(G), adam(D)
    lr, scales, layers = LR, 2, 3
    for epoch, batch in enumerate(batches, start=1):
        set_rate(lr, opt_G, opt_D)
        a, b = batch["real_a"], batch["real_b"]
        fake_b = G(a)
        past, real = D(torch.cat([a, fake_b.detach()], 1)), D(torch.cat([a, b], 1))
        loss_D = torch.zeros(())
        for k in range(scales):
            loss_D = loss_D + 0.5 * (pixel_mean((real.logits[k] - 1) ** 2) + pixel_mean(past.logits[k] ** 2))
        fake = D(torch.cat([a, fake_b], 1))
        loss_G = torch.zeros(())
        for k in range(scales):
            loss_G = loss_G + pixel_mean((fake.logits[k] - 1) ** 2)
            for i in range(k * (layers + 1), (k + 1) * (layers + 1)):
                distance = pixel_mean((fake.features[i] - real.features[i].detach()).abs())
                loss_G = loss_G + 10 * (4 / (layers + 1)) * (1 / scales) * distance
        for optimizer, loss in ((opt_G, loss_G), (opt_D, loss_D)):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch > 2:  # 2 epochs of the full rate, and from the end of the third on lower ones
            lr -= LR / 3
    # The norms cancel most biases: their gradient is rounding noise, which Adam enlarges. Weights agree to 1e-16.
    assert parity.difference() < 1e-9
    assert parity.forwards == {"G": STEPS, "D": 3 * STEPS}
