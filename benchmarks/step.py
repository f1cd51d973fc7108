"""A CycleGAN step: the engine and each of its levers, against the loop that a textbook writes.

    python benchmarks/step.py --size 256 --batch 1
    python benchmarks/step.py --size 128 --batch 4
    python benchmarks/step.py --tiny

All train the same networks on the same two batches. The textbook's loop neither logs nor checks its losses; the engine
does both. `--tiny` makes the networks so small that nothing but the overhead of the engine is left.
"""

from __future__ import annotations

from collections.abc import Callable

import click
import torch
from textbook import Textbook
from timing import show, side_by_side

from ganforge.engine.cast import build_cast
from ganforge.engine.choosing import choose_levers, settle
from ganforge.engine.device import Precision, choose_device
from ganforge.engine.dryrun import dry_run
from ganforge.engine.recording import CudaGraphs
from ganforge.engine.training import Trainer
from ganforge.parts import Progress
from ganforge.plugins import load_plugins
from ganforge.recipe import open_recipe

OFF = ["run.merge=false", "run.compile=false", "run.cuda_graphs=false", "run.channels_last=false", "run.fused=false"]
ON = {
    "merge": "merged forwards",
    "compile": "compiled",
    "fused": "fused optimizers",
    "channels_last": "channels last",
    "cuda_graphs": "CUDA graphs",
}
ENDLESS = Progress(0, 1_000, 1_000_000)


def engine(
    recipe: str, precision: str, device: torch.device, batch: dict[str, torch.Tensor], *overrides: str
) -> Trainer:
    """A recipe's trainer, with levers as overrides say; `auto` decides as for a long training."""
    checked = open_recipe(recipe, (*overrides, f"run.precision={precision}"), load_plugins(()).registry)
    plan = dry_run(checked)
    levers = choose_levers(checked, plan, device, settle(checked.run, device, 1e18, {}))
    how = Precision(precision, device, levers.channels_last)
    how.set_up()
    trainer = Trainer(checked, build_cast(checked, how.place), how, ENDLESS, levers)
    if levers.graphs:
        trainer.record(CudaGraphs())
    print(f"{' '.join(overrides[len(OFF) :]) or 'auto'}, {precision}: {levers}")
    return trainer


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
    channels, blocks, layers = (4, 1, 2) if tiny else (64, 9, 3)
    size, repeats = (32, 20) if tiny else (size, repeats)
    fields = {name: (torch.rand(batch, 3, size, size, device=where) * 2 - 1) for name in ("real_a", "real_b")}
    textbook = Textbook(channels, blocks, layers, where)
    shape = [
        f"networks.{n}.{key}={value}"
        for n, more in (
            ("G_ab", {"blocks": blocks}),
            ("G_ba", {"blocks": blocks}),
            ("D_a", {"layers": layers}),
            ("D_b", {"layers": layers}),
        )
        for key, value in ({"channels": channels} | more).items()
    ]
    shape += [f"data.batch_size={batch}", f"data.crop_px={size}", f"data.load_px={size}"]
    contenders: dict[str, Callable[[], object]] = {
        "textbook, fp32": lambda: textbook.step(fields["real_a"], fields["real_b"])
    }

    def add(name: str, precision: str, *overrides: str) -> None:
        trainer = engine("cyclegan_horse2zebra", precision, where, fields, *overrides, *shape)
        contenders[f"{name}, {precision}"] = lambda: trainer.step([trainer_batch(trainer)])

    def trainer_batch(trainer: Trainer) -> dict[str, torch.Tensor]:
        return {name: trainer.precision.arrange(tensor) for name, tensor in fields.items()}

    for precision in precisions.split(","):
        add("levers off", precision, *OFF)
        for lever, words in ON.items() if each else ():
            if lever != "cuda_graphs" or where.type == "cuda":
                add(words, precision, *OFF, f"run.{lever}=true")
        add("as chosen (auto)", precision)
    what = "tiny networks" if tiny else f"{size} x {size}, batch {batch}"
    show(f"a step, {what}", side_by_side(contenders, rounds, repeats, warm_up=5 if where.type == "cuda" or tiny else 2))


if __name__ == "__main__":
    main()
