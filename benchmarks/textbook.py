"""CycleGAN's step as a textbook writes it: six generator calls, six discriminator calls, eager, in float32.

Zhu et al. 2017, with the order of the public reference (github.com/junyanz/pytorch-CycleGAN-and-pix2pix).
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge_cyclegan.discriminators import PatchDiscriminator
from ganforge_cyclegan.generators import ResnetGenerator


class Pool:
    """The last fifty fakes."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        shown = []
        for image in images.detach().split(1):
            if len(self.images) < 50:
                self.images.append(image)
                shown.append(image)
            elif random.random() > 0.5:
                index = random.randrange(50)
                shown.append(self.images[index])
                self.images[index] = image.clone()
            else:
                shown.append(image)
        return torch.cat(shown)


class Textbook:
    """Networks, optimizers and one step."""

    def __init__(self, channels: int, blocks: int, layers: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.G_ab, self.G_ba = (ResnetGenerator(channels, blocks).to(device) for _ in range(2))
        self.D_a, self.D_b = (PatchDiscriminator(layers, channels).to(device) for _ in range(2))
        self.generators = nn.ModuleList([self.G_ab, self.G_ba])
        self.discriminators = nn.ModuleList([self.D_a, self.D_b])
        self.g = torch.optim.Adam(self.generators.parameters(), 2e-4, (0.5, 0.999))
        self.d = torch.optim.Adam(self.discriminators.parameters(), 2e-4, (0.5, 0.999))
        self.pool_a, self.pool_b = Pool(), Pool()

    def step(self, real_a: Tensor, real_b: Tensor) -> None:
        a, b = real_a, real_b
        self.discriminators.requires_grad_(False)
        fake_b, fake_a = self.G_ab(a), self.G_ba(b)
        rec_a, rec_b = self.G_ba(fake_b), self.G_ab(fake_a)
        same_a, same_b = self.G_ba(a), self.G_ab(b)
        loss = sum(F.mse_loss(x, torch.ones_like(x)) for x in (self.D_b(fake_b), self.D_a(fake_a)))
        loss = loss + 10 * (F.l1_loss(rec_a, a) + F.l1_loss(rec_b, b))
        loss = loss + 5 * (F.l1_loss(same_a, a) + F.l1_loss(same_b, b))
        self.g.zero_grad()
        loss.backward()
        self.g.step()
        self.discriminators.requires_grad_(True)
        self.d.zero_grad()
        for D, real, fake, pool in ((self.D_a, a, fake_a, self.pool_a), (self.D_b, b, fake_b, self.pool_b)):
            yes, no = D(real), D(pool.query(fake))
            (0.5 * (F.mse_loss(yes, torch.ones_like(yes)) + F.mse_loss(no, torch.zeros_like(no)))).backward()
        self.d.step()
