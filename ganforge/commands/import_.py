"""`ganforge import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import plugins_with_warnings, warn
from ganforge.commands._options import FOLDER, plugin_option
from ganforge.errors import UsageError, suggest

if TYPE_CHECKING:
    from ganforge.importing import ImportedRun
    from ganforge.plugins.registry import Part, Registry


@click.command()
@click.argument("family")
@click.argument("arguments", nargs=-1, required=True, metavar="CHECKPOINT... [KEY=VALUE]...")
@click.option("-o", "--out", type=FOLDER, default=Path("runs"), show_default=True, help="Where run folders go.")
@click.option("--name", default="", help="Of the run.  [default: the file's, or its folder's]")
@plugin_option
def command(family: str, arguments: tuple[str, ...], out: Path, name: str, files: tuple[Path, ...]) -> None:
    """Make a run of public checkpoints: `translate`, `evaluate` and `run --resume` take it as any other.

    FAMILY is cyclegan, pix2pix or cut, or what a plugin brings. CHECKPOINTs are the reference's .pth files, all of them
    or a generator alone: networks without a file start fresh. Files are read as weights only; whatever else is in one,
    it is refused. Settings of the recipe may follow.

    \b
    Examples:
      ganforge import cyclegan horse2zebra.pth
      ganforge import cyclegan checkpoints/maps/latest_net_*.pth data.root=datasets/maps
      ganforge import pix2pix facades_label2photo.pth players.generator.optimizer.lr=5e-5
      ganforge import cut checkpoints/horse2zebra/latest_net_G.pth --name cut_horses
    """
    paths = [Path(text) for text in arguments if "=" not in text or Path(text).is_file()]
    overrides = [text for text in arguments if Path(text) not in paths]
    if not paths:
        raise UsageError("no checkpoint was given; give one or more .pth files")
    if Path(name).name != name or name == "..":
        raise UsageError(f"--name {name}: a name is no path; --out says where run folders go")
    plugins = plugins_with_warnings(files)
    importer = _find(family, plugins.registry)
    from ganforge.importing import import_run

    made = import_run(
        importer,
        paths,
        plugins.registry,
        overrides=overrides,
        out=out,
        name=name,
        distributions=[plugin.distribution for plugin in plugins.found if plugin.version and not plugin.reason],
    )
    _tell(made)


def _find(family: str, registry: Registry) -> Part:
    from ganforge.plugins.registry import UnknownPart

    try:
        return registry.find("importers", family)
    except UnknownPart as unknown:
        known = {part.name for part in registry.of("importers")}
        if family in known:  # of two plugins
            raise
        cure = suggest(family, known, "install a plugin that brings one, such as ganforge-cyclegan")
        raise UsageError(f"nothing here imports '{family}'; {cure}") from unknown


def _tell(made: ImportedRun) -> None:
    for network in made.sources:
        click.echo(f"{network}: {made.networks[network]}")
    for path, why in made.left_out.items():
        warn(f"{path} was left out: {why}")
    if fresh := [network for network in made.networks if network not in made.sources]:
        click.echo(f"fresh, for want of a file: {', '.join(fresh)}")
    click.echo(f"{made.folder} is ready")
    click.echo(f"  ganforge translate {made.folder} PICTURES -o RESULTS")
    click.echo(f"  ganforge run {made.folder} --resume data.root=PICTURES")
