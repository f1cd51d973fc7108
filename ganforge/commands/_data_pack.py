"""`ganforge data pack` and `ganforge data verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ganforge.errors import EnvironmentFault


@click.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the shards.")
@click.option(
    "--layout",
    type=click.Choice(("unpaired", "side_by_side", "two_folders")),
    help="What ROOT holds: trainA and trainB that do not correspond; train with pairs side by side; or trainA and "
    "trainB with pairs of equal names.  [default: unpaired, or side_by_side where there is train]",
)
@click.option(
    "--shard-mib", type=click.IntRange(1), default=256, show_default=True, help="The size that a shard keeps to."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of training samples in the pack.")
@click.option("--force", is_flag=True, help="Replace a pack that is there.")
def pack(root: Path, output: Path, layout: str | None, shard_mib: int, seed: int, force: bool) -> None:
    """Pack the pictures of ROOT into tar shards.

    A few large files, for data that a file system or a network does not like as millions of small ones; and shards at
    a URL may be more than a disk holds. Files go in as they are, each decoded once to find broken ones. Training
    samples are shuffled, so that each shard is a fair sample. If it is interrupted, the same command goes on.

    \b
    Examples:
      ganforge data pack datasets/horse2zebra -o packs/horse2zebra
      ganforge data pack my_pairs -o packs/my_pairs --layout two_folders --shard-mib 1024
    """
    from ganforge.builtin.datasets.inspection.report import counted
    from ganforge.builtin.datasets.shards.drafts import drafts_of, find_layout, remarks
    from ganforge.builtin.datasets.shards.packing import pack as write

    found = find_layout(root, layout)
    drafts = drafts_of(root, found, seed, shard_mib << 20)
    for remark in remarks(root, found):
        click.echo(remark)
    with _bar("packing", sum(draft.bytes for draft in drafts)) as tell:
        index = write(root, drafts, found, seed, output, force, tell)
    for split, shards in index.splits.items():
        size_mib = sum(shard.bytes for shard in shards) / 2**20
        counts = f"{counted(index.samples(split), 'sample')}, {counted(len(shards), 'shard')}"
        click.echo(f"{split}: {counts}, {size_mib:,.1f} MiB")
    name = "unpaired_shards" if found == "unpaired" else "paired_shards"
    click.echo(f"packed: data.type={name} data.root={output}")


@click.command()
@click.argument("pack", type=click.Path(path_type=Path))
def verify(pack: Path) -> None:
    """Read all shards of PACK again, and compare them with the index.

    \b
    Example:
      ganforge data verify packs/horse2zebra
    """
    from ganforge.builtin.datasets.inspection.report import counted
    from ganforge.builtin.datasets.shards.store import Local
    from ganforge.builtin.datasets.shards.store import verify as read

    shards = Local(pack).index().shards
    with _bar("verifying", sum(shard.bytes for shard in shards)) as tell:
        damaged = read(pack, tell)
    for damage in damaged:
        click.echo(f"{damage.shard}: {damage.reason}")
    if damaged:
        raise EnvironmentFault(
            f"of {counted(len(shards), 'shard')} of {pack}, {len(damaged)} damaged", "copy those again, or pack anew"
        )
    click.echo(f"{counted(len(shards), 'shard')}, as packed")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many bytes more are done: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)
