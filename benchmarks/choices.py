"""What `auto` chose, beside every combination that could be taken by hand on this machine.

    python benchmarks/choices.py cyclegan_shapes
    python benchmarks/choices.py recipes/tiny/*.yaml --steps 20000 --compile
    python benchmarks/choices.py cyclegan_horse2zebra --set data.crop_px=128 --set data.load_px=143

All take steps on noise, in turn, in one process. `auto` decides as for a run of `--steps`, or the recipe's own.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import click
import torch
from timing import show

from ganforge.plugins.loading import load_plugins
from ganforge.ranks.division import divide, divided
from ganforge.recipe import open_recipe
from ganforge.rehearsal.dry_run import dry_run
from ganforge.training.levers.contender import Contender, Way, side_by_side
from ganforge.training.levers.settling import settled

OFF = dict.fromkeys(("merge", "compile", "cuda_graphs", "channels_last", "fused", "overlap"), False) | {"layouts": True}


def by_hand(compiled: bool) -> Iterator[Way]:
    """All that may be combined on a CPU."""
    for precision, merge, fused in itertools.product(("fp32", "bf16"), (False, True), (False, True)):
        yield Way(precision, {**OFF, "merge": merge, "fused": fused})
    for layouts, merge, fused in itertools.product((True, False), (False, True), (False, True)) if compiled else ():
        yield Way("fp32", {**OFF, "compile": True, "layouts": layouts, "merge": merge, "fused": fused})


@click.command()
@click.argument("recipes", nargs=-1, required=True)
@click.option("--set", "overrides", multiple=True, help="An override of the recipe.")
@click.option("--steps", type=int, help="As for a run of so many steps; otherwise the recipe's, or a million.")
@click.option("--rounds", default=5)
@click.option("--repeats", type=int, help="Steps in a row; by default a tenth of a second.")
@click.option("--compile", "compiled", is_flag=True, help="Compiled code, too: some minutes for each combination.")
def main(
    recipes: tuple[str, ...],
    overrides: tuple[str, ...],
    steps: int | None,
    rounds: int,
    repeats: int | None,
    compiled: bool,
) -> None:
    """Print a table for each recipe: milliseconds a step, and how many times faster than every lever off in fp32."""
    device = torch.device("cpu")
    warnings.simplefilter("ignore")
    for name in recipes:
        recipe = open_recipe(name, overrides, load_plugins(()).registry)
        division = divide(recipe)
        recipe = divided(recipe, division)
        plan = dry_run(recipe)
        auto = settled(recipe, plan, device, division, steps or recipe.run.steps or 1_000_000, {}, click.echo)
        ways = [*by_hand(compiled)]
        chosen = Way(auto.precision, auto.levers)
        if chosen not in ways:
            ways.append(chosen)
        contenders = [Contender(recipe, plan, device, division, way) for way in ways]
        first, *_ = (contender.seconds(2) for contender in contenders)  # code is compiled, kernels are chosen
        often = repeats or max(1, round(0.1 / first))
        times = side_by_side(contenders, rounds, often, float("inf"))
        notes = {str(way): "auto" if way == chosen else "" for way in ways}
        show(
            f"{recipe.name} {' '.join(overrides)}",
            [dict(zip(notes, row, strict=True)) for row in zip(*times, strict=True)],
            notes,
        )
        ours = times[ways.index(chosen)]
        best = max(sorted(a / b for a, b in zip(ours, t, strict=True))[rounds // 2] for t in times)
        print(f"auto: {auto.why or 'as the recipe says'}; {1 / best:.2f} of the speed of the best\n")


if __name__ == "__main__":
    main()
