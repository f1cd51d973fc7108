"""Trainings of several ranks for the tests: this file is also what each rank runs."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
TOYS = ROOT / "tests/engine/toys.py"
PATIENCE_S = 600
"""Only what hangs takes so long, on however busy a machine."""

DATA = "data: {type: shapes, size_px: 16, count: 23, validation: 2, batch_size: 4}\n"
RUN = "callbacks: {progress: null, tensorboard: null, panels: null, doctor: null, diary: {type: toys.diary}}\n"
SETTINGS = "steps: 10, device: cpu, precision: fp64, seed: 3, images: [], log_every: 4, checkpoint_every: 100"

CYCLEGAN = (
    DATA
    + """
networks:
  G_ab: &G {type: toys.translator}
  G_ba: *G
  D_a: &D {type: toys.critic}
  D_b: {type: toys.uneven}
ops: {past_a: &P {type: cyclegan.replay_buffer, size: 50}, past_b: *P}
signals: {fake_b: G_ab(real_a), fake_a: G_ba(real_b), rec_a: G_ba(fake_b), rec_b: G_ab(fake_a)}
players:
  generators: {networks: [G_ab, G_ba], optimizer: &adam {type: adam, lr: 1e-2, betas: [0.5, 0.999]}, ema: {decay: 0.9}}
  discriminators: {networks: [D_a, D_b], optimizer: *adam, clip_norm: 1.0}
phases:
  - train: generators
    losses:
      adv_ab: {type: lsgan_g, fake: D_b(fake_b)}
      adv_ba: {type: lsgan_g, fake: D_a(fake_a)}
      cycle_a: {type: l1, input: rec_a, target: real_a, weight: 10}
      cycle_b: {type: l1, input: rec_b, target: real_b, weight: 10}
  - train: discriminators
    losses:
      judge_a: {type: lsgan_d, real: D_a(real_a), fake: D_a(past_a(fake_a)), weight: 0.5}
      judge_b: {type: lsgan_d, real: D_b(real_b), fake: D_b(past_b(fake_b)), weight: 0.5}
"""
)
PENALISED = (
    CYCLEGAN
    + """
      slope_a: {type: classics.r1, logits: D_a(real_a), images: real_a, weight: WEIGHT}
      slope_b: {type: classics.r1, logits: D_b(real_b), images: real_b, weight: WEIGHT, every: 2}
"""
)
"""Its fakes are made of what the penalties differentiate with respect to."""
CRITIC = (
    DATA
    + """
networks: {G: {type: toys.translator}, D: {type: toys.critic}}
signals: {fake: G(real_a), mixed: "toys.middle(real_b, fake)"}
players:
  generator: {networks: [G], optimizer: &adam {type: adam, lr: 1e-2}}
  discriminator: {networks: [D], optimizer: *adam}
phases:
  - train: discriminator
    losses:
      judge: {type: classics.wgan_d, real: D(real_b), fake: D(fake)}
      penalty: {type: classics.gradient_penalty, logits: D(mixed), images: mixed, weight: 10PENALTY}
  - train: generatorEVERY
    losses: {adv: {type: classics.wgan_g, fake: D(G(real_a))}}
"""
)
# A bias before a norm has a gradient of nothing but rounding, which Adam would make large.
NORMED = CYCLEGAN.replace("{type: toys.translator}", "{type: toys.translator, batch_norm: true}").replace(
    "{type: adam, lr: 1e-2, betas: [0.5, 0.999]}", "{type: sgd, lr: 1e-2}"
)
REMEMBERING = NORMED.replace("size: 50", "size: 3").replace("D_a(real_a)", "D_a(grain(real_a))")
"""Draws random numbers, shows earlier fakes, keeps running statistics: all that belongs to lanes."""
RECIPES = {
    "cyclegan": CYCLEGAN,
    "penalised": PENALISED.replace("WEIGHT", "5"),
    "watched": PENALISED.replace("WEIGHT", "0"),
    "batch_norm": NORMED,
    "sync_batch_norm": NORMED,
    "wgan_gp": CRITIC.replace("PENALTY", "").replace("EVERY", ""),
    "lazy": CRITIC.replace("PENALTY", ", every: 3").replace("EVERY", ""),
    "every": CRITIC.replace("PENALTY", "").replace("EVERY", "\n    every: 3"),
    "inside": CRITIC.replace("PENALTY", "")
    .replace("EVERY", "")
    .replace(
        "{type: classics.gradient_penalty, logits: D(mixed), images: mixed",
        "{type: toys.slope, judge: D, images: mixed",
    ),
}
"""Each takes 10 steps of 4 samples; its buffers are never full, so it does not matter how many there are."""


def recipe(name: str, settings: str = "") -> str:
    """A recipe's text; `settings` are more of `run:`."""
    more = f", {settings}" if settings else ""
    return f"{RECIPES.get(name, REMEMBERING)}{RUN}run: {{{SETTINGS}{more}}}\n"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun would set."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": port}
    named = {name: str(value) for name, value in told.items()}
    return {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", **named}


def start(size: int, command: Sequence[str | Path], kind: type[Popen[str]] = Popen) -> list[Popen[str]]:
    """So many ranks of one command."""
    port = free_port()
    words = [sys.executable, *map(str, command)]
    return [kind(words, env=environment(rank, size, port), stdout=PIPE, stderr=PIPE, text=True) for rank in range(size)]


def train_on_ranks(size: int, jobs: Mapping[str, str], folder: Path, bucket_bytes: int | None = None) -> None:
    """Train recipes, by name, on so many ranks; the weights of each go into `<name>.safetensors`.

    Gradients travel in buckets of so many bytes; how many of them did before the backward pass of their phase was over
    is in `early.json`.
    """
    from forked import Forked  # this file is also run where tests are not on the path

    folder.mkdir(exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    ranks = start(size, [Path(__file__), folder, *([str(bucket_bytes)] if bucket_bytes else [])], Forked)
    try:
        ended = [(*rank.communicate(timeout=PATIENCE_S), rank.returncode) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [code for _, _, code in ended] == [0] * size, ended


def train(jobs: Mapping[str, str], folder: Path) -> None:
    """The same in this process, which may be one of several ranks."""
    import torch
    from safetensors.torch import save_file
    from torch import Tensor

    from ganforge.errors import Source
    from ganforge.plugins.loading import load_plugins
    from ganforge.ranks import joined
    from ganforge.recipe.nodes import parse
    from ganforge.recipe.reading import read_recipe
    from ganforge.runs.run import Run
    from ganforge.runs.run_folder import RunFolder, open_run_folder
    from ganforge.step.program import Turn
    from ganforge.training.gradient_sync import Averaging

    torch.set_num_threads(1)
    registry = load_plugins([TOYS]).registry
    exchange, early = Averaging.exchange, dict.fromkeys(jobs, 0)

    def counted(self: Averaging, turn: Turn, bad: int) -> Tensor:
        launched = [bucket for bucket in self.layouts[turn].buckets if bucket.work] if turn in self.layouts else []
        early[name] += len(launched)
        return exchange(self, turn, bad)

    with joined(60) as world, patch.object(Averaging, "exchange", counted):
        for name, text in jobs.items():
            begun = (folder / name / "run.json").exists()
            record = open_run_folder(folder / name).record if begun else {}
            place = RunFolder(folder / name, record, writes=world.leads)
            world.first_alone(lambda: place.path.mkdir(exist_ok=True))  # noqa: B023 - called at once
            run = Run(read_recipe(parse(Source(name, text)), registry, name), place, registry, world=world)
            if not begun or not run.resume():
                run.start()
            run.train()
            with run.trainer.whole():
                averages = {f"ema.{n}": net for n, net in run.trainer.averages().items()}
                modules = {**run.trainer.cast.networks, **run.trainer.sharding.twins, **averages}
                weights = {f"{n}.{key}": t for n, module in modules.items() for key, t in module.state_dict().items()}
                if world.leads:
                    save_file(weights, folder / f"{name}.safetensors")
                    scalars = run.callbacks[-1].scalars  # type: ignore[attr-defined]
                    (folder / f"{name}.json").write_text(json.dumps(scalars))
                    (folder / "early.json").write_text(json.dumps(early))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if bucket_bytes := sys.argv[2:]:
        from ganforge.training import gradient_sync as averaging

        averaging.BUCKET_BYTES = int(*bucket_bytes)
    train(json.loads((place / "jobs.json").read_text()), place)
    os._exit(0)  # as the command does
