"""Levers change how fast a step is, not what it computes."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rehearsed
import torch
from rehearsed import dry_run
from tiny import RECIPES, TINY
from torch import Tensor

from ganforge.errors import RecipeError
from ganforge.recipe.model import RunSettings
from ganforge.runs.run import Run
from ganforge.step.levers import Levers
from ganforge.testing import Parity, run_recipe
from ganforge.training.levers import choosing
from ganforge.training.levers.choosing import settle

pytestmark = pytest.mark.usefixtures("rehearsed_once")

# Adam amplifies the rounding of gradients that a norm cancels; a mistake is larger by orders of magnitude.
ROUNDING = 1e-6
HEAD = "data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16], y: [3, 16, 16]}}\n"
ADAM = "{type: adam, lr: 1e-3}"
TAIL = "\nrun: {steps: 10, precision: fp64, device: cpu, merge: true}\n"


def opened(name: str, *overrides: str) -> Parity:
    """A tiny recipe, ready to be trained."""
    return Parity(rehearsed.opened(name, overrides))


def trained(name: str, *overrides: str, steps: int = 4) -> Parity:
    parity = opened(name, *overrides)
    parity.train(parity.batches(steps * parity.recipe.run.accumulate))
    return parity


def distance(one: Parity, other: Parity) -> float:
    """The largest difference between what two trainings made of the same networks."""
    ours, theirs = (parity.trainer.cast.networks.state_dict() for parity in (one, other))
    return max(float((ours[key] - theirs[key]).abs().max()) for key in ours)


# Merged forwards


@pytest.mark.parametrize("name", RECIPES)
def test_merged_forwards_train_alike(name: str) -> None:
    plain, merged = (trained(name, f"run.merge={merge}") for merge in ("false", "true"))
    assert distance(plain, merged) < ROUNDING
    assert plain.trainer.program.calls.forwards == merged.trainer.program.calls.forwards
    left, right = (parity.trainer.statistics.read() for parity in (plain, merged))
    assert left.keys() == right.keys()
    assert all(right[tag] == pytest.approx(left[tag], rel=1e-6, abs=1e-9) for tag in left)


def test_a_cyclegan_needs_three_generator_calls_instead_of_six_and_two_of_each_discriminator() -> None:
    plain, merged = (trained("cyclegan_shapes", f"run.merge={merge}", steps=1) for merge in ("false", "true"))
    assert plain.forwards == {"G_ab": 3, "G_ba": 3, "D_a": 3, "D_b": 3}
    assert merged.forwards["G_ab"] + merged.forwards["G_ba"] == 3
    assert (merged.forwards["D_a"], merged.forwards["D_b"]) == (2, 2)


def mergeable(networks: str, expression: str, read: Callable[[str], Any]) -> frozenset[str]:
    recipe = read(
        HEAD
        + f"networks: {{{networks}}}\n"
        + f"players: {{p: {{networks: [N], optimizer: {ADAM}}}}}\n"
        + f"phases:\n  - train: p\n    losses: {{a: {{type: lsgan_g, fake: {expression}}}}}\n"
        + TAIL
    )
    return dry_run(recipe).mergeable


@pytest.mark.parametrize(
    ("network", "merges"),
    [
        ("{type: toys.translator}", True),
        ("{type: toys.translator, batch_norm: true}", False),  # its samples share their statistics
        ("{type: toys.spectral}", False),  # each forward is a step of the power iteration
        ("{type: toys.dropping}", False),  # other calls would draw other masks
        ("{type: toys.fickle}", False),  # draws on the host
        ("{type: toys.drifting}", False),  # puts another buffer in place of its own
    ],
)
def test_what_may_be_merged_is_found_out(network: str, merges: bool, read: Callable[[str], Any]) -> None:
    assert mergeable(f"N: {network}", "N(x)", read) == (frozenset({"N"}) if merges else frozenset())


def test_a_result_that_belongs_to_no_sample_ends_the_merging_of_its_network(bench: Callable[..., Any]) -> None:
    text = (
        HEAD
        + "networks: {N: {type: toys.summing}}\n"
        + f"players: {{p: {{networks: [N], optimizer: {ADAM}}}}}\n"
        + """phases:
  - train: p
    losses:
      a: {type: l1, input: N(x).image, target: y}
      b: {type: l1, input: N(y).image, target: x}
      c: {type: l2, input: N(x).total, target: N(y).total}
"""
    )
    plain, merged = bench(text + TAIL.replace("true", "false")), bench(text + TAIL)
    for parity in (plain, merged):
        parity.train(parity.batches(3))
    assert distance(plain, merged) == 0
    assert merged.trainer.program.calls.forwards == {"N": 2 * 3}
    assert merged.forwards == {"N": 1 + 2 * 3}  # the one that could not be taken apart


def test_a_replay_buffer_asked_twice_is_asked_in_order(bench: Callable[..., Any]) -> None:
    text = (
        HEAD
        + "networks: {N: {type: toys.critic}}\n"
        + "ops: {past: {type: cyclegan.replay_buffer, size: 3}}\n"
        + f"players: {{p: {{networks: [N], optimizer: {ADAM}}}}}\n"
        + """phases:
  - train: p
    losses:
      a: {type: lsgan_d, real: N(x), fake: N(past(y))}
      b: {type: lsgan_d, real: N(y), fake: N(past(x))}
"""
    )
    plain, merged = bench(text + TAIL.replace("true", "false")), bench(text + TAIL)
    for parity in (plain, merged):
        parity.train(parity.batches(6))
    assert distance(plain, merged) < ROUNDING
    assert merged.forwards["N"] < plain.forwards["N"]


TWO_DRAWS = """
networks: {G: {type: toys.synthesis, size: 8}, N: {type: toys.critic}}
signals: {one: "G(noise(8))", other: "G(noise(8))"}
players: {p: {networks: [G, N], optimizer: {type: adam, lr: 1e-3}}}
phases:
  - train: p
    losses:
      a: {type: lsgan_d, real: N(one), fake: N(other)}
      b: {type: lsgan_g, fake: "N(G(noise(8)))"}
"""


def test_signals_draw_random_numbers_of_their_own(bench: Callable[..., Any]) -> None:
    plain, merged = bench(HEAD + TWO_DRAWS + TAIL.replace("true", "false")), bench(HEAD + TWO_DRAWS + TAIL)
    for parity in (plain, merged):
        parity.train(parity.batches(3))
    assert distance(plain, merged) < ROUNDING


REMEMBERED = """
networks: {G: {type: toys.translator}, D: {type: toys.critic}}
signals: {fake: G(x), other: G(y)}
players:
  g: {networks: [G], optimizer: {type: adam, lr: 1e-2}}
  d: {networks: [D], optimizer: {type: adam, lr: 1e-2}}
phases:
  - {train: g, losses: {near: {type: l1, input: fake, target: y}}}
  - {train: d, losses: {judge: {type: lsgan_d, real: D(other), fake: D(fake)}}}
  - {train: g, losses: {adv: {type: lsgan_g, fake: D(other)}}}
"""


def test_a_value_from_before_an_update_stays_what_it_was(bench: Callable[..., Any]) -> None:
    texts = [HEAD + REMEMBERED + tail for tail in (TAIL.replace("true", "false"), TAIL)]
    plain, merged = map(bench, texts)
    for parity in (plain, merged):
        parity.train(parity.batches(3))
    assert distance(plain, merged) < ROUNDING
    assert plain.trainer.program.calls.forwards == merged.trainer.program.calls.forwards


def test_a_resumed_optimizer_computes_as_this_run_says(bench: Callable[..., Any]) -> None:
    text = (
        HEAD + "networks: {N: {type: toys.critic}}\nplayers: {p: {networks: [N], optimizer: {type: adam, lr: 1e-2}}}\n"
    )
    text += "phases:\n  - train: p\n    losses: {a: {type: lsgan_g, fake: N(x)}}\n" + TAIL
    plain, fused = bench(text), bench(text.replace("merge: true", "fused: true"))
    batches = plain.batches(4)
    plain.train(batches[:2])
    fused.trainer.load_state_dict(copy.deepcopy(plain.trainer.state_dict()))
    fused.trainer.cast.networks.load_state_dict(plain.trainer.cast.networks.state_dict())
    for parity in (plain, fused):
        parity.train(batches[2:])
    assert fused.trainer.players["p"].optimizer.param_groups[0]["fused"] is True
    assert distance(plain, fused) < ROUNDING


# The others


OTHERS = {
    ("channels_last", "channels_last"): [
        "cyclegan_shapes",
        "pix2pix_facades",
        "r1_ring",
        "stylegan2_folder",
        "cut_shapes",
    ],
    ("fused", "fused"): ["cyclegan_shapes", "pix2pix_facades", "r1_ring", "cut_shapes"],
    ("recompute", "recomputed"): ["cyclegan_shapes", "r1_ring", "stylegan2_folder", "cut_shapes"],
}


@pytest.mark.parametrize(("key", "lever", "name"), [(*keys, name) for keys, names in OTHERS.items() for name in names])
def test_other_levers_train_alike(key: str, lever: str, name: str) -> None:
    two = "data.batch_size=2"  # channels last is refused for one alone
    plain, pulled = (trained(name, two, f"run.{key}={on}") for on in ("false", "true"))
    assert not getattr(plain.trainer.levers, lever)
    assert getattr(pulled.trainer.levers, lever)
    assert distance(plain, pulled) < ROUNDING


def test_channels_last_is_refused_where_torch_would_give_wrong_gradients() -> None:
    one = ("data.batch_size=1",)
    plain, asked = (trained("cyclegan_shapes", *one, *more) for more in ((), ("run.channels_last=true",)))
    assert distance(plain, asked) < ROUNDING
    # Where a later torch has mended it, the lever is pulled.
    refused = "gradients of norms at batch 1 would be wrong" in str(asked.trainer.levers)
    assert refused != asked.trainer.levers.channels_last


def test_channels_last_is_how_weights_and_pictures_lie() -> None:
    pulled = opened("cyclegan_shapes", "run.channels_last=true")
    seen: list[Tensor] = []
    network = pulled.trainer.cast.networks["G_ab"]
    network.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    pulled.train(pulled.batches(1))
    innermost = [t.stride(1) == 1 for t in (*seen[:1], *network.parameters()) if t.ndim == 4]
    assert innermost
    assert all(innermost)


def test_recomputed_networks_keep_their_inputs_only() -> None:
    kept = []
    for recompute in ("false", "true"):
        parity = opened("cyclegan_shapes", f"run.recompute={recompute}", "networks.G_ab.blocks=3")
        held: list[int] = []

        def keep(tensor: Tensor, held: list[int] = held) -> Tensor:
            held.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            parity.train(parity.batches(1))
        kept.append(sum(held))
    assert kept[1] < kept[0] / 4


@pytest.mark.parametrize(
    ("network", "named", "message"),
    [
        ("{type: toys.spectral}", "N", "'N' cannot be recomputed: each forward leaves a trace"),
        ("{type: toys.translator}", "M", "run.recompute: no player trains a network 'M'"),
    ],
)
def test_what_cannot_be_recomputed_is_told(network: str, named: str, message: str, bench: Callable[..., Any]) -> None:
    text = (
        HEAD
        + f"networks: {{N: {network}}}\n"
        + f"players: {{p: {{networks: [N], optimizer: {ADAM}}}}}\n"
        + "phases:\n  - train: p\n    losses: {a: {type: lsgan_g, fake: N(x)}}\n"
        + f"run: {{steps: 10, precision: fp64, device: cpu, recompute: [{named}]}}\n"
    )
    with pytest.raises(RecipeError) as refused:
        bench(text)
    assert message in str(refused.value)
    assert "test.yaml:7:" in str(refused.value)


# Compiling


def test_compiled_bf16_is_refused_on_a_cpu_where_its_gradients_are_wrong(start: Callable[..., Run]) -> None:
    run = start("run.compile=true", "run.precision=bf16")
    assert not run.levers.compiled
    assert "nothing is compiled: on a CPU, bf16 gradients would be wrong" in str(run.levers)


@pytest.mark.parametrize("name", ["cyclegan_shapes", "r1_ring"])
@pytest.mark.parametrize("size", [1, 2])
def test_compiled_networks_train_alike_and_are_compiled_once(name: str, size: int) -> None:
    batch = f"data.batch_size={size}"
    plain, compiled = (trained(name, batch, f"run.compile={on}") for on in ("false", "true"))
    assert distance(plain, compiled) < ROUNDING
    compiler = compiled.trainer.program.calls.compiler
    assert compiler.graphs
    before = compiler.graphs
    compiled.train(compiled.batches(3))
    compiled.trainer.step(compiled.batches(1), examine=True)  # its graphs are read several times
    assert compiler.graphs == before
    assert math.isfinite(sum(compiled.trainer.statistics.read().values()))


def test_a_run_tells_how_often_it_compiled() -> None:
    done = run_recipe(TINY / "wgan_ring.yaml", "run.compile=true", "run.precision=fp32", steps=4)
    counts = done.scalars["speed/compilations"]
    assert counts[1] > 0
    assert len(set(counts[1:])) == 1


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no code for this")

    plain = trained("wgan_ring")
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", refuse)
    with pytest.warns(UserWarning, match="cannot be compiled and runs as it is: no code for this"):
        compiled = trained("wgan_ring", "run.compile=true")
    assert distance(plain, compiled) < ROUNDING


# Choosing

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto_takes_what_helps_on_any_gpu_and_leaves_a_cpu_to_trials() -> None:
    settings = RunSettings(steps=1)
    on_cpu, on_gpu = (settle(settings, device, 1e18, {}) for device in (CPU, CUDA))
    off = {"merge": False, "compile": False, "cuda_graphs": False, "channels_last": False, "fused": False}
    assert on_cpu == {**off, "overlap": False}
    assert on_gpu == {**on_cpu, "merge": True, "compile": True, "cuda_graphs": True, "fused": True, "overlap": True}
    assert not settle(settings, CUDA, 1e12, {})["compile"]
    assert settle(RunSettings(steps=1, merge=True, fused=False), CUDA, 0, {})["fused"] is False


def test_a_resumed_run_goes_on_with_the_levers_it_had(start: Callable[..., Run], tmp_path: Path) -> None:
    first = start("run.steps=4", "run.merge=true")
    first.train()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["levers"]["merge"] is True
    again = start("run.steps=8")
    assert again.choice.levers["merge"] is True
    assert start("run.steps=8", "run.merge=false").choice.levers["merge"] is False
    for key, other in (("device", "NVIDIA H200"), ("processor", "another CPU")):
        moved = {**record, "machine": {**record["machine"], key: other}}
        (tmp_path / "run" / "run.json").write_text(json.dumps(moved))
        assert start("run.steps=8").choice.levers["merge"] is False


def test_a_machine_without_a_compiler_says_so(start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "missing_compiler", lambda _: "no C++ compiler (g++ or clang++) was found")
    run = start("run.compile=true")
    assert not run.levers.compiled
    assert str(run.levers) == "none; nothing is compiled: no C++ compiler (g++ or clang++) was found"


def test_levers_in_words() -> None:
    levers = Levers(frozenset({"G", "D"}), compiled=frozenset({"G"}), fused=frozenset({"p"}), graphs=True)
    assert str(levers) == "merged D G, compiled G, CUDA graphs, fused optimizers"
