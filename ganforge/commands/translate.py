"""`ganforge translate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import bar, plugins_with_warnings
from ganforge.commands._options import FOLDER, PATH, plugin_option, precision_option
from ganforge.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from ganforge.images import Storage
    from ganforge.inference.translate.batch import Album
    from ganforge.inference.translate.done_list import Ledger
    from ganforge.inference.translate.jobs import Job


class TileSize(click.ParamType[int | str]):
    """`auto`, `off`, or pixels."""

    name = "auto|off|PIXELS"

    def convert(self, value: int | str, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in ("auto", "off"):
            return value
        if str(value).isdecimal() and int(value) >= 64:
            return int(value)
        return self.fail(f"'{value}' is none of auto, off, and a number of pixels from 64 on", param, ctx)


COMPARED = ("absolute_error", "psnr", "ssim")
"""The metrics that are told where the files hold the truth."""


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=FOLDER, help="The folder for the results.")
@click.option("--direction", metavar="NAME", help="Which way, such as a2b.  [default: the recipe's first]")
@click.option("--signal", metavar="NAME", help="Which signal to compute instead, such as rec_a.")
@click.option(
    "--size",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Resize pictures to squares first; by default they keep their size.",
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Pictures of one size at a time.")
@click.option(
    "--tile",
    default="auto",
    show_default=True,
    type=TileSize(),
    help="Translate pictures that are larger in tiles of this size: the same result in less memory. "
    "auto: those above 2 million pixels.",
)
@click.option(
    "--format",
    "suffix",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "png", "jpg", "webp", "tiff", "npy"]),
    help="Of the results; auto: PNG, or TIFF where that keeps them and PNG does not.",
)
@click.option(
    "--depth",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "8", "16"]),
    help="Bits a channel of the results; auto: what the run's data have, or 16 where the picture has 16, as PNG.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Write sheets too: the picture, its translation, the truth where the file has it, and back again.",
)
@click.option(
    "--whole",
    is_flag=True,
    help="Take each file as one picture, though the run's dataset has pictures side by side in one.",
)
@click.option(
    "--input",
    "others",
    multiple=True,
    metavar="FIELD=VALUE",
    help="What the signal takes beside a picture: a folder with files of the same names, a file, a class, a number.",
)
@click.option("--overwrite", is_flag=True, help="Make again what the folder has already.")
@click.option("--raw", is_flag=True, help="Use the raw weights though the run has averaged ones (EMA).")
@click.option("--seed", default=0, show_default=True, help="Of the random numbers in the signal, such as a style.")
@click.option("--device", default="auto", show_default=True)
@precision_option
@click.option("--compile", "compiled", is_flag=True, help="Generate code first: pays for many pictures of one size.")
@plugin_option
def command(
    run: Path,
    inputs: tuple[str, ...],
    output: Path,
    size: int | None,
    batch: int,
    suffix: str,
    depth: str,
    compare: bool,
    others: tuple[str, ...],
    overwrite: bool,
    raw: bool,
    files: tuple[Path, ...],
    **how: Any,
) -> None:
    """Translate pictures with RUN, a run's folder or one of its checkpoints.

    INPUTs are pictures, folders of them, and quoted patterns. The results keep their names, subfolders and sizes.
    Given again, the same command goes on where it was stopped.

    \b
    Examples:
      ganforge translate runs/cyclegan_horse2zebra/0001 horses/ -o zebras
      ganforge translate runs/cyclegan_horse2zebra/0001 zebra.jpg -o horses --direction b2a
      ganforge translate runs/x/0001/checkpoints/step_0100000 'photos/**/*.jpg' -o out --compare --tile 512
      ganforge translate runs/x/0001 photos/ -o out --input depth=depths/ --input label=3
      ganforge translate runs/x/0001 horses/ -o zebras --batch 8 --precision bf16 --compile
    """
    from ganforge.inference.translate import Translator
    from ganforge.inference.translate.batch import Album
    from ganforge.inference.translate.inputs import Inputs
    from ganforge.sharing.locate import run_in

    results = _Results(inputs, output, suffix, depth, compare)
    jobs = results.jobs()  # what is not there is told before anything is loaded
    registry = plugins_with_warnings(files).registry
    translator = Translator.open(run_in(run, registry), registry, averaged=not raw, tell=click.echo, **how)
    jobs = results.fitted(jobs, translator.given)
    beside = Inputs.parsed(translator.trained.recipe, translator.choice, others)
    click.echo(f"{translator.signal} = {translator.text}, {translator.weights}")
    asked = {"size": size, "depth": depth} | ({"inputs": [*others]} if others else {})
    ledger = results.ledger(translator.identity | asked, jobs, overwrite)
    figures = {name: registry.find("metrics", f"ganforge.{name}").factory for name in COMPARED}
    deep = results.deep(translator.given)
    _translate(Album(translator, ledger, batch, size, deep, beside, figures, results.failed), jobs, output)


@dataclass
class _Results:
    """Which pictures are translated, and what the results are to be."""

    inputs: tuple[str, ...]
    output: Path
    suffix: str
    depth: str
    compare: bool
    failed: list[str] = field(default_factory=list)
    """What is wrong with single inputs, while the others go on."""

    @property
    def likely(self) -> str:
        """The format of results, as far as is known before a run is opened."""
        return "png" if self.suffix == "auto" else self.suffix

    def jobs(self, suffix: str | None = None) -> list[Job]:
        """The pictures, and where their results go in this format."""
        if self.depth == "16" and self.suffix in ("jpg", "webp"):
            raise UsageError(f"{self.suffix} does not keep 16 bits a channel", "leave out --format or --depth 16")
        from ganforge.inference.translate.done_list import Ledger
        from ganforge.inference.translate.jobs import find_jobs

        self.failed.clear()
        known, suffix = Ledger.results(self.output), f".{suffix or self.likely}"
        return find_jobs(self.inputs, self.output, suffix, self.compare, known, self.failed.append)

    def fitted(self, jobs: list[Job], given: Storage) -> list[Job]:
        """The pictures, whose results go where their format keeps them.

        Raises:
            UsageError: the one that is asked for does not.
        """
        fitting = self.fitting(given)
        return jobs if fitting == self.likely else self.jobs(fitting)

    def ledger(self, identity: dict[str, Any], jobs: Sequence[Job], overwrite: bool) -> Ledger:
        """What of these is done."""
        from ganforge.inference.translate.done_list import Ledger

        ledger = Ledger(self.output, identity, overwrite)
        ledger.shared = any(self.output.resolve() in job.source.resolve().parents for job in jobs)
        return ledger

    def deep(self, given: Storage) -> bool | None:
        """Whether results are of 16 bits; None, where their pictures, or their storage, say it."""
        keeps = self.suffix in ("auto", "png", "tiff", "npy") or not given.plain
        return {"auto": None if keeps else False, "8": False, "16": True}[self.depth]

    def fitting(self, given: Storage) -> str:
        """The format of results so stored.

        Raises:
            UsageError: the one that is asked for does not keep them.
        """
        import torch

        from ganforge.images.writing import suffix_for, unwritable

        if self.depth != "auto" and not given.plain and self.depth != str(given.depth):
            raise UsageError(
                f"the run's data say how results are stored: depth {given.depth}, {given.scaling}", "leave out --depth"
            )
        stored = {8: torch.uint8, 16: torch.uint16, "float": torch.float32}[given.depth]
        dtype = {"8": torch.uint8, "16": torch.uint16}.get(self.depth, stored)
        best = suffix_for(given.channels, dtype).removeprefix(".")
        if self.suffix == "auto":
            return best
        if reason := unwritable(f".{self.suffix}", given.channels, dtype):
            raise UsageError(f"{reason}, which the results have", f"say --format {best}, or leave --format out")
        return self.suffix


def _translate(album: Album, jobs: Sequence[Job], output: Path) -> None:
    total = len(jobs) + len(album.failed)
    todo = [job for job in jobs if not album.ledger.has(job)]
    if len(todo) < len(jobs):
        click.echo(f"{len(jobs) - len(todo)} of {len(jobs)} pictures are there already")
    try:
        with bar("translating", len(jobs), len(jobs) - len(todo)) as done:
            album.translate(todo, done)
    except KeyboardInterrupt:
        click.echo("the same command goes on from here", err=True)
        raise
    click.echo(f"{total - len(album.failed)} of {total} pictures are in {output}")
    for name, values in album.figures.items():
        mean = sum(values) / len(values)
        click.echo(f"  {name} against {album.translator.truth}: {mean:.4g}, the mean of {len(values)} made now")
    if album.failed:
        told = "\n".join(f"  {line}" for line in album.failed)
        raise EnvironmentFault(f"some pictures could not be translated:\n{told}")
