"""A CycleGAN step: the engine and each of its levers, against the loop that a textbook writes.

    python benchmarks/step.py --size 256 --batch 1
    python benchmarks/step.py --size 128 --batch 4
    python benchmarks/step.py --tiny

All train the same networks on the same two batches. The textbook's loop neither logs nor checks its losses; the engine
does both. `--tiny` makes the networks so small that nothing but the overhead of the engine is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import click
import torch
from textbook import Textbook
from timing import show, side_by_side

from ganforge.api.context import Progress
from ganforge.plugins.loading import load_plugins
from ganforge.ranks.device import Precision, choose_device
from ganforge.ranks.division import divide
from ganforge.recipe import open_recipe
from ganforge.rehearsal.dry_run import dry_run
from ganforge.step.cast import build_cast
from ganforge.training.levers.choosing import choose_levers
from ganforge.training.levers.settling import settled, with_precision
from ganforge.training.recording import CudaGraphs
from ganforge.training.trainer import Trainer

OFF = ["run.merge=false", "run.compile=false", "run.cuda_graphs=false", "run.channels_last=false", "run.fused=false"]
ON = {
    "merge": "merged forwards",
    "compile": "compiled",
    "fused": "fused optimizers",
    "channels_last": "channels last",
    "cuda_graphs": "CUDA graphs",
}
ENDLESS = Progress(0, 1_000, 1_000_000)


@dataclass(frozen=True)
class Setting:
    """What all contenders train."""

    size: int
    batch: int
    channels: int
    blocks: int
    layers: int

    @property
    def overrides(self) -> list[str]:
        """The same for the recipe."""
        shape = [f"data.batch_size={self.batch}", f"data.crop_px={self.size}", f"data.load_px={self.size}"]
        for name in ("G_ab", "G_ba"):
            shape += [f"networks.{name}.channels={self.channels}", f"networks.{name}.blocks={self.blocks}"]
        for name in ("D_a", "D_b"):
            shape += [f"networks.{name}.channels={self.channels}", f"networks.{name}.layers={self.layers}"]
        return shape


def engine(setting: Setting, precision: str, device: torch.device, *levers: str) -> Trainer:
    """The recipe's trainer, with levers as overrides say; `auto` decides as for a long training."""
    overrides = (*setting.overrides, f"run.precision={precision}", *levers)
    recipe = open_recipe("cyclegan_horse2zebra", overrides, load_plugins(()).registry)
    plan = dry_run(recipe)
    found = settled(recipe, plan, device, divide(recipe), ENDLESS.total_steps, {}, click.echo)
    recipe = with_precision(recipe, found.precision)
    chosen = choose_levers(recipe, plan, device, found.levers)
    how = Precision(found.precision, device, chosen.channels_last)
    how.set_up()
    trainer = Trainer(recipe, build_cast(recipe, how.place), how, ENDLESS, chosen)
    if chosen.graphs:
        trainer.record(CudaGraphs())
    return trainer


def as_torch_begins() -> None:
    """Matrix products in float32, cuDNN's convolutions in TensorFloat-32, whatever kernels come first."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


@click.command()
@click.option("--size", default=256, help="Pixels of a side.")
@click.option("--batch", default=1)
@click.option("--tiny", is_flag=True, help="Networks of 4 channels on 32 pixels: nothing but overhead.")
@click.option("--rounds", default=5)
@click.option("--repeats", default=1, help="Steps in a row.")
@click.option("--device", default="auto")
@click.option("--precisions", default="fp32,bf16", show_default=True)
@click.option("--each", is_flag=True, help="Also each lever alone.")
def main(
    size: int, batch: int, tiny: bool, rounds: int, repeats: int, device: str, precisions: str, each: bool
) -> None:
    """Print a table: milliseconds a step, and how many times faster than the textbook."""
    where = choose_device(device)
    setting = Setting(32, batch, 4, 1, 2) if tiny else Setting(size, batch, 64, 9, 3)
    textbook = Textbook(setting.channels, setting.blocks, setting.layers, where)
    real = {
        name: torch.rand(batch, 3, setting.size, setting.size, device=where) * 2 - 1 for name in ("real_a", "real_b")
    }
    notes: dict[str, str] = {}

    def take_textbook() -> None:
        as_torch_begins()
        textbook.step(**real)

    contenders: dict[str, Callable[[], object]] = {"textbook, fp32": take_textbook}

    def add(name: str, precision: str, *levers: str) -> None:
        trainer = engine(setting, precision, where, *levers)
        batch = {name: trainer.precision.arrange(tensor) for name, tensor in real.items()}

        def take() -> None:
            trainer.precision.set_up()  # which kernels may be used is the process's, not the trainer's
            trainer.step([batch])

        contenders[f"{name}, {precision}"] = take
        notes[f"{name}, {precision}"] = f"{trainer.precision.name}, {trainer.levers}"

    for precision in precisions.split(","):
        add("levers off", precision, *OFF)
        for lever, words in ON.items() if each else ():
            if lever != "cuda_graphs" or where.type == "cuda":
                add(words, precision, *OFF, f"run.{lever}=true")
        add("levers auto", precision)
    add("all", "auto")
    warm_up = 6 if tiny or where.type == "cuda" else 2  # code is compiled, kernels are chosen, graphs recorded
    times = side_by_side(contenders, rounds, 20 if tiny else repeats, warm_up)
    show(f"{setting.size} x {setting.size}, batch {batch}" + ", tiny networks" * tiny, times, notes)


if __name__ == "__main__":
    main()
