"""One family of GANs after another: the engine against a plain loop written by hand, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXACT = 1e-13
TAIL = "\nrun: {steps: 100, precision: fp64, device: cpu}\n"
ADAM = "{type: adam, lr: 1e-2, betas: [0.5, 0.999]}"
IMAGE = "[3, 16, 16]"


def data(*fields: str) -> str:
    return f"data: {{type: fields, batch_size: 2, shapes: {{{', '.join(f'{f}: {IMAGE}' for f in fields)}}}}}\n"


def players(**networks: str) -> str:
    lines = [f"  {name}: {{networks: [{nets}], optimizer: {ADAM}}}" for name, nets in networks.items()]
    return "players:\n" + "\n".join(lines) + "\n"


def learn(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def only(*networks: nn.Module, of: dict[str, nn.Module]) -> None:
    """As a hand-written loop freezes: gradients for these networks alone."""
    for network in of.values():
        network.requires_grad_(any(network is wanted for wanted in networks))


def noise(size: int = 8) -> Tensor:
    return torch.randn(2, size, dtype=torch.float64)


def penalty(logits: Tensor, x: Tensor) -> Tensor:
    (g,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return (g * g).sum((1, 2, 3)).mean()


def nce(query: list[Tensor], key: list[Tensor]) -> Tensor:
    each = []
    for q, k in zip(query, key, strict=True):
        scores = torch.einsum("npc,nqc->npq", q, k.detach()) / 0.07
        each.append(-scores.log_softmax(2).diagonal(dim1=1, dim2=2).mean())
    return sum(each, torch.zeros(())) / len(each)


def test_cut_trains_a_lazily_created_sampler_and_keeps_the_fakes_graph_through_the_discriminators_step(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    cut = bench(
        data("src", "tgt")
        + "networks: {G: {type: toys.encoder}, F: {type: toys.patch_sampler}, D: {type: toys.critic}}\n"
        + "signals: {out: G(src), idt: G(tgt)}\n"
        + players(d="D", g="G, F")
        + """phases:
  - train: d
    losses:
      judge: {type: lsgan_d, real: D(tgt), fake: D(out.image), weight: 0.5}
  - train: g
    losses:
      adv: {type: lsgan_g, fake: D(out.image)}
      nce: {type: toys.patch_nce, query: F(G.encode(out.image)), key: F(out.features), weight: 0.5}
      nce_idt: {type: toys.patch_nce, query: F(G.encode(idt.image)), key: F(idt.features), weight: 0.5}
"""
        + TAIL
    )
    encoded = []
    cut.trainer.cast.networks["G"].layers[0].register_forward_hook(lambda *_: encoded.append(1))
    batches = images("src", "tgt", count=4)
    cut.train(batches)
    nets = cut.networks
    G, sampler, D = nets["G"], nets["F"], nets["D"]
    opt_g, opt_d = adam(G, sampler), adam(D)
    for batch in batches:
        src, tgt = batch["src"], batch["tgt"]
        fake, same = G(src).image, G(tgt).image
        only(D, of=nets)
        learn(opt_d, 0.5 * ((D(tgt) - 1).square().mean() + D(fake.detach()).square().mean()))
        only(G, sampler, of=nets)
        # As the reference does, which encodes the source anew.
        losses = [(sampler(G.encode(out)), sampler(G.encode(x))) for x, out in ((src, fake), (tgt, same))]
        contrast = sum(nce(query, key) for query, key in losses)
        learn(opt_g, (D(fake) - 1).square().mean() + 0.5 * contrast)
    assert cut.difference() < EXACT
    assert cut.forwards == {"G": 8, "G.encode": 8, "F": 16, "D": 12}
    assert len(encoded) == 16  # two forwards and two encodings a step; the plain loop makes six


def test_wgan_gp_binds_the_critic_itself_and_updates_the_generator_every_third_step(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    wgan = bench(
        data("real")
        + "networks: {G: {type: toys.synthesis}, D: {type: toys.critic}}\n"
        + players(d="D", g="G")
        + """phases:
  - train: d
    losses:
      wasserstein: {type: wgan_d, real: D(real), fake: D(G(noise(8)))}
      penalty: {type: toys.gradient_penalty, critic: D, real: real, fake: G(noise(8)), weight: 10}
  - train: g
    every: 3
    losses: {adv: {type: wgan_g, fake: D(G(noise(8)))}}
"""
        + TAIL
    )
    batches = images("real", count=7)
    wgan.train(batches)
    nets = wgan.networks
    G, D = nets["G"], nets["D"]
    opt_g, opt_d = adam(G), adam(D)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        real = batch["real"]
        only(D, of=nets)
        fake = G(noise()).detach()
        wasserstein = D(fake).mean() - D(real).mean()
        share = torch.rand(2, 1, 1, 1, dtype=torch.float64)
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (g,) = torch.autograd.grad(D(mixed).sum(), mixed, create_graph=True)
        learn(opt_d, wasserstein + 10 * ((g.flatten(1).norm(2, 1) - 1) ** 2).mean())
        if step % 3 == 0:
            only(G, of=nets)
            learn(opt_g, -D(G(noise())).mean())
    assert wgan.difference() < EXACT
    assert wgan.forwards == {"G": 7 + 3, "D": 3 * 7 + 3}


def test_lazy_r1_weighs_as_much_as_it_is_seldom_and_shares_the_forward(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    lazy = bench(
        data("real")
        + "networks: {G: {type: toys.synthesis}, D: {type: toys.critic}}\n"
        + players(d="D", g="G")
        + """phases:
  - train: g
    losses: {adv: {type: vanilla_g, fake: D(G(noise(8)))}}
  - train: d
    losses:
      judge: {type: vanilla_d, real: D(real), fake: D(G(noise(8)))}
      r1: {type: toys.r1, logits: D(real), images: real, weight: 5, every: 4}
"""
        + TAIL
    )
    batches = images("real", count=6)
    lazy.train(batches)
    nets = lazy.networks
    G, D = nets["G"], nets["D"]
    opt_g, opt_d = adam(G), adam(D)
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        only(G, of=nets)
        learn(opt_g, F.softplus(-D(G(noise()))).mean())
        only(D, of=nets)
        real = batch["real"].clone().requires_grad_()
        verdict = D(real)
        loss = F.softplus(-verdict).mean() + F.softplus(D(G(noise()))).mean()
        if step % 4 == 0:
            loss = loss + 5 * 4 * penalty(verdict, real)
        learn(opt_d, loss)
    assert lazy.difference() < EXACT
    assert lazy.forwards == {"G": 12, "D": 18}


def test_every_of_a_loss_counts_the_times_that_its_phase_runs(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    seldom = bench(
        data("real")
        + "networks: {D: {type: toys.critic}}\n"
        + players(d="D")
        + """phases:
  - train: d
    every: 2
    losses:
      judge: {type: vanilla_g, fake: D(real)}
      r1: {type: toys.r1, logits: D(real), images: real, weight: 5, every: 2}
"""
        + TAIL
    )
    batches = images("real", count=7)
    seldom.train(batches)
    D = seldom.networks["D"]
    optimizer = adam(D)
    for step in (0, 2, 4, 6):
        real = batches[step]["real"].clone().requires_grad_()
        verdict = D(real)
        loss = F.softplus(-verdict).mean()
        learn(optimizer, loss + 5 * 2 * penalty(verdict, real) if step % 4 == 0 else loss)
    assert seldom.difference() < EXACT


def test_r3gan_penalises_reals_and_fakes_and_judges_each_once(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    r3 = bench(
        data("real")
        + "networks: {G: {type: toys.synthesis}, D: {type: toys.critic}}\n"
        + "signals: {fake: G(noise(8))}\n"
        + players(d="D", g="G")
        + """phases:
  - train: d
    losses:
      rel: {type: toys.relativistic, better: D(real), worse: D(fake)}
      r1: {type: toys.r1, logits: D(real), images: real, weight: 0.5}
      r2: {type: toys.r1, logits: D(fake), images: fake, weight: 0.5}
  - train: g
    losses: {adv: {type: toys.relativistic, better: D(fake), worse: D(real)}}
"""
        + TAIL
    )
    batches = images("real", count=5)
    r3.train(batches)
    nets = r3.networks
    G, D = nets["G"], nets["D"]
    opt_g, opt_d = adam(G), adam(D)
    torch.manual_seed(1)
    for batch in batches:
        only(G, of=nets)
        fake = G(noise())
        only(D, of=nets)
        real, leaf = batch["real"].clone().requires_grad_(), fake.detach().requires_grad_()
        yes, no = D(real), D(leaf)
        learn(opt_d, F.softplus(no - yes).mean() + 0.5 * penalty(yes, real) + 0.5 * penalty(no, leaf))
        only(G, of=nets)
        learn(opt_g, F.softplus(D(batch["real"]) - D(fake)).mean())
    assert r3.difference() < EXACT
    assert r3.forwards == {"G": 5, "D": 20}


def test_a_penalty_on_what_fakes_are_made_of_leaves_the_fakes_as_they_were(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    """Mescheder et al. 2018, equation 9, in a CycleGAN, which judges fakes from before its generators stepped."""
    cycle = bench(
        data("real_a", "real_b")
        + "networks: {G_ab: {type: toys.translator}, G_ba: {type: toys.translator}, "
        + "D_a: {type: toys.critic}, D_b: {type: toys.critic}}\n"
        + "signals: {fake_b: G_ab(real_a), fake_a: G_ba(real_b), rec_a: G_ba(fake_b), rec_b: G_ab(fake_a)}\n"
        + players(g="G_ab, G_ba", d="D_a, D_b")
        + """phases:
  - train: g
    losses:
      adv_b: {type: lsgan_g, fake: D_b(fake_b)}
      adv_a: {type: lsgan_g, fake: D_a(fake_a)}
      cycle_a: {type: l1, input: rec_a, target: real_a, weight: 10}
      cycle_b: {type: l1, input: rec_b, target: real_b, weight: 10}
  - train: d
    losses:
      r1_a: {type: toys.r1, logits: D_a(real_a), images: real_a, weight: 0.7}
      judge_a: {type: lsgan_d, real: D_a(real_a), fake: D_a(fake_a), weight: 0.5}
      judge_b: {type: lsgan_d, real: D_b(real_b), fake: D_b(fake_b), weight: 0.5}
      r1_b: {type: toys.r1, logits: D_b(real_b), images: real_b, weight: 0.7}
      through: {type: toys.r1, logits: D_a(fake_a), images: real_b, weight: 0.3}  # through the generator as it is now
"""
        + TAIL
    )
    batches = images("real_a", "real_b", count=4)
    cycle.train(batches)
    nets = cycle.networks
    G_ab, G_ba, D_a, D_b = (nets[name] for name in ("G_ab", "G_ba", "D_a", "D_b"))
    opt_g, opt_d = adam(G_ab, G_ba), adam(D_a, D_b)
    for batch in batches:
        a, b = batch["real_a"], batch["real_b"]
        only(G_ab, G_ba, of=nets)
        fake_b, fake_a = G_ab(a), G_ba(b)
        adversarial = (D_b(fake_b) - 1).square().mean() + (D_a(fake_a) - 1).square().mean()
        cycles = (G_ba(fake_b) - a).abs().mean() + (G_ab(fake_a) - b).abs().mean()
        learn(opt_g, adversarial + 10 * cycles)
        only(D_a, D_b, of=nets)
        total = torch.zeros(())
        for D, real, fake in ((D_a, a, fake_a.detach()), (D_b, b, fake_b.detach())):
            leaf = real.clone().requires_grad_()
            verdict = D(leaf)
            total = (
                total + 0.5 * ((verdict - 1).square().mean() + D(fake).square().mean()) + 0.7 * penalty(verdict, leaf)
            )
        leaf = b.clone().requires_grad_()
        learn(opt_d, total + 0.3 * penalty(D_a(G_ba(leaf)), leaf))
    assert cycle.difference() < EXACT
    assert cycle.forwards == {"G_ab": 2 * 4, "G_ba": 3 * 4, "D_a": 4 * 4, "D_b": 3 * 4}


def test_named_signals_between_a_leaf_and_its_verdict_are_shared_and_held(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    named = bench(
        data("real")
        + "networks: {G: {type: toys.translator}, D: {type: toys.critic}}\n"
        + "signals: {seen: toys.grain(real), verdict: D(seen)}\n"
        + players(d="D", g="G")
        + """phases:
  - train: d
    losses:
      judge: {type: vanilla_d, real: verdict, fake: D(G(real))}
      r1: {type: toys.r1, logits: verdict, images: real, weight: 0.5}  # through the op, which draws once
  - train: g
    losses: {same: {type: l1, input: G(seen), target: real}}
"""
        + TAIL
    )
    batches = images("real", count=4)
    named.train(batches)
    G, D = (named.networks[name] for name in "GD")
    opt_g, opt_d = adam(G), adam(D)
    torch.manual_seed(1)
    for batch in batches:
        only(D, of=named.networks)
        real = batch["real"].clone().requires_grad_()
        seen = real + torch.randn_like(real)
        verdict, fake = D(seen), G(batch["real"])
        learn(opt_d, F.softplus(-verdict).mean() + F.softplus(D(fake)).mean() + 0.5 * penalty(verdict, real))
        only(G, of=named.networks)
        learn(opt_g, (G(seen.detach()) - batch["real"]).abs().mean())
    assert named.difference() < EXACT
    assert named.forwards == {"G": 8, "D": 8}


def test_conditional_critics_share_their_features(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    pairs = bench(
        data("x", "y")
        + "networks: {G: {type: toys.translator}, D: {type: toys.pair_critic}}\n"
        + "signals: {fake: G(x)}\n"
        + players(g="G", d="D")
        + """phases:
  - train: g
    losses:
      adv: {type: lsgan_g, fake: "D(x, fake).logits"}
      match: {type: toys.feature_matching, fake: "D(x, fake).features", real: "D(x, y).features", weight: 10}
      pixels: {type: l1, input: fake, target: y, weight: 100}
  - train: d
    losses:
      judge: {type: lsgan_d, real: "D(x, y).logits", fake: "D(x, fake).logits", weight: 0.5}
"""
        + TAIL
    )
    batches = images("x", "y", count=4)
    pairs.train(batches)
    nets = pairs.networks
    G, D = nets["G"], nets["D"]
    opt_g, opt_d = adam(G), adam(D)
    for batch in batches:
        x, y = batch["x"], batch["y"]
        only(G, of=nets)
        fake = G(x)
        no, yes = D(x, fake), D(x, y)
        match = (no.features[0] - yes.features[0]).abs().mean()
        learn(opt_g, (no.logits - 1).square().mean() + 10 * match + 100 * (fake - y).abs().mean())
        only(D, of=nets)
        verdicts = D(x, y).logits, D(x, fake.detach()).logits
        learn(opt_d, 0.5 * ((verdicts[0] - 1).square().mean() + verdicts[1].square().mean()))
    assert pairs.difference() < EXACT
    assert pairs.forwards == {"G": 4, "D": 16}


def test_path_length_differentiates_by_a_signal_of_the_player_that_learns(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    style = bench(
        data("real")
        + "networks: {M: {type: toys.mapping}, S: {type: toys.synthesis}, D: {type: toys.critic}}\n"
        + "signals: {w: M(noise(8)), fake: S(w)}\n"
        + players(g="M, S", d="D")
        + """phases:
  - train: g
    losses:
      adv: {type: vanilla_g, fake: D(fake)}
      path: {type: toys.path_length, images: fake, latents: w, weight: 2}
  - train: d
    losses: {judge: {type: vanilla_d, real: D(real), fake: D(fake)}}
"""
        + TAIL
    )
    batches = images("real", count=4)
    style.train(batches)
    nets = style.networks
    M, S, D = nets["M"], nets["S"], nets["D"]
    opt_g, opt_d = adam(M, S), adam(D)
    torch.manual_seed(1)
    for batch in batches:
        only(M, S, of=nets)
        w = M(noise())
        fake = S(w)
        (g,) = torch.autograd.grad((fake * fake.detach().cos()).sum(), w, create_graph=True)
        learn(opt_g, F.softplus(-D(fake)).mean() + 2 * (g.norm(2, 1) - 0.3).square().mean())
        only(D, of=nets)
        # A signal lives for the step, also if a loss differentiated with respect to what it was computed from.
        learn(opt_d, F.softplus(-D(batch["real"])).mean() + F.softplus(D(fake.detach())).mean())
    assert style.difference() < EXACT
    assert style.forwards == {"M": 4, "S": 4, "D": 12}


@pytest.mark.parametrize("order", ["gd", "dg"])
def test_a_signal_through_two_players_networks(
    order: str, bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    phases = {
        "g": "  - train: g\n    losses: {adv: {type: lsgan_g, fake: verdict}}\n",
        "d": "  - train: d\n    losses: {judge: {type: lsgan_d, real: D(y), fake: verdict}}\n",
    }
    both = bench(
        data("x", "y")
        + "networks: {G: {type: toys.translator}, D: {type: toys.critic}}\n"
        + "signals: {fake: G(x), verdict: D(fake)}\n"
        + players(g="G", d="D")
        + "phases:\n"
        + "".join(phases[player] for player in order)
        + TAIL
    )
    batches = images("x", "y", count=4)
    both.train(batches)
    nets = both.networks
    G, D = nets["G"], nets["D"]
    opt_g, opt_d = adam(G), adam(D)
    for batch in batches:
        only(G, of=nets)
        fake = G(batch["x"])
        for player in order:
            if player == "g":
                only(G, of=nets)
                learn(opt_g, (D(fake) - 1).square().mean())
            else:
                only(D, of=nets)
                learn(opt_d, (D(batch["y"]) - 1).square().mean() + D(fake.detach()).square().mean())
    assert both.difference() < EXACT
    assert both.forwards == {"G": 4, "D": 12}


def test_a_player_of_two_phases_sees_its_signals_anew(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    twice = bench(
        data("x", "y")
        + "networks: {G: {type: toys.translator}, D: {type: toys.critic}}\n"
        + "signals: {z: past(x), fake: G(z)}\nops: {past: tally}\n"
        + players(g="G", d="D")
        + """phases:
  - train: g
    losses: {pixels: {type: l1, input: fake, target: y}}
  - train: d
    losses: {judge: {type: lsgan_d, real: D(y), fake: D(fake)}}
  - train: g
    losses: {adv: {type: lsgan_g, fake: D(fake)}}
"""
        + TAIL
    )
    batches = images("x", "y", count=4)
    twice.train(batches)
    nets = twice.networks
    G, D = nets["G"], nets["D"]
    opt_g, opt_d = adam(G), adam(D)
    for batch in batches:
        only(G, of=nets)
        fake = G(batch["x"])
        learn(opt_g, (fake - batch["y"]).abs().mean())
        only(D, of=nets)
        learn(opt_d, (D(batch["y"]) - 1).square().mean() + D(fake.detach()).square().mean())
        only(G, of=nets)
        learn(opt_g, (D(G(batch["x"])) - 1).square().mean())
    assert twice.difference() < EXACT
    assert twice.forwards == {"G": 8, "D": 12}
    assert twice.trainer.cast.ops["past"].count == 4  # nobody trains through it: it stays what it was


def test_a_phase_without_a_loss_that_is_due_leaves_signals_to_the_next_one(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    idle = bench(
        data("x", "y")
        + "networks: {G: {type: toys.translator}, D: {type: toys.critic}}\n"
        + "signals: {fake: G(x)}\n"
        + players(g="G", d="D")
        + """phases:
  - train: d
    losses: {judge: {type: lsgan_d, real: D(y), fake: D(fake)}}
  - train: g
    losses: {pixels: {type: l1, input: fake, target: y, every: 3}}
  - train: g
    losses: {adv: {type: lsgan_g, fake: D(fake)}}
"""
        + TAIL
    )
    idle.train(images("x", "y", count=3))
    assert idle.forwards["G"] == 2 + 1 + 1


def test_schedules_move_weights_and_scalars_and_learning_rates(
    bench: Callable[..., Any], images: Callable[..., Any]
) -> None:
    moving = bench(
        data("real")
        + "networks: {G: {type: toys.synthesis}}\n"
        + "schedules: {alpha: {type: ramp, start: 0.5, end: 1.5, steps: 4}}\n"
        + """players:
  g:
    networks: [G]
    optimizer: {type: sgd, lr: 0.5}
    schedule: [{type: linear_decay, hold_epochs: 2, decay_epochs: 2}, {type: warmup, steps: 4}]
phases:
  - train: g
    losses:
      near: {type: l2, input: "G(noise(8), alpha)", target: real, weight: {type: ramp, end: 3, steps: 5}}
      small: {type: l1, input: "G(noise(8), alpha=alpha)", target: real, weight: alpha}
"""
        + TAIL,
        steps_per_epoch=2,
    )
    batches = images("real", count=6)
    moving.train(batches)
    G = moving.networks["G"]
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        alpha = 0.5 + min(step / 4, 1)
        z = noise()  # one text, one evaluation
        near = (G(z, alpha) - batch["real"]).square().mean()
        small = (G(z, alpha) - batch["real"]).abs().mean()
        rate = 0.5 * [1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3][step] * min((step + 1) / 4, 1)
        learn(torch.optim.SGD(G.parameters(), lr=rate), 3 * min(step / 5, 1) * near + alpha * small)
    assert moving.difference() < EXACT


def test_clipping_ema_and_buffers(
    bench: Callable[..., Any], images: Callable[..., Any], adam: Callable[..., Any]
) -> None:
    averaged = bench(
        data("x", "y")
        + "networks: {G: {type: toys.translator, batch_norm: true}}\n"
        + f"players: {{g: {{networks: [G], optimizer: {ADAM}, clip_norm: 0.05, ema: {{decay: 0.8}}}}}}\n"
        + "phases:\n  - train: g\n    losses: {pixels: {type: l1, input: G(x), target: y}}\n"
        + TAIL
    )
    batches = images("x", "y", count=5)
    averaged.train(batches)
    G = averaged.networks["G"]
    optimizer, average = adam(G), None
    for batch in batches:
        optimizer.zero_grad()
        (G(batch["x"]) - batch["y"]).abs().mean().backward()
        norm = torch.cat([p.grad.flatten() for p in G.parameters()]).norm()
        assert norm > 0.05
        for p in G.parameters():
            p.grad *= 0.05 / (norm + 1e-6)
        optimizer.step()
        now = copy.deepcopy(G.state_dict())
        average = now if average is None else {k: average[k] * 0.8 + now[k] * 0.2 for k in now}
    assert averaged.difference() < 1e-9  # Adam amplifies the rounding of a bias before a norm
    ours = averaged.trainer.players["g"].ema["G"].module.state_dict()
    average["norm.num_batches_tracked"] = torch.tensor(5)  # a count is not averaged
    assert all(torch.allclose(ours[k], average[k], rtol=0, atol=1e-9) for k in ours)


def test_four_micro_batches_of_one_are_a_batch_of_four(bench: Callable[..., Any], images: Callable[..., Any]) -> None:
    text = (
        data("x", "y")
        + "networks: {G: {type: toys.translator}, D: {type: toys.critic}}\n"
        + "signals: {fake: G(x)}\n"
        + players(d="D", g="G")
        + """phases:
  - train: d
    losses:
      judge: {type: lsgan_d, real: D(y), fake: D(fake)}
      r1: {type: toys.r1, logits: D(y), images: y, weight: 2, every: 2}
  - train: g
    losses: {adv: {type: lsgan_g, fake: D(fake)}}
"""
        + TAIL
    )
    whole, parts = bench(text), bench(text)
    for batch in images("x", "y", count=5, batch=4):
        whole.trainer.step([batch])
        parts.trainer.step([{name: field[i : i + 1] for name, field in batch.items()} for i in range(4)])
    parts.networks = dict(whole.trainer.cast.networks.items())
    assert parts.difference() < 1e-12
    assert parts.forwards["G"] == 4 * whole.forwards["G"]
    losses = whole.trainer.statistics.read(), parts.trainer.statistics.read()
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


def test_schedules_move_hyperparameters_and_the_average(bench: Callable[..., Any], images: Callable[..., Any]) -> None:
    moving = bench(
        data("x", "y")
        + "schedules: {rate: {type: ramp, start: 1e-2, end: 0, steps: 4}}\n"
        + "networks: {G: {type: translator}}\n"
        + """players:
  g:
    networks: [G]
    optimizer: {type: adam, lr: rate, betas: [0.5, {type: glide, start: 0.9, end: 0.99, steps: 3}]}
    schedule: {type: constant, factor: 0.5}
    ema: {decay: {type: half_life, steps: 2, ramp_up: 0.5}}
phases: [{train: g, losses: {pixels: {type: l1, input: G(x), target: y}}}]
"""
        + TAIL
    )
    batches = images("x", "y", count=5)
    moving.train(batches)
    G = moving.networks["G"]
    average = copy.deepcopy(G)
    moments = {p: (torch.zeros_like(p), torch.zeros_like(p)) for p in G.parameters()}
    second = 1.0
    for step, batch in enumerate(batches):
        gradients = torch.autograd.grad((G(batch["x"]) - batch["y"]).abs().mean(), list(G.parameters()))
        beta = 0.99 + (0.9 - 0.99) * (1 + math.cos(math.pi * min(step / 3, 1))) / 2
        second = beta ** (step + 1)  # as torch's Adam corrects: by the beta of now
        decay = 0.5 ** (1 / min(2, step * 0.5)) if step else 0.0
        with torch.no_grad():
            for p, g in zip(G.parameters(), gradients, strict=True):
                m, v = moments[p]
                m.lerp_(g, 0.5)
                v.lerp_(g * g, 1 - beta)
                rate = 0.5 * 1e-2 * (1 - step / 4)
                p -= rate * (m / (1 - 0.5 ** (step + 1))) / ((v / (1 - second)).sqrt() + 1e-8)
            for a, p in zip(average.parameters(), G.parameters(), strict=True):
                a.copy_(p if step == 0 else decay * a + (1 - decay) * p)
    assert moving.difference() < EXACT
    ours = moving.trainer.players["g"].ema["G"].module
    assert all(
        torch.allclose(a, b, rtol=0, atol=EXACT) for a, b in zip(ours.parameters(), average.parameters(), strict=True)
    )


def test_weights_are_clipped_after_the_step(bench: Callable[..., Any], images: Callable[..., Any]) -> None:
    clipped = bench(
        data("x", "y")
        + "networks: {D: {type: toys.critic}}\n"
        + "players: {d: {networks: [D], optimizer: {type: rmsprop, lr: 1e-2}, clip_weights: 0.05}}\n"
        + "phases: [{train: d, losses: {w: {type: wgan_d, real: D(x), fake: D(y)}}}]\n"
        + TAIL
    )
    batches = images("x", "y", count=4)
    clipped.train(batches)
    D = clipped.networks["D"]
    optimizer = torch.optim.RMSprop(D.parameters(), lr=1e-2)
    for batch in batches:
        learn(optimizer, D(batch["y"]).mean() - D(batch["x"]).mean())
        for p in D.parameters():
            p.data.clamp_(-0.05, 0.05)
    assert clipped.difference() < EXACT


def test_an_ops_method_sees_what_passes_and_labels_are_whole_numbers(
    bench: Callable[..., Any], images: Callable[..., Any]
) -> None:
    watched = bench(
        "data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16], label: []}, integers: [label]}\n"
        + "networks: {G: {type: toys.labelled}}\n"
        + "ops: {tally: toys.tally}\n"
        + players(g="G")
        + "phases: [{train: g, losses: {pixels: {type: l1, input: 'tally.watch(G(x, shuffle(label)))', target: x}}}]\n"
        + TAIL
    )
    batches = [batch | {"label": torch.tensor([0, 2])} for batch in images("x", count=3)]
    watched.train(batches)
    assert watched.trainer.cast.ops["tally"].watched == [2, 2, 2]


def test_a_function_op_is_called_by_its_full_name_too(bench: Callable[..., Any], images: Callable[..., Any]) -> None:
    """Two spellings are two values of a random op, but the same op."""
    named = bench(
        data("x")
        + "networks: {G: {type: translator}}\n"
        + players(g="G")
        + "phases: [{train: g, losses: {pixels: {type: l1, input: G(toys.grain(x)), target: G(grain(x))}}}]\n"
        + TAIL
    )
    named.train(images("x", count=1))
    assert named.forwards == {"G": 2}


def test_a_player_of_two_phases_has_its_average_follow_once_a_step(
    bench: Callable[..., Any], images: Callable[..., Any]
) -> None:
    twice = bench(
        data("x", "y")
        + "networks: {G: {type: translator}}\n"
        + "players: {g: {networks: [G], optimizer: {type: sgd, lr: 1e-2}, ema: {decay: 0.5}}}\n"
        + """phases:
  - train: g
    losses: {pixels: {type: l1, input: G(x), target: y}}
  - train: g
    every: 2
    losses: {squares: {type: l2, input: G(x), target: y}}
"""
        + TAIL
    )
    batches = images("x", "y", count=4)
    twice.train(batches)
    G = twice.networks["G"]
    optimizer = torch.optim.SGD(G.parameters(), lr=1e-2)
    average: list[Tensor] = []
    for step, batch in enumerate(batches):
        learn(optimizer, (G(batch["x"]) - batch["y"]).abs().mean())
        if step % 2 == 0:
            learn(optimizer, (G(batch["x"]) - batch["y"]).square().mean())
        now = [p.detach().clone() for p in G.parameters()]
        average = [(a + p) / 2 for a, p in zip(average, now, strict=True)] if average else now
    assert twice.difference() < EXACT
    ours = list(twice.average("G").parameters())
    assert all(torch.allclose(a, b, rtol=0, atol=EXACT) for a, b in zip(ours, average, strict=True))


def test_scores_name_the_network_and_ops_tell_of_themselves(
    bench: Callable[..., Any], images: Callable[..., Any]
) -> None:
    told = bench(
        data("x", "y")
        + "networks: {D: {type: toys.critic}}\nops: {tally: toys.tally}\nsignals: {verdict: D(x)}\n"
        + players(d="D")
        + "phases: [{train: d, losses: {judge: {type: lsgan_d, real: tally.watch(verdict), fake: D(tally(y))}}}]\n"
        + TAIL
    )
    for batch in images("x", "y", count=2):
        told.trainer.step([batch], log=True)
    scalars = told.trainer.statistics.read()
    assert {"scores/D/real", "scores/D/fake"} == {tag for tag in scalars if tag.startswith("scores/")}
    assert scalars["ops/tally/watched"] == 1.5
