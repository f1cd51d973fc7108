"""The shipped recipes against loops written from the paper and the public reference, in float64.

The loops encode every source twice, once to translate it and once for its keys, as the reference does.
"""

import copy
import re
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ganforge.testing import Parity

EXACT = 1e-12
SMALL = (
    "data.batch_size=2",
    "networks.G.channels=3",
    "networks.G.blocks=1",
    "networks.G.layers=[0, 4, 8, 12]",
    "networks.F.layers=4",
    "networks.F.patches=9",
    "networks.F.channels=32",
    "networks.D.channels=3",
    "networks.D.layers=2",
)
FOLDERS = (*SMALL, "data.load_px=18", "data.crop_px=16")
SCHEDULES = ("players.discriminator.schedule", "players.generator.schedule")


# An instance norm cancels these biases: their gradient is rounding alone, which Adam amplifies to any size.
CANCELLED = r"G\.model\.(1|12\.conv_block\.[15]|14|18)\.bias|D\.model\.[25]\.bias"
CANCELLED_ON_SHAPES = r"G\.model\.(1|10\.conv_block\.[15]|11|14)\.bias"


def adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), betas=(0.5, 0.999))


def learn(optimizers: list[torch.optim.Optimizer], loss: Tensor, rate: float) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = rate
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


def projected(head: nn.Sequential, feature: Tensor, places: Tensor) -> Tensor:
    """Vectors of length 1 `[N, P, C]` of the features at these places."""
    vectors = head[2](head[0](feature.flatten(2)[:, :, places].permute(0, 2, 1)).clamp(min=0))
    return vectors / (vectors.square().sum(2, keepdim=True).sqrt() + 1e-7)


def contrast(sampler: nn.Module, query: list[Tensor], key: list[Tensor]) -> Tensor:
    """Equations 2 and 3, by cross-entropy with the positive in front, as the reference has it."""
    losses = []
    for head, q, k in zip(sampler.heads, query, key, strict=True):
        places = torch.randperm(q.shape[2] * q.shape[3])[:9]
        f_q, f_k = projected(head, q, places), projected(head, k, places).detach()
        positive = (f_q * f_k).sum(2, keepdim=True)
        negative = torch.einsum("npc,nqc->npq", f_q, f_k)
        negative = negative.masked_fill(torch.eye(len(places), dtype=torch.bool), -10.0)
        logits = torch.cat((positive, negative), 2).flatten(0, 1) / 0.07
        losses.append(nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)))
    return sum(losses, torch.zeros(())) / len(losses)


def judged(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * ((D(real) - 1).square().mean() + D(fake.detach()).square().mean())


def cut_by_hand(parity: Parity, batches: list[dict[str, Tensor]], rates: list[float]) -> Iterator[None]:
    """CUT with identity, yielding after each step."""
    G, F, D = parity["G"], parity["F"], parity["D"]
    of_g, of_f, of_d = adam(G), adam(F), adam(D)  # the reference has three optimizers
    for batch, rate in zip(batches, rates, strict=True):
        real = torch.cat((batch["real_a"], batch["real_b"]))
        fake, same = G(real).image.chunk(2)
        learn([of_d], judged(D, batch["real_b"], fake), rate)
        nce = contrast(F, G.encode(fake), G.encode(batch["real_a"]))
        nce_same = contrast(F, G.encode(same), G.encode(batch["real_b"]))
        learn([of_g, of_f], (D(fake) - 1).square().mean() + (nce + nce_same) * 0.5, rate)
        yield


def test_cut() -> None:
    decay = (f"{schedule}={{type: linear_decay, hold_epochs: 3, decay_epochs: 2}}" for schedule in SCHEDULES)
    parity = Parity("cut_horse2zebra", *FOLDERS, *decay, steps_per_epoch=1)
    batches = parity.batches(5)
    parity.train(batches)
    torch.manual_seed(1)
    rates = [2e-4 * (1 - max(0, epoch + 1 - 2) / (2 + 1)) for epoch in range(5)]
    deque(cut_by_hand(parity, batches, rates), maxlen=0)
    assert parity.difference(but=CANCELLED) < EXACT
    # The loop encodes six pictures a step, two of them for nothing; the engine four.
    assert parity.forwards == {"G": 2 * 5, "G.encode": 2 * 5, "F": 2 * 5, "D": 3 * 5}


def test_cut_on_shapes() -> None:
    parity = Parity("cut_shapes", *SMALL, "networks.G.layers=[0, 4, 7, 10]", "data.size_px=16", steps_per_epoch=1)
    batches = parity.batches(7)
    parity.train(batches)
    torch.manual_seed(1)
    rates = [6e-4 * (1 - max(0, step - 5) / 3) for step in range(7)]
    average = copy.deepcopy(parity["G"])
    for step, _ in enumerate(cut_by_hand(parity, batches, rates)):
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), parity["G"].parameters(), strict=True):
                mean.copy_(0.995 * mean + 0.005 * weight if step else weight)
    assert parity.difference(but=CANCELLED_ON_SHAPES) < EXACT
    for (name, ours), theirs in zip(parity.average("G").named_parameters(), average.parameters(), strict=True):
        if not re.fullmatch(CANCELLED_ON_SHAPES, f"G.{name}"):
            assert float((ours - theirs).detach().abs().max()) < EXACT


def test_fastcut() -> None:
    decay = (f"{schedule}={{type: linear_decay, hold_epochs: 3, decay_epochs: 2}}" for schedule in SCHEDULES)
    parity = Parity("fastcut_horse2zebra", *FOLDERS, *decay, steps_per_epoch=1)
    batches = parity.batches(5)
    parity.train(batches)
    G, F, D = parity["G"], parity["F"], parity["D"]
    of_g, of_f, of_d = adam(G), adam(F), adam(D)
    torch.manual_seed(1)
    tossed = []
    for epoch, batch in enumerate(batches):
        rate = 2e-4 * (1 - max(0, epoch + 1 - 2) / (2 + 1))
        heads = (torch.rand(2) < 0.5).tolist()
        tossed += heads

        def turned(images: Tensor, heads: list[bool] = heads) -> Tensor:
            return torch.stack([x.flip(-1) if head else x for x, head in zip(images, heads, strict=True)])

        fake = G(turned(batch["real_a"])).image
        learn([of_d], judged(D, batch["real_b"], fake), rate)
        query = [turned(feature) for feature in G.encode(fake)]
        nce = contrast(F, query, G.encode(batch["real_a"]))
        learn([of_g, of_f], (D(fake) - 1).square().mean() + 10 * nce, rate)
    assert {True, False} == set(tossed)
    assert parity.difference(but=CANCELLED) < EXACT
    assert parity.forwards == {"G": 5, "G.encode": 2 * 5, "F": 5, "D": 3 * 5}
