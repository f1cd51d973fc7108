"""Translating pictures: `ganforge translate`'s own path, eager and compiled, in each precision.

    python benchmarks/inference.py --size 256

The generator of the CycleGAN recipe, untrained: its time does not depend on its weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import torch
from timing import show, side_by_side

from ganforge.inference.translate import Translator
from ganforge.plugins.loading import load_plugins
from ganforge.testing import run_recipe


def translate(translator: Translator, picture: torch.Tensor) -> None:
    translator.precision.set_up()  # which kernels may be used is the process's, not the translator's
    translator(picture)


@click.command()
@click.option("--size", default=256, help="Pixels of a side.")
@click.option("--rounds", default=9)
@click.option("--precisions", default="fp32,bf16", show_default=True)
@click.option("--device", default="auto")
def main(size: int, rounds: int, precisions: str, device: str) -> None:
    """Print a table: milliseconds a picture, and how many times faster than eager float32."""
    picture = torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
    contenders: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        small = ("data.crop_px=32", "data.load_px=32", "run.images=[]", "run.precision=fp32")
        run_recipe("cyclegan_horse2zebra", *small, steps=1, fake_data=True, folder=Path(folder))
        for precision in precisions.split(","):
            for compiled in (False, True):
                translator = Translator.open(
                    Path(folder), load_plugins(()).registry, device=device, precision=precision, compiled=compiled
                )
                name = f"{'compiled' if compiled else 'eager'}, {precision}"
                contenders[name] = partial(translate, translator, picture)
    show(f"a picture, {size} x {size}", side_by_side(contenders, rounds, warm_up=3))


if __name__ == "__main__":
    main()
